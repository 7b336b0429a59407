"""Outputs: the table of file formats, and the two doors to it, one in and one out.

To add a format, write a module with `write(animation, file)` (and `recognises(head)` and `read(path, data, keep)` if
it can be read back) and give it a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..errors import AnimationFileError, OutputError, SettingsError
from ..frames import Animation
from .base import Output, TakeFile, write_whole


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One animation file format."""

    extension: str
    """How file names of this format end."""

    module: str
    """Module of this folder that writes it."""

    summary: str
    """Who reads it."""

    readable: bool = True
    """Whether facewave reads it back."""

    slow: bool = False
    """Whether writing takes so long that it tells its progress; its `write` then takes `progress`."""

    visemes: bool = False
    """Whether it shows a viseme track, so that making one is worth the while."""

    frame_rate: int | None = None
    """The only frame rate it has; animations of another are resampled. None where it has any."""


FORMATS: tuple[FileFormat, ...] = (
    FileFormat(".livelink.csv", "livelink_csv", "Live Link Face recordings: Unreal's importer, Faceit"),
    FileFormat(".metahuman.csv", "metahuman", "MetaHuman curves: Unreal's Rig Mapper", readable=False),
    FileFormat(".csv", "csv", "NVIDIA's sample client, pandas, spreadsheets"),
    FileFormat(".azure.json", "azure_json", "players of Azure's viseme events", visemes=True, frame_rate=60),
    FileFormat(".json", "json", "Audio2Face's export: Blender, Maya and Reallusion loaders"),
    FileFormat(".html", "html", "people: one web page with the head, the sound and the curves", readable=False),
    FileFormat(".mp4", "video", "players and editors: a film of the head with its sound", readable=False, slow=True),
    FileFormat(".npz", "npz", "facewave's own, exact: numpy", visemes=True),
    FileFormat(".parquet", "parquet", "pandas, DuckDB, Spark: one row a frame", visemes=True),
    FileFormat(".txt", "timeline", "people: when which viseme, closed lips and emotion", readable=False, visemes=True),
)
"""Longer extensions first, so that `x.livelink.csv` is not taken for a plain CSV."""


def open_file_output(path: Path) -> Output:
    """An output that writes the format the extension names.

    Raises:
        OutputError: No format has this extension; the message lists those there are.
    """
    return TakeFile(path, _module(_format_of(path)).write)


def write_animation(
    animation: Animation,
    path: Path,
    *,
    emotions: Path | None = None,
    visemes: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a whole animation, and its emotion and viseme tracks to CSVs of their own.

    `progress` is called with the share done, 0..1, by the formats that take long.

    Raises:
        OutputError: Unknown extension, no such track to write, or a file that cannot be written.
    """
    from . import csv

    row = _format_of(path)
    module = _module(row)
    if emotions is not None:
        write_whole(emotions, csv.write_emotions, animation)
    if visemes is not None:
        write_whole(visemes, csv.write_visemes, animation)
    write_whole(path, partial(module.write, progress=progress) if row.slow else module.write, animation)


def read_animation(path: Path, keep: Collection[str] = ()) -> Animation:
    """Read an animation file; which format it is, its content tells.

    Args:
        path: The file.
        keep: Names of columns outside the 68 channels that are wanted too.

    Raises:
        AnimationFileError: Missing, unreadable, or none of the formats.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnimationFileError(f"{path}: cannot be read ({error.strerror})") from error
    for row in FORMATS:
        module = _module(row)
        if row.readable and module.recognises(data[:512]):
            try:
                animation: Animation = module.read(path, data, *([keep] if keep else []))
            except UnicodeDecodeError as error:
                raise AnimationFileError(f"{path}: not text in UTF-8 ({error.reason} at byte {error.start})") from error
            except SettingsError as error:  # A value of ours refused what the file says.
                raise AnimationFileError(f"{path}: {error}") from error
            return animation
    raise AnimationFileError(f"{path}: not an animation facewave can read, expected {extensions()}")


def check_extension(path: Path) -> None:
    """Fail early for a file no format is meant by.

    Raises:
        OutputError: No format has this extension; the message lists those there are.
    """
    _format_of(path)


def shows_visemes(name: str) -> bool:
    """Whether files of this name or extension show a viseme track.

    Raises:
        OutputError: No format has this extension.
    """
    return _format_of(Path(name)).visemes


def extensions() -> str:
    """The extensions of all formats, for messages and help texts."""
    return ", ".join(row.extension for row in FORMATS)


def _format_of(path: Path) -> FileFormat:
    name = path.name.lower()
    for row in FORMATS:
        if name.endswith(row.extension):
            return row
    raise OutputError(f"{path}: no output format for extension {path.suffix or '(none)'!r}, expected {extensions()}")


def _module(row: FileFormat) -> ModuleType:
    return import_module(f".{row.module}", __name__)
