"""Advances all streams of a process, many at a time.

The core is synchronous, and a provider runs one thing at a time best, so one worker thread computes while the event
loop moves bytes. Whatever arrived while a batch was running makes up the next one: batches grow with the load. Unless
most streams have much to do, a batch waits for a tick, so that real-time clients, which deliver a little at a time
each at its own moment, do not cost a run each. Streams that have not shown a frame yet wait for no tick, and for no
other stream's work but what is under way.

Providers that wait rather than compute (a remote service behind this server) get a thread for each stream instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from ..providers.base import Provider, Session
from .clip import Clip

logger = logging.getLogger("facewave.server")

TICK_S, TICK_PER_STREAM_S, MAX_TICK_S = 0.01, 0.001, 0.066
"""Shortest time between two batches: a little, more with every open stream, never more than two frames. It adds at most
this to a frame's delay, and saves most of what each turn of a stream costs."""

MUCH_S = 0.1
"""Seconds of waiting audio from which a stream has much to do: it is not delivered in real time, or late."""

TURN_S = 1.0
"""Seconds of audio one stream may contribute to a batch, so that a long clip does not hold up the others."""

FIRST_TURN_S = 0.2
"""The same until it has shown a frame: those that wait for their first one with it wait less."""

_Result = TypeVar("_Result")


class Job(Protocol):
    """A stream as the engine sees it."""

    clip: Clip

    def advanced(self, error: Exception | None) -> None:
        """Called on the event loop after each turn."""


class Engine:
    """The computing side of a server process."""

    def __init__(
        self,
        provider: Provider,
        *,
        queue_frames: int = 300,
        streams: int = 1,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        """Args: the provider, frames a stream may have undelivered, streams, and who hears of size and seconds."""
        self._provider = provider
        self._queue_frames = queue_frames
        self._on_batch = on_batch
        self._waits = provider.info.kind == "remote"
        self._workers = max(1, streams) if self._waits else 1
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="facewave-engine")
        # Providers are shared between threads: a stream may open while others are computed.
        self._openers = self._pool if self._waits else ThreadPoolExecutor(1, thread_name_prefix="facewave-open")
        self._ready: dict[Job, None] = {}
        self._running: set[Job] = set()
        self._open: set[Job] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._tick: asyncio.Future[None] | None = None
        self._were_new = False

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]

    async def stop(self) -> None:
        """Stop working; streams still open are given up."""
        # A stream removed in the middle of its turn is among the running ones: nobody else cancels its session now.
        left = self._open | self._running
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in left:
            self._pool.submit(_cancel, job.clip.session)
        for pool in {self._pool, self._openers}:
            await asyncio.get_running_loop().run_in_executor(None, pool.shutdown)

    async def call(self, function: Callable[[], _Result]) -> _Result:
        """Run something of the provider's in a thread, beside its other work."""
        return await asyncio.get_running_loop().run_in_executor(self._openers, function)

    def add(self, job: Job) -> None:
        """A stream begins."""
        self._open.add(job)

    def remove(self, job: Job) -> None:
        """A stream has ended, whole or not; its session is cancelled as soon as no thread is inside it."""
        self._open.discard(job)
        self._ready.pop(job, None)
        if job not in self._running:
            self._pool.submit(_cancel, job.clip.session)

    def ready(self, job: Job) -> None:
        """Input arrived, or output was taken."""
        if job in self._open and job not in self._running and self._due(job):
            self._ready[job] = None
            self._notify()
            if self._tick is not None and job.clip.frames == 0:
                _wake(self._tick)

    def _due(self, job: Job) -> bool:
        return job.clip.waiting_input and job.clip.waiting_frames < self._queue_frames

    def _notify(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        began = 0.0
        while True:
            while not self._ready:
                waiter = loop.create_future()
                self._waiters.append(waiter)
                await waiter
            if not self._waits:
                await self._wait_for_tick(began)
            new = self._newcomers()
            if not new:
                began = loop.time()
            await self._turn(new or list(self._ready)[: 1 if self._waits else None])
            del new

    async def _wait_for_tick(self, began: float) -> None:
        """Let streams gather until a tick after the last batch, unless all are here, most have much to do or one is
        new."""
        clips = [job.clip for job in self._ready]
        if len(clips) >= len(self._open) or any(clip.frames == 0 for clip in clips):
            return
        if 2 * sum(clip.waiting_s >= MUCH_S for clip in clips) >= len(self._open):
            return
        del clips  # While waiting, no name may keep a stream that has ended.
        loop = asyncio.get_running_loop()
        self._tick = loop.create_future()
        tick = min(TICK_S + TICK_PER_STREAM_S * len(self._open), MAX_TICK_S)
        end = loop.call_at(began + tick, _wake, self._tick)
        try:
            await self._tick
        finally:
            end.cancel()
            self._tick = None

    def _newcomers(self) -> list[Job]:
        """The streams that have yet to show a frame, to be advanced before all others; none twice in a row."""
        ask = not self._waits and not self._were_new
        new = [job for job in self._ready if job.clip.frames == 0] if ask else []
        self._were_new = bool(new)
        return new

    async def _turn(self, jobs: Sequence[Job]) -> None:
        """Advance these streams."""
        if not jobs:
            return
        for job in jobs:
            del self._ready[job]
        self._running.update(jobs)
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._advance, [job.clip for job in jobs])
            errors = await work
        finally:
            self._running.difference_update(jobs)
        for job, error in zip(jobs, errors, strict=True):
            if job in self._open:
                job.advanced(error)
                if error is None:
                    self.ready(job)
            else:
                self._pool.submit(_cancel, job.clip.session)

    def _advance(self, clips: Sequence[Clip]) -> list[Exception | None]:
        """One turn of each clip, in the worker thread; what went wrong with each."""
        began = time.perf_counter()
        errors: list[Exception | None] = [None] * len(clips)
        step = getattr(self._provider, "step", None)
        together: list[int] = []
        for i, clip in enumerate(clips):
            try:
                if step is not None and hasattr(clip.session, "feed"):
                    _feed(clip)
                    together.append(i)
                else:
                    _push(clip)
            except Exception as error:  # Whatever one stream raises must reach that stream only.
                errors[i] = error
        if together:
            self._step(clips, together, errors)
        if self._on_batch is not None:
            self._on_batch(len(clips), time.perf_counter() - began)
        return errors

    def _step(self, clips: Sequence[Clip], members: Sequence[int], errors: list[Exception | None]) -> None:
        step = self._provider.step  # type: ignore[attr-defined]
        try:
            frames = step([clips[i].session for i in members])
        except Exception as error:  # A batch that failed has failed for all its streams; others go on.
            for i in members:
                errors[i] = error
            return
        for i, made in zip(members, frames, strict=True):
            try:
                clips[i].accept(made)
            except Exception as error:  # As above.
                errors[i] = error


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _feed(clip: Clip) -> None:
    given = clip.next_input(TURN_S if clip.frames else FIRST_TURN_S)
    session = clip.session
    session.feed(given.samples, given.track)  # type: ignore[attr-defined]
    if given.last:
        session.end()  # type: ignore[attr-defined]


def _push(clip: Clip) -> None:
    given = clip.next_input(TURN_S)
    frames = list(clip.session.push(given.samples, given.track))
    if given.last:
        frames += clip.session.finish()
    clip.accept(frames)


def _cancel(session: Session) -> None:
    with contextlib.suppress(Exception):
        session.cancel()
