"""Samples of a stream under their absolute indices: what a window reads from, wherever the window lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError, SessionError


class SampleBuffer:
    """An append-only run of mono samples, of which the beginning can be forgotten.

    Sample 0 is the first one appended, for ever. Before it, and after the end of a closed buffer, there is silence.
    """

    def __init__(self) -> None:
        self._data = np.empty(4096, np.float32)
        self._first = 0  # absolute index of _data[0]
        self._end = 0
        self._closed = False

    def __len__(self) -> int:
        """Number of samples ever appended."""
        return self._end

    @property
    def closed(self) -> bool:
        """Whether no more samples will come."""
        return self._closed

    @property
    def dropped(self) -> int:
        """Samples before this index have been forgotten."""
        return self._first

    def append(self, samples: NDArray[np.float32]) -> None:
        """Add samples, shape (n,).

        Raises:
            SessionError: The buffer has been closed.
            AudioError: Not one-dimensional.
        """
        if self._closed:
            raise SessionError("sample buffer: samples after the end of the audio; open a new stream for a new clip")
        if samples.ndim != 1:
            raise AudioError(f"sample buffer: found samples of shape {samples.shape}, expected (n,) mono")
        held = self._end - self._first
        if held + len(samples) > len(self._data):
            grown = np.empty(max(2 * len(self._data), held + len(samples)), np.float32)
            grown[:held] = self._data[:held]
            self._data = grown
        self._data[held : held + len(samples)] = samples
        self._end += len(samples)

    def close(self) -> None:
        """Declare the end of the audio. Idempotent."""
        self._closed = True

    def read(self, start: int, count: int, gain: float = 1.0) -> NDArray[np.float32]:
        """Samples start ... start + count - 1 times `gain`, shape (count,); `start` may be negative.

        Raises:
            SessionError: Samples that have been forgotten, or that an open buffer does not have yet.
        """
        stop = start + count
        if start < self._first and self._first > 0:
            raise SessionError(f"sample buffer: sample {start} was dropped, the oldest one held is {self._first}")
        if stop > self._end and not self._closed:
            raise SessionError(f"sample buffer: sample {stop - 1} has not arrived, {self._end} samples have")
        out = np.zeros(count, np.float32)
        low, high = max(start, 0), min(stop, self._end)
        if low < high:
            held = self._data[low - self._first : high - self._first]
            np.multiply(held, np.float32(gain), out=out[low - start : high - start])
        return out

    def drop_before(self, sample: int) -> None:
        """Forget what lies before `sample`; memory is reused from then on.

        Raises:
            SessionError: `sample` has not arrived yet.
        """
        if sample > self._end:
            raise SessionError(f"sample buffer: cannot drop before {sample}, only {self._end} samples have arrived")
        if sample > self._first:
            held = self._data[sample - self._first : self._end - self._first].copy()
            self._data[: len(held)] = held
            self._first = sample
