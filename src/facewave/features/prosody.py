"""How something is said: level, pitch, breathiness, brightness, sixty times a second, causal and streaming.

One row per step of the embedded network, so that both describe the same moments: row j has heard the samples before
(j + 1) * 16000 / 60 and looks at the last 40 ms of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..timing import SAMPLE_RATE
from .windows import Index, Spacing, Unwindowed, cut

STEP_HZ: Final = 60
"""Rows per second."""

WINDOW: Final = 640
"""Samples looked at (40 ms): two periods of the lowest voices."""

MIN_F0_HZ, MAX_F0_HZ = 60.0, 420.0
"""Pitch outside this range is not looked for."""

SILENCE_DB = -55.0
"""RMS below this, relative to full scale, has no pitch."""

COLUMNS: tuple[str, ...] = ("level_db", "f0_hz", "voicing", "noise_share", "tilt_db")
"""RMS level in dB of full scale; pitch, 0 where there is none; 0..1 strength of the periodicity; share of power above
4 kHz, 0..1; level above 1 kHz against below, dB."""

LEVEL, F0, VOICING, NOISE, TILT = range(len(COLUMNS))

_N_FFT = 1024  # WINDOW and the longest lag together stay below it, so that lags do not wrap around.
_LAG_HZ = SAMPLE_RATE // 2
"""Lags a second. Periods are looked for below 4 kHz, where voices have theirs, at half the cost."""

_LAG_FFT = _N_FFT * _LAG_HZ // SAMPLE_RATE
_SHORTEST, _LONGEST = int(_LAG_HZ / MAX_F0_HZ), int(_LAG_HZ / MIN_F0_HZ)
_VOICED = 0.5
"""Periodicity from which a frame counts as voiced: noise stays below, breathy vowels above."""

_OCTAVE_BIAS = 0.9
"""A shorter period wins if it repeats this well compared with the best one: half the pitch repeats just as well."""

_BLOCK = 512
_TINY = 1e-12


def row_end(index: Index, /) -> Index:
    """One past the last sample of row `index`."""
    return (index + 1) * SAMPLE_RATE // STEP_HZ


def rows_in(n_samples: int) -> int:
    """Rows whose windows end within the first `n_samples` samples."""
    return n_samples * STEP_HZ // SAMPLE_RATE


SPACING = Spacing(WINDOW, row_end, rows_in)
"""The windows of the rows."""


def prosody(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Prosody of a whole clip: samples, shape (n,), mono, 16 kHz, to rows, shape (m, 5), columns as `COLUMNS`."""
    return analysed(cut([Unwindowed(SPACING)], [samples])[0][0])


def analysed(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows for windows of samples, shape (m, WINDOW): shape (m, 5), columns as `COLUMNS`."""
    rows = np.empty((len(windows), len(COLUMNS)), np.float32)
    for block in range(0, len(windows), _BLOCK):
        rows[block : block + _BLOCK] = _analysed(windows[block : block + _BLOCK])
    return rows


_TAPER = np.hanning(WINDOW).astype(np.float32)
# Below 1 kHz, above 4 kHz, and where periods are looked for; as slices, because a mask copies.
_LOW, _HIGH = slice(0, 1000 * _N_FFT // SAMPLE_RATE), slice(4000 * _N_FFT // SAMPLE_RATE + 1, None)
_PERIODIC = slice(0, _LAG_FFT // 2 + 1)
# What tapering alone does to a perfectly periodic signal; dividing by it makes its periodicity 1 at every lag.
_TAPER_SHARE = np.fft.irfft(np.abs(np.fft.rfft(_TAPER, _N_FFT)[_PERIODIC]) ** 2)[: _LONGEST + 2]
_TAPER_SHARE = (_TAPER_SHARE / _TAPER_SHARE[0]).astype(np.float32)


def _analysed(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows for windows of samples, shape (m, WINDOW).

    Source: Boersma (1993), Accurate short-term analysis of the fundamental frequency.
    """
    level = 10 * np.log10(np.mean(np.square(windows), axis=1) + _TINY)
    spectrum = np.fft.rfft((windows - windows.mean(axis=1, keepdims=True)) * _TAPER, _N_FFT)
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    total = power.sum(axis=1) + _TINY
    noise = power[:, _HIGH].sum(axis=1) / total
    low = power[:, _LOW].sum(axis=1)
    tilt = 10 * np.log10((np.maximum(total - low, 0) + _TINY) / (low + _TINY))
    correlation = np.fft.irfft(power[:, _PERIODIC], axis=1)[:, : _LONGEST + 2]
    periodicity = np.asarray(correlation / (correlation[:, :1] + _TINY) / np.maximum(_TAPER_SHARE, 0.05), np.float32)
    lag, strength = _period(periodicity)
    voiced = (strength > _VOICED) & (level > SILENCE_DB)
    f0 = np.where(voiced, _LAG_HZ / np.maximum(lag, 1), 0)
    return np.stack([level, f0, np.clip(strength, 0, 1), noise, tilt], axis=1).astype(np.float32)


def _period(periodicity: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Best lag, refined by a parabola, and its strength; each shape (m,)."""
    inside = periodicity[:, _SHORTEST : _LONGEST + 1]
    peak = np.zeros_like(inside, bool)
    peak[:, 1:-1] = (inside[:, 1:-1] >= inside[:, :-2]) & (inside[:, 1:-1] > inside[:, 2:])
    heights = np.where(peak, inside, -1)
    best = heights.max(axis=1)
    at = np.argmax(heights >= _OCTAVE_BIAS * best[:, None], axis=1) + _SHORTEST
    row = np.arange(len(periodicity))
    before, here, after = (periodicity[row, at + shift] for shift in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.where(np.abs(bend) > _TINY, 0.5 * (before - after) / np.where(bend == 0, 1, bend), 0)
    return at + np.clip(shift, -1, 1), np.where(best > 0, here, 0)
