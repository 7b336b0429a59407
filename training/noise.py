"""Changes to log-mel features that leave the phones as they are, new for every batch.

Level, equaliser, vocal-tract length, noise, other talkers, low-pass, masking: on power spectra these are sums, products
and shifts, so a batch costs a few milliseconds. What bends time, rooms and codecs is in `augment.py`.
"""

from __future__ import annotations

import numpy as np
import torch

from facewave.features.log_mel import N_MELS, POWER_FLOOR, mel_filters


class FeatureNoise:
    """Random changes of log-mel batches, all on one torch generator."""

    def __init__(self, seed: int) -> None:
        self._random = torch.Generator().manual_seed(seed)
        # Power of white noise in a band varies like a chi-square with two degrees of freedom a spectral line.
        lines = np.maximum(1.0, np.square(mel_filters().sum(0)) / np.square(mel_filters()).sum(0))
        self._spread = torch.from_numpy((1 / np.sqrt(0.8 * lines)).astype(np.float32))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Change features, shape (batch, frames, N_MELS); natural logarithm of power in and out."""
        n = len(features)
        power = (features.exp() - POWER_FLOOR).clamp_min(0)
        power = self._warped(power)
        power = power * (self._equaliser(n) + self._uniform(n, -2.3, 1.7)[:, None, None] * 2).exp()
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
        return torch.rand(n, generator=self._random) * (high - low) + low

    def _warped(self, power: torch.Tensor) -> torch.Tensor:
        """Move formants by .88 to 1.15, as another length of the vocal tract would."""
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
        return power.gather(2, index) * (1 - part) + power.gather(2, index + 1) * part

    def _equaliser(self, n: int) -> torch.Tensor:
        """Log power of a smooth curve through 7 points of +-9 dB."""
        points = (torch.rand((n, 1, 7), generator=self._random) * 2 - 1) * 9 / 4.34
        points = points * (self._uniform(n) < 0.7)[:, None, None]
        return torch.nn.functional.interpolate(points, N_MELS, mode="linear", align_corners=True)

    def _noise(self, n: int, frames: int) -> torch.Tensor:
        """Power of coloured noise for unit speech power, 3 to 30 dB below it; a third of the clips stay clean."""
        slope = torch.linspace(0, 1, N_MELS)[None] * self._uniform(n, -9, 1.5)[:, None]
        ripple = torch.nn.functional.interpolate(
            torch.randn((n, 1, 9), generator=self._random), N_MELS, mode="linear", align_corners=True
        )[:, 0]
        shape = (slope + 0.8 * ripple).exp()
        shape = shape / shape.mean(dim=1, keepdim=True)
        wobble = torch.randn((n, frames, N_MELS), generator=self._random) * self._spread
        wobble = 0.7 * (wobble + wobble.roll(1, 1))  # windows overlap, so neighbours are alike
        snr = 10 ** (-self._uniform(n, 0.3, 3.0)) * (self._uniform(n) < 0.65)
        swell = self._swell(n, frames)
        return (shape * snr[:, None])[:, None, :] * (swell + wobble - 0.5 * self._spread.square()).exp()

    def _swell(self, n: int, frames: int) -> torch.Tensor:
        """Log power of noise that comes and goes within a quarter of a second, by up to 4 dB or so; half is steady."""
        depth = self._uniform(n) * (self._uniform(n) < 0.5)
        points = torch.randn((n, 1, frames // 30 + 2), generator=self._random) * depth[:, None, None]
        return torch.nn.functional.interpolate(points, frames, mode="linear", align_corners=True)[:, 0, :, None]

    def _dulled(self, power: torch.Tensor) -> torch.Tensor:
        """A sixth of the clips lose what is above 3 to 6.5 kHz."""
        n = len(power)
        cut = torch.where(self._uniform(n) < 0.16, self._uniform(n, 42, 58), torch.full((n,), 99.0))
        over = (torch.arange(N_MELS)[None] - cut[:, None]).clamp_min(0)
        return power * (-1.5 * over).exp()[:, None, :]

    def _masked(self, features: torch.Tensor) -> torch.Tensor:
        """Hide a few bands for the whole clip."""
        n = len(features)
        start, width = self._uniform(n, 0, N_MELS), self._uniform(n, 0, 7)
        band = torch.arange(N_MELS)[None]
        hidden = (band >= start[:, None]) & (band < (start + width)[:, None])
        mean = features.mean(dim=(1, 2), keepdim=True)
        return torch.where(hidden[:, None, :], mean, features)
