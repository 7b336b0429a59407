"""Emotion of a stream: what Audio2Emotion hears, what the user asks for, and both combined.

Audio2Emotion runs on long windows centred on a frame, and on one frame out of several; between two runs its logits
are held and post-processed for every frame, as in NVIDIA's SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....animation.emotion import EmotionPostProcessor, EmotionPostSettings, preferred_of
from ....emotions import EMOTIONS, EmotionSettings, EmotionTrack, given_emotion, replaced_from
from ....errors import ModelFormatError, SettingsError
from ....inference.onnx import Network
from ....timing import SAMPLE_RATE, WindowSchedule
from ..folder.bundle import EmotionBundle, FaceBundle
from .windows import AudioFeed


@dataclass(frozen=True, slots=True)
class EmotionRate:
    """How often Audio2Emotion runs and how much it hears. Larger windows and smaller gaps cost more and differ."""

    window: int = 30_000
    """Samples in a window; published networks take 5,000 to 60,000. NVIDIA's service uses 30,000."""

    frame_rate: Fraction = Fraction(30)
    """Emotion frames per second; the face interpolates between them."""

    skip: int = 10
    """Frames between two runs of the network; NVIDIA's service uses 10."""

    def schedule(self) -> WindowSchedule:
        """When the network runs.

        Raises:
            SettingsError: A rate at which frames would be lost while audio is still arriving.
        """
        if self.window < 1 or self.skip < 0 or self.frame_rate <= 0:
            raise SettingsError(
                f"emotion rate: found {self}, expected a window, a frame rate above 0 and a skip from 0"
            )
        schedule = WindowSchedule.classifier(
            buffer_length=self.window, fps=self.frame_rate, inferences_to_skip=self.skip
        )
        ahead = self.window - self.window // 2
        if schedule.stride > ahead:
            raise SettingsError(
                f"emotion rate: found {float(schedule.stride):g} samples between two runs, expected at most half a "
                f"window, {ahead}; use a smaller skip or a longer window"
            )
        return schedule

    @property
    def look_ahead(self) -> int:
        """Samples after a face frame that must have arrived before its emotion is settled."""
        return self.window - self.window // 2 + -int(-SAMPLE_RATE // self.frame_rate)


