"""The ten emotions, the settings that shape them, and emotion over time.

Source: names and settings are those of NVIDIA's Audio2Face-3D service and of its Unreal plugin.
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import SettingsError, shown
from .timing import SAMPLE_RATE, samples_in

EMOTIONS: tuple[str, ...] = (
    "amazement", "anger", "cheekiness", "disgust", "fear", "grief", "joy", "outofbreath", "pain", "sadness",
)  # fmt: skip
"""The ten emotions in the order of every emotion vector."""


MAX_KEY_S = 1e9
"""Seconds from the start of the audio, before or after, at which an emotion key may lie."""


@dataclass(frozen=True, slots=True)
class EmotionSettings:
    """How detected and given emotions combine into the face's emotion.

    Raises:
        SettingsError: A setting outside its range. An override outside 0..1 is ignored with a warning instead, as
            NVIDIA's plugin does, because overrides often come live from a slider or a language model.
    """

    strength: float = 0.6
    """Overall emotion strength, 0..1: multiplies the combined emotion (`emotion_strength` on the wire)."""

    detected_contrast: float = 1.0
    """0.3..3: spreads the detected emotions apart (`emotion_contrast`)."""

    max_detected: int = 3
    """1..6: how many of the strongest detected emotions are kept (`max_emotions`)."""

    detected_smoothing: float = 0.7
    """0..1: share of the previous detection kept at each step; 0 none, 1 frozen (`live_blend_coef`)."""

    override_strength: float = 0.5
    """0..1: 0 uses only detected emotions, 1 only given ones (`preferred_emotion_strength`)."""

    overrides: Mapping[str, float] = field(default_factory=dict)
    """Emotion name -> 0..1 for the whole clip. A name that is absent is disabled, which differs from 0."""

    transition_s: float | None = None
    """Seconds over which a change of the final emotion is spread, 0 or more (`live_transition_time`); None keeps the
    provider's own."""

    beginning: Mapping[str, float] = field(default_factory=dict)
    """Emotion name -> 0..1 from which the transition starts (`beginning_emotion`); absent is 0."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise SettingsError(f"emotion setting {name}: found {value}, expected {low} to {high}")
        if int(self.max_detected) != self.max_detected:
            raise SettingsError(f"emotion setting max_detected: found {self.max_detected}, expected a whole number")
        if self.transition_s is not None and not (math.isfinite(self.transition_s) and self.transition_s >= 0):
            raise SettingsError(f"emotion setting transition_s: found {self.transition_s}, expected 0 seconds or more")
        object.__setattr__(
            self, "beginning", {emotion_name(name): float(value) for name, value in self.beginning.items()}
        )
        for name, value in self.beginning.items():
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise SettingsError(f"beginning emotion {name}: found {value}, expected 0 to 1")
        kept = {}
        for name, value in self.overrides.items():
            emotion = emotion_name(name)
            if math.isfinite(value) and 0 <= value <= 1:
                kept[emotion] = float(value)
            else:
                warnings.warn(
                    f"emotion override {emotion}: found {value}, expected 0 to 1; this override is ignored",
                    stacklevel=3,
                )
        object.__setattr__(self, "overrides", kept)


_RANGES = (
    ("strength", 0.0, 1.0),
    ("detected_contrast", 0.3, 3.0),
    ("max_detected", 1, 6),
    ("detected_smoothing", 0.0, 1.0),
    ("override_strength", 0.0, 1.0),
)


def emotion_name(name: str) -> str:
    """The canonical spelling of an emotion; capitals, blanks, `_` and `-` do not matter.

    Raises:
        SettingsError: Not one of the ten.
    """
    plain = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    if plain in EMOTIONS:
        return plain
    near = difflib.get_close_matches(plain, EMOTIONS, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise SettingsError(f"unknown emotion {shown(name)}{hint}, expected one of: {', '.join(EMOTIONS)}")


def emotion_vector(values: Mapping[str, float]) -> NDArray[np.float32]:
    """Shape (10,): each emotion's value, 0 where absent, in the order of `EMOTIONS`."""
    vector = np.zeros(len(EMOTIONS), np.float32)
    for name, value in values.items():
        vector[EMOTIONS.index(emotion_name(name))] = value
    return vector


