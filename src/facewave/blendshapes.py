"""The animated channels: names, order, mirrored pairs, and the spellings other programs use.

Order matters on the wire and in arrays; between programs, always map by name.

Source: Apple ARKit's blend-shape locations in the order of NVIDIA's Audio2Face-3D stream header, followed by NVIDIA's
sixteen tongue shapes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .errors import SettingsError, shown

ARKIT: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp",
    "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)  # fmt: skip
"""The 52 ARKit channels in wire order."""

TONGUE: tuple[str, ...] = (
    "tongueTipUp", "tongueTipDown", "tongueTipLeft", "tongueTipRight", "tongueRollUp", "tongueRollDown",
    "tongueRollLeft", "tongueRollRight", "tongueUp", "tongueDown", "tongueLeft", "tongueRight", "tongueIn",
    "tongueStretch", "tongueWide", "tongueNarrow",
)  # fmt: skip
"""The 16 tongue channels, which follow the ARKit ones where both are sent."""

CHANNELS: tuple[str, ...] = ARKIT + TONGUE
"""All 68 channels."""

INDEX: Mapping[str, int] = {name: i for i, name in enumerate(CHANNELS)}
"""Position of each channel in `CHANNELS`."""

UPPER_FACE: tuple[str, ...] = tuple(name for name in ARKIT if name.startswith(("eye", "brow", "cheekSquint", "nose")))
"""Channels above the mouth: eyes, brows, cheek squint and nose. All other channels are the lower face or the tongue."""

LOWER_FACE: tuple[str, ...] = tuple(name for name in ARKIT if name not in UPPER_FACE and name != "tongueOut")
"""Jaw, lips and cheek puff."""


def mirrored(name: str) -> str:
    """The same channel on the other side of the face: `mouthSmileLeft` for `mouthSmileRight`; itself if unpaired."""
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    if name.endswith("Right"):
        return name.removesuffix("Right") + "Left"
    return name


MIRRORED_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (name, mirrored(name)) for name in CHANNELS if name.endswith("Left")
)
"""(left, right) for every channel that has a side."""


def pascal(name: str) -> str:
    """`jawOpen` -> `JawOpen`, the spelling of NVIDIA's stream header and of Live Link Face."""
    return name[:1].upper() + name[1:]


def underscore(name: str) -> str:
    """`mouthSmileLeft` -> `mouthSmile_L`, the spelling of many Unity and Maya assets."""
    return re.sub(r"(?<=[a-z])Right$", "_R", re.sub(r"(?<=[a-z])Left$", "_L", name))


def snake(name: str) -> str:
    """`mouthSmileLeft` -> `mouth_smile_left`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def canonical(name: str) -> str | None:
    """The channel that a foreign spelling means, or None.

    Understands any capitalisation, `_`, `-` and blanks between words, a prefix up to the last dot
    (`Face_blendShapes.JawOpen`), and `_L` / `_R` for the sides.
    """
    return _spellings().get(_squeeze(name))


def require(name: str) -> str:
    """`canonical`, with an error for unknown names.

    Raises:
        SettingsError: No channel has this name; the message offers the nearest ones.
    """
    found = canonical(name)
    if found is None:
        near = difflib.get_close_matches(name, CHANNELS, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise SettingsError(
            f"unknown blend shape {shown(name)}, expected one of the {len(CHANNELS)} channel names{hint}"
        )
    return found


def reorder(
    weights: NDArray[np.float32], channels: Sequence[str], wanted: Sequence[str] = CHANNELS
) -> NDArray[np.float32]:
    """Columns of `weights` (..., len(channels)) by name in the order of `wanted`; channels not present are 0."""
    out = np.zeros((*weights.shape[:-1], len(wanted)), np.float32)
    position = {name: i for i, name in enumerate(channels)}
    pairs = [(i, position[name]) for i, name in enumerate(wanted) if name in position]
    if pairs:
        to, source = np.array(pairs).T
        out[..., to] = weights[..., source]
    return out


def by_channel(values: Mapping[str, float], channels: Iterable[str], default: float) -> NDArray[np.float32]:
    """One number a channel: the value given under its name, else `default`. Shape (n_channels,)."""
    return np.array([values.get(name, default) for name in channels], np.float32)


def lip_closure(weights: NDArray[np.float32], channels: Sequence[str]) -> NDArray[np.float32]:
    """How far the lips meet over an open jaw: `mouthClose` as a share of `jawOpen`, which it undoes.

    Args:
        weights: Shape (frames, channels).
        channels: Their names; one that is absent counts as 0.

    Returns:
        Shape (frames,), 0 (as open as the jaw) to 1 (shut). Falls to 0 with a jaw that hardly opens, below 0.01.
    """
    jaw, close = reorder(weights, channels, ("jawOpen", "mouthClose")).T
    return np.asarray(np.clip(close / np.maximum(jaw, 0.01), 0, 1), np.float32)


def _squeeze(name: str) -> str:
    plain = re.sub(r"[_\-\s]", "", name.rsplit(".", 1)[-1])
    # "smile_L" and "smileL" mean the left side; the capital tells them from words that end in l or r.
    sided = re.search(r"(?:[_\-\s][lL]|(?<=[a-z])L)$", name.rsplit(".", 1)[-1])
    if sided:
        return plain[:-1].lower() + "left"
    if re.search(r"(?:[_\-\s][rR]|(?<=[a-z])R)$", name.rsplit(".", 1)[-1]):
        return plain[:-1].lower() + "right"
    return plain.lower()


@cache
def _spellings() -> Mapping[str, str]:
    return {name.lower(): name for name in CHANNELS}
