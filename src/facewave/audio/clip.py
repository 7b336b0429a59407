"""A clip: audio as it was made, and as the models hear it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import AudioError
from ..timing import SAMPLE_RATE
from .resample import StreamResampler

MAX_CHANNELS = 2


@dataclass(frozen=True, slots=True, eq=False)
class AudioClip:
    """Samples of any rate, mono or stereo.

    Raises:
        AudioError: No samples, more than two channels, a rate that is not positive, or NaN or infinite samples.
    """

    samples: NDArray[np.float32]
    """Shape (n, channels), float32, nominally in [-1, 1]."""

    sample_rate: int
    """Hertz."""

    path: Path | None = None
    """The file it came from."""

    def __post_init__(self) -> None:
        samples = as_float32(self.samples, str(self.path or "audio"))
        if not len(samples):
            raise AudioError(f"{self.path or 'audio'}: found no samples, expected at least one")
        object.__setattr__(self, "samples", samples)

    @property
    def channels(self) -> int:
        """1 or 2."""
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return len(self.samples) / self.sample_rate

    def mono_16k(self) -> NDArray[np.float32]:
        """Shape (m,), m = ceil(n * 16000 / rate): the mean of the channels at 16 kHz."""
        resampler = StreamResampler(self.sample_rate, self.channels)
        return np.concatenate([resampler.push(self.samples), resampler.finish()])


def as_float32(samples: ArrayLike, name: str = "audio samples") -> NDArray[np.float32]:
    """Samples as (n, channels) float32 in [-1, 1]; int16 is divided by 32768.

    Args:
        samples: Shape (n,) or (n, channels); float or int16.
        name: What to call them in an error.

    Raises:
        AudioError: Another type or shape, more than two channels, NaN or infinite values.
    """
    array = np.asarray(samples)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not 1 <= array.shape[1] <= MAX_CHANNELS:
        found = f"{array.shape[1]} channels" if array.ndim == 2 else f"an array of shape {array.shape}"
        raise AudioError(f"{name}: found {found}, expected mono or stereo: shape (n,), (n, 1) or (n, 2)")
    if array.dtype == np.int16:
        return array.astype(np.float32) / np.float32(32768)
    if array.dtype.kind != "f" and array.size:
        raise AudioError(f"{name}: found samples of type {array.dtype}, expected float32 in [-1, 1] or int16")
    floats = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(floats).all():
        where = int(np.argmin(np.isfinite(floats).all(axis=1)))
        raise AudioError(f"{name}: sample {where} is not a finite number; expected values in [-1, 1]")
    return floats


def from_array(samples: ArrayLike, sample_rate: int = SAMPLE_RATE) -> AudioClip:
    """A clip from an array: int16 or float, shape (n,) or (n, channels)."""
    return AudioClip(as_float32(samples), sample_rate)
