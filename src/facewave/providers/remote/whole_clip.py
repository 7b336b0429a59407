"""A whole clip through a service: for offline work, where it may be sent again from its beginning."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import RemoteError
from ...frames import Animation, Frame
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE
from .session import RemoteSession

log = logging.getLogger("facewave.remote")


class RemoteProvider(Protocol):
    """A provider whose sessions are remote."""

    def open(self, settings: StreamSettings) -> RemoteSession:
        """Start a stream."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteTake:
    """What a service made of a clip."""

    animation: Animation
    """Every frame."""

    session: RemoteSession
    """The session, over, for its notices and the names the service announced."""

    first_frame_s: float
    """Seconds from opening the stream to its first frame."""

    spent_s: float
    """Seconds from opening the stream to its end."""

    attempts: int
    """How many times the clip was sent."""


def animate_clip(
    provider: RemoteProvider,
    samples: NDArray[np.float32],
    settings: StreamSettings,
    *,
    attempts: int = 1,
    progress: Callable[[int], None] | None = None,
) -> RemoteTake:
    """Animate a whole clip, sending it again from its beginning where a try failed half-way: for offline work only.

    Args:
        provider: The service.
        samples: Shape (n,), mono in [-1, 1], 16 kHz.
        settings: Emotion, face parameters and so on.
        attempts: Times the whole clip may be sent; 1 never sends it again.
        progress: Called with the number of frames so far; it falls back to 0 with a new try.

    Returns:
        Every frame of the try that succeeded, and how it went.

    Raises:
        RemoteError: No try succeeded.
    """
    for attempt in count(1):
        try:
            return _one_try(provider, samples, settings, progress, attempt)
        except RemoteError as failure:
            if attempt >= attempts or not failure.retryable:
                raise
            log.warning("%s; sending the whole clip again (try %d of %d)", failure, attempt + 1, attempts)
    raise AssertionError("count never ends")


def _one_try(
    provider: RemoteProvider,
    samples: NDArray[np.float32],
    settings: StreamSettings,
    progress: Callable[[int], None] | None,
    attempt: int,
) -> RemoteTake:
    began = time.perf_counter()
    session = provider.open(settings)
    frames: list[Frame] = []
    first = 0.0

    def add(more: Sequence[Frame]) -> None:
        nonlocal first
        if more and not frames:
            first = time.perf_counter() - began
        frames.extend(more)
        if progress:
            progress(len(frames))

    try:
        for start in range(0, len(samples), SAMPLE_RATE):
            add(session.push(samples[start : start + SAMPLE_RATE]))
        session.end()
        while not session.done:
            add(session.take(0.5))
    except BaseException:
        session.cancel()
        raise
    spent = time.perf_counter() - began
    return RemoteTake(Animation.from_frames(session.info, frames), session, first or spent, spent, attempt)
