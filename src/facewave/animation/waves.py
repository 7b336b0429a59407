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
        return wandering([self], np.zeros(count, np.intp), np.arange(first, first + count))


def wandering(waves: Sequence[SlowWaves], stream: NDArray[np.intp], frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values at frames of many streams.

    Args:
        waves: Of each stream, all with as many tracks.
        stream: Shape (n,): index of each frame's stream.
        frames: Shape (n,): number of each frame in its stream.

    Returns:
        Shape (n, tracks).
    """
    # Of one stream nothing needs picking; arrays in a list become one array faster than by np.stack.
    radians = np.array([each._radians for each in waves])[stream] if len(waves) > 1 else waves[0]._radians
    phases = np.array([each._phases for each in waves])[stream] if len(waves) > 1 else waves[0]._phases
    return np.asarray(np.add.reduce(np.sin(frames[:, None, None] * radians + phases), axis=2) * _SCALE)
