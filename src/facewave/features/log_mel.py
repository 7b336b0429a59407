"""Log-mel energies of 16 kHz speech: what the embedded network hears.

One feature frame every 1/120 s. Frame k looks back only: its 25 ms window ends at sample round((k + 1) * 16000 / 120),
and what lies before the first sample is silence. So frame k is ready the moment that sample has arrived.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from ..timing import SAMPLE_RATE
from .windows import Index, Spacing, Unwindowed, cut

RATE_HZ = 120
"""Feature frames per second."""

N_MELS = 64
"""Mel bands between 0 and 8000 Hz."""

WINDOW = SAMPLE_RATE * 25 // 1000
"""Samples in one window (25 ms)."""

N_FFT = 512
"""Length of the Fourier transform; the window is padded with zeros to it."""

POWER_FLOOR = 1e-8
"""Added to each band's power, a little above the noise of 16-bit rounding, so that digital silence is not -infinity."""

_BLOCK = 16
"""Frames transformed at once. Few enough that the linear-algebra library multiplies them in this thread: for more it
wakes threads of its own, which cost twice the processor time and win nothing."""

_HOP_FRAMES, _HOP_SAMPLES = 3, 400
"""Three feature frames are exactly 400 samples."""


def frame_end(index: Index, /) -> Index:
    """One past the last sample of feature frame `index`: round((index + 1) * 16000 / 120)."""
    return (2 * _HOP_SAMPLES * (index + 1) + _HOP_FRAMES) // (2 * _HOP_FRAMES)


def frames_in(n_samples: int) -> int:
    """Feature frames whose windows end within the first `n_samples` samples."""
    # frame_end(k) <= n  <=>  400 (k + 1) <= 3 n + 1, as thirds are never rounded by more than one third.
    return (_HOP_FRAMES * n_samples + 1) // _HOP_SAMPLES


SPACING = Spacing(WINDOW, frame_end, frames_in)
"""The windows of the feature frames."""


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-mel energies of a whole clip.

    Args:
        samples: Shape (n,), mono in [-1, 1], 16 kHz; any length.

    Returns:
        Shape (frames_in(n), N_MELS), natural logarithm of band power plus `POWER_FLOOR`.

    Raises:
        AudioError: `samples` has more than one dimension.

    Source: Slaney (1998), Auditory Toolbox: the filters librosa builds by default.
    """
    clip = np.asarray(samples, dtype=np.float32)
    if clip.ndim != 1:
        raise AudioError(
            f"audio samples: found an array of shape {clip.shape}, expected (n,); mix the channels to mono"
        )
    return energies(cut([Unwindowed(SPACING)], [clip])[0][0])


def energies(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-mel energies, shape (m, N_MELS), of windows of samples, shape (m, WINDOW)."""
    out = np.empty((len(windows), N_MELS), dtype=np.float32)
    taper, filters = _hann(), mel_filters()
    for begin in range(0, len(windows), _BLOCK):
        block = windows[begin : begin + _BLOCK]
        spectrum = np.fft.rfft(block * taper, N_FFT)  # (frames, N_FFT / 2 + 1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        out[begin : begin + _BLOCK] = np.log(power.astype(np.float32) @ filters + POWER_FLOOR)
    return out


@lru_cache(maxsize=1)
def _hann() -> NDArray[np.float32]:
    """Periodic Hann window, shape (WINDOW,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@lru_cache(maxsize=1)
def mel_filters() -> NDArray[np.float32]:
    """Triangular filters of equal area on Slaney's mel scale, shape (N_FFT // 2 + 1, N_MELS)."""
    bins_hz = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    corners = _mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE / 2), N_MELS + 2))
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins_hz[:, None] - low) / (centre - low)
    falling = (high - bins_hz[:, None]) / (high - centre)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (high - low))).astype(np.float32)


# Slaney's scale: linear below 1 kHz (200/3 Hz a mel), logarithmic above (27 mels for a factor of 6.4).
_LINEAR_HZ = 200 / 3
_CORNER_HZ = 1000.0
_CORNER_MEL = _CORNER_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    return hz / _LINEAR_HZ if hz < _CORNER_HZ else _CORNER_MEL + float(np.log(hz / _CORNER_HZ)) / _LOG_STEP


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = mel * _LINEAR_HZ
    return np.where(mel < _CORNER_MEL, linear, _CORNER_HZ * np.exp(_LOG_STEP * (mel - _CORNER_MEL)))
