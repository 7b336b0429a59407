"""Audio2Emotion for a face that is not NVIDIA's: scores of a stream from what has been heard so far.

A window is centred on the moment it describes, so its scores come half a window late. They are used when they come:
lips need not wait for the mood.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...audio.buffer import SampleBuffer
from ...inference.fastest import open_network
from ...settings import FacewaveSettings
from ..base import EmotionEar
from .executors.emotion import EmotionExecutor
from .folder.network import check_network
from .locate import require_emotion

_UNHEARD = 9.0
"""Score of the classes that move no emotion until the first window has been heard: neutral."""

_LARGEST_BATCH = 8


class A2FListener:
    """A loaded Audio2Emotion model, for any number of streams. See `EmotionListener`."""

    def __init__(self, settings: FacewaveSettings, named: str) -> None:
        """Load the model that `named` means, a folder or a name in the store.

        Raises:
            ModelError: Missing, damaged or of another kind.
        """
        bundle = require_emotion(settings, named)
        models = settings.models
        network = open_network(
            bundle.network, models.variant, threads=models.threads, device=models.device, optional=True
        )
        check_network(network, bundle)
        self._executor = EmotionExecutor(bundle, network)
        self.correspondence: tuple[int, ...] = tuple(int(index) for index in bundle.config.correspondence)
        """For each score the index of its face emotion; -1 for none."""

    def open(self) -> A2FEar:
        """Start listening to one stream."""
        return A2FEar(self)

    def step(self, ears: Sequence[EmotionEar]) -> None:
        """Run every window that is complete, those of all streams in common batches."""
        schedule = self._executor.schedule
        own = [ear for ear in ears if isinstance(ear, A2FEar)]
        jobs = [
            (ear, len(ear.scores) + i)
            for ear in own
            for i in range(schedule.available(len(ear.buffer), closed=False, done=len(ear.scores)))
        ]
        for begin in range(0, len(jobs), _LARGEST_BATCH):
            part = jobs[begin : begin + _LARGEST_BATCH]
            windows = np.stack([ear.buffer.read(schedule.start(index), schedule.size) for ear, index in part])
            for (ear, _), logits in zip(part, self._executor.infer(windows), strict=True):
                ear.scores.append(logits)
        for ear in own:
            next_start = schedule.start(len(ear.scores))
            if next_start - ear.buffer.dropped > schedule.size:
                ear.buffer.drop_before(min(next_start, len(ear.buffer)))

    def window_heard(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the last window that is complete once so many samples have been heard; below 0 for none."""
        schedule = self._executor.schedule
        index = (samples - schedule.size - schedule.start_offset) * schedule.stride.denominator
        # Window i is complete when floor(i * stride) <= samples - size - offset.
        return np.asarray(-(-(index + schedule.stride.denominator) // schedule.stride.numerator) - 1, np.int64)


class A2FEar:
    """What one stream has been heard to say. See `EmotionEar`."""

    def __init__(self, listener: A2FListener) -> None:
        self._listener = listener
        self.buffer = SampleBuffer()
        """The stream's samples."""

        self.scores: list[NDArray[np.float32]] = []
        """Of each window run so far."""

        mapped = np.array(listener.correspondence) >= 0
        self._neutral = np.where(mapped, 0.0, _UNHEARD).astype(np.float32)

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Take the stream's next samples."""
        self.buffer.append(samples)

    def at(self, heard: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores known after so many samples, shape (n, classes)."""
        windows = self._listener.window_heard(heard).tolist()
        rows = [self._neutral if window < 0 else self.scores[window] for window in windows]
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, len(self._neutral)), np.float32)
