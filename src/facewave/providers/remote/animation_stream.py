"""Animation that somebody else started: a subscriber to a stream of an animation graph or controller."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from ...errors import RemoteError, SettingsError
from ...frames import Frame, StreamInfo
from ...wire._proto.animation_controller_service_pb2_grpc import AnimationControllerServiceStub
from ...wire._proto.animation_data_service_pb2_grpc import AnimationDataServiceStub
from ...wire._proto.animation_id_pb2 import AnimationIds
from .client import Call
from .connection import Connection
from .link import Link
from .options import RemoteOptions
from .reader import FrameReader

Source = Literal["controller", "data"]
"""Which service has the stream: `AnimationControllerService` or `AnimationDataService`."""

_RETRY_S = 0.1
"""Seconds between two requests for a stream that does not exist yet."""

_LOOK_EVERY_S = 0.5
"""Seconds between two looks at the clock while waiting."""


class Pull:
    """A pull of animation that may begin before the animation does: it asks again until the stream exists."""

    def __init__(self, begin: Callable[[], Any], patience_s: float) -> None:
        self._begin, self._patience_s = begin, patience_s
        self._cancelled = threading.Event()
        self._rpc: Any = None

    def __iter__(self) -> Iterator[Any]:
        import grpc

        deadline = time.monotonic() + self._patience_s
        started = False
        while not self._cancelled.is_set():
            try:
                self._rpc = self._begin()
                for message in self._rpc:
                    started = True
                    yield message
            except grpc.RpcError as error:
                unknown = error.code() is grpc.StatusCode.NOT_FOUND
                if started or not unknown or time.monotonic() > deadline:
                    raise
                self._cancelled.wait(_RETRY_S)
            else:
                return

    def cancel(self) -> None:
        """Stop."""
        self._cancelled.set()
        if self._rpc is not None:
            self._rpc.cancel()


def pulling(link: Link, source: Source, ids: AnimationIds, patience_s: float) -> Callable[[Iterator[Any]], Pull]:
    """How to start pulling the animation with these ids, for `Call`."""
    stub: Any = (
        AnimationControllerServiceStub(link.channel)
        if source == "controller"
        else AnimationDataServiceStub(link.channel)
    )
    return lambda _: Pull(lambda: stub.PullAnimationDataStream(ids, metadata=link.connection.metadata()), patience_s)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What one look at an animation stream gave."""

    frames: tuple[Frame, ...]
    """Frames in order; indices count from the moment of subscribing where the stream began before."""

    audio: bytes
    """The audio that belongs to them: 16-bit little-endian mono PCM; empty where the stream has none."""

    sample_rate: int
    """Hertz of the audio."""


class AnimationStream:
    """Subscribes to the animation of one avatar and is iterated for its frames and audio.

    with AnimationStream(Connection(url="http://localhost:51000"), stream_id="avatar-1") as stream:
        for piece in stream:
            show(piece.frames)
    """

    def __init__(
        self,
        connection: Connection,
        *,
        stream_id: str,
        request_id: str = "",
        target_object_id: str = "",
        source: Source = "data",
        frame_rate: Fraction | None = None,
        options: RemoteOptions | None = None,
    ) -> None:
        """Subscribe.

        Args:
            connection: The animation graph, controller or other holder of the stream.
            stream_id: The avatar's stream.
            request_id: One utterance of it; blank for whatever comes.
            target_object_id: One object of the scene; blank for any.
            source: Which of the two services the address offers.
            frame_rate: The rate the stream must have; None accepts any.
            options: Patience: `connect_timeout_s` also limits the wait for a stream that does not exist yet,
                `stall_timeout_s` the silence within it.

        Raises:
            SettingsError: No stream id, or an unknown source.
            ProviderUnavailableError: No address.
        """
        connection.require("animation stream")
        if not stream_id:
            raise SettingsError("animation stream: found no stream id; give the id under which the avatar is animated")
        if source not in ("controller", "data"):
            raise SettingsError(f"animation stream: found source {source!r}, expected 'controller' or 'data'")
        self._options = options or RemoteOptions()
        self._where = connection.target
        self._failure: RemoteError | None = None
        self._heard = time.monotonic()
        self._reader = FrameReader(frame_rate, frame_rate or Fraction(30), keep_audio=True)
        ids = AnimationIds(request_id=request_id, stream_id=stream_id, target_object_id=target_object_id)
        self._link = Link(connection)
        self._link.acquire()
        self._link.retire()
        self._call = Call(
            pulling(self._link, source, ids, self._options.connect_timeout_s),
            connection,
            self._options.retry,
            ended=self._link.release,
            name=f"animation {stream_id}",
        )

    def __enter__(self) -> AnimationStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels; final once frames have come."""
        return self._reader.info

    @property
    def notices(self) -> tuple[str, ...]:
        """What the service remarked or what had to be put right."""
        return tuple(self._reader.notices)

    def take(self, timeout_s: float = 0.0) -> Piece:
        """What has arrived; waits up to `timeout_s` for something.

        Raises:
            RemoteError: The stream failed, and everything before has been taken.
        """
        if self._failure is not None:
            raise self._failure
        frames: list[Frame] = []
        try:
            messages = self._call.inbox.take(timeout_s)
            if messages:
                self._heard = time.monotonic()
            for message in messages:
                frames += self._reader.read(message)
            if self.done:
                frames += self._reader.end()
        except RemoteError as error:
            failure = self._fail(error)
            if not frames:
                raise failure from None
        return Piece(tuple(frames), self._reader.take_audio(), self._reader.audio_rate)

    @property
    def done(self) -> bool:
        """Whether the stream has ended and everything has been taken."""
        return self._call.inbox.exhausted

    def __iter__(self) -> Iterator[Piece]:
        """Pieces until the stream ends.

        Raises:
            RemoteError: The stream failed, or was silent for longer than `stall_timeout_s`.
        """
        patience_s = self._options.stall_timeout_s
        self._heard = time.monotonic()
        while True:
            piece = self.take(min(patience_s, _LOOK_EVERY_S))
            if piece.frames or piece.audio:
                yield piece
            elif self.done:
                return
            elif time.monotonic() - self._heard > patience_s:
                raise self._fail(RemoteError(f"the animation stream was silent for {patience_s:g} s", retryable=True))

    def close(self) -> None:
        """Unsubscribe. Safe at any time and more than once."""
        self._call.cancel()

    def _fail(self, error: RemoteError) -> RemoteError:
        text = str(error)
        message = text if text.startswith(self._where) else f"{self._where}: {text}"
        self._failure = RemoteError(message, retryable=error.retryable)
        self.close()
        return self._failure
