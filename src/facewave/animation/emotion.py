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
from .rows import Index, Rows

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
        chosen = np.arange(len(self._tracks)) if active is None else np.flatnonzero(active)
        if len(chosen):
            together = _Together(self, [self._tracks[track] for track in chosen])
            result[chosen] = together.frame(slice(None), together.probabilities(rows[chosen]), None)
            together.keep()
        return result

    def _vector(self, name: str, values: ArrayLike) -> Array:
        vector = np.array(values, np.float32).ravel()
        if len(vector) != self._n_emotions:
            raise SettingsError(f"{name} emotion: found {len(vector)} values, expected {self._n_emotions}")
        return vector


def processed(
    processors: Sequence[EmotionPostProcessor],
    rows: Rows,
    scores: NDArray[np.float32],
    preferred: NDArray[np.float32] | None = None,
) -> Array:
    """Consecutive frames of many streams, each with a processor of one track; all with the same correspondence.

    Args:
        processors: One for each stream.
        rows: Where the frames of each lie.
        scores: Shape (n, n_scores): raw scores (logits).
        preferred: Shape (n, n_emotions): the preferred emotion at each frame, NaN where an emotion is left alone; None
            for those set before.

    Returns:
        Shape (n, n_emotions).
    """
    together = _Together(processors[0], [processor._tracks[0] for processor in processors])
    probabilities = together.probabilities(scores, rows.stream)
    out = np.empty((rows.total, processors[0]._n_emotions), np.float32)
    for members, frames in rows.turns():
        wanted = None if preferred is None else preferred[frames]
        out[frames] = together.frame(members, probabilities[frames], wanted)
    together.keep()
    return out


class _Together:
    """The state of several tracks side by side, one row a track."""

    def __init__(self, processor: EmotionPostProcessor, tracks: Sequence[_Track]) -> None:
        self._tracks = tracks
        self._unmapped = processor._correspondence == UNMAPPED
        self._mapped, self._columns = processor._mapped, processor._correspondence[processor._mapped]
        self._feedback = processor._feedback
        self._work, self._live, self._blended, self._beginning, self._preferred = (
            np.array([getattr(track, name) for track in tracks])
            for name in ("work", "live", "blended", "beginning", "preferred")
        )
        self._first = np.array([track.first for track in tracks])[:, None]
        settings = [track.settings for track in tracks]
        self._contrast, self._blend, self._share, self._strength, longest, dt = np.array(
            [
                (
                    each.emotion_contrast, each.live_blend_coef, each.preferred_emotion_strength, each.emotion_strength,
                    max(each.live_transition_time, _SHORTEST_TRANSITION_S), each.fixed_dt,
                )
                for each in settings
            ],
            np.float32,
        ).T[:, :, None]  # fmt: skip
        self._step = np.minimum(dt / longest, np.float32(1))
        self._enabled = np.array([each.enable_preferred_emotion for each in settings])[:, None]
        self._most = np.array([int(each.max_emotions) for each in settings])

    def probabilities(self, scores: Array, track: Index = slice(None)) -> Array:
        """Softmax of the sharpened scores, zero for unmapped ones and all but the strongest; not renormalised.

        Args:
            scores: Shape (n, n_scores).
            track: Shape (n,): whose row each is.
        """
        sharpened = scores * self._contrast[track]
        exponential = np.exp(sharpened - sharpened.max(axis=1, keepdims=True))
        probabilities = exponential / exponential.sum(axis=1, keepdims=True)
        probabilities[:, self._unmapped] = 0
        # Unmapped scores are zero by now and are among those dropped; of equal ones the first is dropped.
        order = np.argsort(probabilities, axis=1, kind="stable")
        dropped = np.arange(scores.shape[1]) < scores.shape[1] - self._most[track][:, None]
        np.put_along_axis(probabilities, order, np.where(dropped, 0, np.take_along_axis(probabilities, order, 1)), 1)
        return np.asarray(probabilities, np.float32)

    def frame(self, members: Index, probabilities: Array, preferred: Array | None) -> Array:
        """One frame of some of the tracks, shape (members, n_emotions)."""
        one, first = np.float32(1), self._first[members]
        work = self._work[members] if self._feedback else np.zeros_like(self._work[members])
        if beginning := bool(first.any()):
            work = np.where(first, self._beginning[members], work)
            live = np.where(first, self._beginning[members], self._live[members])
        else:
            work, live = work.copy(), self._live[members]
        work[:, self._columns] = probabilities[:, self._mapped]
        blend = self._blend[members]
        work = (one - blend) * work + blend * live
        self._live[members] = work
        enabled = self._enabled[members]
        if enabled.any():
            wanted, share = self._preferred[members] if preferred is None else preferred, self._share[members]
            work = np.where(enabled & ~np.isnan(wanted), (one - share) * work + share * wanted, work)
        step = self._step[members]
        smooth = step * work + (one - step) * self._blended[members]
        work = np.where(first, work, smooth) if beginning else smooth
        self._blended[members] = work
        self._work[members] = self._strength[members] * work
        self._first[members] = False
        return self._work[members]

    def keep(self) -> None:
        """Give the tracks their state back."""
        for i, track in enumerate(self._tracks):
            track.work, track.live, track.blended = self._work[i], self._live[i], self._blended[i]
            track.first = bool(self._first[i, 0])
