"""Rows of many streams laid end to end: arithmetic runs over all of them at once, memory stays with each stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Index = slice | NDArray[np.intp]


class Rows:
    """Where the rows of each stream lie."""

    def __init__(self, counts: Sequence[int]) -> None:
        """Args: how many consecutive rows each stream has, in order."""
        self.counts = list(counts)
        """Rows of each stream."""
        self._ends = list(accumulate(self.counts))
        self.total = self._ends[-1] if self._ends else 0
        """Rows of all."""

    @cached_property
    def stream(self) -> NDArray[np.intp]:
        """Shape (total,): whose row each is."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def slices(self) -> list[slice]:
        """The rows of each stream."""
        return [slice(end - count, end) for end, count in zip(self._ends, self.counts, strict=True)]

    def turns(self) -> Iterator[tuple[Index, Index]]:
        """For t = 0, 1, ... the streams that have a row t, and these rows."""
        most = max(self.counts, default=0)
        if min(self.counts, default=0) == most:
            for t in range(most):
                yield slice(None), slice(t, None, most)
            return
        counts = np.array(self.counts)
        starts = np.array(self._ends) - counts
        for t in range(most):
            members = np.flatnonzero(counts > t)
            yield members, starts[members] + t


def numbered(firsts: Sequence[int], rows: Rows) -> NDArray[np.int64]:
    """The number of each row in its stream, shape (total,), where those of stream i begin with `firsts[i]`."""
    if len(firsts) == 1:
        return np.arange(firsts[0], firsts[0] + rows.total)
    parts = [np.arange(first, first + count) for first, count in zip(firsts, rows.counts, strict=True)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
