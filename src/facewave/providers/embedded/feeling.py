"""A hint of emotion from the voice: a few rules over prosody, deliberately weak, to be overruled by given emotion.

Prosody says little about which emotion, more about how much, and anger cannot be told from pitch. So the scores stay
small and a neutral score stands against them. The constants are set by hand, not fitted to labelled speech.

Source: Juslin and Laukka (2003), Communication of emotions in vocal expression and music performance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...animation.rows import Rows
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


_Evidence = tuple[float, float, float, float, float, float, float]
"""Voiced seconds, spread of the pitch, pitch and its baseline (semitones), tilt, share of rough and of bright power."""


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
        return feelings([self], Rows([len(prosody)]), prosody)

    def hear(self, prosody: Sequence[Sequence[float]]) -> list[_Evidence]:
        """What is known after each row of prosody; for `feelings`."""
        heard = []
        for row in prosody:
            self._hear(row[LEVEL], row[F0], row[NOISE], row[TILT])
            rough, bright = self._rough_power / self._power, self._bright_power / self._power
            heard.append((self._voiced_s, self._spread, self._pitch, self._baseline, self._tilt, rough, bright))
        return heard

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


def feelings(voices: Sequence[VoiceFeeling], rows: Rows, prosody: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores after each row of many streams.

    Args:
        voices: One for each stream.
        rows: Where the rows of each lie.
        prosody: Shape (n, 5), columns of `features.prosody`.

    Returns:
        Shape (n, 8), order of `SCORES`: logits.
    """
    known = prosody.tolist()
    evidence: list[_Evidence] = []
    for voice, own in zip(voices, rows.slices(), strict=True):
        evidence += voice.hear(known[own])
    voiced_s, spread, pitch, baseline, tilt, rough, bright = np.array(evidence, np.float64).reshape(-1, 7).T
    certain = np.clip(voiced_s / _ENOUGH_S - 1.0, 0.0, 1.0)
    pitched = ~np.isnan(pitch)
    lively = spread - 2.4  # semitones of mean deviation; calm speech has about 2.4
    animated = spread - 3.2  # reading aloud has about 3.2, and is not joy: 24 LibriSpeech readers
    raised = np.where(pitched, pitch - baseline, 0.0)
    high = np.where(pitched, pitch - 8.0, 0.0)
    shrill = np.where(pitched, pitch - 12.0, 0.0)  # above 200 Hz, where women's voices lie
    rough = rough - 0.22
    out = np.empty((len(evidence), len(SCORES)))
    out[:, 0] = 0.9 * animated + 0.3 * np.maximum(shrill, 0.0)  # joy
    out[:, 1] = -1.1 * lively + 8.0 * rough - 0.15 * np.maximum(high, -2.0)  # sadness
    out[:, 2] = 0.10 * (tilt + 11.0) + 0.25 * lively - 4.0 * np.maximum(rough, 0.0)  # anger
    out[:, 3] = 0.25 * raised - 0.3 * lively  # fear
    out[:, 4] = -0.5  # disgust
    out[:, 5] = 0.5 * raised + 0.3 * lively - 0.5  # amazement
    out[:, 6] = 14.0 * rough + 6.0 * (bright - 0.06)  # out of breath
    out[:, :7] = certain[:, None] * GAIN * np.minimum(_MOST, out[:, :7])
    out[:, 7] = certain * NEUTRAL + (1 - certain) * SILENT
    return out.astype(np.float32)
