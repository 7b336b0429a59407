"""What a living face does besides speaking: blinks, glances, brows on pitch accents, breaths, small head motion.

Nothing here is random that the seed does not fix: every draw happens at an event of the stream, so the same audio and
seed give the same life whatever the chunks. Rows come at the rate of the prosody, 60 a second.

Sources for the figures: Bentivoglio et al. (1997), Analysis of blink rate patterns (17 a minute at rest, more in
conversation); Evinger et al. (1991), Eyelid movements (closing about twice as fast as opening); Bahill et al. (1975),
The main sequence (saccade duration 21 ms + 2.2 ms a degree); Cavé et al. (1996), About the relationship between eyebrow
movements and F0 variations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS, INDEX
from .rows import Rows

ROW_HZ = 60
COLUMNS: tuple[str, ...] = (
    "blink",
    "gaze_right_deg",
    "gaze_up_deg",
    "brow",
    "breath",
    "yaw_deg",
    "pitch_deg",
    "roll_deg",
)
"""What a row holds: lids closed 0..1, direction of the eyes, raised brows 0..1, drawn breath 0..1, head angles."""

_YAW = COLUMNS.index("yaw_deg")

EYE_RANGE_DEG = 30.0
"""Rotation at which an `eyeLook` channel is 1."""

_BLINK_EVERY_S, _BLINK_EVERY_SILENT_S = 6.0, 4.0
_BLINK_SPREAD, _BLINK_LEAST_S, _BLINK_MOST_S = 0.42, 1.3, 11.0
_BLINK_AT_PAUSE, _BLINK_REFRACTORY_S = 0.8, 1.1
_CLOSING_S, _OPENING_S = (0.065, 0.095), (0.12, 0.19)
_FIXATION_S, _FIXATION_SPREAD = 1.35, 0.55
_NEAR_DEG, _AWAY_DEG = (2.2, 1.2), (7.0, 13.0)
_AWAY_SHARE, _AWAY_BLINK_SHARE = 0.22, 0.25
_ACCENT_Z, _ACCENT_GAP_S, _BROW_LOW, _BROW_HIGH = 1.3, 0.9, 0.12, 0.45
_BROW_RISE_S, _BROW_FALL_S = 0.13, 0.4
_PAUSE_S, _BREATH_AFTER_S, _BREATH_S = 0.2, 1.2, 0.55
_SPEECH_OVER_FLOOR_DB, _QUIET_DB, _HANGOVER_S = 12.0, -55.0, 0.12
_BASELINE_S = 5.0
_HEAD_HZ = (0.07, 0.13, 0.23, 0.41)
_HEAD_DEG = {"yaw": 1.6, "pitch": 1.0, "roll": 0.8}


@dataclass(slots=True)
class _Pulse:
    """A rise and fall that began at a row."""

    start: int
    rise: float
    fall: float
    height: float

    def at(self, row: int) -> float:
        """Value at a row; 0 before and after."""
        x = row - self.start
        if x < 0 or x >= self.rise + self.fall:
            return 0.0
        share = x / self.rise if x < self.rise else 1 - (x - self.rise) / self.fall
        return self.height * share * share * (3 - 2 * share)

    def over(self, row: int) -> bool:
        """Whether it has ended."""
        return row >= self.start + self.rise + self.fall


class IdleLife:
    """The involuntary motion of one stream. Owns its random generator and what it has heard so far."""

    def __init__(self, seed: int = 0) -> None:
        """Args: a seed; streams of different seeds blink and glance at different times."""
        self._random = np.random.default_rng(seed)
        self._row = 0
        self._pulses: dict[str, list[_Pulse]] = {"blink": [], "brow": [], "breath": [], "nod": []}
        self._next_blink = int(self._random.uniform(0.5, 3.0) * ROW_HZ)
        self._last_blink = -10 * ROW_HZ
        self._next_glance = int(self._random.uniform(0.3, 1.5) * ROW_HZ)
        self._from, self._to = (0.0, 0.0), (0.0, 0.0)
        self._glance_start, self._glance_rows = 0, 1.0
        self._floor_db = 0.0
        self._spoken_rows = 0
        self._silent_rows = 10 * ROW_HZ
        self._pitch_mean = self._pitch_var = math.nan
        self._recent_pitch: list[float] = []
        self._last_accent = -10 * ROW_HZ
        self._awake = 0.0
        self._phases = self._random.uniform(0, 2 * np.pi, (3, len(_HEAD_HZ)))

    def __call__(self, level_db: NDArray[np.float32], f0_hz: NDArray[np.float32]) -> NDArray[np.float32]:
        """Live through consecutive rows.

        Args:
            level_db: Shape (n,), dB of full scale.
            f0_hz: Shape (n,), hertz, 0 where unvoiced.

        Returns:
            Shape (n, 8), columns as `COLUMNS`.
        """
        return living([self], Rows([len(level_db)]), level_db, f0_hz)

    def live(self, level_db: Sequence[float], f0_hz: Sequence[float]) -> list[tuple[float, ...]]:
        """Live through consecutive rows; each: columns as `COLUMNS` without the slow sway of the head, then how awake
        it is, 0..1, and the time in seconds. For `living`."""
        out: list[tuple[float, ...]] = []
        for level, f0 in zip(level_db, f0_hz, strict=True):
            self._hear(level, f0)
            if self._row >= self._next_blink:
                self._blink()
            if self._row >= self._next_glance:
                self._glance()
            right, up = self._eyes()
            breath = self._height("breath")
            pitch = 0.6 * breath - self._height("nod")
            out.append(
                (self._height("blink"), right, up, self._height("brow"), breath, 0.0, pitch, 0.0, self._awake,
                 self._row / ROW_HZ)
            )  # fmt: skip
            self._row += 1
        return out

    @property
    def phases(self) -> NDArray[np.float64]:
        """Where the head's sway begins, shape (3, waves), radians."""
        return self._phases

    def _hear(self, level: float, f0: float) -> None:
        """Follow speech and pauses, and find pitch accents."""
        row = self._row
        # The floor falls at once and rises by 3 dB a second, so it stays with the pauses.
        self._floor_db = level if row == 0 else min(level, self._floor_db + 3.0 / ROW_HZ)
        self._floor_db = max(self._floor_db, _QUIET_DB)
        if level > self._floor_db + _SPEECH_OVER_FLOOR_DB or (f0 > 0 and level > _QUIET_DB):
            self._silent_rows = 0
            self._spoken_rows += 1
        else:
            self._silent_rows += 1
        if self._silent_rows == int(_PAUSE_S * ROW_HZ) and self._spoken_rows > _BREATH_AFTER_S * ROW_HZ:
            self._phrase_ended()
        if self._silent_rows > _PAUSE_S * ROW_HZ:
            self._spoken_rows = 0
        talking = self._silent_rows < _HANGOVER_S * ROW_HZ
        self._awake += ((1.0 if talking else 0.0) - self._awake) / (0.5 * ROW_HZ)
        if f0 > 0:
            self._follow_pitch(12 * math.log2(f0 / 100))
        else:
            self._recent_pitch.clear()

    def _phrase_ended(self) -> None:
        if self._random.random() < _BLINK_AT_PAUSE and self._row - self._last_blink > _BLINK_REFRACTORY_S * ROW_HZ:
            self._next_blink = self._row
        self._pulses["breath"].append(_Pulse(self._row, _BREATH_S * ROW_HZ * 0.6, _BREATH_S * ROW_HZ * 0.4, 1.0))

    def _follow_pitch(self, semitones: float) -> None:
        """Compare with the speaker's own range; a peak well above it raises the brows and nods."""
        if math.isnan(self._pitch_mean):
            self._pitch_mean, self._pitch_var = semitones, 4.0
        share = 1 / (_BASELINE_S * ROW_HZ)
        difference = semitones - self._pitch_mean
        self._pitch_mean += share * difference
        self._pitch_var += share * (difference * difference - self._pitch_var)
        self._recent_pitch = [*self._recent_pitch[-4:], semitones]
        z = difference / max(math.sqrt(self._pitch_var), 1.5)
        rising = len(self._recent_pitch) == 5 and self._recent_pitch[-1] >= self._recent_pitch[0]
        if z > _ACCENT_Z and rising and self._row - self._last_accent > _ACCENT_GAP_S * ROW_HZ:
            self._last_accent = self._row
            height = min(_BROW_HIGH, _BROW_LOW + 0.15 * (z - _ACCENT_Z)) * self._random.uniform(0.7, 1.2)
            self._pulses["brow"].append(_Pulse(self._row, _BROW_RISE_S * ROW_HZ, _BROW_FALL_S * ROW_HZ, height))
            self._pulses["nod"].append(_Pulse(self._row, 0.18 * ROW_HZ, 0.35 * ROW_HZ, self._random.uniform(1.0, 3.0)))

    def _blink(self) -> None:
        closing, opening = (self._random.uniform(*span) * ROW_HZ for span in (_CLOSING_S, _OPENING_S))
        self._pulses["blink"].append(_Pulse(self._row, closing, opening, 1.0))
        self._last_blink = self._row
        every_s = _BLINK_EVERY_SILENT_S if self._silent_rows > ROW_HZ else _BLINK_EVERY_S
        wait = self._random.lognormal(math.log(every_s), _BLINK_SPREAD)
        self._next_blink = self._row + int(min(max(wait, _BLINK_LEAST_S), _BLINK_MOST_S) * ROW_HZ)

    def _glance(self) -> None:
        self._from = self._eyes()
        away = self._random.random() < _AWAY_SHARE
        if away:
            angle = self._random.choice([0.0, math.pi, -math.pi / 3, -2 * math.pi / 3, math.pi / 3, 2 * math.pi / 3])
            reach = self._random.uniform(*_AWAY_DEG)
            self._to = (reach * math.cos(angle), 0.6 * reach * math.sin(angle))
            if self._random.random() < _AWAY_BLINK_SHARE:
                self._next_blink = min(self._next_blink, self._row)
        else:
            right, up = np.clip(self._random.normal(size=2), -2, 2) * _NEAR_DEG
            self._to = (float(right), float(up))
        amplitude = math.hypot(self._to[0] - self._from[0], self._to[1] - self._from[1])
        self._glance_start, self._glance_rows = self._row, max(1.0, (0.021 + 0.0022 * amplitude) * ROW_HZ)
        stay = self._random.lognormal(math.log(_FIXATION_S), _FIXATION_SPREAD)
        self._next_glance = self._row + max(int(stay * ROW_HZ), 12)

    def _eyes(self) -> tuple[float, float]:
        """Degrees right and up: on the way from the last target to this one, with the least jerk."""
        share = (self._row - self._glance_start) / self._glance_rows
        if share >= 1:
            return self._to
        eased = share * share * share * (share * (6 * share - 15) + 10)
        (x, y), (to_x, to_y) = self._from, self._to
        return x + eased * (to_x - x), y + eased * (to_y - y)

    def _height(self, name: str) -> float:
        """How far the pulses of a kind reach at this row."""
        pulses = self._pulses[name]
        if not pulses:
            return 0.0
        height = max(pulse.at(self._row) for pulse in pulses)
        if pulses[0].over(self._row):
            del pulses[0]
        return height


