"""Outputs: the table of file formats, and the two doors to it, one in and one out.

To add a format, write a module with `write(animation, file)` (and `recognises(head)` and `read(path, data, keep)` if
it can be read back) and give it a row here. A format that can be put on a model of the user's says so in its row; its
`write` then also takes `avatar` and may return an `AvatarReport`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from csv import Error as CsvError
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO

from ..errors import AnimationFileError, OutputError, SettingsError
from ..frames import Animation
from .avatar import AvatarReport
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

    avatar: str = ""
    """What `avatar` means to it; blank where it takes none."""


_USD_AVATAR = "a .usd, .usda, .usdc or .usdz stage"
_GLTF_AVATAR = "a .glb, .gltf or .vrm model"

FORMATS: tuple[FileFormat, ...] = (
    FileFormat(".livelink.csv", "livelink_csv", "Live Link Face recordings: Unreal's importer, Faceit"),
    FileFormat(".metahuman.csv", "metahuman", "MetaHuman curves: Unreal's Rig Mapper", readable=False),
    FileFormat(".csv", "csv", "NVIDIA's sample client, pandas, spreadsheets"),
    FileFormat(".glb", "gltf.glb", "three.js, Unreal, Unity, Godot, Blender, Windows", avatar=_GLTF_AVATAR),
    FileFormat(".gltf", "gltf.text", "the same as text, all in one file", avatar=_GLTF_AVATAR),
    FileFormat(".vrma", "gltf.vrma", "VRM avatars: VTuber applications, three-vrm, UniVRM", avatar="a .vrm model"),
    FileFormat(
        ".usda",
        "usd.usda",
        "Omniverse, Maya, Houdini, Blender: UsdSkel blend shapes",
        readable=False,
        avatar=_USD_AVATAR,
    ),
    FileFormat(".usdc", "usd.usdc", "the same, binary", readable=False, avatar=_USD_AVATAR),
    FileFormat(".blender.py", "blender", "Blender: run it there", readable=False, avatar="the name of an object"),
    FileFormat(".anim", "unity", "Unity", readable=False, avatar="the path of the SkinnedMeshRenderer"),
    FileFormat(".azure.json", "azure_json", "players of Azure's viseme events", visemes=True, frame_rate=60),
    FileFormat(".json", "json", "Audio2Face's export: Blender, Maya and Reallusion loaders"),
    FileFormat(".html", "html", "people: one web page with the head, the sound and the curves", readable=False),
    FileFormat(".mp4", "video", "players and editors: a film of the head with its sound", readable=False, slow=True),
    FileFormat(".npz", "npz", "facewave's own, exact: numpy", visemes=True),
    FileFormat(".parquet", "parquet", "pandas, DuckDB, Spark: one row a frame", visemes=True),
    FileFormat(".txt", "timeline", "people: when which viseme, closed lips and emotion", readable=False, visemes=True),
)
"""Longer extensions first, so that `x.livelink.csv` is not taken for a plain CSV; glTF's text before other JSON."""


def open_file_output(path: Path, *, avatar: Path | None = None) -> Output:
    """An output that writes the format the extension names, onto a model where one is given.

    Raises:
        OutputError: No format has this extension, or it takes no model; the message lists those there are.
    """
    return TakeFile(path, _writer(path, avatar))


def write_animation(
    animation: Animation,
    path: Path,
    *,
    emotions: Path | None = None,
    visemes: Path | None = None,
    avatar: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> AvatarReport | None:
    """Write a whole animation, and its emotion and viseme tracks to CSVs of their own.

    `avatar` is what the take is put on, as the format's row says; returned is what of it follows, where that is known.
    `progress` is called with the share done, 0..1, by the formats that take long.

    Raises:
        OutputError: Unknown extension, no such track to write, a file that cannot be written, or a model that nothing
            of the take fits.
        AnimationFileError: The model cannot be read.
    """
    from . import csv

    write = _writer(path, avatar, progress)
    if emotions is not None:
        write_whole(emotions, csv.write_emotions, animation)
    if visemes is not None:
        write_whole(visemes, csv.write_visemes, animation)
    told = write_whole(path, write, animation)
    return told if avatar is not None else None


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
            except CsvError as error:
                raise AnimationFileError(f"{path}: not CSV that can be read ({error})") from error
            except UnicodeDecodeError as error:
                raise AnimationFileError(f"{path}: not text in UTF-8 ({error.reason} at byte {error.start})") from error
            except SettingsError as error:  # A value of ours refused what the file says.
                raise AnimationFileError(f"{path}: {error}") from error
            return animation
    raise AnimationFileError(f"{path}: not an animation facewave can read, expected {extensions()}")


def check_extension(path: Path, *, avatar: Path | None = None) -> None:
    """Fail early for a file no format is meant by, or whose format takes no model.

    Raises:
        OutputError: Says which formats there are.
    """
    _writer(path, avatar)


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


def _writer(
    path: Path, avatar: Path | None, progress: Callable[[float], None] | None = None
) -> Callable[[Animation, IO[bytes]], AvatarReport | None]:
    row = _format_of(path)
    if avatar is not None and not row.avatar:
        able = "; ".join(f"{other.extension} ({other.avatar})" for other in FORMATS if other.avatar)
        raise OutputError(f"{path}: {row.extension} cannot be put on {avatar}; these can: {able}")
    write: Callable[..., AvatarReport | None] = _module(row).write
    if row.slow:
        return partial(write, progress=progress)
    return write if avatar is None else partial(write, avatar=avatar)


def _module(row: FileFormat) -> ModuleType:
    return import_module(f".{row.module}", __name__)
