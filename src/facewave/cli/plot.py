"""A curve drawn in text, for a terminal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def curve(values: NDArray[np.float32], width: int = 72, height: int = 4, top: float | None = None) -> list[str]:
    """`values`, shape (n,), as `height` lines of `width` characters; a column is the largest value it covers.

    Args:
        top: Value at the upper edge; None takes the largest.
    """
    if not len(values):
        return [" " * width] * height
    width = min(width, len(values))
    edges = np.linspace(0, len(values), width + 1).astype(int)
    columns = np.maximum.reduceat(values, edges[:-1])
    scale = top or float(columns.max()) or 1.0
    eighths = np.clip(np.round(columns / scale * height * 8), 0, height * 8).astype(int)
    return [
        "".join(_EIGHTHS[int(np.clip(level - 8 * row, 0, 8))] for level in eighths) for row in range(height - 1, -1, -1)
    ]
