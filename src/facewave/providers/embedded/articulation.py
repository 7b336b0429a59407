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

OVR_VISEMES: tuple[str, ...] = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou",
)  # fmt: skip
"""The fifteen Oculus viseme names in their usual order."""

VISEME: dict[str, tuple[str, int]] = {
    "sil": ("sil", 0), "pb": ("PP", 21), "m": ("PP", 21), "fv": ("FF", 18), "th": ("TH", 17), "td": ("DD", 19),
    "n": ("nn", 19), "l": ("nn", 14), "sz": ("SS", 15), "sh": ("CH", 16), "kg": ("kk", 20), "ng": ("kk", 20),
    "h": ("kk", 12), "r": ("RR", 13), "j": ("ih", 6), "w": ("ou", 7), "a": ("aa", 2), "e": ("E", 4), "i": ("ih", 6),
    "o": ("oh", 3), "u": ("ou", 7), "y": ("ou", 7), "er": ("E", 1), "glot": ("sil", 0),
}  # fmt: skip
"""Class to (OVR viseme name, Azure viseme id).

Source: the viseme tables of the Oculus lip-sync reference and of Azure's speech documentation; where they split a class
(Azure: 1 for open mid vowels and 2 for /a/, 8 for /o/) the commoner member stands for it.
"""

_JAW, _CLOSE, _FV, _FUNNEL, _PUCKER, _SPREAD, _LOWDN, _UPUP, _TIP, _BACK, _FRONT, _TOUT = range(len(PARAMETERS))

CLOSED_JAW = 0.5
"""Part of the jaw opening that a full closure takes away, so that it shows on rigs without `mouthClose`."""

LINEAR: tuple[tuple[str, int, float], ...] = (
    ("mouthFunnel", _FUNNEL, 1.0),
    ("mouthPucker", _PUCKER, 1.0),
    ("mouthSmileLeft", _SPREAD, 0.18), ("mouthSmileRight", _SPREAD, 0.18),
    ("mouthStretchLeft", _SPREAD, 0.55), ("mouthStretchRight", _SPREAD, 0.55),
    ("mouthDimpleLeft", _SPREAD, 0.15), ("mouthDimpleRight", _SPREAD, 0.15),
    ("mouthPressLeft", _CLOSE, 0.4), ("mouthPressRight", _CLOSE, 0.4),
    ("mouthRollLower", _CLOSE, 0.35), ("mouthRollUpper", _CLOSE, 0.3),
    ("mouthRollLower", _FV, 0.6), ("mouthShrugLower", _FV, 0.2), ("mouthShrugUpper", _FV, 0.15),
    ("tongueOut", _TOUT, 0.3),
    ("tongueTipUp", _TIP, 0.8), ("tongueUp", _BACK, 0.7), ("tongueIn", _BACK, 0.3),
    ("tongueUp", _FRONT, 0.35), ("tongueWide", _FRONT, 0.4), ("tongueStretch", _TOUT, 0.6), ("tongueTipDown", _FRONT, 0.15),
)  # fmt: skip
"""Channels that follow one parameter or the sum of several: (channel, parameter, gain)."""


def to_blendshapes(articulation: NDArray[np.float32]) -> NDArray[np.float32]:
    """Channel weights of a mouth.

    Args:
        articulation: Shape (frames, 12), order of `PARAMETERS`, in [0, 1].

    Returns:
        Shape (frames, 68), order of `blendshapes.CHANNELS`, in [0, 1]. Brows, lids, gaze and all left-right differences
        are zero: nothing of them can be heard.
    """
    mouth = np.clip(np.asarray(articulation, dtype=np.float32), 0, 1)
    weights = np.zeros((len(mouth), len(CHANNELS)), dtype=np.float32)
    for channel, parameter, gain in LINEAR:
        weights[:, INDEX[channel]] += gain * mouth[:, parameter]

    closed = mouth[:, _CLOSE]
    jaw = mouth[:, _JAW] * (1 - CLOSED_JAW * closed)
    weights[:, INDEX["jawOpen"]] = jaw
    weights[:, INDEX["mouthClose"]] = jaw * closed
    lower_down = mouth[:, _LOWDN] * (1 - closed) * (1 - mouth[:, _FV])
    upper_up = mouth[:, _UPUP] * (1 - closed)
    for side in ("Left", "Right"):
        weights[:, INDEX["mouthLowerDown" + side]] = lower_down
        weights[:, INDEX["mouthUpperUp" + side]] = upper_up
    return np.clip(weights, 0, 1, out=weights)


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
