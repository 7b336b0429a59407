"""LegacyA2F: the one-way protocol of services before 2.0, where audio goes out on one connection and the animation
comes back on another.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, cast
from uuid import uuid4

from ...errors import RemoteError, SettingsError
from ...settings import FacewaveSettings
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE
from ...wire._proto.a2f_pb2 import AudioStream, AudioWithEmotion
from ...wire._proto.a2f_service_pb2_grpc import A2FServiceStub
from ...wire._proto.animation_controller_service_pb2_grpc import AnimationControllerServiceStub
from ...wire._proto.animation_id_pb2 import AnimationIds
from ...wire.a2f import EmotionKeys, emotion_messages, legacy_header
from ...wire.animation import Status
from ..base import ProviderInfo
from .animation_stream import pulling
from .client import Call, Inbox
from .connection import Connection
from .emotions import KeyLedger
from .failures import remote_error
from .link import Link, Links
from .options import RemoteOptions
from .provider import LearnedRate
from .reader import FrameReader
from .receiver import Receiver
from .session import RemoteSession

log = logging.getLogger("facewave.remote")

Way = Literal["deliver", "pull", "controller"]

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class LegacyRoute:
    """How the animation comes back.

    Raises:
        SettingsError: An unknown way, or a pull without an address.
    """

    way: Way = "deliver"
    """`deliver`: the service connects to us at `listen`. `pull`: we fetch it from the animation data service at
    `pull_url`. `controller`: one animation controller takes the audio, gives the ids and has the animation."""

    listen: str = "127.0.0.1:51000"
    """Host and port where services deliver; services on other machines need an address they can reach."""

    pull_url: str = ""
    """Address of the animation data service, for `pull`."""

    target_object_id: str = "facewave"
    """Object of the scene that is animated."""

    def __post_init__(self) -> None:
        if self.way not in ("deliver", "pull", "controller"):
            raise SettingsError(f"legacy route: found {self.way!r}, expected deliver, pull or controller")
        if self.way == "pull" and not self.pull_url:
            raise SettingsError(
                "legacy route: found pull without pull_url, expected the animation data service's address"
            )
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise SettingsError(f"legacy listen address: found {self.listen!r}, expected host:port")


class LegacyA2F:
    """An Audio2Face service of the 1.0 generation, or a later one in its one-way mode."""

    name = "LegacyA2F"

    def __init__(
        self,
        connection: Connection | None = None,
        route: LegacyRoute | None = None,
        options: RemoteOptions | None = None,
    ) -> None:
        """Set up; connects and listens with `allocate` or the first stream.

        Args:
            connection: Where audio goes: the service, or the controller.
            route: How the animation comes back.
            options: Patience and policy.
        """
        self._route = route or LegacyRoute()
        self._options = options or RemoteOptions()
        self._links = Links(connection or Connection())
        pull = Connection(url=self._route.pull_url)
        self._pull_links = Links(pull) if self._route.way == "pull" else self._links
        self._rates = LearnedRate()
        self._lock = threading.Lock()
        self._receiver: Receiver | None = None
        self._streams = 0
        self._freed = False

    @property
    def info(self) -> ProviderInfo:
        """Name, rates and whether connected; the rates are exact once one stream has been seen."""
        return self._rates.applied(
            ProviderInfo(
                self.name, "remote", "Audio2Face service of the one-way 1.0 protocol", loaded=self._links.connected
            )
        )

    @property
    def connection(self) -> Connection:
        """The connection settings in force."""
        return self._links.connection

    @property
    def receiving(self) -> str:
        """Host and port where services can deliver now; blank while not listening."""
        with self._lock:
            return self._receiver.address if self._receiver else ""

    def override(self, connection: Connection) -> None:
        """Use other connection settings from the next clip on; blank fields fall back to the configured ones."""
        self._links.override(connection)
        self._rates.forget()

    def open(self, settings: StreamSettings) -> RemoteSession:
        """Start a stream; connects and listens where that has not been done.

        Raises:
            SettingsError: A frame rate that the service does not have, or an emotion vector of a model's own.
            ProviderUnavailableError: No address is configured, or the port to listen on is taken.
            RemoteError: No connection can be made.
        """
        self._links.connection.require(self.name, "legacy")
        self._rates.check(settings.frame_rate)
        ledger = KeyLedger(settings)
        receiver = self._enter()
        line: LegacyLine | None = None
        try:
            link = self._links.acquire()
            try:
                line = LegacyLine(link, self._pull_links, receiver, settings, self._route, self._options, self._leave)
            except BaseException:
                link.release()
                raise
            line.wait_connected(self._options.connect_timeout_s)
        except BaseException:
            if line is None:
                self._leave()
            else:
                line.cancel()
            raise
        link.connected = True
        reader = FrameReader(settings.frame_rate, self._rates.assumed)
        return RemoteSession(
            line, reader, ledger, self._options, where=link.connection.target, learned=self._rates.learn
        )

    def allocate(self) -> None:
        """Connect and listen now. Idempotent.

        Raises:
            ProviderUnavailableError: No address is configured, or the port to listen on is taken.
            RemoteError: No connection can be made.
        """
        self._links.connection.require(self.name, "legacy")
        self._enter()
        self._leave()
        if not self._links.connected:
            link = self._links.acquire()
            try:
                link.check(self._options.connect_timeout_s)
            finally:
                link.release()

    def free(self) -> None:
        """Disconnect and stop listening after the last open stream. Idempotent."""
        with self._lock:
            self._freed = True
            stopped = self._receiver if self._streams == 0 else None
            if stopped:
                self._receiver = None
        if stopped:
            stopped.stop()
        self._links.close()
        self._pull_links.close()
        self._rates.forget()

    def _enter(self) -> Receiver | None:
        with self._lock:
            if self._route.way == "deliver" and self._receiver is None:
                self._receiver = Receiver(self._route.listen)
            self._streams += 1
            self._freed = False
            return self._receiver

    def _leave(self) -> None:
        with self._lock:
            self._streams -= 1
            stopped = self._receiver if self._freed and self._streams == 0 else None
            if stopped:
                self._receiver = None
        if stopped:
            stopped.stop()


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
        number = next(_numbers)
        self._pull: Call | None = None
        self._ids = _ids(link, route, options)
        stub: Any = (
            AnimationControllerServiceStub(link.channel)  # type: ignore[no-untyped-call]
            if route.way == "controller"
            else A2FServiceStub(link.channel)  # type: ignore[no-untyped-call]
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
        """Whether the animation has ended and everything has been taken."""
        return self._frames.exhausted

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
        """Parts of the animation that are here; waits for the first."""
        return self._frames.take(timeout_s)

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

    stub: Any = AnimationControllerServiceStub(link.channel)  # type: ignore[no-untyped-call]
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


def legacy_a2f(settings: FacewaveSettings) -> LegacyA2F:
    """The provider that the project's settings describe, section `[legacy]`.

    Raises:
        SettingsError: A way or an address that cannot be used.
    """
    legacy = settings.legacy
    # A wrong word for the way is refused by the route, which lists those there are.
    route = LegacyRoute(cast(Way, legacy.way), legacy.listen, legacy.pull_url)
    return LegacyA2F(Connection.of_settings(legacy), route, RemoteOptions(stall_timeout_s=legacy.timeout_s))
