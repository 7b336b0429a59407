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

    def __init__(self, *spacings: Spacing) -> None:
        """Args: one or several ways to cut the same samples."""
        self.spacings = spacings
        self.samples = np.zeros(max(spacing.length for spacing in spacings), np.float32)
        """The last samples received, as many as the longest window has: the next windows end after them."""
        self.received = 0
        """Samples received so far."""
        self.emitted = [0] * len(spacings)
        """Windows cut so far, in the order of the spacings."""


def cut(
    streams: Sequence[Unwindowed], chunks: Sequence[NDArray[np.float32]]
) -> list[tuple[NDArray[np.float32], list[int]]]:
    """Take a chunk of samples, shape (n,), for each stream; all streams have the same spacings, one at least.

    Returns:
        For each spacing the windows now complete, stream after stream, shape (m, length), and how many each stream has.
    """
    spacings = streams[0].spacings
    parts: list[NDArray[np.float32]] = []
    counts: list[list[int]] = [[] for _ in spacings]
    places: list[list[tuple[int, int]]] = [[] for _ in spacings]
    stops = []
    stop = 0
    windows = [0] * len(spacings)
    for stream, chunk in zip(streams, chunks, strict=True):
        parts += (stream.samples, chunk)
        stream.received += len(chunk)
        stop += len(stream.samples) + len(chunk)
        stops.append(stop)
        for i, spacing in enumerate(spacings):
            ready = spacing.ready(stream.received)
            new = ready - stream.emitted[i]
            # From a sample's number in its stream to its place among all samples here; from a window's to its row.
            places[i].append((stop - stream.received - spacing.length, windows[i] - stream.emitted[i]))
            counts[i].append(new)
            windows[i] += new
            stream.emitted[i] = ready
    samples = np.concatenate(parts)
    for stream, stop in zip(streams, stops, strict=True):
        stream.samples = samples[stop - len(stream.samples) : stop].copy()
    return [
        (_gathered(samples, spacing, place, count), count)
        for spacing, place, count in zip(spacings, places, counts, strict=True)
    ]


def _gathered(
    samples: NDArray[np.float32], spacing: Spacing, places: Sequence[tuple[int, int]], counts: Sequence[int]
) -> NDArray[np.float32]:
    """The windows, shape (m, length), given where the samples and the rows of each stream lie."""
    shift, row = np.repeat(np.array(places, np.int64), counts, axis=0).T
    starts = spacing.end(np.arange(len(row), dtype=np.int64) - row) + shift
    return np.asarray(sliding_window_view(samples, spacing.length)[starts])
