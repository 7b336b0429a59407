"""Vertices over time: the geometry of a whole take in one file, npz or USD.

Arrays of the npz, which `usd.cache` lays out as a stage:

skin            (frames, vertices, 3)  model units, absolute positions
tongue          (frames, vertices, 3)  model units, absolute positions
jaw_transform   (frames, 4, 4)         moves the lower teeth from rest; acts on column vectors
eye_rotations   (frames, 2, 3)         degrees, right then left eye
sample          (frames,)              16 kHz audio sample of each frame
frame_rate      (2,)                   numerator and denominator, frames per second
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..frames import Animation, Frame, Geometry, StreamInfo
from .base import write_whole
from .usd import cache


class GeometryFile:
    """An output that collects geometry and writes its file at the end."""

    def __init__(self, path: Path) -> None:
        """`path` ends in .npz, .usda or .usdc.

        Raises:
            OutputError: Another extension.
        """
        if path.suffix not in (".npz", ".usda", ".usdc"):
            raise OutputError(
                f"{path}: found the extension {path.suffix!r}, expected .npz, .usda or .usdc for geometry"
            )
        self._path = path
        self._info: StreamInfo | None = None
        self._frames: list[Frame] = []

    def start(self, info: StreamInfo) -> None:
        """Begin a stream."""
        self._info, self._frames = info, []

    def write(self, frame: Frame) -> None:
        """Keep the next frame.

        Raises:
            OutputError: A frame without geometry: the provider makes none, or was not asked to.
        """
        if frame.geometry is None:
            raise OutputError(
                f"{self._path}: frame {frame.index} has no geometry; use a LocalA2F provider and "
                "StreamSettings(geometry=True)"
            )
        self._frames.append(frame)

    def close(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        if self._info is None:
            return
        info, self._info = self._info, None
        parts = [frame.geometry for frame in self._frames if frame.geometry is not None]
        arrays: dict[str, NDArray[Any]] = {
            field.name: np.stack([getattr(part, field.name) for part in parts]) if parts else np.zeros(0, np.float32)
            for field in fields(Geometry)
        }
        take = Animation.from_frames(info, self._frames)
        arrays["sample"] = np.array([frame.sample for frame in self._frames], np.int64)
        arrays["frame_rate"] = np.array([info.frame_rate.numerator, info.frame_rate.denominator], np.int64)

        def write(_: Animation, file: IO[bytes]) -> None:
            if self._path.suffix == ".npz":
                np.savez(file, allow_pickle=False, **arrays)
            else:
                cache.write(info, arrays, file, self._path.suffix[1:])

        write_whole(self._path, write, take)

    def abort(self) -> None:
        """Forget what was collected."""
        self._info = None
