"""Detected emotion scores to the face's emotion: contrast, softmax, strongest few, blending in time, strength.

Every provider that detects emotions uses this one implementation. It follows NVIDIA's Audio2Emotion post-processing
step by step, including that face emotions which no score maps to start each frame from their last output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..emotions import EMOTIONS, EmotionSettings
from ..errors import SettingsError

Array = NDArray[np.float32]

UNMAPPED = -1
"""In a correspondence: a score that moves no face emotion."""

_SHORTEST_TRANSITION_S = 1e-3


@dataclass(frozen=True, slots=True)
class EmotionPostSettings:
    """Settings of the post-processing, under NVIDIA's names. Defaults are those of the published models.

    Raises:
        SettingsError: A value that is not finite, a coefficient or strength outside 0..1, or a negative count or time.
    """

    emotion_contrast: float = 1.0
    """Factor on the scores before the softmax; the service accepts 0.3..3."""

    max_emotions: int = 6
    """How many of the strongest scores count; 0 silences detection, as many as there are scores keeps all."""

    live_blend_coef: float = 0.7
    """0..1: share of the previous frame's detection kept at each frame, whatever the frame rate."""

    enable_preferred_emotion: bool = False
    """Whether the preferred emotion is blended in."""

    preferred_emotion_strength: float = 0.5
    """0..1: share of the preferred emotion."""

    live_transition_time: float = 0.5
    """Seconds: time constant of the last smoothing; at most a thousandth is as none."""

    fixed_dt: float = 1 / 30
    """Seconds between frames."""

    emotion_strength: float = 0.6
    """0..1: factor on the result."""

    def __post_init__(self) -> None:
        for name, high in _UPPER.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= high):
                expected = f"0 to {high:g}" if math.isfinite(high) else "0 or more"
                raise SettingsError(f"emotion setting {name}: found {value}, expected {expected}")
        if int(self.max_emotions) != self.max_emotions:
            raise SettingsError(f"emotion setting max_emotions: found {self.max_emotions}, expected a whole number")

    @classmethod
    def of(
        cls, settings: EmotionSettings, frame_rate: Fraction | float, live_transition_time: float = 0.5
    ) -> EmotionPostSettings:
        """The user's settings at a frame rate in frames per second.

        The preferred emotion is enabled when any override is given; see `preferred_of`.
        """
        return cls(
            emotion_contrast=settings.detected_contrast,
            max_emotions=int(settings.max_detected),
            live_blend_coef=settings.detected_smoothing,
            enable_preferred_emotion=bool(settings.overrides),
            preferred_emotion_strength=settings.override_strength,
            live_transition_time=live_transition_time,
            fixed_dt=float(1 / Fraction(frame_rate)),
            emotion_strength=settings.strength,
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], frame_rate: Fraction | float | None = None) -> EmotionPostSettings:
        """From the object `post_processing_config` of a model.

        Args:
            config: The object.
            frame_rate: Frames per second, which replaces the file's `fixed_dt` as in NVIDIA's executors; None keeps it.

        Raises:
            SettingsError: A missing key or an illegal value.
        """
        for key in _CONFIG_KEYS.values():
            if key not in config:
                raise SettingsError(f"post_processing_config: found no key {key}, expected it")
        values = {name: config[key] for name, key in _CONFIG_KEYS.items()}
        if frame_rate is not None:
            values["fixed_dt"] = float(1 / Fraction(frame_rate))
        return cls(**values)


_UPPER = {
    "emotion_contrast": math.inf,
    "max_emotions": math.inf,
    "live_blend_coef": 1.0,
    "preferred_emotion_strength": 1.0,
    "live_transition_time": math.inf,
    "fixed_dt": math.inf,
    "emotion_strength": 1.0,
}

_CONFIG_KEYS = {
    "emotion_contrast": "emotion_contrast",
    "max_emotions": "max_emotions",
    "live_blend_coef": "live_blend_coef",
    "enable_preferred_emotion": "enable_preferred_emotion",
    "preferred_emotion_strength": "preferred_emotion_strength",
    "live_transition_time": "transition_smoothing",
    "fixed_dt": "fixed_dt",
    "emotion_strength": "emotion_strength",
}


def preferred_of(settings: EmotionSettings) -> Array:
    """Shape (10,): the overrides as a preferred emotion; NaN where none is given, which leaves that emotion alone."""
    vector = np.full(len(EMOTIONS), np.nan, np.float32)
    for name, value in settings.overrides.items():
        vector[EMOTIONS.index(name)] = value
    return vector


@dataclass(slots=True, eq=False)
class _Track:
    """State of one stream."""

    settings: EmotionPostSettings
    beginning: Array
    preferred: Array
    first: bool
    work: Array
    """The vector that is worked on, which keeps the last output where no score writes to it."""
    live: Array
    """The last detection after blending, before the preferred emotion."""
    blended: Array
    """The last result before the strength."""


