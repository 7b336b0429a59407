"""JSON, YAML and TOML from anywhere, as plain values and within bounds.

Whoever wrote the text cannot make reading it expensive: size, depth and the number of values are limited, aliases count
as often as they stand, and a YAML tag never makes an object. What comes out is text, numbers, true, false, nothing,
lists, and tables whose keys are text.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .errors import SettingsError, shortened

if TYPE_CHECKING:
    from yaml.nodes import Node

Form = Literal["JSON", "YAML", "TOML"]

MAX_BYTES = 4 << 20
"""Bytes of a file; an hour of emotion keys ten times a second has about two million."""

MAX_DEPTH = 32
"""Lists and tables inside one another."""

MAX_VALUES = 1_000_000
"""Values of a document, each alias counted in full."""

_MAX_WHOLE = 1 << 63


def read_document(path: Path, form: Form, name: str) -> Any:
    """A file's value.

    Args:
        path: The file.
        form: What it is written in.
        name: What to call it in an error.

    Raises:
        SettingsError: It cannot be read, is not of that form, or goes beyond the bounds of this module.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{name}: found more than {MAX_BYTES} bytes, expected a file of at most that size")
    try:
        return parse(data.decode("utf-8-sig"), form)
    except ValueError as error:
        raise SettingsError(f"{name}: not valid {form} ({shortened(str(error))})") from error


def parse(text: str, form: Form) -> Any:
    """A text's value.

    Raises:
        ValueError: Not of that form, or beyond the bounds of this module; says why.
    """
    try:
        value = _READERS[form](text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    return _plain(value, 0, [MAX_VALUES])


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> float:
    raise ValueError(f"found {name}, expected a finite number")


def _yaml(text: str) -> Any:
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        # Before anything is built of it: merged tables and error messages would repeat what an alias stands for.
        if _weight(node, {}, 0) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values, aliases counted")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(_first_line(error)) from error
    except (LookupError, AttributeError, TypeError, OverflowError) as error:
        # What PyYAML raises for a scalar that its tag does not fit, as in `!!int ""`.
        raise ValueError(f"a value that does not fit its tag ({error!r})") from error


def _weight(node: Node, known: dict[int, int], depth: int) -> int:
    """Values below and including a node, each alias counted in full."""
    if id(node) in known:
        if known[id(node)] == 0:
            raise ValueError("an alias that contains itself")
        return known[id(node)]
    if depth > 2 * MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    known[id(node)] = 0
    weight = 1
    for child in node.value if isinstance(node.value, list) else ():
        for part in child if isinstance(child, tuple) else (child,):
            weight += _weight(part, known, depth + 1)
    known[id(node)] = weight
    return weight


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    """The value in plain types; `left` holds how many more there may be."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {MAX_VALUES} values")
    if depth > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, dict):
        return {_key(key): _plain(inner, depth + 1, left) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1, left) for inner in value]
    if isinstance(value, int) and abs(value) >= _MAX_WHOLE:
        raise ValueError(f"a whole number of {value.bit_length()} bits, expected at most 63")
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (bytes, set, tuple)):
        raise ValueError(f"a {type(value).__name__}, expected text, numbers, lists and tables")
    return str(value)  # dates, which nobody here asks for


def _key(key: object) -> str:
    if isinstance(key, (tuple, bytes)):
        raise ValueError(f"a {type(key).__name__} as the key of a table, expected text")
    return str(key)


def _first_line(error: Exception) -> str:
    """PyYAML's own words, without the lines that draw the place."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return shortened(f"{problem}, line {mark.line + 1}" if mark is not None else problem)


_READERS: dict[Form, Callable[[str], Any]] = {"JSON": _json, "YAML": _yaml, "TOML": tomllib.loads}

_TOO_DEEP = f"more than {MAX_DEPTH} lists and tables inside one another"
