"""What executors share: the frames a network made, and where a stream's audio and emotion come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ....audio.buffer import SampleBuffer
from ....emotions import EMOTIONS


class EmotionSource(Protocol):
    """Emotion of one stream over time."""

    @property
    def known_until(self) -> int | None:
        """Last sample whose emotion is settled; None where every sample's is."""
        ...

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """Shape (len(samples), 10) in the order of `EMOTIONS`; constant beyond the first and the last key."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class NetworkFrames:
    """Consecutive frames as the network puts them out, before any post-processing."""

    index: int
    """Number of the first frame, 0 at the start of the audio."""

    samples: NDArray[np.int64]
    """Shape (frames,): the audio sample of each frame."""

    rows: NDArray[np.float32]
    """Shape (frames, n): skin, tongue, jaw and eyes as in `OutputSizes`."""

    emotions: NDArray[np.float32]
    """Shape (frames, 10) in the order of `EMOTIONS`: what shaped the frame."""

    @classmethod
    def none(cls, row: int) -> NetworkFrames:
        """No frames, of a network with `row` numbers in an output row."""
        emotions = np.zeros((0, len(EMOTIONS)), np.float32)
        return cls(0, np.zeros(0, np.int64), np.zeros((0, row), np.float32), emotions)

    @classmethod
    def joined(cls, parts: list[NetworkFrames]) -> NetworkFrames:
        """Runs that follow each other, as one."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            parts[0].index,
            np.concatenate([part.samples for part in parts]),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.emotions for part in parts]),
        )


class AudioFeed:
    """The audio of one stream and what the executors have taken of it."""

    def __init__(self) -> None:
        self.buffer = SampleBuffer()

    @property
    def received(self) -> int:
        """Samples so far."""
        return len(self.buffer)

    @property
    def closed(self) -> bool:
        """Whether no more samples will come."""
        return self.buffer.closed

    def release(self, *starts: int) -> None:
        """Forget what no reader needs; `starts` are the readers' next window starts."""
        start = min(starts)
        # The first drop ends the reading of silence before the audio, so it waits until every window is past it.
        if start > 0 and start - self.buffer.dropped >= _RELEASE_EVERY:
            self.buffer.drop_before(min(start, self.received))


_RELEASE_EVERY = 16_000
"""Samples that may wait to be forgotten: moving the rest costs, so it is done once a second."""
