"""`replay`: plays a recorded animation in step with the audio it gets. The smallest provider, and a useful fake."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..emotions import EmotionTrack
from ..errors import SessionError
from ..frames import Animation, Frame, StreamInfo
from ..streams import StreamSettings
from ..timing import frames_in, sample_of
from .base import ProviderInfo, checked_samples


class ReplayProvider:
    """Gives every stream the frames of one animation, resampled to the stream's rate; past its end, the last frame."""

    def __init__(self, animation: Animation) -> None:
        self._animation = animation

    @property
    def info(self) -> ProviderInfo:
        """Channels and rate of the animation."""
        rate = self._animation.frame_rate
        return ProviderInfo(
            name="replay",
            kind="replay",
            description="plays a recorded animation in step with the audio",
            frame_rate=rate,
            frame_rates=(rate / 1000, rate * 1000),
            channels=self._animation.channels,
            loaded=True,
        )

    def open(self, settings: StreamSettings) -> ReplaySession:
        """Start a stream."""
        fps = settings.frame_rate or self._animation.frame_rate
        same = fps == self._animation.frame_rate
        return ReplaySession(self._animation if same else self._animation.resampled(fps))

    def allocate(self) -> None:
        """Nothing to load."""

    def free(self) -> None:
        """Nothing to release."""


class ReplaySession:
    """One stream of a replayed animation."""

    def __init__(self, animation: Animation) -> None:
        self._animation = animation
        self._received = 0
        self._next = 0
        self._ended = False

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels."""
        return self._animation.info

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        """Return the frames whose sample has arrived."""
        self._check_open()
        self._received += len(checked_samples(samples))
        return self._until(frames_in(self._received, self.info.frame_rate))

    def finish(self) -> Sequence[Frame]:
        """End the stream; every frame has been returned by then."""
        self._check_open()
        self._ended = True
        return []

    def cancel(self) -> None:
        """Drop the stream. Idempotent."""
        self._ended = True

    def _check_open(self) -> None:
        if self._ended:
            raise SessionError("replay session: finished or cancelled already; open a new session for a new clip")

    def _until(self, stop: int) -> list[Frame]:
        last = len(self._animation) - 1
        rest = np.zeros(len(self.info.channels), np.float32)
        take = self._animation
        frames = []
        for i in range(self._next, stop):
            k, sample = min(i, last), sample_of(i, self.info.frame_rate)
            if last < 0:
                frames.append(Frame(i, sample, rest))
            else:
                tracks = (None if track is None else track[k] for track in (take.emotions, take.visemes, take.head))
                frames.append(Frame(i, sample, take.weights[k], *tracks))
        self._next = max(self._next, stop)
        return frames
