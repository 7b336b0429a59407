"""JSON as the Audio2Face application exports it, which Blender, Reallusion and Maya loaders read.

`exportFps`, `trackPath`, `numPoses`, `numFrames`, `facsNames` (camelCase) and `weightMat` (frames of weights).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import AnimationFileError, SettingsError, shortened, shown
from ..frames import Animation, StreamInfo
from ..timing import frame_rate
from .base import known_channels


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write the whole take."""
    rate = animation.frame_rate
    document = {
        "exportFps": rate.numerator if rate.denominator == 1 else float(rate),
        "trackPath": str(animation.info.audio or ""),
        "numPoses": len(animation.channels),
        "numFrames": len(animation),
        "facsNames": list(animation.channels),
        "weightMat": [[float(str(value)) for value in row] for row in animation.weights],
    }
    file.write(json.dumps(document, separators=(",", ":")).encode())


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def read(path: Path, data: bytes, keep: Collection[str] = ()) -> Animation:
    """Read a file of this form; poses by name.

    Raises:
        AnimationFileError: Says which key is wrong.
    """
    try:
        document: Any = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AnimationFileError(f"{path}: not valid JSON ({error})") from error
    missing = [key for key in ("exportFps", "facsNames", "weightMat") if key not in document]
    if missing:
        raise AnimationFileError(f"{path}: key {missing[0]!r} is missing; expected the JSON that Audio2Face exports")
    if not isinstance(document["facsNames"], list):
        raise AnimationFileError(f"{path}: 'facsNames' is {shown(document['facsNames'])}, expected a list of names")
    names = known_channels(path, [str(name) for name in document["facsNames"]], keep)
    channels = tuple(name for name in names if name is not None)
    if not channels:
        raise AnimationFileError(f"{path}: 'facsNames' holds no ARKit name; old solves with other poses cannot be read")
    try:
        table = np.array(document["weightMat"], np.float64).reshape(-1, len(names))
    except (ValueError, TypeError, OverflowError) as error:
        raise AnimationFileError(
            f"{path}: 'weightMat' is not a table of {len(names)} numbers a frame ({shortened(str(error))})"
        ) from error
    if not (np.abs(table) <= np.finfo(np.float32).max).all():
        raise AnimationFileError(f"{path}: 'weightMat' holds a value that is not a finite number")
    weights = table.astype(np.float32)
    track = document.get("trackPath")
    try:
        rate = frame_rate(document["exportFps"])
    except SettingsError as error:
        raise AnimationFileError(f"{path}: 'exportFps': {error}") from error
    info = StreamInfo(rate, channels, Path(track) if track and isinstance(track, str) else None)
    return Animation(info, weights[:, [i for i, name in enumerate(names) if name is not None]])
