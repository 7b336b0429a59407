"""The CSV of Apple's and Epic's Live Link Face app, which Unreal's importer and several add-ons read.

Its column order is not the wire order: two pairs of sides are swapped, and nine head and eye rotations follow.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np

from ..blendshapes import ARKIT, pascal
from ..errors import AnimationFileError
from ..frames import Animation, StreamInfo
from ..timing import frame_rate
from .base import known_channels
from .csv import numbers

_ROTATIONS = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch",
    "RightEyeRoll",
)  # fmt: skip
_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
COLUMNS = tuple(_SWAPPED.get(name, name) for name in ARKIT)
"""The 52 channels in the order of the app's files."""

_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+)(?:\.(\d+))?")


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write frames from time code 00:00:00:00; head and eye rotations are 0."""
    take = animation.with_channels(COLUMNS)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["Timecode", "BlendShapeCount", *map(pascal, COLUMNS), *_ROTATIONS])
    count = str(len(COLUMNS) + len(_ROTATIONS))
    still = ["0.0000000000"] * len(_ROTATIONS)
    for index, weights in enumerate(take.weights.tolist()):
        rows.writerow([timecode(index, take.frame_rate), count, *(f"{value:.10f}" for value in weights), *still])
    text.detach()


def timecode(index: int, rate: Fraction) -> str:
    """`HH:MM:SS:FF.mmm`, non-drop: FF counts frames at the next whole rate, as the app does."""
    per_second = -(-rate.numerator // rate.denominator)
    seconds, frame = divmod(index, per_second)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frame:02d}.000"


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format."""
    return head.lstrip(b"\xef\xbb\xbf").lower().startswith(b"timecode,blendshapecount")


def read(path: Path, data: bytes, keep: Collection[str] = ()) -> Animation:
    """Read a file of this form; columns by name; the frame rate is told by the time codes.

    Raises:
        AnimationFileError: Says which line or column is wrong.
    """
    lines = [line for line in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if line]
    header = [name.strip() for name in lines[0]]
    columns = [i for i, name in enumerate(header[2:]) if name not in _ROTATIONS]
    names = known_channels(path, [header[2 + i] for i in columns], keep)
    channels = tuple(name for name in names if name is not None)
    if not channels:
        raise AnimationFileError(f"{path}: no column names a blend shape; expected columns such as JawOpen")
    for row, line in enumerate(lines[1:]):
        if not _TIMECODE.fullmatch(line[0].strip()):
            raise AnimationFileError(f"{path}: row {row + 2} has time code {line[0]!r}, expected HH:MM:SS:FF.mmm")
    # A row taken while no face was seen carries only its time code; the face stays as it was.
    rows: list[list[str]] = []
    for line in lines[1:]:
        rows.append(line[2:] if len(line) > 2 or not rows else rows[-1])
    table = numbers(path, rows, len(header) - 2)
    taken = [i for i, name in zip(columns, names, strict=True) if name is not None]
    weights = table[:, taken].astype(np.float32)
    rate = _rate(path, [line[0].strip() for line in lines[1:]])
    return Animation(StreamInfo(rate, channels), weights).with_channels(
        [name for name in ARKIT if name in channels] + [name for name in channels if name not in ARKIT]
    )


def _rate(path: Path, codes: list[str]) -> Fraction:
    """Frames counted per second of time code: the highest frame number seen over a whole second, plus one."""
    parsed = []
    for code in codes:
        match = _TIMECODE.fullmatch(code)
        assert match is not None
        hours, minutes, seconds, frame, part = match.groups()
        parsed.append((int(hours) * 3600 + int(minutes) * 60 + int(seconds), int(frame) + float(f"0.{part or 0}")))
    if len(parsed) < 2:
        return Fraction(60)
    per_second = next(
        rate for rate in (24, 25, 30, 48, 50, 60, 100, 120, 240, 1000) if rate > max(f for _, f in parsed)
    )
    (first_s, first_f), (last_s, last_f) = parsed[0], parsed[-1]
    span = (last_s - first_s) + (last_f - first_f) / per_second
    if span <= 0:
        raise AnimationFileError(f"{path}: time codes do not increase")
    return frame_rate(Fraction(round((len(parsed) - 1) / span)))
