"""Any sample rate to 16 kHz mono, fed in pieces of any size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from ..timing import SAMPLE_RATE

MIN_RATE, MAX_RATE = 1_000, 768_000
"""Hertz; rates outside are taken for mistakes."""

_BLOCK = 512
"""Input frames per call of the resampler: fixed, so that its arithmetic never depends on the caller's chunks."""


class StreamResampler:
    """Turns audio of one rate and channel count into 16 kHz mono, whatever the sizes of the pieces.

    The output is the same to the last bit for every way of cutting the input: input is collected into fixed blocks.
    At 16 kHz samples pass through at once and unchanged but for the mean of the channels.

    Raises:
        AudioError: A sample rate outside 1 kHz to 768 kHz.
    """

    def __init__(self, sample_rate: int, channels: int = 1) -> None:
        if not MIN_RATE <= sample_rate <= MAX_RATE:
            raise AudioError(f"sample rate: found {sample_rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz")
        self._ratio = Fraction(SAMPLE_RATE, sample_rate)
        self._channels = channels
        self._received = 0
        self._sent = 0
        self._pending = np.empty(0, np.float32)
        self._stream = None
        if sample_rate != SAMPLE_RATE:
            import soxr

            self._stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples, shape (n,) or (n, channels); return the 16 kHz mono samples now known, shape (m,)."""
        mono = self._mixed(samples)
        self._received += len(mono)
        if self._stream is None:
            self._sent += len(mono)
            return mono
        self._pending = np.concatenate([self._pending, mono])
        whole = len(self._pending) // _BLOCK * _BLOCK
        parts = [self._stream.resample_chunk(self._pending[i : i + _BLOCK]) for i in range(0, whole, _BLOCK)]
        self._pending = self._pending[whole:]
        return self._counted(np.concatenate(parts) if parts else np.empty(0, np.float32))

    def finish(self) -> NDArray[np.float32]:
        """Declare the end; return the rest, so that ceil(n * 16000 / rate) samples have come out in all."""
        if self._stream is None:
            return np.empty(0, np.float32)
        rest = self._stream.resample_chunk(self._pending, last=True)
        self._pending = np.empty(0, np.float32)
        missing = -(-self._received * self._ratio.numerator // self._ratio.denominator) - self._sent
        # The resampler rounds the length its own way; the clip's duration decides.
        return self._counted(np.pad(rest, (0, max(0, missing - len(rest))))[:missing])

    def _mixed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if samples.ndim == 1 and self._channels == 1:
            return np.array(samples, np.float32)
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise AudioError(f"audio samples: found shape {samples.shape}, expected (n, {self._channels})")
        return np.asarray(samples.mean(axis=1, dtype=np.float32))

    def _counted(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        self._sent += len(samples)
        return samples.astype(np.float32, copy=False)


def decimate_like_sdk(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """What the wav loader of NVIDIA's SDK samples does: no filter, so what lies above 8 kHz aliases.

    Use it only to compare with the SDK number by number; `StreamResampler` is the one to listen to.

    Args:
        samples: Shape (n,), mono.
        sample_rate: A multiple of 16 kHz, or 24, 44.1 or 88.2 kHz, which it brings to the common multiple linearly.

    Raises:
        AudioError: A rate that loader refuses.
    """
    if sample_rate % SAMPLE_RATE == 0:
        return samples[:: sample_rate // SAMPLE_RATE].copy()
    if sample_rate not in (24_000, 44_100, 88_200):
        raise AudioError(
            f"sample rate {sample_rate} Hz: the SDK's loader takes multiples of 16000 Hz, 24000, 44100 and 88200 Hz"
        )
    step = Fraction(sample_rate, SAMPLE_RATE)
    count = len(samples) * step.denominator // step.numerator
    position = np.arange(count) * step.numerator
    left, part = position // step.denominator, position % step.denominator
    right = np.minimum(left + 1, len(samples) - 1)
    weight = (part / step.denominator).astype(np.float32)
    return ((1 - weight) * samples[left] + weight * samples[right]).astype(np.float32)
