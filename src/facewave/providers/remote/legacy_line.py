"""One clip of the one-way protocol: a call that sends the audio, and the animation that comes by another way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Literal
from uuid import uuid4

from ...errors import RemoteError
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE
from ...wire._proto.a2f_pb2 import AudioStream, AudioWithEmotion
from ...wire._proto.a2f_service_pb2_grpc import A2FServiceStub
from ...wire._proto.animation_controller_service_pb2_grpc import AnimationControllerServiceStub
from ...wire._proto.animation_id_pb2 import AnimationIds
from ...wire.a2f import EmotionKeys, emotion_messages, legacy_header
from ...wire.animation import Status
from .animation_stream import pulling
from .client import Call, Inbox
from .failures import remote_error
from .link import Link, Links
from .options import RemoteOptions
from .receiver import Receiver
from .route import LegacyRoute

log = logging.getLogger("facewave.remote")

_numbers = count(1)

_VERDICT_S = 2.0
"""Seconds that the answer to the audio may come after the end of the animation."""


class LegacyLine:
    """One clip: a call that sends the audio, and the animation that comes by another way."""

    def __init__(
        self,
        link: Link,
        pull_links: Links,
        receiver: Receiver | None,
        settings: StreamSettings,
        route: LegacyRoute,
        options: RemoteOptions,
        over: Callable[[], None],
    ) -> None:
        self._link, self._receiver, self._on_over = link, receiver, over
        self._lock = threading.Lock()
        self._over = False
        self._push_over = threading.Event()
        self._push_failure: RemoteError | None = None
        self._drained: float | None = None
        number = next(_numbers)
        self._pull: Call | None = None
        self._ids = _ids(link, route, options)
        stub: Any = (
            AnimationControllerServiceStub(link.channel) if route.way == "controller" else A2FServiceStub(link.channel)
        )
        with self._lock:  # The calls' threads wait until everything they may touch is here.
            self._push = Call(
                lambda requests: _Single(stub.PushAudioStream.future(requests, metadata=link.connection.metadata())),
                link.connection,
                options.retry,
                ended=self._push_ended,
                name=f"legacy stream {number}",
            )
            if receiver is not None:
                self._frames = Inbox()
                receiver.expect(self._ids, self._frames)
            else:
                pull_link = pull_links.acquire()
                source: Literal["controller", "data"] = "controller" if route.way == "controller" else "data"
                self._pull = Call(
                    pulling(pull_link, source, self._ids, options.stall_timeout_s),
                    pull_link.connection,
                    options.retry,
                    ended=pull_link.release,
                    name=f"legacy stream {number} animation",
                )
                self._frames = self._pull.inbox
            self._frames.arrived = self._used
        # Audio leaves only now that its animation is expected.
        header = AudioStream(audio_stream_header=legacy_header(settings, SAMPLE_RATE, self._ids))
        self._push.outbox.put(header, header.ByteSize(), timeout_s=0.0)
        log.info("[legacy stream %d] started at %s", number, link.connection.target)

    @property
    def exhausted(self) -> bool:
        """Whether the animation has ended and everything has been taken, and the service has answered for the audio.

        The answer may say why an animation ended early, so it is waited for a little.
        """
        if not self._frames.exhausted:
            return False
        if self._drained is None:
            self._drained = time.monotonic()
        return self._push_over.is_set() or time.monotonic() - self._drained > _VERDICT_S

    @property
    def silence(self) -> str:
        """What is probably wrong where nothing comes."""
        if self._receiver is None:
            return "the service is stuck, or does not animate under the ids it was given"
        return (
            f"the service must be told to deliver its animation to {self._receiver.address} "
            "(endpoints.unidirectional.client.url in its deployment file), and must be able to reach it"
        )

    def wait_connected(self, timeout_s: float) -> None:
        """Wait until the header has left.

        Raises:
            RemoteError: No connection.
        """
        self._push.wait_connected(timeout_s)

    def send(self, pcm: bytes, keys: EmotionKeys, *, timeout_s: float) -> bool:
        """Queue audio and emotions."""
        part = AudioWithEmotion(audio_buffer=pcm, emotions=emotion_messages(keys))
        return self._push.outbox.put(AudioStream(audio_with_emotion=part), len(pcm), timeout_s=timeout_s)

    def end(self) -> None:
        """Half-close, which is the end of the audio in this protocol."""
        self._push.outbox.close()

    def take(self, timeout_s: float = 0.0) -> list[Any]:
        """Parts of the animation that are here; waits for the first.

        Raises:
            RemoteError: Either call has failed, and everything before has been taken.
        """
        parts = self._frames.take(timeout_s)
        if not parts and self._frames.exhausted:
            self._push_over.wait(timeout_s)
            if self._push_failure is not None:
                raise self._push_failure
        return parts

    def cancel(self) -> None:
        """Drop the clip."""
        self._push.cancel()
        if self._pull is not None:
            self._pull.cancel()
        self._frames.close()
        self.close()

    def close(self) -> None:
        """Expect no more; the call that sent the audio ends by itself."""
        with self._lock:
            first, self._over = not self._over, True
        if first:
            if self._receiver is not None:
                self._receiver.forget(self._ids)
            self._on_over()

    def _used(self) -> None:
        # Animation comes: the service has used audio, and nothing is asked for twice.
        self._push.outbox.answered()
        if self._pull is not None:
            self._pull.outbox.answered()

    def _push_ended(self, failure: RemoteError | None) -> None:
        with self._lock:
            push = self._push
        if failure is None:
            for status in push.inbox.take():
                if status.code == Status.ERROR:
                    words = status.message or "no words"
                    failure = RemoteError(f"the service reported an error: {words}")
        self._push_failure = failure
        self._push_over.set()
        if failure is not None:
            self._frames.end(failure)
        self._link.release(failure)


class _Single:
    """A call with one answer, seen as a stream of one part."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        yield self._call.result()

    def cancel(self) -> None:
        self._call.cancel()


def _ids(link: Link, route: LegacyRoute, options: RemoteOptions) -> AnimationIds:
    if route.way != "controller":
        return AnimationIds(request_id=str(uuid4()), stream_id=str(uuid4()), target_object_id=route.target_object_id)
    import grpc
    from google.protobuf.empty_pb2 import Empty

    stub: Any = AnimationControllerServiceStub(link.channel)
    try:
        answer = stub.RequestAnimationIds(
            Empty(), timeout=options.connect_timeout_s, metadata=link.connection.metadata()
        )
    except grpc.RpcError as error:
        raise remote_error(error, link.connection, doing="asking for ids") from None
    if answer.WhichOneof("response") != "animation_ids" or not answer.animation_ids.stream_id:
        words = answer.status.message or "no ids"
        raise RemoteError(f"{link.connection.target}: the controller gave no ids: {words}")
    ids = AnimationIds()
    ids.CopyFrom(answer.animation_ids)
    if not ids.request_id:
        ids.request_id = str(uuid4())
    return ids
