"""Temporal smoothing that does not depend on the frame rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class HalfLifeFilter:
    """Two one-pole filters in a row, each with its half-life: the smoothing of NVIDIA's animators.

    The first frame passes unchanged, so a stream does not fade in.
    """

    def __init__(self, half_life_s: NDArray[np.float32], frame_s: float) -> None:
        """Args: half-life in seconds per channel, shape (channels,), 0 for none; seconds between two frames."""
        safe = np.maximum(half_life_s, 1e-9)
        self._keep = np.where(half_life_s > 0, 0.5 ** (frame_s / safe), 0.0).astype(np.float32)
        self._active = bool((self._keep > 0).any())
        self._first: NDArray[np.float32] | None = None
        self._second: NDArray[np.float32] | None = None

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Smooth consecutive frames, shape (n, channels); carries on where the last call ended."""
        if not self._active or not len(frames):
            return frames
        out = np.empty_like(frames)
        first = frames[0] if self._first is None else self._first
        second = frames[0] if self._second is None else self._second
        for i, frame in enumerate(frames):
            first = frame + self._keep * (first - frame)
            second = first + self._keep * (second - first)
            out[i] = second
        self._first, self._second = first, second
        return out
