"""The implicit emotion of a regression model: one row of a table of learned vectors, chosen by shot and frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelFormatError
from .npz import ArrayFile


def implicit_emotion(path: Path, length: int, shot: str, frame: int) -> NDArray[np.float32]:
    """Read row `start[shot] + frame` of the table.

    Args:
        path: The `.npz` with `emo_spec_names`, `emo_spec_start`, `emo_spec_size` and `emo_db`.
        length: Width the network expects.
        shot: `source_shot` of the model's configuration.
        frame: `source_frame`, 0-based within the shot.

    Returns:
        Shape (length,).

    Raises:
        ModelNotFoundError: No such file.
        ModelFormatError: Arrays missing or inconsistent, an unknown shot, or a frame outside it.
    """
    with ArrayFile(path) as arrays:
        names = arrays.texts("emo_spec_names")
        starts, sizes = arrays.integers("emo_spec_start"), arrays.integers("emo_spec_size")
        table = arrays.floats("emo_db")
    if not len(names) == len(starts) == len(sizes):
        raise ModelFormatError(
            f"{path}: found {len(names)} emo_spec_names, {len(starts)} emo_spec_start and {len(sizes)} emo_spec_size, "
            "expected the same number of each"
        )
    if table.ndim != 2 or table.shape[1] != length:
        raise ModelFormatError(
            f"{path}: array 'emo_db': found shape {table.shape}, expected (rows, {length}) as implicit_emotion_len says"
        )
    if shot not in names:
        raise ModelFormatError(f"{path}: found no shot {shot!r} (source_shot), expected one of: {', '.join(names)}")
    start, size = int(starts[names.index(shot)]), int(sizes[names.index(shot)])
    if frame >= size:
        raise ModelFormatError(f"{path}: found source_frame {frame}, expected 0 to {size - 1} as in shot {shot!r}")
    if not 0 <= start + frame < len(table):
        raise ModelFormatError(
            f"{path}: shot {shot!r} puts source_frame {frame} in row {start + frame}, expected a row of emo_db, "
            f"which has {len(table)}"
        )
    return np.array(table[start + frame], np.float32)
