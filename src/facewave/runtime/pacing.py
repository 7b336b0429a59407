"""When audio goes to a provider: in one burst, or at the pace of speech.

Knows nothing about threads, providers or clocks: samples and the time go in, samples that may go now come out.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError
from ..timing import SAMPLE_RATE, samples_in

Mode = Literal["burst", "real time"]

SLICE = SAMPLE_RATE * 35 // 1000
"""Samples sent at once in real-time mode: 35 ms, so that 30 a second are 5 % faster than speech."""

INTERVAL_S = 1 / 30
"""Seconds between two slices."""

INITIAL_S = 0.5
"""Seconds sent at once at the start: they fill the provider's look-ahead and the player's buffer."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """How one clip is sent.

    Raises:
        SettingsError: An unknown mode, or a length that is not 0 or more.
    """

    mode: Mode = "real time"
    """`burst`: all as soon as it is there. `real time`: a first chunk, then 35 ms slices, at most 30 a second."""

    initial_s: float = INITIAL_S
    """Real time only: seconds of audio sent without waiting at the start."""

    def __post_init__(self) -> None:
        if self.mode not in ("burst", "real time"):
            raise SettingsError(f"pacing mode: found {self.mode!r}, expected 'burst' or 'real time'")
        if not (math.isfinite(self.initial_s) and self.initial_s >= 0):
            raise SettingsError(f"initial chunk: found {self.initial_s} s, expected 0 or more seconds")


class Pacer:
    """Lets samples through in the rhythm of a `Pacing`."""

    def __init__(self, pacing: Pacing, minimum: int = 1) -> None:
        """Start a clip. `minimum`: samples the provider wants in its first chunk at least."""
        self._burst = pacing.mode == "burst"
        self._initial = max(samples_in(pacing.initial_s), minimum)
        self._minimum = minimum
        self._waiting: deque[NDArray[np.float32]] = deque()
        self._n_waiting = 0
        self._sent = 0
        self._ended = False
        self._next_tick = -math.inf

    @property
    def sent(self) -> int:
        """Samples let through so far."""
        return self._sent

    @property
    def received(self) -> int:
        """Samples pushed so far."""
        return self._sent + self._n_waiting

    @property
    def done(self) -> bool:
        """Whether the end was declared and every sample has been let through."""
        return self._ended and not self._n_waiting

    def push(self, samples: NDArray[np.float32]) -> None:
        """Add audio, shape (n,); kept, not copied."""
        if len(samples):
            self._waiting.append(samples)
            self._n_waiting += len(samples)

    def end(self) -> None:
        """No more audio: an incomplete slice may go."""
        self._ended = True

    def due(self) -> float:
        """When `take` has something: -inf for at once, a time, or +inf for not before more audio."""
        if not self._n_waiting:
            return math.inf
        if self._at_once():
            return -math.inf
        if self._sent < self._initial or self._burst:
            return math.inf  # Less than the provider's first chunk.
        return self._next_tick if self._n_waiting >= SLICE or self._ended else math.inf

    def take(self, now: float) -> NDArray[np.float32] | None:
        """The samples that may go at `now`, or None."""
        if not self._n_waiting or now < self.due():
            return None
        if self._burst:
            return self._pop(self._n_waiting)
        if self._sent < self._initial:
            return self._pop(self._initial - self._sent)
        # The first slice goes at once. Up to half an interval of lateness is made good by the next ones; a longer gap
        # begins a new rhythm, so that no window of time ever sees more than 30 slices a second and one.
        self._next_tick = max(self._next_tick, now - INTERVAL_S / 2) + INTERVAL_S
        return self._pop(SLICE)

    def _at_once(self) -> bool:
        first = self._sent == 0 and self._n_waiting < self._minimum and not self._ended
        return not first and (self._burst or self._sent < self._initial)

    def _pop(self, count: int) -> NDArray[np.float32]:
        parts = []
        while count and self._waiting:
            part = self._waiting.popleft()
            if len(part) > count:
                self._waiting.appendleft(part[count:])
                part = part[:count]
            parts.append(part)
            count -= len(part)
        out = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._n_waiting -= len(out)
        self._sent += len(out)
        return out
