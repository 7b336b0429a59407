"""The face parameters applied to blend-shape weights, for providers that have no mesh to apply them to."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS, INDEX, TONGUE
from ..parameters import FACE_PARAMETERS
from .smoothing import HalfLifeFilter

# Where on the face each channel acts: 0 chin, 1 top of the forehead. `faceMaskLevel` is a height on this scale.
_HEIGHTS = (
    ("brow", 0.85),
    ("eye", 0.72),
    ("cheekSquint", 0.64),
    ("noseSneer", 0.5),
    ("cheekPuff", 0.35),
    ("mouth", 0.28),
)
_CHIN = 0.15

_IS_TONGUE = np.array([name in TONGUE or name == "tongueOut" for name in CHANNELS])
_LIDS_PER_POSE = 1.0
_TONGUE_REACH = 3.0
"""Tongue offsets run from -3 to 3; full reach is one full channel."""

_TONGUE_OUT = 0.6
"""How far a tongue moved fully forward comes out between open lips."""


def _height(name: str) -> float:
    return next((height for start, height in _HEIGHTS if name.startswith(start)), _CHIN)


_HEIGHT = np.array([_height(name) for name in CHANNELS], np.float32)


class FaceControl:
    """Strengths, offsets and smoothing by face parameter, on the 68 channels, streaming.

    Parameters that are not given change nothing. The border between lower and upper face is soft, as on a mesh: each
    channel has a height, and belongs to the lower face by 1 / (1 + exp((height - level) / softness)).
    """

    def __init__(self, parameters: Mapping[str, float], fps: Fraction) -> None:
        default = {row.name: row.default for row in FACE_PARAMETERS}
        value = {**default, "blinkOffset": 0.0, **parameters}
        lower = 1 / (1 + np.exp(np.clip((_HEIGHT - value["faceMaskLevel"]) / value["faceMaskSoftness"], -50, 50)))
        skin = value["skinStrength"] * (value["lowerFaceStrength"] * lower + value["upperFaceStrength"] * (1 - lower))
        gain = np.where(_IS_TONGUE, value["tongueStrength"] / default["tongueStrength"], skin).astype(np.float32)
        for lid in ("eyeBlinkLeft", "eyeBlinkRight"):
            gain[INDEX[lid]] *= value["blinkStrength"]
        self._gain = gain
        self._rest, self._rest_while_open = self._offsets(value)
        half_life = (
            lower * parameters.get("lowerFaceSmoothing", 0.0) + (1 - lower) * parameters.get("upperFaceSmoothing", 0.0)
        ).astype(np.float32)
        self._smooth = HalfLifeFilter(np.where(_IS_TONGUE, 0, half_life).astype(np.float32), float(1 / fps))
        self._idle = not parameters

    def __call__(self, weights: NDArray[np.float32], closure: NDArray[np.float32]) -> NDArray[np.float32]:
        """Apply to consecutive frames.

        Args:
            weights: Shape (frames, 68).
            closure: Shape (frames,), 0..1: where speech holds the lips together, `lipOpenOffset` gives way.
        """
        if self._idle:
            return weights
        shaped = self._smooth(weights) * self._gain + self._rest
        return np.asarray(shaped + (1 - np.clip(closure, 0, 1))[:, None] * self._rest_while_open, np.float32)

    @staticmethod
    def _offsets(value: Mapping[str, float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights added always, and those added only while the lips are free. Shapes (68,)."""
        always, while_open = np.zeros(len(CHANNELS), np.float32), np.zeros(len(CHANNELS), np.float32)

        def add(to: NDArray[np.float32], amount: float, *channels: str) -> None:
            for channel in channels:
                to[INDEX[channel]] += amount

        lids = value["eyelidOpenOffset"] * _LIDS_PER_POSE
        add(always, max(lids, 0), "eyeWideLeft", "eyeWideRight")
        add(always, max(-lids, 0) + value["blinkOffset"] * value["blinkStrength"], "eyeBlinkLeft", "eyeBlinkRight")
        lips = value["lipOpenOffset"]
        add(while_open, max(lips, 0), "jawOpen", "mouthLowerDownLeft", "mouthLowerDownRight")
        add(while_open, max(lips, 0) / 2, "mouthUpperUpLeft", "mouthUpperUpRight")
        add(always, max(-lips, 0) * 2, "mouthPressLeft", "mouthPressRight", "mouthRollLower")
        height, depth = value["tongueHeightOffset"] / _TONGUE_REACH, value["tongueDepthOffset"] / _TONGUE_REACH
        add(always, max(height, 0), "tongueUp")
        add(always, max(-height, 0), "tongueDown")
        add(always, max(depth, 0), "tongueStretch")
        add(while_open, max(depth, 0) * _TONGUE_OUT, "tongueOut")
        add(always, max(-depth, 0), "tongueIn")
        return always, while_open
