"""Expressions of VRM avatars from ARKit weights: five vowels, blinks, looks and moods.

VRM avatars are modelled with whole vowels, which exclude each other; ARKit weights are parts of a mouth. The opening of
the jaw is divided by what the lips do with it: rounded it is oh, spread it is ee, neither it is aa; lips that round or
spread without the jaw are ou and ih. So the vowels never add up to more than the jaw and the lips together.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...blendshapes import ARKIT

VRM1: tuple[str, ...] = (
    "aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft", "blinkRight", "lookUp", "lookDown", "lookLeft", "lookRight",
    "happy", "angry", "sad", "surprised",
)  # fmt: skip
"""Presets of VRM 1.0 that can be made of ARKit weights. `relaxed` and `neutral` cannot: nothing shows them."""

VRM0: Mapping[str, str] = {
    "aa": "A", "ih": "I", "ou": "U", "ee": "E", "oh": "O", "blink": "Blink", "blinkLeft": "Blink_L",
    "blinkRight": "Blink_R", "lookUp": "LookUp", "lookDown": "LookDown", "lookLeft": "LookLeft",
    "lookRight": "LookRight", "happy": "Joy", "angry": "Angry", "sad": "Sorrow",
}  # fmt: skip
"""VRM 1.0 preset -> its name in VRM 0.x, which has no surprise."""

_JAW_FULL = 0.6
"""jawOpen of a wide open vowel in speech; the weight 1 is a yawn."""

_LIPS_FULL = 0.7
"""mouthPucker or mouthFunnel of a fully rounded vowel; likewise for spread lips."""


def expressions(weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> dict[str, float]:
    """The VRM 1.0 presets for one frame, 0..1 each.

    Args:
        weights: Shape (52,), in the order of `ARKIT`.
    """
    at: dict[str, float] = dict(zip(ARKIT, np.clip(weights, 0, 1).tolist(), strict=True))

    def both(name: str) -> float:
        return float(at[name + "Left"] + at[name + "Right"]) / 2

    def full(value: float, one: float) -> float:
        return min(1.0, max(0.0, value / one))

    jaw = full(at["jawOpen"] - at["mouthClose"], _JAW_FULL)
    rounded = full(max(at["mouthPucker"], at["mouthFunnel"]), _LIPS_FULL)
    # A smile that the cheeks join is a mood and no vowel.
    smile = both("mouthSmile") - both("cheekSquint")
    spread = full(max(both("mouthStretch"), smile, both("mouthDimple")), _LIPS_FULL) * (1 - rounded)
    oh = min(jaw, rounded)
    ee = min(jaw - oh, spread)
    blink = min(at["eyeBlinkLeft"], at["eyeBlinkRight"])
    return {
        "aa": jaw - oh - ee,
        "ih": spread - ee,
        "ou": rounded - oh,
        "ee": ee,
        "oh": oh,
        "blink": blink,
        # An avatar shows the sum of all three.
        "blinkLeft": at["eyeBlinkLeft"] - blink,
        "blinkRight": at["eyeBlinkRight"] - blink,
        "lookUp": both("eyeLookUp"),
        "lookDown": both("eyeLookDown"),
        "lookLeft": (at["eyeLookOutLeft"] + at["eyeLookInRight"]) / 2,
        "lookRight": (at["eyeLookInLeft"] + at["eyeLookOutRight"]) / 2,
        # Speech alone smiles, frowns and lifts brows: a mood takes two signs.
        "happy": min(both("mouthSmile"), max(both("cheekSquint"), both("eyeSquint"))),
        "angry": both("browDown"),
        "sad": min(both("mouthFrown"), at["browInnerUp"]),
        "surprised": min(both("eyeWide"), both("browOuterUp")),
    }
