"""The streams of one provider, computed together in one thread.

Eight characters in eight threads wait for each other's turn in the interpreter more than they compute. Here the thread
of each clip hands over audio and takes frames, and one thread per provider computes whatever has arrived, all streams
at once: what comes while a batch is running makes up the next one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..emotions import EmotionTrack
from ..errors import SessionError
from ..frames import Frame, StreamInfo
from ..providers.base import BatchProvider, BatchSession, Session
from ..streams import StreamSettings
from .workers import NEVER, Handle, Workers

_TICK_S = 0.008
"""Shortest time between two batches while most streams have nothing to do: half a frame at 60 fps."""


class Batches:
    """Computes all streams of one provider; a task that lasts as long as streams are open."""

    def __init__(self, provider: BatchProvider, workers: Workers) -> None:
        """Args: what computes, and where the computing thread comes from."""
        self._provider, self._workers = provider, workers
        self._changed = threading.Condition()
        self._open: set[BatchedSession] = set()
        self._ready: dict[BatchedSession, None] = {}
        self._running: set[BatchedSession] = set()
        self._handle: Handle | None = None
        self._began = -NEVER

    def open(self, settings: StreamSettings, arrived: Callable[[], None]) -> Session:
        """Start a stream.

        Args:
            settings: Of the stream.
            arrived: Called from the computing thread after each batch that the stream was part of.

        Raises:
            FacewaveError: As `Provider.open`.
        """
        session = self._provider.open(settings)
        if not can_wait(session):
            return session
        member = BatchedSession(session, self, arrived)
        with self._changed:
            self._open.add(member)
            if self._handle is None:
                self._handle = self._workers.start(self, self._provider.info.name)
        return member

    def ready(self, member: BatchedSession) -> None:
        """Audio has arrived for a stream."""
        with self._changed:
            if member not in self._open:
                return
            self._ready[member] = None
            handle = self._handle
        if handle is not None:
            handle.wake()

    def leave(self, member: BatchedSession) -> None:
        """A stream is given up; where it is being computed, waits for that."""
        with self._changed:
            self._open.discard(member)
            self._ready.pop(member, None)
            self._changed.wait_for(lambda: member not in self._running)
            handle = self._handle
        member.session.cancel()
        if handle is not None:
            handle.wake()

    def step(self, now: float) -> float | None:
        """Compute what has arrived; see `Task`."""
        with self._changed:
            if not self._open:
                self._handle = None
                return None
            if not self._ready:
                return NEVER
            if 2 * len(self._ready) < len(self._open) and now < self._began + _TICK_S:
                return self._began + _TICK_S
            members = list(self._ready)
            self._ready.clear()
            self._running.update(members)
        self._began = now
        self._compute(members)
        with self._changed:
            self._running.clear()
            for member in members:
                if member.ended:
                    self._open.discard(member)
                    self._ready.pop(member, None)
            self._changed.notify_all()
        for member in members:
            member.arrived()
        return now

    def _compute(self, members: Sequence[BatchedSession]) -> None:
        fed = [member for member in members if member.feed()]
        try:
            frames = self._provider.step([member.session for member in fed])
            for member, made in zip(fed, frames, strict=True):
                member.accept(made)
        except Exception as error:  # Foreign code; each clip hears of it from its own `take`.
            for member in fed:
                member.fail(error)


class BatchedSession:
    """One stream of a batch: takes audio and hands out frames without computing. Used from one thread at a time."""

    def __init__(self, session: BatchSession, batches: Batches, arrived: Callable[[], None]) -> None:
        self.session = session
        """The provider's own; touched by the computing thread only."""
        self.arrived = arrived
        """Who is told after each batch."""
        self.ended = False
        """Whether the last frame has been computed."""
        self._batches = batches
        self._info = session.info
        self._lock = threading.Lock()
        self._given: deque[tuple[NDArray[np.float32], EmotionTrack | None]] = deque()
        self._made: list[Frame] = []
        self._busy = self._closing = self._last = self._cancelled = False
        self._error: Exception | None = None

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels."""
        return self._info

    @property
    def busy(self) -> bool:
        """Whether audio waits to be computed: more of it now would only pile up."""
        return self._busy

    @property
    def done(self) -> bool:
        """Whether every frame has been taken."""
        with self._lock:
            return self.ended and not self._made

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        """Hand over audio, which must not be written to any more; the frames come by `take`.

        Raises:
            SessionError: The stream has been ended or cancelled.
        """
        with self._lock:
            if self._closing or self._cancelled:
                raise SessionError("session: audio after finish or cancel; open a new session for a new clip")
            self._given.append((samples, emotion))
            self._busy = True
        self._batches.ready(self)
        return ()

    def end(self) -> None:
        """Declare the end of the audio; the last frames come by `take`."""
        with self._lock:
            self._closing = self._busy = True
        self._batches.ready(self)

    def finish(self) -> Sequence[Frame]:
        """Not here: whoever waited would keep the thread of a clip from hearing of a cancellation."""
        raise SessionError("session: its frames arrive later; call end, then take until it is done")

    def take(self, timeout_s: float = 0.0) -> Sequence[Frame]:
        """The frames that have arrived; does not wait.

        Raises:
            FacewaveError: What failed in the batch.
        """
        with self._lock:
            made, self._made = self._made, []
            if self._error is not None:
                raise self._error
        return made

    def cancel(self) -> None:
        """Give the stream up. Idempotent."""
        if not self._cancelled:
            self._cancelled = True
            self._batches.leave(self)

    def feed(self) -> bool:
        """Give the provider's session what has arrived; False where it does not take it. In the computing thread."""
        with self._lock:
            given, closing = list(self._given), self._closing
            self._given.clear()
        try:
            for samples, emotion in given:
                self.session.feed(samples, emotion)
            if closing:
                self.session.end()
        except Exception as error:  # As of a batch: the clip is told.
            self.fail(error)
            return False
        self._last = closing
        return True

    def accept(self, frames: Sequence[Frame]) -> None:
        """Take over what a batch made of this stream."""
        with self._lock:
            self._made += frames
            self.ended = self._last
            self._busy = bool(self._given) or self._closing

    def fail(self, error: Exception) -> None:
        """Keep what failed for the next `take`."""
        with self._lock:
            self._error = error


def can_wait(session: Session) -> TypeGuard[BatchSession]:
    """Whether a session can be given audio without computing."""
    return hasattr(session, "feed")
