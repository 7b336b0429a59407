"""Regression executor: one window of audio, one frame. Windows of one or many streams run as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ....emotions import EMOTIONS
from ....inference.onnx import Network
from ....timing import WindowSchedule
from ..folder.bundle import RegressionBundle
from .windows import AudioFeed, EmotionSource, NetworkFrames

BATCH = 8
"""Windows in one run at most. Larger batches gain nothing on a CPU and cost memory (about 10 MB a window)."""


PORTION = 512
"""Frames of a stream in one step at most, which bounds memory however much audio arrives at once."""


class RegressionStream:
    """One stream's place in its audio."""

    def __init__(self, audio: AudioFeed, emotion: EmotionSource) -> None:
        self.audio = audio
        self.emotion = emotion
        self.done = 0
        """Frames made so far."""


class RegressionExecutor:
    """Runs a regression network over streams; shared by all streams of one frame rate. Keeps no stream's state."""

    def __init__(self, bundle: RegressionBundle, network: Network, fps: Fraction, *, batch: int = BATCH) -> None:
        self.bundle = bundle
        self.schedule = WindowSchedule.regression(
            buffer_length=bundle.buffer_length, buffer_offset=bundle.buffer_offset, fps=fps
        )
        self.input_strength = bundle.identity.input_strength
        """Gain on the audio, from the model's configuration as in NVIDIA's SDK."""

        self._network = network
        self._batch = batch

    def due(self, stream: RegressionStream) -> int:
        """Frames that can be made now: their window has arrived and their emotion is settled."""
        count = self.schedule.available(stream.audio.received, closed=stream.audio.closed, done=stream.done)
        until = stream.emotion.known_until
        if until is not None:
            while count and self.schedule.target(stream.done + count - 1) > until:
                count -= 1
        return count

    def next_start(self, stream: RegressionStream) -> int:
        """First sample the stream's next window reads."""
        return self.schedule.start(stream.done)

    def step(
        self, streams: Sequence[RegressionStream], strengths: Sequence[float] | None = None
    ) -> list[NetworkFrames]:
        """Run what is due, at most `PORTION` frames of each stream; the frames of each, in the order given.

        Args:
            streams: Streams of this executor; each at most once.
            strengths: Gain on the audio of each stream; None for the model's own.
        """
        gains = [self.input_strength] * len(streams) if strengths is None else strengths
        spans = [(stream.done, min(self.due(stream), PORTION)) for stream in streams]
        emotions = [
            stream.emotion.at(self._targets(first, count)) if count else np.zeros((0, len(EMOTIONS)), np.float32)
            for stream, (first, count) in zip(streams, spans, strict=True)
        ]
        rows = [np.empty((count, self.bundle.sizes.total), np.float32) for _, count in spans]
        jobs = [(number, offset) for number, (_, count) in enumerate(spans) for offset in range(count)]
        for begin in range(0, len(jobs), self._batch):
            part = jobs[begin : begin + self._batch]
            windows = np.empty((len(part), 1, self.schedule.size), np.float32)
            felt = np.empty((len(part), len(EMOTIONS)), np.float32)
            for slot, (number, offset) in enumerate(part):
                start = self.schedule.start(spans[number][0] + offset)
                windows[slot, 0] = streams[number].audio.buffer.read(start, self.schedule.size, gains[number])
                felt[slot] = emotions[number][offset]
            for (number, offset), row in zip(part, self.infer(windows, felt), strict=True):
                rows[number][offset] = row
        for stream, (_, count) in zip(streams, spans, strict=True):
            stream.done += count
        return [
            NetworkFrames(first, self._targets(first, count), rows[number], emotions[number])
            for number, (first, count) in enumerate(spans)
        ]

    def infer(self, windows: NDArray[np.float32], emotions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network: windows (n, 1, buffer_length) and emotions (n, 10) to rows (n, total)."""
        explicit = self.bundle.emotion_input(emotions)
        implicit = np.broadcast_to(self.bundle.implicit_emotion, (len(windows), len(self.bundle.implicit_emotion)))
        emotion = np.concatenate([implicit, explicit], axis=1)[:, None, :]
        return self._network.run({"input": windows, "emotion": emotion}, ["result"])[0][:, 0]

    def _targets(self, first: int, count: int) -> NDArray[np.int64]:
        return np.array([self.schedule.target(first + i) for i in range(count)], np.int64)
