"""Curves of a MetaHuman's face as CSV, in the form that Unreal's Rig Mapper imports.

Rows of `curve_name, frame_number, value`, one for every curve of every frame. The file does not carry its frame rate:
Unreal asks for it on import.

Source: the weights are those of Unreal's own ARKit pose asset and of the animation blueprint around it, which turns
mouthClose / jawOpen into the lipsTogether curves; traces that authoring left in the asset, below 0.1, are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS, TONGUE, lip_closure
from ..frames import Animation

PREFIX = "CTRL_expressions_"
"""What every curve name begins with."""

_LIPS = ("UL", "UR", "DL", "DR")
"""Quarters of the lips: upper and lower, left and right."""

_SIDED: dict[str, dict[str, float]] = {
    "eyeBlink": {"eyeBlink": 1}, "eyeLookDown": {"eyeLookDown": 1}, "eyeLookUp": {"eyeLookUp": 1},
    "eyeSquint": {"eyeSquintInner": 1}, "eyeWide": {"eyeWiden": 1}, "browDown": {"browDown": 1},
    "browOuterUp": {"browRaiseIn": 1, "browRaiseOuter": 1}, "cheekSquint": {"eyeCheekRaise": 1},
    "noseSneer": {"noseWrinkle": 1}, "mouthSmile": {"mouthCornerPull": 1}, "mouthFrown": {"mouthCornerDepress": 1},
    "mouthDimple": {"mouthDimple": 1}, "mouthStretch": {"mouthStretch": 1},
    "mouthPress": {"mouthPressU": 1, "mouthPressD": 1}, "mouthLowerDown": {"mouthLowerLipDepress": 1},
    "mouthUpperUp": {"mouthUpperLipRaise": 1},
}  # fmt: skip
"""Channels with a side, without it -> curves that end in L or R, with their weights."""

_BOTH_SIDES: dict[str, dict[str, float]] = {
    "browInnerUp": {"browRaiseIn": 1, "browLateral": 1}, "cheekPuff": {"mouthCheekBlow": 1, "mouthLipsBlow": 1},
    "mouthRollLower": {"mouthLowerLipRollIn": 1, "mouthUpperLipRollIn": 0.499},
    "mouthRollUpper": {"mouthUpperLipRollIn": 0.998}, "mouthShrugLower": {"jawChinRaiseD": 1},
    "mouthShrugUpper": {"jawChinRaiseU": 1},
}  # fmt: skip
"""Channels without a side that move the same curve on both."""

_SINGLE: dict[str, dict[str, float]] = {
    "jawOpen": {"jawOpen": 1}, "jawForward": {"jawFwd": 0.999}, "jawLeft": {"jawLeft": 1}, "jawRight": {"jawRight": 1},
    "mouthLeft": {"mouthLeft": 1}, "mouthRight": {"mouthRight": 1},
    "eyeLookInLeft": {"eyeLookRightL": 1}, "eyeLookOutLeft": {"eyeLookLeftL": 1},
    "eyeLookInRight": {"eyeLookLeftR": 1}, "eyeLookOutRight": {"eyeLookRightR": 1},
    "mouthFunnel": {f"mouthFunnel{part}": 1 for part in _LIPS},
    "mouthPucker": {
        f"mouth{name}{part}": weight
        for name, weight in (("LipsPurse", 1), ("LipsTowards", 0.412), ("Funnel", 0.752)) for part in _LIPS
    },
    "tongueOut": {"tongueOut": 0.769, "tongueDown": 0.826, "tongueWide": 0.628, "tongueRollDown": 0.247},
    **{name: {name: 1} for name in TONGUE if name != "tongueStretch"},  # A MetaHuman's tongue has no such curve.
}  # fmt: skip
"""Channels -> curves by their whole names."""

_TOGETHER = tuple(f"mouthLipsTogether{part}" for part in _LIPS)
_PRESS = tuple(f"mouthPress{part}" for part in _LIPS)

JAW_LEFT = 0.5
"""What a complete closure leaves of jawOpen: no curve stands for mouthClose, and where a rig of low detail ignores
lipsTogether the mouth shall still be seen to shut."""

PRESS_OF_CLOSURE = 0.35
"""Lip press that a complete closure brings at least."""


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write the whole take; values are limited to 0..1, the range of these controls."""
    names, values = curves(animation)
    file.write(b"curve_name, frame_number, value\n")
    for frame, row in enumerate(values.tolist()):
        lines = (f"{PREFIX}{name}, {frame}, {value:.6f}\n" for name, value in zip(names, row, strict=True))
        file.write("".join(lines).encode())


def curves(animation: Animation) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The curves of a take: names without prefix, and values of shape (frames, curves) in 0..1."""
    channels = animation.channels
    used = [(channel, curve, weight) for channel, curve, weight in _pairs() if channel in channels]
    names = tuple(dict.fromkeys([*(curve for _, curve, _ in used), "jawOpen", *_PRESS, *_TOGETHER]))
    matrix = np.zeros((len(channels), len(names)), np.float32)
    for channel, curve, weight in used:
        matrix[channels.index(channel), names.index(curve)] += weight
    values = animation.weights @ matrix
    closure = lip_closure(animation.weights, channels)
    values[:, names.index("jawOpen")] *= 1 - (1 - JAW_LEFT) * closure
    for name in _PRESS:
        column = values[:, names.index(name)]
        np.maximum(column, PRESS_OF_CLOSURE * closure, out=column)
    for name in _TOGETHER:
        values[:, names.index(name)] = closure
    return names, np.clip(values, 0, 1)


def _pairs() -> Iterator[tuple[str, str, float]]:
    """(channel, curve, weight) for every entry of the tables, in the order of the channels."""
    for channel in CHANNELS:
        bare = channel.removesuffix("Left").removesuffix("Right")
        side = channel[len(bare) : len(bare) + 1]
        if channel in _SINGLE:
            found = _SINGLE[channel]
        elif channel in _BOTH_SIDES:
            found = {curve + end: weight for curve, weight in _BOTH_SIDES[channel].items() for end in "LR"}
        else:
            found = {curve + side: weight for curve, weight in _SIDED.get(bare, {}).items()}
        yield from ((channel, curve, weight) for curve, weight in found.items())
