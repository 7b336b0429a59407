"""How long a frame takes from the moment its sound was captured to the moment it is there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..frames import StreamInfo
from ..timing import SAMPLE_RATE
from .consumers import AudioFormat, Chunk, Consumer, Player
from .delivery import Ending


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """Latency of the frames of a stream, milliseconds."""

    frames: int
    """Frames counted."""

    median_ms: float
    """Half of the frames were faster."""

    p95_ms: float
    """95 of 100 were faster."""

    p99_ms: float
    """99 of 100 were faster."""

    worst_ms: float
    """The slowest."""


class LatencyMeter:
    """A consumer that passes everything on to others and notes when frames arrive."""

    def __init__(self, clock: Callable[[], float], *consumers: Consumer) -> None:
        self._clock, self._consumers = clock, consumers
        self._ends: list[int] = []  # 16 kHz sample after each block.
        self._captured: list[float] = []
        self._latencies: list[float] = []

    def captured(self, samples: int, sample_rate: int, at: float) -> None:
        """Audio of `samples` samples per channel was captured, the last of them at time `at`."""
        before = self._ends[-1] if self._ends else 0
        self._ends.append(before + round(samples * SAMPLE_RATE / sample_rate))
        self._captured.append(at)

    def figures(self) -> LatencyFigures | None:
        """What has been measured so far; None before the first frame."""
        if not self._latencies:
            return None
        values = np.array(self._latencies) * 1000
        median, p95, p99 = np.percentile(values, [50, 95, 99])
        return LatencyFigures(len(values), float(median), float(p95), float(p99), float(values.max()))

    def start(self, info: StreamInfo, audio: AudioFormat) -> None:
        """Pass on."""
        for consumer in self._consumers:
            consumer.start(info, audio)

    def take(self, chunk: Chunk) -> bool:
        """Note the frames and pass on; True while one of the consumers wants more."""
        now = self._clock()
        for frame in chunk.frames:
            block = min(bisect_left(self._ends, frame.sample + 1), len(self._ends) - 1)
            if block >= 0:
                spoken_at = self._captured[block] - (self._ends[block] - frame.sample) / SAMPLE_RATE
                self._latencies.append(now - spoken_at)
        wanted = [consumer.take(chunk) for consumer in self._consumers]
        return any(wanted) or not wanted

    def end(self, ending: Ending) -> None:
        """Pass on."""
        for consumer in self._consumers:
            consumer.end(ending)

    def interrupt(self, ending: Ending) -> bool:
        """Pass on to those that play."""
        dropped = [player.interrupt(ending) for player in self._consumers if isinstance(player, Player)]
        return any(dropped)
