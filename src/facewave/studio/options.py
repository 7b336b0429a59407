"""The settings that the page and the streaming clients send as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..emotions import EmotionSettings, EmotionTrack
from ..errors import SettingsError, shown
from ..streams import StreamSettings
from ..timing import frame_rate

KEYS = (
    "fps", "emotion", "emotionStrength", "overrideStrength", "emotionKeys", "faceParameters", "multipliers", "offsets",
    "clamp",
)  # fmt: skip
"""Keys of the settings object; all are optional."""


def stream_settings(values: Any) -> StreamSettings:
    """The stream settings that a JSON object describes.

    `fps` number or text; `emotion` {name: 0..1}; `emotionStrength`, `overrideStrength` 0..1; `emotionKeys`
    [[seconds, {name: 0..1}], ...]; `faceParameters`, `multipliers`, `offsets` {name: number}; `clamp` true or false.

    Raises:
        SettingsError: Not an object, an unknown key, or a value that cannot be used.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"settings: found {type(values).__name__}, expected a JSON object")
    unknown = sorted(set(values) - set(KEYS))
    if unknown:
        raise SettingsError(f"settings: unknown key {shown(unknown[0])}, expected some of: {', '.join(KEYS)}")
    keys = values.get("emotionKeys")
    fps = values.get("fps")
    return StreamSettings(
        frame_rate=None if fps in (None, "") else frame_rate(fps),
        emotion=EmotionSettings(
            strength=_number(values.get("emotionStrength", 0.6), "emotionStrength"),
            override_strength=_number(values.get("overrideStrength", 0.5), "overrideStrength"),
            overrides=_numbers(values.get("emotion", {}), "emotion"),
        ),
        emotion_track=_track(keys) if keys else None,
        face_parameters=_numbers(values.get("faceParameters", {}), "faceParameters"),
        multipliers=_numbers(values.get("multipliers", {}), "multipliers"),
        offsets=_numbers(values.get("offsets", {}), "offsets"),
        clamp=bool(values.get("clamp", False)),
    )


def _track(keys: Any) -> EmotionTrack:
    try:
        pairs = [(float(seconds), _numbers(values, "emotionKeys")) for seconds, values in keys]
    except (TypeError, ValueError) as error:
        raise SettingsError("settings: emotionKeys must be a list of [seconds, {emotion: value}]") from error
    return EmotionTrack.from_keys(pairs)


def _numbers(values: Any, key: str) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise SettingsError(f"settings: {key} is {type(values).__name__}, expected an object of name: number")
    return {str(name): _number(value, f"{key}.{name}") for name, value in values.items()}


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SettingsError(f"settings: {shown(key)} is {shown(value)}, expected a number")
    return float(value)
