"""Numpy archive: facewave's own file, exact and complete. No pickled objects, so safe to open from anywhere."""

from __future__ import annotations

import io
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import AnimationFileError
from ..frames import Animation, StreamInfo
from ..timing import frame_rate

_TRACKS = ("emotions", "visemes", "head")


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write the whole take: `times`, `weights`, `channels`, `frame_rate` (two integers), `audio`, tracks."""
    rate = animation.frame_rate
    arrays: dict[str, Any] = {
        "times": animation.times,
        "weights": animation.weights,
        "channels": np.array(animation.channels),
        "frame_rate": np.array([rate.numerator, rate.denominator], np.int64),
        "audio": np.array(str(animation.info.audio or "")),
    }
    for name in _TRACKS:
        if (track := getattr(animation, name)) is not None:
            arrays[name] = track
    np.savez_compressed(file, **arrays)


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format."""
    return head.startswith(b"PK\x03\x04")


def read(path: Path, data: bytes) -> Animation:
    """Read a file of this form.

    Raises:
        AnimationFileError: Says which array is missing or of the wrong shape.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise AnimationFileError(f"{path}: not a numpy archive that can be read ({error})") from error
    for name in ("weights", "channels", "frame_rate"):
        if name not in arrays:
            raise AnimationFileError(f"{path}: array {name!r} is missing, found {', '.join(sorted(arrays)) or 'none'}")
    channels = tuple(str(name) for name in arrays["channels"])
    weights, ratio = arrays["weights"], arrays["frame_rate"]
    if weights.ndim != 2 or weights.shape[1] != len(channels) or ratio.shape != (2,) or ratio[1] == 0:
        raise AnimationFileError(
            f"{path}: found weights of shape {weights.shape} and frame rate {ratio}, "
            f"expected (frames, {len(channels)}) and a ratio of two numbers"
        )
    audio = str(arrays["audio"]) if "audio" in arrays else ""
    info = StreamInfo(frame_rate(Fraction(int(ratio[0]), int(ratio[1]))), channels, Path(audio) if audio else None)
    return Animation(info, weights, *(arrays.get(name) for name in _TRACKS))
