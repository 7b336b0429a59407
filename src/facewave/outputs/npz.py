"""Numpy archive: facewave's own file, exact and complete. No pickled objects, so safe to open from anywhere."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import AnimationFileError
from ..frames import Animation, StreamInfo
from ..timing import frame_rate

_TRACKS = ("emotions", "visemes", "head")
_DAMAGE = (
    ValueError, OSError, EOFError, KeyError, RuntimeError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error,
    struct.error,
)  # fmt: skip
"""What zipfile, zlib and numpy raise between them on archives that are damaged."""


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
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _DAMAGE as error:
        raise AnimationFileError(f"{path}: not a numpy archive that can be read ({error})") from error
    for name in ("weights", "channels", "frame_rate"):
        if name not in arrays:
            raise AnimationFileError(f"{path}: array {name!r} is missing, found {', '.join(sorted(arrays)) or 'none'}")
    channels = tuple(str(name) for name in arrays["channels"])
    weights, ratio = arrays["weights"], arrays["frame_rate"]
    if (
        weights.ndim != 2
        or weights.shape[1] != len(channels)
        or ratio.shape != (2,)
        or ratio.dtype.kind not in "iu"
        or ratio[1] == 0
    ):
        raise AnimationFileError(
            f"{path}: found weights of shape {weights.shape} and frame rate {ratio}, "
            f"expected (frames, {len(channels)}) and a ratio of two numbers"
        )
    for name in ("weights", *_TRACKS):
        if name in arrays and not (arrays[name].dtype.kind in "fiu" and np.isfinite(arrays[name]).all()):
            raise AnimationFileError(f"{path}: array {name!r} holds a value that is not a finite number")
    audio = str(arrays["audio"]) if "audio" in arrays else ""
    provider = str(arrays["provider"]) if "provider" in arrays else ""
    rate = frame_rate(Fraction(int(ratio[0]), int(ratio[1])))
    info = StreamInfo(rate, channels, Path(audio) if audio else None, provider)
    return Animation(info, weights, *(arrays.get(name) for name in _TRACKS))
