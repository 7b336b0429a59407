"""Numpy archive: facewave's own file, exact and complete. No pickled objects, so safe to open from anywhere."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..archives import ArchiveError, ArrayArchive
from ..emotions import EMOTIONS
from ..errors import AnimationFileError, SettingsError
from ..frames import Animation, StreamInfo
from ..timing import frame_rate
from ..visemes import VISEMES

_TRACKS = {"emotions": len(EMOTIONS), "visemes": len(VISEMES), "head": 3}
"""Tracks besides the weights, and their columns."""

_ARRAYS = ("times", "weights", "channels", "frame_rate", "audio", "provider", *_TRACKS)

_MAX_BYTES = 2 << 30
"""Unpacked size; an hour at 60 frames per second with every track has 0.1 GB."""


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write the whole take: `times`, `weights`, `channels`, `frame_rate` (two integers), `audio`, tracks."""
    rate = animation.frame_rate
    arrays: dict[str, Any] = {
        "times": animation.times,
        "weights": animation.weights,
        "channels": np.array(animation.channels),
        "frame_rate": np.array([rate.numerator, rate.denominator], np.int64),
        "audio": np.array(str(animation.info.audio or "")),
        "provider": np.array(animation.info.provider),
    }
    for name in _TRACKS:
        if (track := getattr(animation, name)) is not None:
            arrays[name] = track
    np.savez_compressed(file, **arrays)


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format."""
    return head.startswith(b"PK\x03\x04")


def read(path: Path, data: bytes, keep: Collection[str] = ()) -> Animation:
    """Read a file of this form; channels of any name.

    Raises:
        AnimationFileError: Says which array is missing or of the wrong shape.
    """
    try:
        with ArrayArchive(data, max_bytes=_MAX_BYTES) as archive:
            arrays = {name: archive.read(name) for name in archive.names if name in _ARRAYS}
    except ArchiveError as error:
        raise AnimationFileError(f"{path}: not a numpy archive that can be read ({error})") from error
    for name in ("weights", "channels", "frame_rate"):
        if name not in arrays:
            raise AnimationFileError(f"{path}: array {name!r} is missing, found {', '.join(sorted(arrays)) or 'none'}")
    names, ratio = arrays["channels"], arrays["frame_rate"]
    channels = _texts(path, "channels", names)
    if names.ndim != 1 or names.dtype.kind != "U" or len({*channels}) != len(channels):
        raise AnimationFileError(f"{path}: array 'channels': found {_kind(names)}, expected a list of different names")
    weights = _table(path, "weights", arrays["weights"], len(channels))
    if ratio.shape != (2,) or ratio.dtype.kind not in "iu" or ratio[1] == 0:
        raise AnimationFileError(f"{path}: array 'frame_rate': found {_kind(ratio)}, expected two whole numbers")
    tracks = [_table(path, name, arrays[name], n) if name in arrays else None for name, n in _TRACKS.items()]
    audio, provider = (
        "".join(_texts(path, name, arrays[name])[:1]) if name in arrays else "" for name in ("audio", "provider")
    )
    try:
        rate = frame_rate(Fraction(int(ratio[0]), int(ratio[1])))
        return Animation(StreamInfo(rate, channels, Path(audio) if audio else None, provider), weights, *tracks)
    except SettingsError as error:
        raise AnimationFileError(f"{path}: {error}") from error


def _texts(path: Path, name: str, values: NDArray[Any]) -> tuple[str, ...]:
    """The texts of an array; none of one that holds no text."""
    try:
        return tuple(values.ravel().tolist()) if values.dtype.kind == "U" else ()
    except (ValueError, SystemError) as error:  # Which of them, for no character of Unicode, depends on Python.
        raise AnimationFileError(f"{path}: array {name!r} holds what is no text ({error})") from error


def _table(path: Path, name: str, values: NDArray[Any], columns: int) -> NDArray[np.float32]:
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] != columns:
        raise AnimationFileError(f"{path}: array {name!r}: found {_kind(values)}, expected numbers (frames, {columns})")
    table = values.astype(np.float32)
    if not np.isfinite(table).all():
        raise AnimationFileError(f"{path}: array {name!r} holds a value that is not a finite number")
    return table


def _kind(values: NDArray[Any]) -> str:
    return f"{values.dtype.str} of shape {values.shape}"
