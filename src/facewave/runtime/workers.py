"""Who does work in the background, and by which clock: threads and real time, or one step at a time for tests.

A task is a plain object with `step`. It never sleeps and never looks at a clock of its own, so that the same object
runs in a thread of its own and in a test that lets an hour pass in milliseconds.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

log = logging.getLogger("facewave.runtime")

_Value = TypeVar("_Value")

NEVER = math.inf
"""What `step` returns when nothing is due until the task is woken."""

_KEEP_IDLE_S = 10.0
"""Seconds an idle thread waits for the next task: a conversation reuses its threads."""


class Task(Protocol):
    """Work that is done in steps."""

    def step(self, now: float) -> float | None:
        """Do what is due at `now` (seconds); return when to be called next, `NEVER` for when woken, None when done."""
        ...


class Handle(Protocol):
    """A started task."""

    def wake(self) -> None:
        """Have the task stepped soon. Never blocks; safe from any thread."""
        ...


class Workers(Protocol):
    """Runs tasks."""

    def now(self) -> float:
        """Seconds on the clock by which tasks are called."""
        ...

    def start(self, task: Task, name: str) -> Handle:
        """Begin to step a task. Does not wait for it."""
        ...

    def wait(self, future: Future[_Value], timeout_s: float | None = None) -> _Value:
        """The result of a future that a task will set.

        Raises:
            TimeoutError: It was not set in time.
        """
        ...


class Threads:
    """Every task in a thread of its own; threads are reused."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: deque[_Thread] = deque()

    def now(self) -> float:
        """Seconds of the clock."""
        return self._clock()

    def start(self, task: Task, name: str) -> Handle:
        """Hand the task to an idle thread, or to a new one."""
        handle = _Awakened()
        with self._lock:
            thread = self._idle.pop() if self._idle else None
        if thread is None:
            _Thread(self._clock, self._retire, self._withdraw).begin(task, handle, name)
        else:
            thread.give(task, handle, name)
        return handle

    def wait(self, future: Future[_Value], timeout_s: float | None = None) -> _Value:
        """Block until the future is set."""
        return future.result(timeout_s)

    def _retire(self, thread: _Thread) -> None:
        with self._lock:
            self._idle.append(thread)

    def _withdraw(self, thread: _Thread) -> bool:
        """Take an idle thread off the list; False where it has just been given a task."""
        with self._lock:
            if thread not in self._idle:
                return False
            self._idle.remove(thread)
            return True


class _Awakened:
    def __init__(self) -> None:
        self.event = threading.Event()

    def wake(self) -> None:
        self.event.set()


class _Thread:
    """One thread, one task after the other."""

    def __init__(
        self,
        clock: Callable[[], float],
        retire: Callable[[_Thread], None],
        withdraw: Callable[[_Thread], bool],
    ) -> None:
        self._clock, self._retire, self._withdraw = clock, retire, withdraw
        self._given = threading.Event()
        self._work: tuple[Task, _Awakened, str] | None = None

    def begin(self, task: Task, handle: _Awakened, name: str) -> None:
        self.give(task, handle, name)
        # Daemon: a program that forgets to close its runtime must still be able to end.
        threading.Thread(target=self._run, name=f"facewave {name}", daemon=True).start()

    def give(self, task: Task, handle: _Awakened, name: str) -> None:
        self._work = (task, handle, name)
        self._given.set()

    def _run(self) -> None:
        while True:
            if not self._given.wait(_KEEP_IDLE_S) and self._withdraw(self):
                return
            self._given.wait()
            self._given.clear()
            assert self._work is not None
            task, handle, name = self._work
            self._work = None
            threading.current_thread().name = f"facewave {name}"
            self._steps(task, handle, name)
            del task, handle
            self._retire(self)

    def _steps(self, task: Task, handle: _Awakened, name: str) -> None:
        while True:
            # Cleared before the step: a wake during the step is not lost.
            handle.event.clear()
            try:
                due = task.step(self._clock())
            except Exception:
                log.exception("%s: the task failed and was given up", name)
                return
            if due is None:
                return
            handle.event.wait(None if due == NEVER else max(0.0, due - self._clock()))


class Stepped:
    """Tasks run in the caller's thread, in the order they are due, while the clock is advanced by hand."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now = start_s
        self._tasks: list[_Entry] = []

    def now(self) -> float:
        """Seconds, as far as they have been advanced."""
        return self._now

    def start(self, task: Task, name: str) -> Handle:
        """Queue a task; its first step comes with the next `advance` or `wait`."""
        entry = _Entry(task, name, self)
        self._tasks.append(entry)
        return entry

    def advance(self, seconds: float) -> None:
        """Let time pass: everything due is stepped, each at its own time."""
        self._run(self._now + seconds, lambda: False)

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing runs, as in a process that was stopped."""
        self._now += seconds

    def run_until(self, condition: Callable[[], bool], limit_s: float = 3600.0) -> None:
        """Advance until the condition holds.

        Raises:
            TimeoutError: It did not within the limit, or nothing is left that could make it.
        """
        self._run(self._now + limit_s, condition)
        if not condition():
            raise TimeoutError(f"condition not met within {limit_s:g} s of stepped time")

    def wait(self, future: Future[_Value], timeout_s: float | None = None) -> _Value:
        """Advance until the future is set."""
        self.run_until(future.done, 3600.0 if timeout_s is None else timeout_s)
        return future.result(0)

    def _run(self, until: float, condition: Callable[[], bool]) -> None:
        while not condition():
            entry = min((entry for entry in self._tasks if entry.due <= until), key=lambda e: e.due, default=None)
            if entry is None:
                self._now = max(self._now, until)
                return
            self._now = max(self._now, entry.due)
            entry.due = NEVER
            due = entry.task.step(self._now)
            if due is None:
                self._tasks.remove(entry)
            else:
                entry.due = min(entry.due, due)


class _Entry:
    def __init__(self, task: Task, name: str, workers: Stepped) -> None:
        self.task, self.name, self._workers = task, name, workers
        self.due = workers.now()

    def wake(self) -> None:
        self.due = min(self.due, self._workers.now())
