"""From twelve articulatory parameters to blend shapes: a fixed map whose numbers may be tuned on a rendered face.

The network speaks of the mouth (how far the jaw is down, whether the lips meet, ...), because that can be learned from
speech and checked against phones. What a face rig makes of it is decided here alone.

Two facts about ARKit rigs shape the map. `mouthClose` undoes what `jawOpen` did to the lips, so it may never exceed it.
And some rigs, MetaHuman's among them, ignore `mouthClose`: a closure must also show as a lower jaw opening and as
pressed, rolled lips.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...blendshapes import CHANNELS, INDEX
from ...visemes import VISEMES

PARAMETERS: tuple[str, ...] = (
    "jaw", "close", "fv", "funnel", "pucker", "spread", "lowdn", "upup", "tip", "back", "front", "tout",
)  # fmt: skip
"""Jaw down; lips meet; lower lip to upper teeth; lips funnelled, puckered, spread; lower lip down; upper lip up; tongue
tip up, back up, front up, out between the teeth. Each in [0, 1]."""

CLASSES: tuple[str, ...] = (
    "sil", "pb", "m", "fv", "th", "td", "n", "l", "sz", "sh", "kg", "ng", "h", "r", "j", "w",
    "a", "e", "i", "o", "u", "y", "er", "glot",
)  # fmt: skip
"""Phone classes of the network's second output."""

VISEME_OF: dict[str, str] = {
    "sil": "sil", "pb": "PP", "m": "PP", "fv": "FF", "th": "TH", "td": "DD", "n": "nn", "l": "nn", "sz": "SS",
    "sh": "CH", "kg": "kk", "ng": "kk", "h": "kk", "r": "RR", "j": "ih", "w": "ou", "a": "aa", "e": "E", "i": "ih",
    "o": "oh", "u": "ou", "y": "ou", "er": "E", "glot": "sil",
}  # fmt: skip
"""The viseme that shows each class.

Source: the viseme table of the Oculus lip-sync reference.
"""

_JAW, _CLOSE, _FV, _FUNNEL, _PUCKER, _SPREAD, _LOWDN, _UPUP, _TIP, _BACK, _FRONT, _TOUT = range(len(PARAMETERS))

CLOSED_JAW = 0.5
"""Part of the jaw opening that a full closure takes away, so that it shows on rigs without `mouthClose`."""

BITE_UPPER_UP = 0.25
"""How far a labiodental lifts the upper lip, beyond what the network says: the teeth show, which tells /f/ from /p/."""

LINEAR: tuple[tuple[str, int, float], ...] = (
    ("mouthFunnel", _FUNNEL, 1.0),
    ("mouthPucker", _PUCKER, 1.0),
    ("mouthSmileLeft", _SPREAD, 0.18), ("mouthSmileRight", _SPREAD, 0.18),
    ("mouthStretchLeft", _SPREAD, 0.55), ("mouthStretchRight", _SPREAD, 0.55),
    ("mouthDimpleLeft", _SPREAD, 0.15), ("mouthDimpleRight", _SPREAD, 0.15),
    ("mouthPressLeft", _CLOSE, 0.4), ("mouthPressRight", _CLOSE, 0.4),
    ("mouthRollLower", _CLOSE, 0.35), ("mouthRollUpper", _CLOSE, 0.3),
    ("mouthRollLower", _FV, 0.6),
    ("tongueOut", _TOUT, 0.3),
    ("tongueTipUp", _TIP, 0.8), ("tongueUp", _BACK, 0.7), ("tongueIn", _BACK, 0.3),
    ("tongueUp", _FRONT, 0.35), ("tongueWide", _FRONT, 0.4), ("tongueTipDown", _FRONT, 0.15),
    ("tongueStretch", _TOUT, 0.6),
    ("jawOpen", _JAW, 1.0),
    ("mouthLowerDownLeft", _LOWDN, 1.0), ("mouthLowerDownRight", _LOWDN, 1.0),
    ("mouthUpperUpLeft", _UPUP, 1.0), ("mouthUpperUpRight", _UPUP, 1.0),
)  # fmt: skip
"""Channels that follow one parameter or the sum of several: (channel, parameter, gain). `to_blendshapes` first lets a
closure hold back the jaw and the lips; `mouthClose` is the one channel that follows a product."""


def to_blendshapes(articulation: NDArray[np.float32]) -> NDArray[np.float32]:
    """Channel weights of a mouth.

    Args:
        articulation: Shape (frames, 12), order of `PARAMETERS`, in [0, 1].

    Returns:
        Shape (frames, 68), order of `blendshapes.CHANNELS`, in [0, 1]. Brows, lids, gaze and all left-right differences
        are zero: nothing of them can be heard.
    """
    mouth = np.clip(np.asarray(articulation, dtype=np.float32), 0, 1)
    closed, open_ = mouth[:, _CLOSE], 1 - mouth[:, _CLOSE]
    held = mouth.copy()
    held[:, _JAW] *= 1 - CLOSED_JAW * closed
    held[:, _LOWDN] *= open_ * (1 - mouth[:, _FV])
    held[:, _UPUP] *= open_
    weights = held @ _GAINS
    weights[:, INDEX["mouthClose"]] = held[:, _JAW] * closed
    return np.clip(weights, 0, 1, out=weights)


def _gains() -> NDArray[np.float32]:
    gains = np.zeros((len(PARAMETERS), len(CHANNELS)), np.float32)
    for channel, parameter, gain in LINEAR:
        gains[parameter, INDEX[channel]] += gain
    return gains


_GAINS = _gains()


def to_visemes(phones: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities, shape (frames, 24), as those of `VISEMES`, shape (frames, 15)."""
    return np.asarray(phones @ _TO_VISEMES, np.float32)


_TO_VISEMES = np.array([[float(VISEME_OF[name] == viseme) for viseme in VISEMES] for name in CLASSES], np.float32)


def lip_gap(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Opening between the inner lips, in units of a fully open jaw.

    Args:
        weights: Shape (frames, 52 or 68), order of `blendshapes.CHANNELS`.

    Returns:
        Shape (frames,), never below 0.

    Source: measured on the lip vertices of a public ARKit head, one channel at a time.
    """
    gap = np.zeros(len(weights), dtype=np.float32)
    for channel, slope in LIP_GAP.items():
        gap += np.float32(slope) * weights[:, INDEX[channel]]
    return np.maximum(gap, 0)


LIP_GAP: dict[str, float] = {
    "jawOpen": 1.0, "mouthFunnel": 0.375, "mouthClose": -1.286, "mouthLowerDownLeft": 0.10, "mouthLowerDownRight": 0.10,
    "mouthUpperUpLeft": 0.12, "mouthUpperUpRight": 0.12, "mouthShrugLower": -0.22, "mouthRollLower": -0.085,
    "mouthPressLeft": -0.04, "mouthPressRight": -0.04, "mouthPucker": -0.045, "mouthDimpleLeft": -0.027,
    "mouthDimpleRight": -0.027,
}  # fmt: skip
"""How far each channel opens (or closes) the inner lips."""