@dataclass(frozen=True, slots=True, eq=False)
class EmotionTrack:
    """Emotion keys over time: linear between two keys, constant before the first and after the last.

    Raises:
        SettingsError: No key, times that do not increase, sizes that disagree, or values that are not finite.
    """

    samples: NDArray[np.int64]
    """Shape (keys,): sample of each key, strictly increasing; may start below 0."""

    values: NDArray[np.float32]
    """Shape (keys, n): n is 10 in the order of `EMOTIONS`, or a model's own vector."""

    def __post_init__(self) -> None:
        samples, values = np.asarray(self.samples, np.int64), np.asarray(self.values, np.float32)
        if values.ndim != 2 or samples.shape != values.shape[:1]:
            raise SettingsError(
                f"emotion track: found times of shape {samples.shape} and values of shape {values.shape}, "
                "expected (keys,) and (keys, emotions)"
            )
        if not len(samples):
            raise SettingsError("emotion track: found no key, expected at least one")
        if (np.diff(samples) <= 0).any():
            at = int(np.argmax(np.diff(samples) <= 0)) + 1
            raise SettingsError(
                f"emotion track: key {at} at {samples[at] / SAMPLE_RATE:g} s does not come after "
                f"{samples[at - 1] / SAMPLE_RATE:g} s; expected increasing times"
            )
        if not np.isfinite(values).all():
            raise SettingsError("emotion track: found a value that is not a finite number")
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "values", values)

    @classmethod
    def from_keys(cls, keys: Iterable[tuple[float, Mapping[str, float]]]) -> EmotionTrack:
        """Build a track from (seconds, {emotion: value}) pairs in any order; of equal times the last wins.

        Raises:
            SettingsError: No key, an unknown emotion, or a time or value that is not a finite number.
        """
        by_sample: dict[int, NDArray[np.float32]] = {}
        for seconds, emotions in keys:
            if not abs(seconds) <= MAX_KEY_S:
                raise SettingsError(f"emotion key: found time {seconds}, expected seconds, at most {MAX_KEY_S:g}")
            by_sample[samples_in(seconds)] = emotion_vector(emotions)
        if not by_sample:
            raise SettingsError("emotion track: found no key, expected at least one")
        order = sorted(by_sample)
        return cls(np.array(order, np.int64), np.stack([by_sample[sample] for sample in order]))

    def at(self, samples: int | NDArray[np.int64]) -> NDArray[np.float32]:
        """Values at one sample, shape (n,), or at many, shape (len(samples), n)."""
        when = np.atleast_1d(np.asarray(samples, np.int64))
        after = np.searchsorted(self.samples, when, side="left").clip(1, max(len(self.samples) - 1, 1))
        before = after - 1
        after = np.minimum(after, len(self.samples) - 1)
        start, end = self.samples[before], self.samples[after]
        # The weight is a float32 quotient of float32 differences, as in NVIDIA's SDK.
        span = np.maximum(end - start, 1).astype(np.float32)
        weight = np.clip((when - start).astype(np.float32) / span, 0, 1)[:, None]
        values = self.values[before] + weight * (self.values[after] - self.values[before])
        # v0 + 1 * (v1 - v0) may miss v1 by a rounding; a key's own time returns the key.
        values = np.where(weight == 1, self.values[after], values)
        return np.asarray(values[0] if np.ndim(samples) == 0 else values, np.float32)


def replaced_from(track: EmotionTrack | None, newer: EmotionTrack) -> EmotionTrack:
    """The older track up to the first key of the newer one, which holds from there on."""
    if track is None:
        return newer
    kept = track.samples < newer.samples[0]
    return EmotionTrack(
        np.concatenate([track.samples[kept], newer.samples]), np.concatenate([track.values[kept], newer.values])
    )


def given_emotion(
    settings: EmotionSettings, track: EmotionTrack | None, samples: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """The emotion asked for at each sample, shape (len(samples), 10): the track with the overrides laid over it.

    Without a track, emotions that no override names are NaN: they stay as detected. None where nothing is asked.
    """
    if track is None and not settings.overrides:
        return None
    values = np.full((len(samples), len(EMOTIONS)), np.nan, np.float32) if track is None else track.at(samples)
    for name, value in settings.overrides.items():
        values[:, EMOTIONS.index(name)] = value
    return values
