"""A hint of emotion from the voice: a few rules over prosody, deliberately weak, to be overruled by given emotion.

Prosody says little about which emotion, more about how much, and anger cannot be told from pitch. So the scores stay
small and a neutral score stands against them. The constants are set by hand, not fitted to labelled speech.

Source: Juslin and Laukka (2003), Communication of emotions in vocal expression and music performance.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...emotions import EMOTIONS
from ...features.prosody import F0, LEVEL, NOISE, STEP_HZ, TILT

SCORES: tuple[str, ...] = ("joy", "sadness", "anger", "fear", "disgust", "amazement", "outofbreath", "neutral")
"""What is scored, in order."""

CORRESPONDENCE: tuple[int, ...] = tuple(EMOTIONS.index(name) if name in EMOTIONS else -1 for name in SCORES)
"""Index of each score in `EMOTIONS`; -1 for neutral."""

NEUTRAL, SILENT = 4.0, 9.0
"""Score that the others stand against, with enough speech heard and with none: without evidence the face is neutral."""

UNFELT = np.array([-30.0 if index >= 0 else 30.0 for index in CORRESPONDENCE], np.float32)
"""Scores of a voice whose emotion is not listened for, shape (8,): neutral beyond doubt."""

GAIN = 1.6
"""From the rules' evidence to scores."""

_MEMORY_S = 3.0
_BASELINE_S = 20.0
_ENOUGH_S = 1.0
"""Voiced seconds before anything is said."""

_SPEECH_DB = 25.0
"""Rows this far below the recent peak are not speech."""

_QUIET_DB = -60.0
_OCTAVE = 7.0
"""Semitones from the mean beyond which a pitch is taken for a wrong octave."""

_MOST = 2.2
"""No evidence counts for more than this, so that a hint remains a hint."""


class VoiceFeeling:
    """Running evidence of one stream."""

    def __init__(self) -> None:
        self._peak_db = _QUIET_DB
        self._voiced_s = 0.0
        self._pitch = self._baseline = math.nan
        self._spread = 2.0
        self._tilt = -12.0
        self._power = self._rough_power = 1e-9
        self._bright_power = 0.0

    def __call__(self, prosody: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores after each row.

        Args:
            prosody: Shape (n, 5), columns of `features.prosody`, consecutive.

        Returns:
            Shape (n, 8), order of `SCORES`: logits.
        """
        out = np.empty((len(prosody), len(SCORES)), np.float32)
        for i, row in enumerate(prosody.tolist()):
            self._hear(row[LEVEL], row[F0], row[NOISE], row[TILT])
            out[i] = self._scores()
        return out

    def _hear(self, level: float, f0: float, noise: float, tilt: float) -> None:
        self._peak_db = max(level, self._peak_db - 3.0 / STEP_HZ)
        if level < max(self._peak_db - _SPEECH_DB, _QUIET_DB):
            return
        share = 1 / (_MEMORY_S * STEP_HZ)
        power = 10 ** ((level - self._peak_db) / 10)
        self._power += share * (power - self._power)
        self._rough_power += share * ((power if f0 == 0 else 0.0) - self._rough_power)
        self._bright_power += share * (power * noise - self._bright_power)
        if f0 == 0:
            return
        self._voiced_s += 1 / STEP_HZ
        semitones = 12 * math.log2(f0 / 100)
        if math.isnan(self._pitch):
            self._pitch = self._baseline = semitones
        if abs(semitones - self._pitch) > _OCTAVE:
            semitones = self._pitch + math.copysign(_OCTAVE, semitones - self._pitch)
        # The first seconds count fully, so that a short clip has a mean of its own.
        quick = max(share, 1 / (self._voiced_s * STEP_HZ + 1))
        self._pitch += quick * (semitones - self._pitch)
        self._spread += quick * (abs(semitones - self._pitch) - self._spread)
        self._baseline += max(share * _MEMORY_S / _BASELINE_S, 1 / (self._voiced_s * STEP_HZ + 1)) * (
            semitones - self._baseline
        )
        self._tilt += quick * (tilt - self._tilt)

    def _scores(self) -> tuple[float, ...]:
        certain = min(1.0, max(0.0, self._voiced_s / _ENOUGH_S - 1.0))
        lively = self._spread - 2.4  # semitones of mean deviation; calm speech has about 2.4
        raised = 0.0 if math.isnan(self._pitch) else self._pitch - self._baseline
        high = 0.0 if math.isnan(self._pitch) else self._pitch - 8.0
        rough = self._rough_power / self._power - 0.22
        bright = self._bright_power / self._power
        joy = 0.9 * lively + 0.12 * max(high, 0.0)
        sadness = -1.1 * lively + 8.0 * rough - 0.15 * max(high, -2.0)
        anger = 0.10 * (self._tilt + 11.0) + 0.25 * lively - 4.0 * max(rough, 0.0)
        fear = 0.25 * raised - 0.3 * lively
        disgust = -0.5
        amazement = 0.5 * raised + 0.3 * lively - 0.5
        breathless = 14.0 * rough + 6.0 * (bright - 0.06)
        scores = (joy, sadness, anger, fear, disgust, amazement, breathless)
        return (*(certain * GAIN * min(_MOST, score) for score in scores), certain * NEUTRAL + (1 - certain) * SILENT)
