"""Array files (`.npz`) of a model folder, read without pickle; every error names the file and the array.

Numbers are converted to the type that the format
asks for where their kind is right (float64 to float32, int64 to int32), and refused otherwise.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ....archives import ArchiveError, ArrayArchive
from ....errors import ModelFormatError, ModelNotFoundError


class ArrayFile:
    """An open `.npz`; arrays are read when asked for. A context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ModelNotFoundError: No such file.
            ModelFormatError: Not an `.npz` file, or one that would unpack to more than any model has.
        """
        self.path = path
        if path.suffix != ".npz":
            raise ModelFormatError(f"{path}: found the ending {path.suffix!r}, expected an array file ending in '.npz'")
        try:
            self._arrays = ArrayArchive(path)
        except FileNotFoundError as error:
            raise ModelNotFoundError(f"{path}: no such file, expected an array file (.npz)") from error
        except (OSError, ArchiveError) as error:
            raise ModelFormatError(f"{path}: is not an array file (.npz): {error}") from error

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._arrays.close()

    def __contains__(self, name: str) -> bool:
        return name in self._arrays.names

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return self._arrays.names

    def vertices(self, name: str) -> NDArray[np.float32]:
        """Shape (3 V,): flat x, y, z of V vertices, stored as (V, 3) or flat."""
        values = self.floats(name)
        if not values.size or values.size % 3:
            self._refuse(name, f"{values.size} values", "x, y, z for each of one or more vertices")
        return values.ravel()

    def floats(self, name: str) -> NDArray[np.float32]:
        """A float array in its own shape; all values finite."""
        values = self._array(name, "f", "floating-point numbers")
        single = np.ascontiguousarray(values, np.float32)
        if not np.isfinite(single).all():
            bad = int(np.flatnonzero(~np.isfinite(single.ravel()))[0])
            self._refuse(name, f"{single.ravel()[bad]} at position {bad}", "finite numbers")
        return single

    def integers(self, name: str) -> NDArray[np.int32]:
        """Shape (n,): whole numbers that fit 32 bits."""
        values = self._array(name, "iu", "whole numbers").ravel()
        limits = np.iinfo(np.int32)
        if values.size and (int(values.min()) < limits.min or int(values.max()) > limits.max):
            self._refuse(name, f"values from {values.min()} to {values.max()}", "whole numbers of 32 bits")
        return values.astype(np.int32)

    def texts(self, name: str) -> list[str]:
        """Strings, stored as NumPy bytes or as unicode."""
        values = self._array(name, "SU", "strings").ravel()
        if values.dtype.kind == "U":
            return [str(value) for value in values]
        try:
            return [value.decode("utf-8") for value in values.tolist()]
        except UnicodeDecodeError as error:
            raise ModelFormatError(f"{self.path}: array {name!r}: is not UTF-8 text ({error})") from error

    def refuse_size(self, name: str, found: int, expected: int, reason: str) -> None:
        """Check a total number of values.

        Raises:
            ModelFormatError: `found` differs from `expected`, which `reason` explains.
        """
        if found != expected:
            self._refuse(name, f"{found} values", f"{expected} ({reason})")

    def _array(self, name: str, kinds: str, expected: str) -> NDArray[np.generic]:
        if name not in self._arrays.names:
            raise ModelFormatError(f"{self.path}: array {name!r} is missing, expected {expected}")
        try:
            values = self._arrays.read(name)
        except ArchiveError as error:
            raise ModelFormatError(f"{self.path}: array {name!r} cannot be read: {error}") from error
        if values.dtype.kind not in kinds:
            self._refuse(name, f"type {values.dtype}", expected)
        return values

    def _refuse(self, name: str, found: str, expected: str) -> NoReturn:
        raise ModelFormatError(f"{self.path}: array {name!r}: found {found}, expected {expected}")
