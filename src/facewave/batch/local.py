"""A batch on the processes of this machine: one model a process, one clip at a time in each.

Workers are started afresh (no fork, which would copy threads' locks), each on a pipe of its own, so that one that dies
takes only its clip along, and all of them end when this process does.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from ..errors import ProviderError, SettingsError
from ..inference.onnx import available_cores
from ..outputs import check_extension
from .inputs import find_sources, targets
from .manifest import Manifest, Row
from .plan import Plan, plan_digest
from .worker import Answer, Done, Job, Share, Unusable, work

ATTEMPTS = 2
"""Times a clip is tried whose process died."""

_LOOK_EVERY_S = 0.5
_END_WITHIN_S = 10.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What numerical libraries read once, when they are loaded."""


@dataclass(slots=True)
class Summary:
    """What became of a batch."""

    total: int
    """Clips."""

    workers: int
    """Processes that worked."""

    animated: int = 0
    skipped: int = 0
    """Clips whose animation was there and right."""

    failed: list[Row] = field(default_factory=list)
    speech_s: float = 0.0
    """Seconds of audio animated."""

    spent_s: float = 0.0
    """Seconds from the first clip to the last."""

    @property
    def done(self) -> int:
        """Clips that were looked at."""
        return self.animated + self.skipped + len(self.failed)


