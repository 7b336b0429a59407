"""Emotion keys from a file: a JSON list, or the YAML of NVIDIA's sample client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .documents import Form, read_document
from .emotions import EmotionTrack
from .errors import SettingsError, shown

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
    form: Form = "JSON" if path.suffix.lower() == ".json" else "YAML"
    return EmotionTrack.from_keys(_keys(read_document(path, form, f"emotion keys {path}"), path))


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
                f"{where}: found {shown(entry)}, expected 'time_code' (seconds) and 'emotions' (name: value)"
            )
        if not _is_number(entry["time_code"]):
            raise SettingsError(f"{where}: time_code is {shown(entry['time_code'])}, expected seconds")
        for name, value in entry["emotions"].items():
            if not (_is_number(value) and 0 <= value <= 1):
                raise SettingsError(f"{where}: {name} is {shown(value)}, expected a number from 0 to 1")
        yield float(entry["time_code"]), entry["emotions"]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
