"""The second seam: an output takes the stream's description, then its frames."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol, TypeVar

from ..blendshapes import canonical
from ..errors import AnimationFileError, OutputError
from ..frames import Animation, Frame, StreamInfo

_LOG = logging.getLogger("facewave")

T = TypeVar("T")


class Output(Protocol):
    """Where frames go: a file, a socket, a screen."""

    def start(self, info: StreamInfo) -> None:
        """Begin a stream; once, before any frame."""
        ...

    def write(self, frame: Frame) -> None:
        """Take the next frame.

        Raises:
            OutputError: The target cannot take it.
        """
        ...

    def close(self) -> None:
        """End the stream: a file appears whole under its name. Safe to call twice."""
        ...

    def abort(self) -> None:
        """Give the stream up: a file that was there before is as it was. Safe to call twice, and after `close`."""
        ...


class TakeFile:
    """An output that collects the stream and writes its file at the end, for formats that need the whole take."""

    def __init__(self, path: Path, write: Callable[[Animation, IO[bytes]], object]) -> None:
        self._path = path
        self._write = write
        self._info: StreamInfo | None = None
        self._frames: list[Frame] = []

    def start(self, info: StreamInfo) -> None:
        """Begin a stream."""
        self._info, self._frames = info, []

    def write(self, frame: Frame) -> None:
        """Keep the next frame."""
        if self._info is None:
            raise OutputError(f"{self._path}: a frame before the start of the stream")
        self._frames.append(frame)

    def close(self) -> None:
        """Write the file."""
        if self._info is not None:
            info, self._info = self._info, None
            write_whole(self._path, self._write, Animation.from_frames(info, self._frames))

    def abort(self) -> None:
        """Forget what was collected."""
        self._info = None


def write_whole(path: Path, write: Callable[[Animation, IO[bytes]], T], animation: Animation) -> T:
    """Write to a temporary file beside `path`, then rename it: the file is complete or was never touched.

    Returns what `write` returns.

    Raises:
        OutputError: The folder is missing or closed to us, or the disk is full.
    """
    return _write_file(path, lambda file: write(animation, file))


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, in the same way.

    Raises:
        OutputError: The folder is missing or closed to us, or the disk is full.
    """
    _write_file(path, lambda file: file.write(text.encode()))


def _write_file(path: Path, write: Callable[[IO[bytes]], T]) -> T:
    if path.is_dir():
        raise OutputError(f"{path}: is a directory, expected a file name")
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(descriptor)
        with open(temporary, "wb") as file:  # By name, so that a format which refers to other files knows its folder.
            told = write(file)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
        return told
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)


def known_channels(path: Path, names: Sequence[str], keep: Collection[str] = ()) -> list[str | None]:
    """The channel that each column of a file is, None for what is left out; a warning names those.

    Args:
        path: The file, for messages.
        names: Its columns as they are spelled there.
        keep: Names outside the 68 channels that are kept as they are, with or without a prefix up to the last dot.

    Raises:
        AnimationFileError: Two columns are the same channel.
    """
    found = [_channel(name, keep) for name in names]
    left_out = [name for name, channel in zip(names, found, strict=True) if channel is None]
    twice = sorted({channel for channel in found if channel is not None and found.count(channel) > 1})
    if twice:
        raise AnimationFileError(f"{path}: two columns are the channel {twice[0]}; expected each once")
    if left_out and len(left_out) < len(names):
        _LOG.warning("%s: left out what names no blend shape: %s", path, _listed(left_out))
    return found


def _channel(name: str, keep: Collection[str]) -> str | None:
    for spelling in (name, name.rsplit(".", 1)[-1]):
        if spelling in keep:
            return spelling
    return canonical(name)


def _listed(names: Sequence[str], most: int = 5) -> str:
    return (
        ", ".join(map(repr, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "") or "none"
    )


def _umask() -> int:
    """The process's file mask; mkstemp ignores it and makes private files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
