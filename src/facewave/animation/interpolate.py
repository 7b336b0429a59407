"""From the fixed rate of a network to any frame rate, exact and streaming."""

from __future__ import annotations

from collections.abc import Sequence
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
        return interpolated([self], [rows], [limit])[0]

    def _last_row(self, frame: int) -> int:
        return -(-frame * self._step.numerator // self._step.denominator)

    def _frames_known(self, rows: int) -> int:
        """How many frames have their later row among the first `rows`: ceil(f * step) <= rows - 1."""
        if rows < 1:
            return 0
        return (rows - 1) * self._step.denominator // self._step.numerator + 1


def interpolated(
    grids: Sequence[GridInterpolator], rows: Sequence[NDArray[np.float32]], limits: Sequence[int | None]
) -> tuple[NDArray[np.float32], list[int]]:
    """Add the rows of many streams at once.

    Args:
        grids: One for each stream, all of one width.
        rows: Grid rows of each, shapes (n, width).
        limits: Frames of each beyond which none is returned; None for no limit.

    Returns:
        The frames now known, stream after stream, shape (m, width), and how many each stream has.
    """
    held = np.concatenate([part for grid, new in zip(grids, rows, strict=True) for part in (grid._rows, new)])
    low: list[int] = []
    part: list[float] = []
    counts = []
    base = 0
    for grid, new, limit in zip(grids, rows, limits, strict=True):
        known = len(grid._rows) + len(new)
        up, down = grid._step.numerator, grid._step.denominator
        stop = grid._frames_known(grid._first_row + known)
        if limit is not None:
            stop = min(stop, limit)
        first = min(grid._next_frame, stop)
        for position in range(first * up, stop * up, up):
            low.append(base + position // down - grid._first_row)
            part.append(position % down / down)
        counts.append(stop - first)
        grid._next_frame = max(grid._next_frame, stop)
        drop = min(max(0, grid._next_frame * up // down - grid._first_row), known)
        grid._rows = held[base + drop : base + known].copy()
        grid._first_row += drop
        base += known
    index, weight = np.array(low, np.intp), np.array(part, np.float32)[:, None]
    # A frame on the last row that is known needs no later one.
    later = np.minimum(index + 1, len(held) - 1)
    lower = held[index]
    return np.asarray(lower + weight * (held[later] - lower), np.float32), counts
