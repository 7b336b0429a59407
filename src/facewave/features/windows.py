"""Windows of samples at a steady rate, cut for many streams at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Index = TypeVar("Index", int, NDArray[np.int64])
"""A number, or many."""


class _End(Protocol):
    def __call__(self, index: Index, /) -> Index: ...


@dataclass(frozen=True, slots=True)
class Spacing:
    """Which samples each window has."""

    length: int
    """Samples of a window; what lies before the first sample is silence."""

    end: _End
    """Of window number k, or of many: one past its last sample."""

    ready: Callable[[int], int]
    """How many windows end within the first n samples."""


class Unwindowed:
    """What the next windows of one stream still need."""

    def __init__(self, spacing: Spacing) -> None:
        self.samples = np.zeros(spacing.length, np.float32)
        """The last samples received."""
        self.received = 0
        """Samples received so far."""
        self.emitted = 0
        """Windows cut so far."""


def cut(
    spacing: Spacing, streams: Sequence[Unwindowed], chunks: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], list[int]]:
    """Take a chunk of samples, shape (n,), for each stream.

    Returns:
        The windows now complete, stream after stream, shape (m, length), and how many each stream has.
    """
    parts: list[NDArray[np.float32]] = []
    counts, shifts, spans = [], [], []
    base = windows = 0
    for stream, chunk in zip(streams, chunks, strict=True):
        held = stream.samples
        parts += (held, chunk)
        # From a sample's number in its stream to its place among all samples here.
        shift = base - (stream.received - len(held))
        stream.received += len(chunk)
        ready = spacing.ready(stream.received)
        counts.append(ready - stream.emitted)
        # Likewise from a window's number to its row.
        shifts.append((shift - spacing.length, windows - stream.emitted))
        windows += ready - stream.emitted
        stream.emitted = ready
        stop = base + len(held) + len(chunk)
        # The next window starts where it must, and its end has not been received.
        spans.append((max(base, spacing.end(ready) - spacing.length + shift), stop))
        base = stop
    samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
    for stream, (start, stop) in zip(streams, spans, strict=True):
        stream.samples = samples[start:stop].copy()
    if not windows:
        return np.empty((0, spacing.length), np.float32), counts
    shift, row = np.repeat(np.array(shifts, np.int64), counts, axis=0).T
    starts = spacing.end(np.arange(windows, dtype=np.int64) - row) + shift
    return sliding_window_view(samples, spacing.length)[starts], counts
