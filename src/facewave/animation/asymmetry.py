"""No face moves alike on both sides: each stream has a lean of its own, and it shifts a little.

Both sides together move as far as before, so lips open and close as they did. Lids that blink and eyes that look
stay together.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import INDEX, MIRRORED_PAIRS
from .waves import SlowWaves

_REGIONS = ("brow", "eye", "cheek", "nose", "mouth")
_TOGETHER = ("eyeBlink", "eyeLook", "jaw", "tongue", "mouthLeft")
_LEAN, _LEAN_MOST = 0.045, 0.09
"""Spread and limit of the share by which one side moves more than the mean of both, for a whole stream."""

_SHIFT = 0.075
"""How far that share wanders."""

_PAIRS = [(left, right) for left, right in MIRRORED_PAIRS if not left.startswith(_TOGETHER)]
_LEFT, _RIGHT = (np.array([INDEX[pair[side]] for pair in _PAIRS]) for side in (0, 1))
_REGION_OF = np.array([next(i for i, start in enumerate(_REGIONS) if left.startswith(start)) for left, _ in _PAIRS])


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
        first, self._frame = self._frame, self._frame + len(weights)
        lean = (self._lean + _SHIFT * self._waves(first, len(weights)))[:, _REGION_OF].astype(np.float32)
        out = weights.copy()
        left, right = weights[:, _LEFT], weights[:, _RIGHT]
        # No side beyond the full shape: a smile at 1 stays at 1.
        out[:, _LEFT] = np.minimum(left * (1 + lean), np.maximum(left, 1))
        out[:, _RIGHT] = np.minimum(right * (1 - lean), np.maximum(right, 1))
        return out
