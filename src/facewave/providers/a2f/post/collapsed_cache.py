"""Keeps collapsed matrices on disk, so that a model that was used before needs none of its meshes again.

An entry's name is a hash of everything it was made from; a changed file therefore never meets an old entry. Entries
are npz files without pickled objects. A damaged one counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ....archives import ArchiveError, ArrayArchive
from .collapsed import CollapsedSkin, CollapsedTongue, SkinProjection, TongueProjection

_FORMAT = 1
"""Raised when the meaning of the matrices changes; part of every key."""

_READ_BYTES = 1 << 20

_Entry = TypeVar("_Entry", CollapsedSkin, CollapsedTongue, SkinProjection, TongueProjection)

_PARTS: Mapping[type, type[CollapsedSkin] | type[CollapsedTongue]] = {
    SkinProjection: CollapsedSkin,
    TongueProjection: CollapsedTongue,
}
"""What the field `collapsed` of a projection is."""


def content_key(*parts: NDArray[np.generic] | Path | str | float | None) -> str:
    """A hash of arrays (type, shape and values), files (by content), words and numbers, in this order.

    Raises:
        OSError: A file that cannot be read.
    """
    digest = hashlib.blake2b(str(_FORMAT).encode(), digest_size=20)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"|array {part.dtype.str} {part.shape}|".encode())
            digest.update(np.ascontiguousarray(part).view(np.uint8).data)
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
            kind: `CollapsedSkin`, `CollapsedTongue`, `SkinProjection` or `TongueProjection`.
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
        with ArrayArchive(path) as archive:
            return _entry(kind, {name: archive.read(name) for name in archive.names})
    except (OSError, ArchiveError, KeyError):
        return None


def _entry(kind: type[_Entry], archive: Mapping[str, NDArray[Any]]) -> _Entry:
    values = _values(kind, archive)
    if kind in _PARTS:
        values["collapsed"] = _PARTS[kind](**_values(_PARTS[kind], archive))
    return kind(**values)


def _values(kind: type, archive: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    found = {name: archive[name] for name in _names(kind)}
    return {name: float(value) if value.ndim == 0 else value for name, value in found.items()}


def _names(kind: type) -> list[str]:
    """Fields that are arrays or numbers; those of a projection and of its collapsed matrices have no name in common."""
    return [field.name for field in fields(kind) if field.name != "collapsed"]


def _store(entry: _Entry, path: Path) -> None:
    arrays: dict[str, Any] = {name: getattr(entry, name) for name in _names(type(entry))}
    if isinstance(entry, SkinProjection | TongueProjection):
        arrays |= {name: getattr(entry.collapsed, name) for name in _names(type(entry.collapsed))}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
