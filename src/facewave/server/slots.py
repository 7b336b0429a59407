"""How many streams may run at once: counted in one process, or over all worker processes of one server."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_COUNT = struct.Struct("<q")


class Slots:
    """A number of places, one for each stream."""

    def __init__(self, total: int) -> None:
        self.total = total
        """Places there are."""
        self._used = 0

    @property
    def used(self) -> int:
        """Places taken."""
        return self._used

    def take(self) -> bool:
        """Take a place if one is free."""
        if self._used >= self.total:
            return False
        self._used += 1
        return True

    def give_back(self) -> None:
        """Return a place."""
        self._used -= 1


class SharedSlots(Slots):
    """Places shared by worker processes: each counts its own in a file all of them have mapped.

    A worker that dies takes no place with it: whoever starts its successor calls `clear`, and the file lock that
    guards the sum is released by the operating system.
    """

    def __init__(self, path: Path, total: int, workers: int, index: int | None = None) -> None:
        """Args: the file, places, workers, and which of them this is (None for their parent, which only looks)."""
        super().__init__(total)
        self._index = index
        self._workers = workers
        size = workers * _COUNT.size
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(self._file).st_size < size:
            os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size)

    @property
    def used(self) -> int:
        """Places taken by all workers."""
        return sum(self._counts())

    def take(self) -> bool:
        """Take a place if one is free."""
        with self._locked():
            if self.used >= self.total:
                return False
            self._add(1)
            return True

    def give_back(self) -> None:
        """Return a place."""
        with self._locked():
            self._add(-1)

    def clear(self, index: int) -> None:
        """Forget the places of a worker that is gone."""
        with self._locked():
            _COUNT.pack_into(self._map, index * _COUNT.size, 0)

    def _counts(self) -> list[int]:
        return [_COUNT.unpack_from(self._map, i * _COUNT.size)[0] for i in range(self._workers)]

    def _add(self, change: int) -> None:
        assert self._index is not None, "the parent takes no places"
        at = self._index * _COUNT.size
        _COUNT.pack_into(self._map, at, _COUNT.unpack_from(self._map, at)[0] + change)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl  # Only where worker processes can share a port, which excludes Windows.

        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
