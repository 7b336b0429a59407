"""A face's weights on a rig of another make: gains, limits between channels, one matrix, limits of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS, INDEX, by_channel, reorder
from ..frames import Animation
from .rig import Rig


class Retarget:
    """Weights by channel to values of a rig's targets. Holds no state, so any number of streams may share it."""

    def __init__(self, rig: Rig, channels: Sequence[str] = CHANNELS) -> None:
        """Prepare for weights in the order of `channels`; channels that are not among them are 0."""
        self.targets: tuple[str, ...] = tuple(rig.targets)
        """Names of the values, in order."""

        self._channels = tuple(channels)
        self._gain = by_channel(rig.gain, CHANNELS, 1.0)
        self._offset = by_channel(rig.offset, CHANNELS, 0.0)
        self._fades = [(INDEX[fade.channel], INDEX[fade.by], np.float32(fade.amount)) for fade in rig.fades]
        self._sums = [([INDEX[name] for name in total.channels], np.float32(total.most)) for total in rig.sums]
        self._caps = [(INDEX[cap.channel], INDEX[cap.under], np.float32(cap.share)) for cap in rig.caps]
        self._matrix = np.zeros((len(CHANNELS), len(self.targets)), np.float32)
        for column, row in enumerate(rig.targets.values()):
            for channel, weight in row.items():
                self._matrix[INDEX[channel], column] = weight
        bounds = [rig.limits.get(name, rig.default_limits) for name in self.targets]
        self._low, self._high = np.array(bounds, np.float32).reshape(-1, 2).T

    def __call__(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weights (..., channels) as values (..., targets), within each target's limits."""
        known = weights if self._channels == CHANNELS else reorder(weights, self._channels)
        face = known * self._gain + self._offset
        self._limit(face)
        return np.clip(face @ self._matrix, self._low, self._high)

    def _limit(self, face: NDArray[np.float32]) -> None:
        """Hold channels within the rig's limits, in place."""
        asked = np.clip(face, 0, 1) if self._fades else face
        for channel, by, amount in self._fades:
            face[..., channel] *= 1 - amount * asked[..., by]
        for members, most in self._sums:
            total = np.maximum(face[..., members], 0).sum(axis=-1)
            face[..., members] *= np.minimum(1, most / np.maximum(total, most))[..., None]
        # A cap may lower what another cap goes by, so each has as many turns as there are caps.
        for channel, under, share in self._caps * len(self._caps):
            face[..., channel] = np.minimum(face[..., channel], share * np.maximum(face[..., under], 0))


def retargeted(animation: Animation, rig: Rig) -> Animation:
    """The take in the rig's own names; emotion, visemes and head motion stay with it."""
    retarget = Retarget(rig, animation.channels)
    info = replace(animation.info, channels=retarget.targets)
    return replace(animation, info=info, weights=retarget(animation.weights))
