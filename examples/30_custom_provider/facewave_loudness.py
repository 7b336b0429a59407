"""`Loudness`: a whole provider on one page. The jaw follows the level of the voice, nothing else moves."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from facewave.blendshapes import CHANNELS, INDEX
from facewave.emotions import EmotionTrack
from facewave.errors import SessionError
from facewave.frames import Frame, StreamInfo
from facewave.providers.base import ProviderInfo, checked_samples
from facewave.settings import FacewaveSettings
from facewave.streams import StreamSettings
from facewave.timing import frames_in, sample_of

WINDOW = 400
"""Samples (25 ms) whose level opens the jaw."""

LOUD = 0.2
"""Root mean square at which it is fully open."""


class Loudness:
    """The provider: shared, stateless."""

    info = ProviderInfo(
        name="Loudness", kind="plugin", description="the jaw follows loudness",
        frame_rates=(Fraction(1), Fraction(120)), loaded=True,
    )  # fmt: skip

    def open(self, settings: StreamSettings) -> LoudnessSession:
        """Start a stream."""
        return LoudnessSession(settings.frame_rate or self.info.frame_rate)

    def allocate(self) -> None:
        """Nothing to load."""

    def free(self) -> None:
        """Nothing to release."""


class LoudnessSession:
    """One stream: keeps the last window of samples and counts frames."""

    def __init__(self, fps: Fraction) -> None:
        self.info = StreamInfo(fps)
        self._held = np.zeros(WINDOW, np.float32)
        self._received = 0
        self._next = 0
        self._ended = False

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        """A frame is ready the moment its sample has arrived."""
        if self._ended:
            raise SessionError("Loudness session: ended already; open a new session for a new clip")
        self._held = np.concatenate([self._held, checked_samples(samples)])
        self._received += len(samples)
        frames = []
        while self._next < frames_in(self._received, self.info.frame_rate):
            frames.append(self._frame(self._next))
            self._next += 1
        keep = self._received - sample_of(self._next, self.info.frame_rate) + WINDOW
        self._held = self._held[max(len(self._held) - keep, 0) :]
        return frames

    def finish(self) -> Sequence[Frame]:
        """All frames are out already."""
        frames = self.push(np.zeros(0, np.float32))
        self._ended = True
        return frames

    def cancel(self) -> None:
        """Drop the stream."""
        self._ended = True

    def _frame(self, index: int) -> Frame:
        sample = sample_of(index, self.info.frame_rate)
        end = len(self._held) - (self._received - sample)
        weights = np.zeros(len(CHANNELS), np.float32)
        level = float(np.sqrt(np.mean(np.square(self._held[max(end - WINDOW, 0) : end]))))
        weights[INDEX["jawOpen"]] = min(level / LOUD, 1.0)
        return Frame(index, sample, weights)


def make_provider(settings: FacewaveSettings) -> Loudness:
    """What the entry point names."""
    return Loudness()
