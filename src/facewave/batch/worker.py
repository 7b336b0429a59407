"""One process of a batch: takes clips from a pipe, animates them with a model of its own, and answers what came of it.

It ends when its parent closes the pipe, also when the parent was killed, and leaves no partial file when terminated.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from ..audio.files import read_audio
from ..errors import FacewaveError
from ..pipeline import animate
from ..providers import open_provider
from ..providers.base import Provider
from .manifest import Row
from .plan import Plan, clip_digest, file_digest

_SHARE_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """One clip."""

    source: Path
    """The audio file."""

    target: Path
    """The animation file."""

    row: Row
    """What the manifest knows of it: input and output, and more from an earlier run."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the clip is done, 0..1."""

    share: float


@dataclass(frozen=True, slots=True)
class Done:
    """What became of the clip."""

    row: Row
    skipped: bool = False
    """Whether an earlier run's animation is still right."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """No clip can be animated: the provider or its settings are wrong."""

    error: FacewaveError


Answer = Share | Done | Unusable


def work(pipe: Connection, plan: Plan, digest: str) -> None:
    """Serve jobs until the pipe ends; the body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Unwinds, so that temporary files go.
    worker = _Worker(plan, digest, pipe.send)
    try:
        while (job := pipe.recv()) is not None:
            pipe.send(worker.do(job))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # The parent is gone.


class _Worker:
    def __init__(self, plan: Plan, digest: str, send: Callable[[Answer], None]) -> None:
        self._plan = plan
        self._digest = digest
        self._send = send
        self._provider: Provider | None = None

    def do(self, job: Job) -> Done | Unusable:
        """Animate a clip, or see that it has been."""
        began = time.perf_counter()
        digest = ""
        try:
            digest = clip_digest(file_digest(job.source), self._digest) if job.source.is_file() else ""
            if _is_done(job, digest):
                return Done(job.row, skipped=True)
            clip = read_audio(job.source)
            if self._provider is None:
                try:
                    self._provider = self._opened()
                except FacewaveError as error:
                    return Unusable(error)
            take = self._plan.finished(
                animate(clip, provider=self._provider, settings=self._plan.settings, progress=self._progress())
            )
            job.target.parent.mkdir(parents=True, exist_ok=True)
            take.save(job.target)
        except FacewaveError as error:
            return Done(_failed(job, digest, str(error), time.perf_counter() - began))
        except Exception as error:  # Whatever one clip does to us, the others shall not suffer for it.
            text = f"{job.source}: {type(error).__name__}: {error}"
            return Done(_failed(job, digest, text, time.perf_counter() - began))
        return Done(
            Row(
                input=job.row.input,
                output=job.row.output,
                hash=digest,
                output_sha256=file_digest(job.target),
                duration_s=round(clip.duration_s, 6),
                frames=len(take),
                fps=str(take.frame_rate),
                spent_s=round(time.perf_counter() - began, 4),
            )
        )

    def _opened(self) -> Provider:
        """The provider, known to take streams of these settings."""
        provider = open_provider(self._plan.provider, self._plan.project)
        provider.open(self._plan.settings).cancel()
        return provider

    def _progress(self) -> Callable[[float], None]:
        told = time.monotonic()

        def progress(share: float) -> None:
            nonlocal told
            if time.monotonic() - told > _SHARE_EVERY_S:
                told = time.monotonic()
                self._send(Share(share))

        return progress


def _is_done(job: Job, digest: str) -> bool:
    row = job.row
    if not digest or row.error is not None or row.hash != digest:
        return False
    try:
        return file_digest(job.target) == row.output_sha256
    except OSError:
        return False


def _failed(job: Job, digest: str, error: str, spent_s: float) -> Row:
    return Row(job.row.input, job.row.output, hash=digest, spent_s=round(spent_s, 4), error=error)
