"""Keeps collapsed matrices on disk, so that a model that was used before needs none of its meshes again.

An entry's name is a hash of everything it was made from; a changed file therefore never meets an old entry. Entries
are npz files without pickled objects. A damaged one counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .collapsed import CollapsedSkin, CollapsedTongue

_FORMAT = 1
"""Raised when the meaning of the matrices changes; part of every key."""

_READ_BYTES = 1 << 20

_Entry = TypeVar("_Entry", CollapsedSkin, CollapsedTongue)


def content_key(*parts: NDArray[np.generic] | Path | str | float | None) -> str:
    """A hash of arrays (type, shape and values), files (by content), words and numbers, in this order.

    Raises:
        OSError: A file that cannot be read.
    """
    digest = hashlib.blake2b(str(_FORMAT).encode(), digest_size=20)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"|array {part.dtype.str} {part.shape}|".encode())
            digest.update(memoryview(np.ascontiguousarray(part)).cast("B"))
        elif isinstance(part, Path):
            digest.update(f"|file {part.stat().st_size}|".encode())
            with part.open("rb") as file:
                while block := file.read(_READ_BYTES):
                    digest.update(block)
        else:
            digest.update(f"|{type(part).__name__} {part!r}|".encode())
    return digest.hexdigest()


class CollapsedCache:
    """A folder of collapsed matrices."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is made when the first entry is written; None keeps nothing."""
        self.folder = folder

    def get(self, kind: type[_Entry], key: str, build: Callable[[], _Entry]) -> _Entry:
        """The entry of a key, from disk or else from `build`, then stored.

        A folder that cannot be written costs only the time to build again.

        Args:
            kind: `CollapsedSkin` or `CollapsedTongue`.
            key: From `content_key`, over everything the entry depends on.
            build: Makes the entry.
        """
        if self.folder is None:
            return build()
        path = self.folder / f"{kind.KIND}-{key}.npz"
        found = _load(kind, path)
        if found is not None:
            return found
        entry = build()
        with contextlib.suppress(OSError):
            _store(entry, path)
        return entry


def _load(kind: type[_Entry], path: Path) -> _Entry | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = {field.name: archive[field.name] for field in fields(kind)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return kind(**{name: float(value) if value.ndim == 0 else value for name, value in values.items()})


def _store(entry: CollapsedSkin | CollapsedTongue, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **{field.name: np.asarray(getattr(entry, field.name)) for field in fields(entry)})
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
