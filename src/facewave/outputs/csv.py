"""CSV as NVIDIA's sample client writes it: `timeCode` in seconds, then `blendShapes.<PascalCase>` columns.

The same client writes emotions to a second file: `time_code`, then `emotion_values.<name>`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import INDEX, pascal
from ..emotions import EMOTIONS
from ..errors import AnimationFileError, OutputError
from ..frames import Animation, StreamInfo
from ..timing import frame_rate
from ..visemes import AZURE_IDS, VISEMES
from .base import known_channels

_TIME = "timeCode"
_PREFIX = "blendShapes."
_EMOTION_TIME, _EMOTION_PREFIX = "time_code", "emotion_values."


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write frames, one row each; times and weights with the digits that read back to the same float32."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    rows = csv.writer(text, lineterminator="\n")
    # A rig's own names stay as they are: their capitals may matter there.
    rows.writerow([_TIME, *(_PREFIX + (pascal(name) if name in INDEX else name) for name in animation.channels)])
    for time, weights in zip(animation.times, animation.weights, strict=True):
        rows.writerow([_number(time), *map(_short, weights.tolist())])
    text.detach()


def write_emotions(animation: Animation, file: IO[bytes]) -> None:
    """Write the emotion track, one row a frame.

    Raises:
        OutputError: The animation carries no emotions.
    """
    if animation.emotions is None:
        raise OutputError(
            "emotion CSV: this animation carries no emotion track; animate with a provider that makes one"
        )
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([_EMOTION_TIME, *(_EMOTION_PREFIX + name for name in EMOTIONS)])
    for time, values in zip(animation.times, animation.emotions, strict=True):
        rows.writerow([_number(time), *map(_short, values.tolist())])
    text.detach()


def write_visemes(animation: Animation, file: IO[bytes]) -> None:
    """Write the viseme track, one row a frame: the strongest one's name and Azure id, then all fifteen probabilities.

    Raises:
        OutputError: The animation carries no visemes.
    """
    if animation.visemes is None:
        raise OutputError("viseme CSV: this animation carries no viseme track; ask for it when animating")
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([_EMOTION_TIME, "viseme", "azure_id", *VISEMES])
    for time, values in zip(animation.times, animation.visemes, strict=True):
        strongest = int(values.argmax())
        rows.writerow([_number(time), VISEMES[strongest], AZURE_IDS[strongest], *map(_short, values.tolist())])
    text.detach()


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format."""
    return head.lstrip(b"\xef\xbb\xbf").startswith(_TIME.encode())


def read(path: Path, data: bytes, keep: Collection[str] = ()) -> Animation:
    """Read a file of this form; columns are taken by name, in any spelling of the channels.

    Raises:
        AnimationFileError: Says which line or column is wrong.
    """
    lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    header = lines[0] if lines else []
    if not header or header[0] != _TIME:
        raise AnimationFileError(f"{path}: found first column {header[:1]}, expected {_TIME!r}")
    names = known_channels(path, header[1:], keep)
    channels = tuple(name for name in names if name is not None)
    if not channels:
        raise AnimationFileError(f"{path}: no column names a blend shape; expected columns such as {_PREFIX}JawOpen")
    table = numbers(path, [line for line in lines[1:] if line], len(header))
    weights = table[:, 1:][:, [i for i, name in enumerate(names) if name is not None]]
    return Animation(StreamInfo(rate_from_times(path, table[:, 0]), channels), weights.astype(np.float32))


def numbers(path: Path, lines: list[list[str]], width: int) -> NDArray[np.float64]:
    """Rows of text as numbers, shape (rows, width).

    Raises:
        AnimationFileError: A row of another length, or a cell that is not a finite number; says which line.
    """
    for i, line in enumerate(lines):
        if len(line) != width:
            raise AnimationFileError(f"{path}: row {i + 2} has {len(line)} values, expected {width} as in the header")
    try:
        table = np.array(lines, np.float64).reshape(len(lines), width)
    except ValueError as error:
        raise AnimationFileError(f"{path}: {error}; expected numbers below the header") from error
    if not np.isfinite(table).all():
        row = int(np.argmin(np.isfinite(table).all(axis=1)))
        raise AnimationFileError(f"{path}: row {row + 2} holds a value that is not a finite number")
    return table


def rate_from_times(path: Path, times: NDArray[np.float64]) -> Fraction:
    """The frame rate that a column of seconds keeps; 30 for fewer than two rows, which do not tell.

    Raises:
        AnimationFileError: Times that do not increase or are not evenly spaced.
    """
    if len(times) < 2:
        return Fraction(30)
    steps = np.diff(times)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 3
        raise AnimationFileError(f"{path}: the time in row {row} does not come after the row before")
    rate = frame_rate((len(times) - 1) / (times[-1] - times[0]))
    if abs(rate - round(rate)) < Fraction(1, 200):
        rate = Fraction(round(rate))
    if np.abs(np.arange(len(times)) / float(rate) + times[0] - times).max() > 0.5 / float(rate):
        raise AnimationFileError(f"{path}: rows are not evenly spaced in time; expected one frame rate throughout")
    return rate


def _number(value: float) -> str:
    return repr(round(float(value), 9))


def _short(value: float) -> str:
    """The shortest text that reads back to the same float32."""
    return str(np.float32(value))
