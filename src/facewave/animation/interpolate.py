"""From the fixed rate of a network to any frame rate, exact and streaming."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


class GridInterpolator:
    """Reads curves known at equal steps at the times of frames, linearly between two steps.

    Positions are exact fractions of the absolute frame index: a frame on a step returns that step's values.
    """

    def __init__(self, grid_hz: Fraction, fps: Fraction, width: int) -> None:
        self._step = grid_hz / fps
        self._rows = np.empty((0, width), np.float32)
        self._first_row = 0
        self._next_frame = 0

    @property
    def next_frame(self) -> int:
        """Index of the first frame not yet returned."""
        return self._next_frame

    def rows_needed(self, n_frames: int) -> int:
        """Grid rows that must be known for the first `n_frames` frames."""
        return self._last_row(n_frames - 1) + 1 if n_frames else 0

    def push(self, rows: NDArray[np.float32], limit: int | None = None) -> NDArray[np.float32]:
        """Add grid rows, shape (n, width); return the frames now known, shape (m, width), up to frame `limit`."""
        self._rows = np.concatenate([self._rows, rows]) if len(rows) else self._rows
        known = self._first_row + len(self._rows)
        stop = self._frames_known(known)
        if limit is not None:
            stop = min(stop, limit)
        if stop <= self._next_frame:
            return self._rows[:0]
        index = np.arange(self._next_frame, stop, dtype=np.int64) * self._step.numerator
        row, part = index // self._step.denominator - self._first_row, index % self._step.denominator
        weight = (part / self._step.denominator).astype(np.float32)[:, None]
        low = self._rows[row]
        frames = low + weight * (self._rows[np.minimum(row + 1, len(self._rows) - 1)] - low)
        self._next_frame = stop
        oldest = stop * self._step.numerator // self._step.denominator
        drop = min(max(0, oldest - self._first_row), len(self._rows))
        self._rows, self._first_row = self._rows[drop:], self._first_row + drop
        return np.asarray(frames, np.float32)

    def _last_row(self, frame: int) -> int:
        return -(-frame * self._step.numerator // self._step.denominator)

    def _frames_known(self, rows: int) -> int:
        """How many frames have their later row among the first `rows`: ceil(f * step) <= rows - 1."""
        if rows < 1:
            return 0
        return (rows - 1) * self._step.denominator // self._step.numerator + 1
