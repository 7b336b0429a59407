"""Slow, smooth wandering that a seed fixes: a function of the frame's number alone, so chunks never change it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

_HZ = np.array([0.09, 0.16, 0.29, 0.43])
"""No two stand in a simple ratio, so the sum does not repeat within minutes."""

_SCALE = float(np.sqrt(2)) / len(_HZ)


class SlowWaves:
    """Several tracks that wander between about -1 and 1, each for itself."""

    def __init__(self, pace: ArrayLike, fps: Fraction, seed: Sequence[int]) -> None:
        """Tracks as many as `pace` has factors on the frequencies; frames a second; whole numbers from 0 as seed."""
        factors = np.atleast_1d(np.asarray(pace, np.float64))
        self._radians = 2 * np.pi * np.multiply.outer(factors, _HZ) / float(fps)  # (tracks, waves), a frame
        self._phases = np.random.default_rng(list(seed)).uniform(0, 2 * np.pi, self._radians.shape)

    def __call__(self, first: int, count: int) -> NDArray[np.float64]:
        """Values of `count` frames from number `first` on, shape (count, tracks)."""
        frames = np.arange(first, first + count)[:, None, None]
        return np.asarray(np.add.reduce(np.sin(frames * self._radians + self._phases), axis=2) * _SCALE)
