"""One target's process: damages inputs, runs them, keeps those that reach new lines, and reports as JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

import facewave
from tests.fuzz.campaign import Report, keep
from tests.fuzz.examine import clear, examine
from tests.fuzz.mutations import Seed, damaged
from tests.fuzz.targets import Target, target

BATCH = 150
"""Inputs between two looks at the clock."""

LONGEST_S = 20
"""Seconds of processor time for one input; sound inputs take milliseconds. Who sleeps is found by the parent."""

MEMORY = 2 << 30
"""Bytes of address space beyond what the process has at its start."""

POOL = 60
"""Inputs kept beside the seeds."""

_PACKAGE = str(Path(facewave.__file__).parent)


class Hang(BaseException):
    """An input that takes longer than any may."""


class Process:
    """The loop, and what it has found."""

    def __init__(self, row: Target, number: int, current: Path) -> None:
        self._row = row
        self._number = number
        self._current = current
        self._seeds = row.seeds()
        self._pool: list[Seed] = []
        self._lines: set[tuple[str, int]] = set()
        self._defects: dict[str, str] = {}
        self._report = Report()
        self._start_kb = _peak_kb()

    def run(self, seconds: float) -> None:
        """Fuzz until the time is over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._batch(until)
            self._number += 1
            self._tell()

    def _batch(self, until: float) -> None:
        fresh: list[Seed] = []
        failing: list[tuple[str, bytes, str]] = []
        told = time.monotonic()

        @seed(self._number)
        @settings(
            max_examples=BATCH,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(damaged([*self._seeds, *self._pool], self._row.tokens))
        def check(case: tuple[str, bytes]) -> None:
            nonlocal told
            if time.monotonic() > until + LONGEST_S:
                return
            if time.monotonic() > told + 5:
                told = time.monotonic()
                self._tell()
            name, data = case
            self._current.write_bytes(name.encode() + b"\n" + data)
            reached = len(self._lines)
            began = time.perf_counter()
            try:
                with _limited(), self._traced():
                    outcome = examine(self._row, name, data)
            except (Exception, Hang) as error:
                where = f"{type(error).__name__}{_place(error)}"
                if where in self._defects:
                    return
                failing.append((name, data, where))
                raise
            self._report.examples += 1
            self._report.slowest_ms = max(self._report.slowest_ms, round(1000 * (time.perf_counter() - began)))
            setattr(self._report, outcome, getattr(self._report, outcome) + 1)
            if len(self._lines) > reached:
                original = next(s for s in self._seeds if s.name == name)
                fresh.append(Seed(name, data, original.message))

        try:
            check()
        except (Exception, Hang) as error:
            if not failing:
                raise
            name, data, where = failing[-1]
            words = str(error).partition("\n")[0][:120]
            self._defects[where] = f"{where} ({words}): {keep(self._row.name, name, data)}"
        self._pool = (self._pool + fresh)[-POOL:]

    def _tell(self) -> None:
        self._report.lines, self._report.pool = len(self._lines), len(self._pool)
        self._report.peak_mb = max(0, _peak_kb() - self._start_kb) // 1024
        self._report.defects = tuple(self._defects.values())
        print(json.dumps(self._report.__dict__), flush=True)

    @contextlib.contextmanager
    def _traced(self) -> Iterator[None]:
        """Note the lines of facewave that run in this thread."""

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            self._lines.add((frame.f_code.co_filename, frame.f_lineno))
            return line

        def call(frame: FrameType, event: str, argument: Any) -> Any:
            return line if frame.f_code.co_filename.startswith(_PACKAGE) else None

        sys.settrace(call)
        try:
            yield
        finally:
            sys.settrace(None)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """End what takes too long, where the system can; elsewhere the parent process does."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang(f"longer than {LONGEST_S} s")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _place(error: BaseException) -> str:
    """The line of ours through which an error came last."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(_PACKAGE)]
    return f" in {Path(frames[-1].filename).relative_to(_PACKAGE)}:{frames[-1].lineno}" if frames else ""


def _peak_kb() -> int:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)


def _bound_memory() -> None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    if sys.platform == "linux":
        held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))


def main(name: str, seconds: str, number: str, current: str) -> None:
    """Fuzz one target."""
    row = target(name)
    process = Process(row, int(number), Path(current))
    for sound in row.seeds():  # Models and libraries are loaded before memory is counted.
        examine(row, sound.name, sound.data)
    _bound_memory()
    try:
        process.run(float(seconds))
    finally:
        clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
