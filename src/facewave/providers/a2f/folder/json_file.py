"""JSON files of a model folder, read key by key: every error names the file, the key, what was found and expected."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ....documents import parse
from ....errors import ModelFormatError, ModelNotFoundError

_MAX_BYTES = 64 << 20
"""A model's JSON files have a few kilobytes; anything above this is some other file."""


class JsonObject:
    """One object of a JSON file. Keys nobody asks for are ignored, as in NVIDIA's SDK."""

    def __init__(self, path: Path, values: dict[str, Any], where: str = "") -> None:
        self.path = path
        self.values = values
        self._where = where

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def object(self, key: str) -> JsonObject:
        """The object under `key`."""
        value = self._get(key, dict, "an object {...}")
        return JsonObject(self.path, value, self._name(key))

    def objects(self, key: str) -> list[JsonObject]:
        """The list of objects under `key`."""
        values = self._get(key, list, "a list of objects")
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                self._refuse(f"{key}[{index}]", value, "an object {...}")
        return [JsonObject(self.path, value, f"{self._name(key)}[{index}]") for index, value in enumerate(values)]

    def text(self, key: str) -> str:
        """The string under `key`."""
        return str(self._get(key, str, "a string"))

    def texts(self, key: str) -> list[str]:
        """The list of strings under `key`."""
        values = self._get(key, list, "a list of strings")
        for index, value in enumerate(values):
            if not isinstance(value, str):
                self._refuse(f"{key}[{index}]", value, "a string")
        return list(values)

    def boolean(self, key: str) -> bool:
        """The `true` or `false` under `key`; 0 and 1 are not accepted."""
        return bool(self._get(key, bool, "true or false"))

    def number(self, key: str) -> float:
        """The finite number under `key`."""
        return self._number(key, self._get(key, object, "a number"))

    def numbers(self, key: str, length: int | None = None) -> list[float]:
        """The list of finite numbers under `key`, of `length` where that is given."""
        values = self._list(key, length, "numbers")
        return [self._number(f"{key}[{index}]", value) for index, value in enumerate(values)]

    def integer(self, key: str, minimum: int | None = None) -> int:
        """The whole number under `key`."""
        value = self._integer(key, self._get(key, object, "a whole number"))
        if minimum is not None and value < minimum:
            self._refuse(key, value, f"at least {minimum}")
        return value

    def integers(self, key: str, length: int | None = None) -> list[int]:
        """The list of whole numbers under `key`, of `length` where that is given."""
        values = self._list(key, length, "whole numbers")
        return [self._integer(f"{key}[{index}]", value) for index, value in enumerate(values)]

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise the error for a value that has the right type but cannot be used.

        Raises:
            ModelFormatError: Always.
        """
        self._refuse(key, self.values[key], expected)

    def _list(self, key: str, length: int | None, of: str) -> list[Any]:
        values: list[Any] = self._get(key, list, f"a list of {of}")
        if length is not None and len(values) != length:
            raise ModelFormatError(
                f"{self.path}: key {self._name(key)!r}: found {len(values)} values, expected {length}"
            )
        return values

    def _number(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self._refuse(key, value, "a finite number")
        return float(value)

    def _integer(self, key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            self._refuse(key, value, "a whole number")
        return int(value)

    def _get(self, key: str, kind: type, expected: str) -> Any:
        if key not in self.values:
            raise ModelFormatError(f"{self.path}: key {self._name(key)!r} is missing, expected {expected}")
        value = self.values[key]
        if not isinstance(value, kind):
            self._refuse(key, value, expected)
        return value

    def _refuse(self, key: str, value: Any, expected: str) -> NoReturn:
        raise ModelFormatError(f"{self.path}: key {self._name(key)!r}: found {_short(value)}, expected {expected}")

    def _name(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key


def read_json(path: Path) -> JsonObject:
    """Read a JSON file whose top level is an object.

    Raises:
        ModelNotFoundError: No such file.
        ModelFormatError: Not readable, not JSON, not an object, or with NaN or Infinity in it.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelFormatError(f"{path}: found {path.stat().st_size} bytes, expected a JSON file of a model folder")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: no such file, expected a JSON file of a model folder") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    try:
        values = parse(text, "JSON")
    except ValueError as error:
        raise ModelFormatError(f"{path}: is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise ModelFormatError(f"{path}: found {_short(values)} at the top, expected an object {{...}}")
    return JsonObject(path, values)


def same_length(path: Path, lists: Sequence[tuple[str, int]]) -> None:
    """Check that the named lists of one file have one length.

    Raises:
        ModelFormatError: They differ.
    """
    if len({length for _, length in lists}) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lists)
        raise ModelFormatError(f"{path}: {found} entries, expected the same number in each")


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
