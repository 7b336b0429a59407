"""What all calls of a server share, and the life of one stream among them.

A stream begins with a header (`Host.open`), gets input (`Stream.receive`, `Stream.end`) and gives frames
(`Stream.frames`). Whatever ends it early, from whichever side, goes through `Stream.fail`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator
from fractions import Fraction

from ..providers.base import Provider, Session
from ..wire import a2f
from ..wire._proto.a2f_pb2 import AudioWithEmotion
from .clip import Clip, Shape
from .config import ServerConfig
from .engine import Engine
from .limits import Code, InputWatch, RefusalError, refusal_of
from .metrics import Meter, NoMeter
from .slots import Slots

logger = logging.getLogger("facewave.server")

_WAIT_FOR_PLACE_S = 0.5
"""A client whose last call has just ended may be faster than the return of its place."""

_LET_GO_S = 5.0
"""Longest wait for cancelled calls at the end of a server."""

_HALF_CLOSE_S = 0.5
"""A client that has declared the end of its audio closes its side at once, or not at all."""

_WATCH_S = 0.25
"""Seconds between two looks at the limits."""


class Host:
    """Everything calls share: provider, engine, places, limits, counts."""

    def __init__(
        self,
        provider: Provider,
        config: ServerConfig,
        shape: Shape,
        *,
        slots: Slots | None = None,
        meter: Meter | None = None,
        worker: int = 0,
    ) -> None:
        """Args: see `Server`."""
        self.provider = provider
        self.config = config
        self.shape = shape
        self.slots = slots or Slots(config.streams)
        self.meter: Meter = meter or NoMeter()
        self.engine = Engine(
            provider, queue_frames=config.queue_frames, streams=config.streams, on_batch=self.meter.batch
        )
        self.draining = False
        """Whether new calls are turned away."""
        self._worker = worker
        self._numbers = itertools.count(1)
        self._watched: set[Stream] = set()
        self._watchdog: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        self.engine.start()
        self._watchdog = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop working, once the calls that were cut off have let go of their sessions."""
        deadline = time.monotonic() + _LET_GO_S
        while self._watched and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        if self._watchdog is not None:
            self._watchdog.cancel()
        await self.engine.stop()

    def begin(self, peer: str) -> Stream:
        """A call has come in."""
        number = f"{self._worker}.{next(self._numbers)}" if self._worker else str(next(self._numbers))
        stream = Stream(self, number, peer)
        if self.draining:
            stream.fail(RefusalError(Code.UNAVAILABLE, "the server is shutting down; try again elsewhere or later"))
        self._watched.add(stream)
        return stream

    async def open(self, stream: Stream, header: a2f.Header) -> None:
        """Start the stream that a header asks for.

        Raises:
            RefusalError: Audio or parameters that cannot be used, or no free place.
        """
        rate = a2f.sample_rate_of(header.audio_header)
        stream.watch.header(rate)
        tuning = a2f.tuning_of(header, self.config.tuning)
        settings = tuning.stream_settings(self.session_fps())
        await self._place(stream)
        opening = asyncio.ensure_future(self.engine.call(lambda: self.provider.open(settings)))
        try:
            session = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_cancel_opened)
            raise
        stream.clip = Clip(session, rate, self.shape, silence_padding_s=self.config.silence_padding_s)
        stream.sample_rate = rate
        stream.started = time.time()
        self.engine.add(stream)
        logger.info("stream begins", extra={"sid": stream.number, "peer": stream.peer, "rate_hz": rate})
        for note in tuning.notes:
            logger.info("header: %s", note, extra={"sid": stream.number})

    def session_fps(self) -> Fraction | None:
        """The rate to ask the provider for: the wire's where it can, else its own, which is then converted."""
        low, high = self.provider.info.frame_rates
        return self.shape.fps if low <= self.shape.fps <= high else None

    def close(self, stream: Stream, outcome: str) -> None:
        """The call is over; its place is free and its session released. Idempotent."""
        if stream not in self._watched:
            return
        self._watched.discard(stream)
        if stream.clip_or_none is not None:
            self.engine.remove(stream)
        self.leave_place(stream)
        seconds = time.monotonic() - stream.opened
        self.meter.stream_ended(outcome, stream.delivered, seconds)
        logger.info(
            "stream ended",
            extra={"sid": stream.number, "outcome": outcome, "frames": stream.delivered, "seconds": round(seconds, 3)},
        )

    def leave_place(self, stream: Stream) -> None:
        """Give the stream's place to the next; before the last message, so that its client finds it free."""
        if stream.has_place:
            stream.has_place = False
            self.slots.give_back()

    async def _place(self, stream: Stream) -> None:
        deadline = time.monotonic() + _WAIT_FOR_PLACE_S
        while not self.slots.take():
            if time.monotonic() > deadline:
                raise RefusalError(
                    Code.RESOURCE_EXHAUSTED,
                    f"all {self.slots.total} streams are in use (stream_number); try again later",
                )
            await asyncio.sleep(0.02)
        stream.has_place = True

    async def _watch(self) -> None:
        interval = self.config.fps_log_interval_s
        expected = time.monotonic() + _WATCH_S
        next_log = expected + interval
        while True:
            await asyncio.sleep(_WATCH_S)
            now = time.monotonic()
            self._check_limits(now, now - expected)
            expected = now + _WATCH_S
            if interval and now >= next_log:
                next_log = now + interval
                self._log_speed(now)

    def _check_limits(self, now: float, late: float) -> None:
        for stream in list(self._watched):
            if late > _WATCH_S:
                # This process itself was held up; what it did not read in that time is not the client's fault.
                stream.watch.excuse(late)
            try:
                stream.watch.check(now)
            except RefusalError as error:
                stream.fail(error)

    def _log_speed(self, now: float) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            for stream in self._watched:
                fps = stream.delivered / max(now - stream.opened, 1e-9)
                logger.debug("stream speed", extra={"sid": stream.number, "fps": round(fps, 1)})


