"""Unity animation clip: one curve for each blend shape, 0 to 100, on SkinnedMeshRenderers.

Unity's weights are percentages and its shapes are found by exact name, so the clip has the ARKit names as they are.
Keys that lie on the straight line between others are left out; nothing moves by more than a fiftieth of a percent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..frames import Animation

_TOLERANCE = 0.02
"""Percent of a shape that leaving out keys may move a curve by."""

_RENDERER = 137
"""Unity's class number of SkinnedMeshRenderer."""

_LINEAR = 69
"""Both tangents broken and linear."""

_EMPTY = ("RotationCurves", "CompressedRotationCurves", "EulerCurves", "PositionCurves", "ScaleCurves")

_SETTINGS = {
    "serializedVersion": "2", "m_AdditiveReferencePoseClip": "{fileID: 0}", "m_AdditiveReferencePoseTime": "0",
    "m_StartTime": "0", "m_StopTime": "", "m_OrientationOffsetY": "0", "m_Level": "0", "m_CycleOffset": "0",
    "m_HasAdditiveReferencePose": "0", "m_LoopTime": "0", "m_LoopBlend": "0", "m_LoopBlendOrientation": "0",
    "m_LoopBlendPositionY": "0", "m_LoopBlendPositionXZ": "0", "m_KeepOriginalOrientation": "0",
    "m_KeepOriginalPositionY": "1", "m_KeepOriginalPositionXZ": "0", "m_HeightFromFeet": "0", "m_Mirror": "0",
}  # fmt: skip


def write(animation: Animation, file: IO[bytes], avatar: Path | None = None) -> None:
    """Write the clip.

    Args:
        animation: The take.
        file: Where to.
        avatar: The renderer's path below the Animator's object, as `Body/Face`, or several with commas between; the
            Animator's own object where it is left out.

    Raises:
        OutputError: The take has no frames.
    """
    if not len(animation):
        raise OutputError("Unity clip: the animation has no frames, expected at least one")
    name = animation.info.audio.stem if animation.info.audio is not None else "speech"
    paths = [""] if avatar is None else [part.strip() for part in avatar.as_posix().split(",")]
    lines = [
        "%YAML 1.1",
        "%TAG !u! tag:unity3d.com,2011:",
        "--- !u!74 &7400000",
        "AnimationClip:",
        *("  " + line for line in _header(name)),
        "  m_FloatCurves:",
    ]
    curves = {channel: list(_curve(animation, channel)) for channel in animation.channels}
    for path in paths:
        for channel, curve in curves.items():
            lines += curve
            lines += [
                f"    attribute: blendShape.{channel}",
                f"    path: {_text(path)}",
                f"    classID: {_RENDERER}",
                "    script: {fileID: 0}",
            ]
    lines += ["  " + line for line in _footer(animation)]
    file.write(("\n".join(lines) + "\n").encode())


def _header(name: str) -> Iterator[str]:
    yield "m_ObjectHideFlags: 0"
    yield from (f"m_{part}: {{fileID: 0}}" for part in ("CorrespondingSourceObject", "PrefabInstance", "PrefabAsset"))
    yield f"m_Name: {_text(name)}"
    yield from ("serializedVersion: 6", "m_Legacy: 0", "m_Compressed: 0", "m_UseHighQualityCurve: 1")
    yield from (f"m_{part}: []" for part in _EMPTY)


def _curve(animation: Animation, channel: str) -> Iterator[str]:
    """One float curve without its binding."""
    values = animation.channel(channel).astype(np.float64) * 100
    kept = _needed(values.tolist(), _TOLERANCE)
    times, values = animation.times[kept], values[kept]
    slopes = np.diff(values) / np.diff(times) if len(kept) > 1 else np.zeros(0)
    ends = np.concatenate([slopes[:1], slopes, slopes[-1:]]) if len(slopes) else np.zeros(2)
    yield "  - curve:"
    yield "      serializedVersion: 2"
    yield "      m_Curve:"
    for i, (time, value) in enumerate(zip(times, values, strict=True)):
        yield "      - serializedVersion: 3"
        yield f"        time: {_number(time)}"
        yield f"        value: {_number(value)}"
        yield f"        inSlope: {_number(ends[i])}"
        yield f"        outSlope: {_number(ends[i + 1])}"
        yield f"        tangentMode: {_LINEAR}"
        yield "        weightedMode: 0"
        yield "        inWeight: 0.33333334"
        yield "        outWeight: 0.33333334"
    yield "      m_PreInfinity: 2"
    yield "      m_PostInfinity: 2"
    yield "      m_RotationOrder: 4"


def _needed(values: list[float], tolerance: float) -> NDArray[np.int64]:
    """Indices of keys whose straight lines pass within the tolerance of every value."""
    kept, low, high = [0], -math.inf, math.inf
    for i in range(1, len(values)):
        rise, run = values[i] - values[kept[-1]], i - kept[-1]
        if not low <= rise / run <= high:
            kept.append(i - 1)
            low, high = -math.inf, math.inf
            rise, run = values[i] - values[i - 1], 1
        low, high = max(low, (rise - tolerance) / run), min(high, (rise + tolerance) / run)
    return np.array([*kept, len(values) - 1] if len(values) > 1 else kept, np.int64)


def _footer(animation: Animation) -> Iterator[str]:
    rate = float(animation.frame_rate)
    yield "m_PPtrCurves: []"
    yield f"m_SampleRate: {_number(rate)}"
    yield from ("m_WrapMode: 0", "m_Bounds:", "  m_Center: {x: 0, y: 0, z: 0}", "  m_Extent: {x: 0, y: 0, z: 0}")
    yield from ("m_ClipBindingConstant:", "  genericBindings: []", "  pptrCurveMapping: []")
    yield "m_AnimationClipSettings:"
    settings = _SETTINGS | {"m_StopTime": _number(float(animation.times[-1]))}
    yield from (f"  {key}: {value}" for key, value in settings.items())
    yield from ("m_EditorCurves: []", "m_EulerEditorCurves: []", "m_HasGenericRootTransform: 0")
    yield from ("m_HasMotionFloatCurves: 0", "m_Events: []")


def _number(value: float) -> str:
    return f"{value:.8g}"


def _text(value: str) -> str:
    """Plain where YAML reads it back as it stands, else in quotes."""
    return value if re.fullmatch(r"[A-Za-z_][\w/. ]*\w|", value, re.ASCII) else json.dumps(value)
