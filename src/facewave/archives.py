"""Array archives (`.npz`) from anywhere: read without pickle, and never larger than they say.

An `.npz` is a zip archive of `.npy` members, stored or deflated. A header may claim any size and a few kilobytes of
deflate may stand for gigabytes, so both are checked before memory is asked for.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 8 << 30
"""Unpacked size of all arrays of a file; the largest published model has about 0.2 GB."""

MAX_RATIO = 2000
"""Unpacked to packed size; deflate reaches about 1000 on zeros, so more is a made-up number."""

MAX_MEMBERS = 10_000
"""Arrays of a file."""

_ENDING = ".npy"


class ArchiveError(ValueError):
    """An archive that cannot be used; the message is a reason, to which the reader adds the file's name."""


class ArrayArchive:
    """An open archive; arrays are read when asked for. A context manager."""

    def __init__(self, source: Path | bytes, *, max_bytes: int | None = None) -> None:
        """Open a file, or what is in memory; `max_bytes` of unpacked arrays (None: `MAX_BYTES`).

        Raises:
            OSError: A file that cannot be opened.
            ArchiveError: Not an archive, or one that would unpack to more than is allowed.
        """
        self._file: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        try:
            self._open(MAX_BYTES if max_bytes is None else max_bytes)
        except BaseException:
            self._file.close()
            raise

    def _open(self, max_bytes: int) -> None:
        try:
            self._zip = zipfile.ZipFile(self._file)
        except Exception as error:  # Damage meets zipfile in a dozen types.
            raise ArchiveError(_reason(error)) from error
        members = self._zip.infolist()
        unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
        if unpacked > max_bytes or unpacked > MAX_RATIO * max(packed, 1024) or len(members) > MAX_MEMBERS:
            raise ArchiveError(
                f"its {packed} bytes would unpack to {unpacked} in {len(members)} arrays, expected at most "
                f"{max_bytes}, {MAX_RATIO} times the packed size and {MAX_MEMBERS} arrays"
            )
        self._members = {member.filename.removesuffix(_ENDING): member for member in members}

    def __enter__(self) -> ArrayArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return list(self._members)

    def read(self, name: str) -> NDArray[np.generic]:
        """One array of plain values.

        Raises:
            ArchiveError: Damaged, of Python objects or fields, or larger than its place in the file.
        """
        member = self._members[name]
        try:
            with self._zip.open(member) as file:
                self._check_header(file, member.file_size)
            with self._zip.open(member) as file:
                values: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
                # Only what has been read to its end has had its checksum compared.
                file.read(1)
                return values
        except ArchiveError:
            raise
        except Exception as error:  # Damage meets zipfile, zlib and numpy in a dozen types.
            raise ArchiveError(_reason(error)) from error

    def _check_header(self, file: IO[bytes], size: int) -> None:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ArchiveError(f"found array format {version}, expected 1.0 or 2.0")
        shape, _, dtype = readers[version](file)
        if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
            raise ArchiveError(f"found elements of type {str(dtype)[:80]}, expected plain numbers or text")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
            raise ArchiveError(f"found shape {str(shape)[:80]}, more than the {size} bytes it has in the file")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