def animate_files(
    inputs: Sequence[str],
    folder: Path,
    plan: Plan,
    *,
    workers: int | None = None,
    progress: Callable[[float, Summary], None] | None = None,
) -> Summary:
    """Animate many clips into a folder, each into a file of its own, and keep a manifest.

    A clip whose animation is there, for the same audio, settings and model, is not done again.

    Args:
        inputs: Files, folders, patterns and lists, as `find_sources` takes them.
        folder: Where the animations and `manifest.jsonl` go; one batch at a time.
        plan: What is done with every clip.
        workers: Processes; None takes as many as there are cores, or clips.
        progress: Called with clips done, fractions included, and the summary so far.

    Raises:
        AudioError: Nothing to animate.
        SettingsError: Two clips of one name, no workers, or settings that the provider cannot honour.
        ProviderError, ModelError: The provider cannot work at all.
        OutputError: The folder cannot be written.
    """
    check_extension(Path(f"take{plan.extension}"))
    sources = find_sources(inputs)
    names = targets(sources, plan.extension)
    count = min(available_cores() if workers is None else workers, len(sources))
    if count < 1:
        raise SettingsError(f"batch: found {count} workers, expected at least one")
    digest = plan_digest(plan)
    with Manifest(folder) as manifest:
        jobs = []
        for source, name in zip(sources, names, strict=True):
            known = manifest.rows.get(name.as_posix(), Row("", name.as_posix()))
            jobs.append(Job(source.path, folder / name, replace(known, input=str(source.path))))
        # The longest first, so that none is left alone at the end.
        jobs.sort(key=lambda job: job.source.stat().st_size if job.source.is_file() else 0, reverse=True)
        remove_partial([job.target for job in jobs])
        summary = Summary(len(jobs), count)
        with _Pool(plan.with_threads(max(1, available_cores() // count)), digest, jobs, count) as pool:
            began = time.perf_counter()
            for row, skipped in pool.results(
                lambda share: progress(summary.done + share, summary) if progress else None
            ):
                if skipped:
                    summary.skipped += 1
                else:
                    manifest.add(row)
                    if row.error is not None:
                        summary.failed.append(row)
                    else:
                        summary.animated += 1
                        summary.speech_s += row.duration_s or 0.0
                summary.spent_s = time.perf_counter() - began
                if progress:
                    progress(summary.done, summary)
    return summary


def remove_partial(files: Sequence[Path]) -> None:
    """Delete the temporary files that a killed process left of these animations."""
    names: dict[Path, set[str]] = {}
    for path in files:
        names.setdefault(path.parent, set()).add(path.name)
    for folder, wanted in names.items():
        if folder.is_dir():
            for path in folder.glob(".*.part"):
                match = re.fullmatch(r"\.(.+)\.[^.]+\.part", path.name)
                if match and match[1] in wanted:
                    with suppress(OSError):
                        path.unlink()


@dataclass(slots=True)
class _Hand:
    """A worker as its parent sees it."""

    process: BaseProcess
    pipe: Connection
    job: Job | None = None
    share: float = 0.0


class _Pool:
    """The workers of one batch; use it as a context."""

    def __init__(self, plan: Plan, digest: str, jobs: Sequence[Job], count: int) -> None:
        self._plan = plan
        self._digest = digest
        self._waiting = deque(jobs)
        self._count = count
        self._attempts: dict[Path, int] = {}
        self._hands: list[_Hand] = []
        self._answered = False

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        """End the workers: those at work at once, without a trace of what they were writing."""
        busy = [hand.job.target for hand in self._hands if hand.job is not None]
        for hand in self._hands:
            hand.pipe.close()
            if hand.job is not None:
                hand.process.terminate()
        until = time.monotonic() + _END_WITHIN_S
        for hand in self._hands:
            hand.process.join(max(0.0, until - time.monotonic()))
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.process.close()
        remove_partial(busy)

    def results(self, share: Callable[[float], None]) -> Iterator[tuple[Row, bool]]:
        """(row, skipped) of every clip as it is finished; `share` is told what part of the running ones is done."""
        while self._waiting or any(hand.job for hand in self._hands):
            while self._waiting and len(self._hands) < self._count:
                self._hands.append(self._start())
            for hand in self._hands:
                if hand.job is None and self._waiting:
                    self._give(hand)
            pipes = {hand.pipe: hand for hand in self._hands}
            for pipe in wait(list(pipes), timeout=_LOOK_EVERY_S):
                hand = pipes[pipe]  # type: ignore[index]  # Only pipes were waited for.
                result = self._hear(hand)
                if result is not None:
                    yield result.row, result.skipped
            share(sum(hand.share for hand in self._hands))

    def _start(self) -> _Hand:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._plan, self._digest), daemon=True)
        with _threads(self._plan.project.models.threads):
            process.start()
        theirs.close()  # Only the child holds it now, so its death ends the pipe.
        return _Hand(process, mine)

    def _give(self, hand: _Hand) -> None:
        hand.job = self._waiting.popleft()
        hand.share = 0.0
        with suppress(BrokenPipeError, ConnectionResetError):  # A dead worker is heard of when its pipe is read.
            hand.pipe.send(hand.job)

    def _hear(self, hand: _Hand) -> Done | None:
        try:
            answer: Answer = hand.pipe.recv()
        except (EOFError, ConnectionResetError):
            return self._died(hand)
        if isinstance(answer, Unusable):
            raise answer.error
        if isinstance(answer, Share):
            hand.share = answer.share
            return None
        self._answered = True
        hand.job, hand.share = None, 0.0
        return answer

    def _died(self, hand: _Hand) -> Done | None:
        """Its clip goes to another worker; one that kills every worker is an error of its own."""
        self._hands.remove(hand)
        hand.pipe.close()
        hand.process.join()
        code, job = hand.process.exitcode, hand.job
        hand.process.close()
        if job is None:
            return None
        attempts = self._attempts[job.target] = self._attempts.get(job.target, 0) + 1
        if attempts < ATTEMPTS:
            self._waiting.appendleft(job)
            return None
        if not self._answered:
            raise ProviderError(f"batch: worker processes end before their first clip is done (exit code {code})")
        error = f"{job.source}: the process that animated it ended {attempts} times (exit code {code})"
        return Done(Row(job.row.input, job.row.output, error=error))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """The environment of a process whose libraries may start so many threads, unless the user has said."""
    unset = [name for name in _THREAD_VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, str(max(1, count))))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]
