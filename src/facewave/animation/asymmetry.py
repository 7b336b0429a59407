"""No face moves alike on both sides: each stream has a lean of its own, and it shifts a little.

Both sides together move as far as before, so lips open and close as they did. Lids that blink and eyes that look
stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS, INDEX, MIRRORED_PAIRS
from .rows import Rows, numbered
from .waves import SlowWaves, wandering

_REGIONS = ("brow", "eye", "cheek", "nose", "mouth")
_TOGETHER = ("eyeBlink", "eyeLook", "jaw", "tongue", "mouthLeft")
_LEAN, _LEAN_MOST = 0.045, 0.09
"""Spread and limit of the share by which one side moves more than the mean of both, for a whole stream."""

_SHIFT = 0.075
"""How far that share wanders."""

_PAIRS = [(left, right) for left, right in MIRRORED_PAIRS if not left.startswith(_TOGETHER)]
_SIDES = np.zeros((len(_REGIONS), len(CHANNELS)), np.float32)
"""Shape (5, 68): 1 for the left channels of a region, -1 for its right ones."""
for _left, _right in _PAIRS:
    _region = next(i for i, start in enumerate(_REGIONS) if _left.startswith(start))
    _SIDES[_region, [INDEX[_left], INDEX[_right]]] = 1, -1


class Asymmetry:
    """The lean of one stream's face."""

    def __init__(self, fps: Fraction, seed: int = 0) -> None:
        """Frames a second; faces of different seeds lean differently."""
        spread = np.random.default_rng([seed, 2]).normal(0, _LEAN, len(_REGIONS))
        self._lean = np.clip(spread, -_LEAN_MOST, _LEAN_MOST)
        self._waves = SlowWaves(np.ones(len(_REGIONS)), fps, (seed, 3))
        self._frame = 0

    def __call__(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Consecutive frames, shape (frames, 68), with one side ahead of the other."""
        return leaning([self], Rows([len(weights)]), weights)


def leaning(faces: Sequence[Asymmetry], rows: Rows, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Consecutive frames of each stream, shape (frames, 68) all together, with one side ahead of the other."""
    frames = numbered([face._frame for face in faces], rows)
    for face, count in zip(faces, rows.counts, strict=True):
        face._frame += count
    wander = wandering([face._waves for face in faces], rows.stream, frames)
    lean = (np.array([face._lean for face in faces])[rows.stream] + _SHIFT * wander).astype(np.float32) @ _SIDES
    # No side beyond the full shape: a smile at 1 stays at 1.
    return np.asarray(np.minimum(weights * (1 + lean), np.maximum(weights, 1)), np.float32)
