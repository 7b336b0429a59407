"""Changes to the sound of speech that leave its phones as they are: speed, rooms, codecs, overdrive.

They are made once, on the samples (`prepare.py`). What is cheap and should differ every time is in `noise.py`.
"""

from __future__ import annotations

import io

import numpy as np
import scipy.signal
import soundfile
import soxr
from numpy.typing import NDArray

SAMPLE_RATE = 16000


def varied(samples: NDArray[np.float32], rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """A changed copy of a clip, and the factor by which all its times grew."""
    stretch = float(rng.uniform(0.82, 1.2))
    # Playing faster raises pitch and formants too: another, smaller speaker.
    out = np.asarray(soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE * stretch, quality="MQ"), dtype=np.float32)
    if rng.random() < 0.35:
        out = in_room(out, rng)
    choice = rng.random()
    if choice < 0.12:
        out = telephone(out)
    elif choice < 0.22:
        out = low_rate_codec(out)
    elif choice < 0.34:
        out = overdriven(out, float(rng.uniform(1.5, 6)))
    return out, stretch


def in_room(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Add the echo of a room: noise that decays by 60 dB within .12 to .7 s, quieter than the voice."""
    decay_s = float(rng.uniform(0.12, 0.7))
    n = int(decay_s * SAMPLE_RATE)
    tail = rng.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    tail *= float(rng.uniform(0.1, 0.6)) / np.sqrt(np.square(tail).sum())
    tail[: int(rng.uniform(0.001, 0.012) * SAMPLE_RATE)] = 0
    tail[0] = 1.0
    out: NDArray[np.float32] = scipy.signal.fftconvolve(samples, tail)[: len(samples)].astype(np.float32)
    return out


def telephone(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """8 kHz and mu-law."""
    narrow = soxr.resample(samples, SAMPLE_RATE, 8000, quality="MQ")
    level = np.log1p(255 * np.abs(np.clip(narrow, -1, 1))) / np.log(256)
    coded = np.sign(narrow) * np.round(level * 127) / 127
    decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255
    wide = soxr.resample(decoded.astype(np.float32), 8000, SAMPLE_RATE, quality="MQ")
    return _fitted(np.asarray(wide, dtype=np.float32), len(samples))


def low_rate_codec(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Through Ogg Vorbis at its lowest quality."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="OGG", subtype="VORBIS", compression_level=1.0)
    file.seek(0)
    return _fitted(soundfile.read(file, dtype="float32")[0], len(samples))


def overdriven(samples: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """Soft clipping, as of a preamplifier set too high."""
    peak = float(np.abs(samples).max()) + 1e-6
    out: NDArray[np.float32] = np.tanh(samples / peak * gain).astype(np.float32) * np.float32(peak)
    return out


def _fitted(samples: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    return np.pad(samples, (0, max(0, n - len(samples))))[:n].astype(np.float32)