class GivenEmotion:
    """The emotion of a stream without detection: the track and the overrides, else the model's default."""

    def __init__(self, settings: EmotionSettings, track: EmotionTrack | None, rest: NDArray[np.float32]) -> None:
        """`rest`, shape (10,), holds where nothing is asked for."""
        self._settings = settings
        self._track = track
        self._rest = rest

    @property
    def known_until(self) -> int | None:
        """Always settled: the last key holds for ever."""
        return None

    def replace(self, newer: EmotionTrack) -> None:
        """Let newer keys hold from their first time on."""
        self._track = replaced_from(self._track, newer)

    def preferred(self, samples: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """What is asked for at each sample, shape (n, 10), before any strength; None if nothing is.

        NaN stands for an emotion that is not asked for, which differs from one asked to be 0.
        """
        if self._track is None and not self._settings.overrides:
            return None
        values = preferred_of(self._settings)
        if self._track is None:
            return np.tile(values, (len(samples), 1))
        return np.where(np.isnan(values), self._track.at(samples), values)

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """Shape (n, 10)."""
        given = given_emotion(self._settings, self._track, samples)
        if given is None:
            return np.tile(self._rest, (len(samples), 1))
        return given * np.float32(self._settings.override_strength * self._settings.strength)


class DetectedEmotion:
    """The emotion of a stream with Audio2Emotion: its keys so far, and the state of its post-processing."""

    def __init__(self, audio: AudioFeed, given: GivenEmotion, post: EmotionPostProcessor) -> None:
        self.audio = audio
        self.given = given
        self.post = post
        self.done = 0
        """Windows run so far."""

        self.ended = False
        """Whether every emotion frame has been made."""

        self._samples = np.zeros(0, np.int64)
        self._values = np.zeros((0, len(EMOTIONS)), np.float32)

    @property
    def known_until(self) -> int | None:
        """Sample of the last emotion frame; None once there will be no more."""
        if self.ended:
            return None
        return int(self._samples[-1]) if len(self._samples) else -1

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """Shape (n, 10): between two emotion frames linear, beyond them constant."""
        if not len(self._samples):
            return np.zeros((len(samples), len(EMOTIONS)), np.float32)
        return EmotionTrack(self._samples, self._values).at(samples)

    def extend(self, samples: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Add emotion frames at later samples."""
        self._samples = np.concatenate([self._samples, samples])
        self._values = np.concatenate([self._values, values])

    def forget_before(self, sample: int) -> None:
        """Drop frames that no later face frame reads."""
        first = int(np.searchsorted(self._samples, sample, side="right")) - 1
        if first > _KEPT_KEYS:
            self._samples, self._values = self._samples[first:], self._values[first:]


_KEPT_KEYS = 64
"""Old emotion frames that may wait to be forgotten."""


class EmotionExecutor:
    """Runs Audio2Emotion over streams; windows of one or many streams run as one batch."""

    def __init__(
        self,
        bundle: EmotionBundle,
        network: Network,
        rate: EmotionRate | None = None,
        *,
        feedback: bool = True,
        batch: int = 8,
    ) -> None:
        """Prepare; `feedback` as for `EmotionPostProcessor`, `batch` windows in one run at most.

        Raises:
            SettingsError: A rate that would lose frames.
            ModelFormatError: A model whose vectors are not the ten face emotions.
        """
        if bundle.config.output_length != len(EMOTIONS):
            raise ModelFormatError(
                f"{bundle.folder}: output_emotion_length: found {bundle.config.output_length}, "
                f"expected {len(EMOTIONS)} ({', '.join(EMOTIONS)})"
            )
        self.bundle = bundle
        self.rate = rate or EmotionRate()
        self.schedule = self.rate.schedule()
        self._network = network
        self._batch = batch
        self._feedback = feedback

    @property
    def network_path(self) -> Path:
        """File of the network that runs."""
        return self._network.path

    def open(self, audio: AudioFeed, settings: EmotionSettings, given: GivenEmotion) -> DetectedEmotion:
        """Start a stream; the settings' strength, contrast, number and smoothing take the place of the model's."""
        return DetectedEmotion(audio, given, self.post_processor(settings))

    def post_processor(self, settings: EmotionSettings) -> EmotionPostProcessor:
        """Post-processing of one stream."""
        post = EmotionPostSettings.of(settings, self.rate.frame_rate, self.bundle.config.transition_s)
        return EmotionPostProcessor(self.bundle.config.correspondence, len(EMOTIONS), post, feedback=self._feedback)

    def due(self, stream: DetectedEmotion) -> int:
        """Windows that can run now."""
        return self.schedule.available(stream.audio.received, closed=stream.audio.closed, done=stream.done)

    def next_start(self, stream: DetectedEmotion) -> int:
        """First sample the stream's next window reads."""
        return self.schedule.start(stream.done)

    def step(self, streams: Sequence[DetectedEmotion]) -> None:
        """Run everything that is due and extend each stream's emotion."""
        spans = [(stream.done, self.due(stream)) for stream in streams]
        jobs = [(number, spans[number][0] + i) for number in range(len(streams)) for i in range(spans[number][1])]
        for begin in range(0, len(jobs), self._batch):
            part = jobs[begin : begin + self._batch]
            windows = np.stack(
                [streams[number].audio.buffer.read(self.schedule.start(i), self.schedule.size) for number, i in part]
            )
            for (number, window), logits in zip(part, self.infer(windows), strict=True):
                self._extend(streams[number], window, logits)
        for stream, (_, count) in zip(streams, spans, strict=True):
            stream.done += count
            stream.ended = stream.audio.closed

    def infer(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits, shape (n, classes), of windows, shape (n, window)."""
        return self._network.run({"input_values": windows}, ["output"])[0]

    def samples(self, window: int, stop: int | None) -> NDArray[np.int64]:
        """Samples of a window's emotion frames, those at or after `stop` left out."""
        first = window * self.schedule.frames_per_window
        every = [self.schedule.frame(first + i) for i in range(self.schedule.frames_per_window)]
        return np.array([sample for sample in every if stop is None or sample < stop], np.int64)

    def _extend(self, stream: DetectedEmotion, window: int, logits: NDArray[np.float32]) -> None:
        samples = self.samples(window, stream.audio.received if stream.audio.closed else None)
        values = process_held(stream.post, logits, stream.given.preferred(samples), len(samples))
        stream.extend(samples, values)


def process_held(
    post: EmotionPostProcessor, logits: NDArray[np.float32], preferred: NDArray[np.float32] | None, count: int
) -> NDArray[np.float32]:
    """Post-process the same logits for `count` frames, with what is asked for at each; shape (count, 10)."""
    enabled = preferred is not None
    if post.settings().enable_preferred_emotion != enabled:
        post.set_settings(replace(post.settings(), enable_preferred_emotion=enabled))
    values = np.empty((count, len(EMOTIONS)), np.float32)
    for row in range(count):
        if preferred is not None:
            post.set_preferred(preferred[row])
        values[row] = post.process(logits[None])[0]
    return values


def resting_emotion(bundle: FaceBundle) -> NDArray[np.float32]:
    """The model's default emotion in the order of `EMOTIONS`, shape (10,)."""
    rest = np.zeros(len(EMOTIONS), np.float32)
    for name, value in zip(bundle.emotions, bundle.default_emotion, strict=True):
        if name in EMOTIONS:
            rest[EMOTIONS.index(name)] = value
    return rest