def _cancel_opened(opening: asyncio.Future[Session]) -> None:
    """Release a session whose client was gone before it had opened."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().cancel()


class Stream:
    """One call."""

    def __init__(self, host: Host, number: str, peer: str) -> None:
        self.host = host
        self.number = number
        """Session number, unique among the calls of a server."""
        self.peer = peer
        """Who calls."""
        self.opened = time.monotonic()
        self.started = 0.0
        """Unix seconds of the accepted header, to which time codes are relative."""
        self.sample_rate = 0
        """Hertz of the input."""
        self.watch = InputWatch(host.config.limits, self.opened)
        self.delivered = 0
        """Frames sent."""
        self.has_place = False
        self.warnings: list[str] = []
        """To be sent to the client before the final status."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Completes with an exception when the call must end early."""
        self.clip_or_none: Clip | None = None
        self._changed = asyncio.Event()
        self._accepted = asyncio.Event()
        self._input_closed = asyncio.Event()

    @property
    def clip(self) -> Clip:
        """The clip, once the header has been accepted."""
        assert self.clip_or_none is not None
        return self.clip_or_none

    @clip.setter
    def clip(self, clip: Clip) -> None:
        self.clip_or_none = clip

    def accept(self) -> None:
        """The header has been accepted."""
        self._accepted.set()

    async def wait_accepted(self) -> None:
        """Wait until the header has been accepted.

        Raises:
            RefusalError: The call has failed.
        """
        await self._accepted.wait()
        self._check()

    def _check(self) -> None:
        if self.failure.done():
            raise self.refusal

    def receive(self, message: AudioWithEmotion) -> None:
        """Take audio and emotions.

        Raises:
            RefusalError: Beyond the limits.
            SettingsError: Emotions that are not numbers.
        """
        now = time.monotonic()
        self.watch.message(now)
        self.watch.audio(len(message.audio_buffer), now)
        keys = {}
        if message.emotions:
            self.watch.emotion_keys(len(message.emotions))
            notes: list[str] = []
            keys = a2f.emotion_keys_of(message.emotions, notes)
            for note in notes:
                logger.debug("emotions: %s", note, extra={"sid": self.number})
        self._check()
        self.clip.receive(message.audio_buffer, keys)
        self.host.engine.ready(self)

    def after_end(self) -> None:
        """Something came after the end of the audio; the client is told once, and nothing else happens."""
        if not self.warnings:
            self.warnings.append("data after the end of the audio was ignored")

    def end(self) -> None:
        """The client has declared the end of the audio, or closed its side. Idempotent."""
        self.watch.message(time.monotonic())
        if not self.watch.ended:
            self.watch.end()
            self.clip.end()
            self.host.engine.ready(self)

    def input_closed(self) -> None:
        """The client has closed its side: nothing more can come."""
        self._input_closed.set()

    async def wait_input_closed(self) -> None:
        """Wait a moment for the client to close its side, so that the call ends on both sides in order.

        A server that ends a call first resets the stream behind its last message. HTTP/2 allows that, but proxies
        have taken the reset for a failure and dropped what came before it: HAProxy 2.6 loses frames so.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._input_closed.wait(), _HALF_CLOSE_S)

    @property
    def refusal(self) -> RefusalError:
        """Why the call ends early, once `failure` is complete."""
        error = self.failure.exception()
        assert isinstance(error, RefusalError)
        return error

    def fail(self, error: Exception) -> None:
        """End the call early; the first failure counts."""
        if not self.failure.done():
            refusal = refusal_of(error)
            if refusal.code is Code.INTERNAL:
                logger.error("stream failed", exc_info=error, extra={"sid": self.number})
            else:
                logger.warning("%s", str(refusal), extra={"sid": self.number, "code": refusal.code.name})
            self.failure.set_exception(refusal)
            self.failure.exception()  # Read now: a call that ended otherwise never looks.
            self._changed.set()
            self._accepted.set()

    def advanced(self, error: Exception | None) -> None:
        """The engine has worked on the clip."""
        if error is not None:
            self.fail(error)
        self._changed.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """Encoded frame messages as they become ready, paced where the configuration says so.

        Raises:
            RefusalError: The call has failed.
        """
        clip, fps = self.clip, self.host.config.paced_fps
        first_sent = 0.0
        while not clip.finished:
            self._check()
            message = clip.take()
            if message is None:
                self._changed.clear()
                # A turn may have ended between the look and the clearing.
                if not clip.waiting_frames and not clip.finished and not self.failure.done():
                    await self._changed.wait()
                continue
            if self.delivered == 0:
                first_sent = time.monotonic()
                self.host.meter.first_frame(first_sent - self.opened)
            elif fps is not None:
                await asyncio.sleep(first_sent + self.delivered / fps - time.monotonic())
            self.delivered += 1
            yield message
            if clip.waiting_input:
                self.host.engine.ready(self)
