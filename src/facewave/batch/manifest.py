"""The manifest of a batch: one JSON line a clip, added as soon as its animation is in place.

Killed at any moment, it holds what was finished; a line that was cut short counts for nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import OutputError

FILE = "manifest.jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one clip."""

    input: str
    """The audio file, as it was named."""

    output: str
    """The animation, relative to the manifest, with `/`."""

    hash: str = ""
    """Digest of audio, settings and model."""

    output_sha256: str = ""
    """SHA-256 of the animation file."""

    duration_s: float | None = None
    """Seconds of audio."""

    frames: int | None = None
    """Frames written."""

    fps: str = ""
    """Frames per second, a ratio."""

    spent_s: float = 0.0
    """Seconds it took."""

    error: str | None = None
    """Why there is no animation."""


class Manifest:
    """The manifest of one output folder; use it as a context."""

    def __init__(self, folder: Path) -> None:
        """Read what there is, and rewrite it without cut and outdated lines.

        Raises:
            OutputError: The folder cannot be made or written.
        """
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.rows = {row.output: row for row in _rows(self.path)}
            """Output -> the latest line about it."""
            if self.rows:
                _write(self.path, self.rows.values())
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def add(self, row: Row) -> None:
        """Note a clip; on the disk when this returns.

        Raises:
            OutputError: The disk is full, or the file is gone.
        """
        self.rows[row.output] = row
        try:
            self._file.write(_line(row))
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def _rows(path: Path) -> Iterable[Row]:
    if not path.exists():
        return
    known = {field.name for field in fields(Row)}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
            yield Row(**{name: value for name, value in values.items() if name in known})
        except (ValueError, TypeError, AttributeError):
            continue  # Cut short when the last run was killed: its clip is done again.


def _write(path: Path, rows: Iterable[Row]) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(map(_line, rows))
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _line(row: Row) -> str:
    return json.dumps(asdict(row), ensure_ascii=False) + "\n"
