"""What each emotion does to the face, added to speech without undoing its lip closures.

The poses follow the action units that the literature assigns to each emotion.

Source: Ekman, Friesen and Hager (2002), Facial Action Coding System, Investigator's Guide.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS, INDEX
from ..emotions import EMOTIONS

# Both sides are meant where a name carries neither Left nor Right but exists only in pairs.
_POSES: Mapping[str, Mapping[str, float]] = {
    "amazement": {"browInnerUp": 0.65, "browOuterUp": 0.75, "eyeWide": 0.6, "jawOpen": 0.1},
    "anger": {
        "browDown": 0.85, "eyeSquint": 0.35, "noseSneer": 0.3, "mouthFrown": 0.2, "mouthPress": 0.15, "jawForward": 0.1,
    },
    "cheekiness": {
        "mouthSmileLeft": 0.6, "mouthSmileRight": 0.25, "mouthDimpleLeft": 0.3, "browOuterUpLeft": 0.5,
        "eyeSquintRight": 0.3, "cheekSquintLeft": 0.3,
    },
    "disgust": {
        "noseSneer": 0.8, "mouthUpperUp": 0.25, "browDown": 0.35, "mouthFrown": 0.3, "cheekSquint": 0.25,
        "eyeSquint": 0.25,
    },
    "fear": {"browInnerUp": 0.75, "browOuterUp": 0.35, "browDown": 0.15, "eyeWide": 0.7, "mouthStretch": 0.4},
    "grief": {
        "browInnerUp": 0.85, "browDown": 0.2, "mouthFrown": 0.65, "mouthShrugLower": 0.3, "eyeSquint": 0.35,
        "cheekSquint": 0.2,
    },
    "joy": {"mouthSmile": 0.7, "cheekSquint": 0.55, "eyeSquint": 0.25, "mouthDimple": 0.15},
    "outofbreath": {"jawOpen": 0.14, "browInnerUp": 0.3, "noseSneer": 0.12, "mouthUpperUp": 0.1, "mouthLowerDown": 0.1},
    "pain": {
        "browDown": 0.65, "eyeSquint": 0.65, "cheekSquint": 0.45, "noseSneer": 0.4, "mouthStretch": 0.35,
        "mouthUpperUp": 0.2,
    },
    "sadness": {"browInnerUp": 0.65, "browDown": 0.1, "mouthFrown": 0.45, "mouthShrugLower": 0.15, "eyeSquint": 0.12},
}  # fmt: skip

_OPENING = ("jawOpen", "mouthUpperUp", "mouthLowerDown", "mouthStretch", "mouthFunnel")
"""Channels that part the lips; speech overrules them while the lips must touch."""


def _pose_matrix() -> NDArray[np.float32]:
    poses = np.zeros((len(EMOTIONS), len(CHANNELS)), np.float32)
    for row, emotion in enumerate(EMOTIONS):
        for name, weight in _POSES[emotion].items():
            for channel in (name,) if name in INDEX else (name + "Left", name + "Right"):
                poses[row, INDEX[channel]] = weight
    return poses


POSES = _pose_matrix()
"""Shape (10, 68): weights that each emotion adds at full strength."""

_PARTS_LIPS = np.array([name.startswith(_OPENING) for name in CHANNELS])


def add_expression(
    weights: NDArray[np.float32], emotion: NDArray[np.float32], closure: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Speech with expression.

    Args:
        weights: Shape (frames, 68), the speech.
        emotion: Shape (frames, 10), 0..1.
        closure: Shape (frames,), 0..1: how firmly speech holds the lips together or lip on teeth.

    Returns:
        Shape (frames, 68). Poses add up to at most 1 in a channel; the parts of a pose that would open the lips give
        way as `closure` rises.
    """
    if not emotion.any():
        return weights
    pose = emotion @ POSES
    pose[:, _PARTS_LIPS] *= (1 - np.clip(closure, 0, 1))[:, None]
    # 1 - (1 - a)(1 - b): two sources of the same motion never exceed the full motion.
    return np.where(pose > 0, weights + pose * np.clip(1 - weights, 0, 1), weights).astype(np.float32)
