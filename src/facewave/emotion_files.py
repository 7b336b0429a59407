"""Emotion keys from a file: a JSON list, or the YAML of NVIDIA's sample client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .emotions import EmotionTrack
from .errors import SettingsError

_LIST = "emotion_with_timecode_list"


def read_emotion_keys(path: str | Path) -> EmotionTrack:
    """Read emotion keys.

    Args:
        path: `.json` with a list of `{"time_code": seconds, "emotions": {name: value}}`, or `.yaml`/`.yml` with
            NVIDIA's `emotion_with_timecode_list`, as a list or as a table of named keys.

    Raises:
        SettingsError: Missing or malformed file, an unknown emotion, or a value outside 0..1; says which key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"emotion keys {path}: cannot be read ({error})") from error
    return EmotionTrack.from_keys(_keys(_parse(path, text), path))


def _parse(path: Path, text: str) -> Any:
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingsError(f"emotion keys {path}: not valid JSON ({error})") from error
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"emotion keys {path}: not valid YAML ({error})") from error


def _keys(document: Any, path: Path) -> Iterator[tuple[float, Mapping[str, float]]]:
    entries = document.get(_LIST) if isinstance(document, Mapping) else document
    if isinstance(entries, Mapping):
        entries = list(entries.values())
    if not isinstance(entries, list) or not entries:
        raise SettingsError(
            f"emotion keys {path}: found no list of keys; expected a JSON list of "
            f'{{"time_code": seconds, "emotions": {{name: value}}}}, or YAML with {_LIST}'
        )
    for i, entry in enumerate(entries):
        where = f"emotion keys {path}, key {i}"
        if not isinstance(entry, Mapping) or "time_code" not in entry or not isinstance(entry.get("emotions"), Mapping):
            raise SettingsError(
                f"{where}: found {entry!r}, expected 'time_code' (seconds) and 'emotions' (name: value)"
            )
        if not _is_number(entry["time_code"]):
            raise SettingsError(f"{where}: time_code is {entry['time_code']!r}, expected seconds")
        for name, value in entry["emotions"].items():
            if not (_is_number(value) and 0 <= value <= 1):
                raise SettingsError(f"{where}: {name} is {value!r}, expected a number from 0 to 1")
        yield float(entry["time_code"]), entry["emotions"]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
