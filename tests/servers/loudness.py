"""A small real provider for tests of the server: the jaw follows the loudness of each frame's audio.

It is deterministic, needs no model, and speaks both dialects of a session: pushed alone, and stepped in batches.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from facewave.blendshapes import CHANNELS, INDEX
from facewave.emotions import EmotionTrack
from facewave.errors import SessionError
from facewave.frames import Frame, StreamInfo
from facewave.providers.base import ProviderInfo, checked_samples
from facewave.streams import StreamSettings
from facewave.timing import SAMPLE_RATE, frames_in, sample_of


class LoudnessProvider:
    """Opens loudness sessions and keeps count of them."""

    def __init__(self, *, rates: tuple[int, int] = (24, 120), default: int = 60) -> None:
        self.rates = (Fraction(rates[0]), Fraction(rates[1]))
        self.default = Fraction(default)
        self.open_sessions = 0
        self.opened: list[StreamSettings] = []
        self.lock = threading.Lock()

    @property
    def info(self) -> ProviderInfo:
        return ProviderInfo(
            "loudness", "embedded", "jaw from loudness", self.default, self.rates, look_ahead=800, loaded=True
        )

    def open(self, settings: StreamSettings) -> LoudnessSession:
        with self.lock:
            self.open_sessions += 1
            self.opened.append(settings)
        return LoudnessSession(self, settings)

    def allocate(self) -> None:
        """Nothing to load."""

    def free(self) -> None:
        """Nothing to release."""


class BatchLoudnessProvider(LoudnessProvider):
    """The same, stepped in batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def open(self, settings: StreamSettings) -> FedLoudnessSession:
        with self.lock:
            self.open_sessions += 1
            self.opened.append(settings)
        return FedLoudnessSession(self, settings)

    def step(self, sessions: Sequence[FedLoudnessSession]) -> list[list[Frame]]:
        self.batches.append(len(sessions))
        return [session.compute() for session in sessions]


class LoudnessSession:
    def __init__(self, provider: LoudnessProvider, settings: StreamSettings) -> None:
        self.provider = provider
        self.settings = settings
        self.fps = settings.frame_rate or provider.default
        self.samples = np.empty(0, np.float32)
        self.first = 0
        self.received = 0
        self.next = 0
        self.ended = False
        self.released = False
        self.track = settings.emotion_track

    @property
    def info(self) -> StreamInfo:
        return StreamInfo(self.fps)

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        self._take(samples, emotion)
        return self._frames((self.received - 800) * self.fps.numerator // (SAMPLE_RATE * self.fps.denominator))

    def finish(self) -> Sequence[Frame]:
        self._end()
        return self._frames(frames_in(self.received, self.fps))

    def cancel(self) -> None:
        self.ended = True
        self._release()

    def _take(self, samples: NDArray[np.float32], emotion: EmotionTrack | None) -> None:
        if self.ended:
            raise SessionError("loudness session: ended")
        self.samples = np.concatenate([self.samples, checked_samples(samples)])
        self.received += len(samples)
        if emotion is not None:
            self.track = emotion

    def _end(self) -> None:
        if self.ended:
            raise SessionError("loudness session: ended")
        self.ended = True
        self._release()

    def _release(self) -> None:
        with self.provider.lock:
            if not self.released:
                self.released = True
                self.provider.open_sessions -= 1

    def _frames(self, stop: int) -> list[Frame]:
        frames = []
        for index in range(self.next, stop):
            start, end = sample_of(index, self.fps), sample_of(index + 1, self.fps)
            heard = self.samples[start - self.first : end - self.first]
            frames.append(Frame(index, start, self._weights(heard), self._emotion(start)))
        self.next = max(self.next, stop)
        drop = sample_of(self.next, self.fps) - self.first
        if drop > SAMPLE_RATE:
            self.samples, self.first = self.samples[drop:], self.first + drop
        return frames

    def _weights(self, heard: NDArray[np.float32]) -> NDArray[np.float32]:
        weights = np.zeros(len(CHANNELS), np.float32)
        weights[INDEX["jawOpen"]] = np.sqrt(np.mean(heard**2)) if len(heard) else 0
        weights[INDEX["tongueTipUp"]] = 0.25
        for name, factor in self.settings.multipliers.items():
            weights[INDEX[name]] *= factor
        for name, addend in self.settings.offsets.items():
            weights[INDEX[name]] += addend
        return weights

    def _emotion(self, sample: int) -> NDArray[np.float32]:
        given = np.zeros(10, np.float32) if self.track is None else self.track.at(sample)
        return given * np.float32(self.settings.emotion.override_strength * self.settings.emotion.strength)


class FedLoudnessSession(LoudnessSession):
    def feed(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> None:
        self._take(samples, emotion)

    def end(self) -> None:
        self._end()

    def compute(self) -> list[Frame]:
        if self.ended:
            return self._frames(frames_in(self.received, self.fps))
        return self._frames((self.received - 800) * self.fps.numerator // (SAMPLE_RATE * self.fps.denominator))

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        self.feed(samples, emotion)
        return self.compute()

    def finish(self) -> Sequence[Frame]:
        self.end()
        return self.compute()