class EmotionPostProcessor:
    """Turns scores into face emotions, one frame of every track at a time."""

    def __init__(
        self,
        correspondence: Sequence[int] | NDArray[np.integer[Any]],
        n_emotions: int = len(EMOTIONS),
        settings: EmotionPostSettings | None = None,
        n_tracks: int = 1,
        *,
        beginning: ArrayLike | None = None,
        preferred: ArrayLike | None = None,
        feedback: bool = True,
    ) -> None:
        """Start `n_tracks` tracks.

        Args:
            correspondence: For each score the index of its face emotion, or `UNMAPPED`.
            n_emotions: Length of the face's emotion vector.
            settings: In force for all tracks until changed.
            n_tracks: Number of streams.
            beginning: Shape (n_emotions,): emotion before the first frame; None for zeros.
            preferred: Shape (n_emotions,): see `set_preferred`; None for zeros.
            feedback: In NVIDIA's SDK a face emotion without a score starts each frame from its last output, so a
                preferred emotion grows there beyond its share. False starts it from 0.

        Raises:
            SettingsError: A correspondence that leaves the emotion vector, or a vector of another length.
        """
        self._correspondence = np.asarray(correspondence, np.intp).ravel()
        self._n_emotions = n_emotions
        self._feedback = feedback
        outside = (self._correspondence != UNMAPPED) & (
            (self._correspondence < 0) | (self._correspondence >= n_emotions)
        )
        if outside.any():
            raise SettingsError(
                f"emotion correspondence: found index {self._correspondence[outside][0]},"
                f" expected {UNMAPPED} or 0 to {n_emotions - 1}"
            )
        self._mapped = np.flatnonzero(self._correspondence != UNMAPPED)
        zeros = np.zeros(n_emotions, np.float32)
        first = zeros if beginning is None else self._vector("beginning", beginning)
        wanted = zeros if preferred is None else self._vector("preferred", preferred)
        self._tracks = [
            _Track(settings or EmotionPostSettings(), first, wanted, True, zeros, zeros, zeros) for _ in range(n_tracks)
        ]

    def settings(self, track: int = 0) -> EmotionPostSettings:
        """Settings in force for a track."""
        return self._tracks[track].settings

    def set_settings(self, settings: EmotionPostSettings, track: int = 0) -> None:
        """Change a track's settings from its next frame on."""
        self._tracks[track].settings = settings

    def set_preferred(self, preferred: ArrayLike, track: int = 0) -> None:
        """Change a track's preferred emotion, shape (n_emotions,); NaN leaves an emotion as detected.

        Raises:
            SettingsError: A vector of another length.
        """
        self._tracks[track].preferred = self._vector("preferred", preferred)

    def set_beginning(self, beginning: ArrayLike, track: int = 0) -> None:
        """Change the emotion from which a track starts, shape (n_emotions,); matters until its first frame.

        Raises:
            SettingsError: A vector of another length.
        """
        self._tracks[track].beginning = self._vector("beginning", beginning)

    def reset(self, track: int | None = None) -> None:
        """Let the next frame of a track, or of all, be the first."""
        for each in self._tracks if track is None else [self._tracks[track]]:
            each.first = True

    def process(self, scores: ArrayLike, out: Array | None = None, active: NDArray[np.bool_] | None = None) -> Array:
        """One frame of every active track.

        Args:
            scores: Shape (tracks, n_scores): a classifier's raw scores (logits).
            out: Where to write; rows of inactive tracks stay. None makes a new array.
            active: Shape (tracks,): tracks that have a frame now; None for all. Others keep state and output.

        Returns:
            Shape (tracks, n_emotions).
        """
        rows = np.asarray(scores, np.float32)
        result = np.zeros((len(self._tracks), self._n_emotions), np.float32) if out is None else out
        for track in range(len(self._tracks)) if active is None else np.flatnonzero(active):
            result[track] = self._frame(self._tracks[int(track)], rows[track])
        return result

    def _frame(self, track: _Track, scores: Array) -> Array:
        settings, single = track.settings, np.float32
        if track.first:
            track.work = track.beginning.copy()
            track.live = track.beginning
        elif not self._feedback:
            track.work = np.zeros_like(track.work)
        work = track.work
        work[self._correspondence[self._mapped]] = self._probabilities(scores, settings)[self._mapped]
        keep = single(settings.live_blend_coef)
        work = (single(1) - keep) * work + keep * track.live
        track.live = work
        if settings.enable_preferred_emotion:
            share = single(settings.preferred_emotion_strength)
            mixed = (single(1) - share) * work + share * track.preferred
            work = np.where(np.isnan(track.preferred), work, mixed)
        if not track.first:
            longest = max(single(settings.live_transition_time), single(_SHORTEST_TRANSITION_S))
            share = min(single(settings.fixed_dt) / longest, single(1))
            work = share * work + (single(1) - share) * track.blended
        track.blended = work
        track.work = single(settings.emotion_strength) * work
        track.first = False
        return track.work

    def _probabilities(self, scores: Array, settings: EmotionPostSettings) -> Array:
        """Softmax of the sharpened scores, zero for unmapped ones and all but the strongest; not renormalised."""
        sharpened = scores * np.float32(settings.emotion_contrast)
        exponential = np.exp(sharpened - sharpened.max())
        probabilities = np.asarray(exponential / exponential.sum(), np.float32)
        probabilities[self._correspondence == UNMAPPED] = 0
        # Unmapped scores are zero by now and are among those dropped; of equal ones the first is dropped.
        dropped = max(len(scores) - int(settings.max_emotions), 0)
        probabilities[np.argsort(probabilities, kind="stable")[:dropped]] = 0
        return probabilities

    def _vector(self, name: str, values: ArrayLike) -> Array:
        vector = np.array(values, np.float32).ravel()
        if len(vector) != self._n_emotions:
            raise SettingsError(f"{name} emotion: found {len(vector)} values, expected {self._n_emotions}")
        return vector
