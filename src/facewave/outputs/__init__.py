"""Outputs: the table of file formats, and the two doors to it, one in and one out.

To add a format, write a module with `write(animation, file)` (and `recognises`, `read` if it can be read back) and give
it a row here.
"""

from __future__ import annotations

from csv import Error as CsvError
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..errors import AnimationFileError, OutputError
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


FORMATS: tuple[FileFormat, ...] = (
    FileFormat(".livelink.csv", "livelink_csv", "Live Link Face recordings: Unreal's importer, Faceit"),
    FileFormat(".csv", "csv", "NVIDIA's sample client, pandas, spreadsheets"),
    FileFormat(".json", "json", "Audio2Face's export: Blender, Maya and Reallusion loaders"),
    FileFormat(".html", "html", "people: one web page with the head, the sound and the curves", readable=False),
    FileFormat(".npz", "npz", "facewave's own, exact: numpy"),
)
"""Longer extensions first, so that `x.livelink.csv` is not taken for a plain CSV."""


def open_file_output(path: Path) -> Output:
    """An output that writes the format the extension names.

    Raises:
        OutputError: No format has this extension; the message lists those there are.
    """
    return TakeFile(path, _module(_format_of(path)).write)


def write_animation(
    animation: Animation, path: Path, *, emotions: Path | None = None, visemes: Path | None = None
) -> None:
    """Write a whole animation, and its emotion and viseme tracks to CSVs of their own.

    Raises:
        OutputError: Unknown extension, no such track to write, or a file that cannot be written.
    """
    from . import csv

    module = _module(_format_of(path))
    if emotions is not None:
        write_whole(emotions, csv.write_emotions, animation)
    if visemes is not None:
        write_whole(visemes, csv.write_visemes, animation)
    write_whole(path, module.write, animation)


def read_animation(path: Path) -> Animation:
    """Read an animation file; which format it is, its content tells.

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
                animation: Animation = module.read(path, data)
            except CsvError as error:
                raise AnimationFileError(f"{path}: not CSV that can be read ({error})") from error
            except UnicodeDecodeError as error:
                raise AnimationFileError(f"{path}: not text in UTF-8 ({error.reason} at byte {error.start})") from error
            return animation
    raise AnimationFileError(f"{path}: not an animation facewave can read, expected {extensions()}")


def check_extension(path: Path) -> None:
    """Fail early for a file no format is meant by.

    Raises:
        OutputError: No format has this extension; the message lists those there are.
    """
    _format_of(path)


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
