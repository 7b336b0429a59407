"""Changes to speech that leave the phones as they are: of the sound itself, and of its log-mel features.

What bends time, rooms and codecs is done once on the samples (step 2). What is cheap and should differ every time
(level, equaliser, vocal-tract length, noise, other talkers, masking) is done on the features of each batch while
training."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import scipy.signal
import soundfile
import soxr
from numpy.typing import NDArray

from facewave.features.log_mel import N_MELS, POWER_FLOOR, mel_filters

if TYPE_CHECKING:
    import torch

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


class FeatureNoise:
    """Random changes of log-mel batches, all on one torch generator."""

    def __init__(self, seed: int) -> None:
        import torch

        self._torch = torch
        self._random = torch.Generator().manual_seed(seed)
        # Power of white noise in a band varies like a chi-square with two degrees of freedom a spectral line.
        lines = np.maximum(1.0, np.square(mel_filters().sum(0)) / np.square(mel_filters()).sum(0))
        self._spread = torch.from_numpy((1 / np.sqrt(0.8 * lines)).astype(np.float32))
        self._gain = torch.from_numpy(mel_filters().sum(0).astype(np.float32))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Change features, shape (batch, frames, N_MELS); natural logarithm of power in and out."""
        torch = self._torch
        n = len(features)
        power = (features.exp() - POWER_FLOOR).clamp_min(0)
        power = self._warped(power)
        power = power * (self._equaliser(n) + self._uniform(n, -1.6, 1.0)[:, None, None] * 2).exp()
        level = power.mean(dim=(1, 2), keepdim=True).clamp_min(1e-9)
        # A second voice from the same batch, 8 to 30 dB below the first.
        other = power.roll(1, 0) / level.roll(1, 0)
        share = 10 ** (-self._uniform(n, 0.8, 3.0)) * (self._uniform(n) < 0.2)
        power = power + other * level * share[:, None, None]
        power = power + self._noise(n, features.shape[1]) * level
        power = self._dulled(power)
        out = (power + POWER_FLOOR).log()
        return self._masked(out) if torch.rand((), generator=self._random) < 0.5 else out

    def _uniform(self, n: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return self._torch.rand(n, generator=self._random) * (high - low) + low

    def _warped(self, power: torch.Tensor) -> torch.Tensor:
        """Move formants by .88 to 1.15, as another length of the vocal tract would."""
        torch = self._torch
        n = len(power)
        factor = torch.where(self._uniform(n) < 0.6, self._uniform(n, 0.88, 1.15), torch.ones(n))
        # 1 kHz is band 21 or so; below it the scale is linear in hertz, above logarithmic. A blend is close enough.
        band = torch.arange(N_MELS, dtype=torch.float32)
        knee = 21.0
        linear = band[None] / factor[:, None]
        log = band[None] - torch.log(factor)[:, None] * (27 / np.log(6.4)) / 0.7
        at = torch.where(band[None] < knee, linear, log).clamp(0, N_MELS - 1.001)
        low = at.floor().long()
        part = (at - low)[:, None, :]
        index = low[:, None, :].expand(-1, power.shape[1], -1)
        out: torch.Tensor = power.gather(2, index) * (1 - part) + power.gather(2, index + 1) * part
        return out

    def _equaliser(self, n: int) -> torch.Tensor:
        """Log power of a smooth curve through 7 points of +-9 dB."""
        torch = self._torch
        points = (torch.rand((n, 1, 7), generator=self._random) * 2 - 1) * 9 / 4.34
        points = points * (self._uniform(n) < 0.7)[:, None, None]
        out: torch.Tensor = torch.nn.functional.interpolate(points, N_MELS, mode="linear", align_corners=True)
        return out

    def _noise(self, n: int, frames: int) -> torch.Tensor:
        """Power of coloured noise for unit speech power; half of the clips stay clean."""
        torch = self._torch
        slope = torch.linspace(0, 1, N_MELS)[None] * self._uniform(n, -9, 1.5)[:, None]
        ripple = torch.nn.functional.interpolate(
            torch.randn((n, 1, 9), generator=self._random), N_MELS, mode="linear", align_corners=True
        )[:, 0]
        shape = (slope + 0.8 * ripple).exp()
        shape = shape / shape.mean(dim=1, keepdim=True)
        wobble = torch.randn((n, frames, N_MELS), generator=self._random) * self._spread
        wobble = 0.7 * (wobble + wobble.roll(1, 1))  # windows overlap, so neighbours are alike
        snr = 10 ** (-self._uniform(n, 0.3, 4.0)) * (self._uniform(n) < 0.6)
        out: torch.Tensor = (shape * snr[:, None])[:, None, :] * (wobble - 0.5 * self._spread.square()).exp()
        return out

    def _dulled(self, power: torch.Tensor) -> torch.Tensor:
        """A sixth of the clips lose what is above 3 to 6.5 kHz."""
        torch = self._torch
        n = len(power)
        cut = torch.where(self._uniform(n) < 0.16, self._uniform(n, 42, 58), torch.full((n,), 99.0))
        over = (torch.arange(N_MELS)[None] - cut[:, None]).clamp_min(0)
        out: torch.Tensor = power * (-1.5 * over).exp()[:, None, :]
        return out

    def _masked(self, features: torch.Tensor) -> torch.Tensor:
        """Hide a few bands for the whole clip."""
        torch = self._torch
        n = len(features)
        start, width = self._uniform(n, 0, N_MELS), self._uniform(n, 0, 7)
        band = torch.arange(N_MELS)[None]
        hidden = (band >= start[:, None]) & (band < (start + width)[:, None])
        mean = features.mean(dim=(1, 2), keepdim=True)
        out: torch.Tensor = torch.where(hidden[:, None, :], mean, features)
        return out