def living(
    lives: Sequence[IdleLife], rows: Rows, level_db: NDArray[np.float32], f0_hz: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Live through consecutive rows of many streams.

    Args:
        lives: One for each stream.
        rows: Where the rows of each lie.
        level_db: Shape (n,), dB of full scale.
        f0_hz: Shape (n,), hertz, 0 where unvoiced.

    Returns:
        Shape (n, 8), columns as `COLUMNS`.
    """
    level, f0 = level_db.tolist(), f0_hz.tolist()
    lived: list[tuple[float, ...]] = []
    for life, own in zip(lives, rows.slices(), strict=True):
        lived += life.live(level[own], f0[own])
    values = np.array(lived, np.float64).reshape(-1, len(COLUMNS) + 2)
    out, awake, time_s = values[:, : len(COLUMNS)], values[:, -2], values[:, -1]
    # Slow head motion, twice as much while speaking.
    angle = 2 * np.pi * np.multiply.outer(time_s, _HEAD_HZ)[:, None, :]
    angle = angle + np.array([life.phases for life in lives])[rows.stream]  # (n, 3, waves)
    out[:, _YAW:] += np.sin(angle).mean(axis=2) * 2 * list(_HEAD_DEG.values()) * (1 + awake[:, None])
    return out.astype(np.float32)


def _indices(*names: str) -> list[int]:
    return [INDEX[name] for name in names]


_BLINKS = _indices("eyeBlinkLeft", "eyeBlinkRight")
# Seen from the face itself: looking to its right turns the right eye out and the left eye in.
_GAZE = {
    "eyeLookOutRight": (1, 0), "eyeLookInLeft": (1, 0), "eyeLookInRight": (-1, 0), "eyeLookOutLeft": (-1, 0),
    "eyeLookUpLeft": (0, 1), "eyeLookUpRight": (0, 1), "eyeLookDownLeft": (0, -1), "eyeLookDownRight": (0, -1),
}  # fmt: skip
_EYES = _indices(*_GAZE)
_TURN = (np.array(list(_GAZE.values()), np.float32) / np.float32(EYE_RANGE_DEG)).T.copy()
"""Shape (2, 8): weight of each eye channel per degree right and up; what comes out negative is 0."""

_ADDED = np.zeros((2, len(CHANNELS)), np.float32)
"""Shape (2, 68): what raised brows and a drawn breath add."""
_ADDED[0, _indices("browInnerUp")] = 0.8
_ADDED[0, _indices("browOuterUpLeft", "browOuterUpRight")] = 0.9
_ADDED[1, _indices("noseSneerLeft", "noseSneerRight")] = 0.03
_ADDED[1, _indices("jawOpen")] = 0.012
_GAZE_COLUMNS, _ADDED_COLUMNS = slice(1, 3), slice(3, 5)
_LOWERED_LIDS = 0.25
"""Part of a look down that the lids follow."""


def add_idle(weights: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay idle life over a face.

    Args:
        weights: Shape (frames, 68).
        rows: Shape (frames, 8), columns as `COLUMNS`.

    Returns:
        Shape (frames, 68). A blink closes what an expression left open; looking down lowers the lids a little.
    """
    out = weights + (rows[:, _ADDED_COLUMNS] @ _ADDED) * np.clip(1 - weights, 0, 1)
    turned = np.clip(rows[:, _GAZE_COLUMNS] @ _TURN, 0, 1)
    out[:, _EYES] += turned
    lids = np.maximum(rows[:, 0], _LOWERED_LIDS * turned[:, -1])
    out[:, _BLINKS] = np.maximum(out[:, _BLINKS], lids[:, None])
    return np.asarray(out, np.float32)
