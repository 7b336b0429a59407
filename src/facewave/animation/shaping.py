"""The last touch on weights: multipliers, then offsets, then the clamp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import by_channel


class BlendShapeShaping:
    """weight * multiplier + offset, then limited to 0..1 on request, in this order as NVIDIA's service does."""

    def __init__(
        self,
        channels: Sequence[str],
        multipliers: Mapping[str, float],
        offsets: Mapping[str, float],
        *,
        clamp: bool = False,
    ) -> None:
        self._multipliers = by_channel(multipliers, channels, 1.0) if multipliers else None
        self._offsets = by_channel(offsets, channels, 0.0) if offsets else None
        self._clamp = clamp

    def __call__(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape weights (..., channels) into a new array, or return them as they are where nothing is asked."""
        if self._multipliers is not None:
            weights = weights * self._multipliers
        if self._offsets is not None:
            weights = weights + self._offsets
        return np.clip(weights, 0, 1) if self._clamp else weights
