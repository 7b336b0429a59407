"""Parquet: one row a frame, for pandas, DuckDB, Spark and everything else that reads tables.

Columns `frame`, `time` (seconds), one a channel (float32), and the tracks there are as `emotion.joy`, `viseme.PP`,
`head.yaw`. The schema's metadata holds `facewave.frame_rate` (a ratio), `facewave.provider` and `facewave.audio`.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..emotions import EMOTIONS
from ..errors import AnimationFileError, OutputError
from ..frames import Animation, StreamInfo
from ..timing import frame_rate
from ..visemes import VISEMES
from .base import known_channels
from .csv import rate_from_times

_FRAME, _TIME = "frame", "time"
_RATE, _PROVIDER, _AUDIO = (f"facewave.{name}".encode() for name in ("frame_rate", "provider", "audio"))
TRACKS: Mapping[str, tuple[str, ...]] = {
    "emotions": tuple(f"emotion.{name}" for name in EMOTIONS),
    "visemes": tuple(f"viseme.{name}" for name in VISEMES),
    "head": ("head.yaw", "head.pitch", "head.roll"),
}
"""Track of an animation -> its columns."""

_INSTALL = "needs pyarrow: install it with  pip install 'facewave[parquet]'"


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write the whole take.

    Raises:
        OutputError: The package pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise OutputError(f".parquet {_INSTALL}") from error
    columns: dict[str, NDArray[Any]] = {_FRAME: np.arange(len(animation)), _TIME: animation.times}
    columns |= dict(zip(animation.channels, animation.weights.T, strict=True))
    for track, names in TRACKS.items():
        if (values := getattr(animation, track)) is not None:
            columns |= dict(zip(names, values.T, strict=True))
    info = animation.info
    metadata = {_RATE: str(info.frame_rate), _PROVIDER: info.provider, _AUDIO: str(info.audio or "")}
    table = pyarrow.table({name: np.ascontiguousarray(values) for name, values in columns.items()})
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file, compression="zstd")


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format."""
    return head.startswith(b"PAR1")


def read(path: Path, data: bytes, keep: Collection[str] = ()) -> Animation:
    """Read a table of this form, or any with a time column and columns named as channels, in any spelling.

    Raises:
        AnimationFileError: Says which column is wrong, or that pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise AnimationFileError(f"{path}: {_INSTALL}") from error
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
        columns = {name: _numbers(path, name, table.column(i)) for i, name in enumerate(table.column_names)}
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise AnimationFileError(f"{path}: not a Parquet table that can be read ({error})") from error
    metadata = table.schema.metadata or {}
    tracks = {
        track: np.stack([columns.pop(name) for name in names], axis=1).astype(np.float32)
        for track, names in TRACKS.items()
        if set(names) <= set(columns)
    }
    columns.pop(_FRAME, None)
    times = columns.pop(_TIME, columns.pop("timeCode", None))
    if _RATE in metadata:
        rate = frame_rate(metadata[_RATE].decode())
    elif times is not None:
        rate = rate_from_times(path, times)
    else:
        raise AnimationFileError(f"{path}: no frame rate in the metadata and no column {_TIME!r}, expected one of them")
    names = list(columns)
    found = known_channels(path, names, keep)
    weights = [columns[name] for name, channel in zip(names, found, strict=True) if channel is not None]
    if not weights:
        raise AnimationFileError(f"{path}: no column names a blend shape; expected columns such as jawOpen")
    audio = metadata.get(_AUDIO, b"").decode()
    info = StreamInfo(
        rate,
        tuple(channel for channel in found if channel is not None),
        Path(audio) if audio else None,
        metadata.get(_PROVIDER, b"").decode(),
    )
    return Animation(info, np.stack(weights, axis=1).astype(np.float32), **tracks)


def _numbers(path: Path, name: str, column: Any) -> NDArray[np.float64]:
    """A column as numbers, shape (rows,)."""
    import pyarrow

    if not (pyarrow.types.is_floating(column.type) or pyarrow.types.is_integer(column.type)):
        return np.zeros(len(column))
    values = np.asarray(column.to_numpy(), np.float64)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise AnimationFileError(f"{path}: column {name!r} holds no finite number in row {row}")
    return values
