"""Diffusion executor: windows of one stream run in order, because each hands its recurrent state to the next.

Streams run side by side as a batch. Noise is addressed by window, so any window can be run again alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ....inference.onnx import Network
from ....timing import SAMPLE_RATE, WindowSchedule
from ..folder.bundle import DiffusionBundle
from ..folder.network import diffusion_steps
from .noise import noise_values
from .windows import AudioFeed, EmotionSource, NetworkFrames

PORTION = 4
"""Windows of a stream in one step at most: what a published network puts out for one takes 21 MB."""


class DiffusionTiming:
    """When a diffusion model's windows run and which sample each of their frames belongs to."""

    def __init__(self, bundle: DiffusionBundle, *, exact: bool = False) -> None:
        """With `exact`, frame times are floors of exact fractions throughout. NVIDIA's SDK truncates the offset of a
        window's first frame on its own, which moves every frame of a model whose frames do not fill whole samples; at
        the published 60 frames per second both are the same.
        """
        self.schedule = WindowSchedule.diffusion(
            buffer_length=bundle.buffer_length,
            padding_left=bundle.padding_left,
            frames_left=bundle.frames_left,
            frames_center=bundle.frames_center,
            frames_right=bundle.frames_right,
        )
        self.frame_rate = Fraction(bundle.frames * SAMPLE_RATE, bundle.buffer_length)
        """Frames per second; a property of the network."""

        self._bundle = bundle
        self._exact = exact
        self.before = 0
        """Frames before the audio begins; they are computed and not shown."""

        while self.sample(self.before) < 0:
            self.before += 1

    def sample(self, fine: int) -> int:
        """Sample of fine frame `fine`: frame `fine % center` of window `fine // center`; may be negative."""
        if self._exact:
            step = Fraction(self._bundle.buffer_length, self._bundle.frames)
            return int((fine + self._bundle.frames_left) * step) - self._bundle.padding_left
        return self.schedule.frame(fine)

    def samples(self, window: int) -> NDArray[np.int64]:
        """Shape (center,): samples of the frames of one window."""
        first = window * self._bundle.frames_center
        return np.array([self.sample(first + i) for i in range(self._bundle.frames_center)], np.int64)

    def windows(self, received: int, *, closed: bool, done: int = 0) -> int:
        """Windows that may run now beyond the `done` first."""
        return self.schedule.available(received, closed=closed, done=done)

    def total(self, received: int) -> int:
        """Frames of closed audio of `received` samples."""
        bundle = self._bundle
        near = (received + bundle.padding_left) * bundle.frames // bundle.buffer_length - bundle.frames_left
        fine = max(self.before, near - 2)  # either rounding of frame times is less than two frames away
        while self.sample(fine) < received:
            fine += 1
        return fine - self.before


class DiffusionStream:
    """One stream's place in its audio, and its recurrent state."""

    def __init__(self, audio: AudioFeed, emotion: EmotionSource, identity: int, latents: NDArray[np.float32]) -> None:
        self.audio = audio
        self.emotion = emotion
        self.identity = identity
        """Index of the identity."""

        self.latents = latents
        """Shape (steps, layers, latent): state after the windows done."""

        self.done = 0
        """Windows run so far."""


class DiffusionExecutor:
    """Runs a diffusion network over streams. Keeps no stream's state."""

    def __init__(
        self,
        bundle: DiffusionBundle,
        network: Network,
        *,
        constant_noise: bool = True,
        noise_seed: int = 0,
        exact_times: bool = False,
        input_strength: float = 1.0,
    ) -> None:
        """Prepare.

        Args:
            bundle: The model.
            network: Its network.
            constant_noise: One block of noise for all windows (NVIDIA's default), or a new one for each.
            noise_seed: Which sequence; 0 is NVIDIA's.
            exact_times: See `DiffusionTiming`.
            input_strength: Gain on the audio. NVIDIA's SDK uses 1 whatever the model's configuration says.
        """
        self.bundle = bundle
        self.timing = DiffusionTiming(bundle, exact=exact_times)
        self.input_strength = input_strength
        self.steps = diffusion_steps(network, bundle)
        """Diffusion steps inside the network."""

        self._network = network
        self._constant_noise = constant_noise
        self._noise_seed = noise_seed
        self._lock = threading.Lock()
        self._block: NDArray[np.float32] | None = None

    def open(self, audio: AudioFeed, emotion: EmotionSource, identity: int) -> DiffusionStream:
        """A new stream with empty state."""
        return DiffusionStream(audio, emotion, identity, self.rest())

    def rest(self) -> NDArray[np.float32]:
        """Shape (steps, layers, latent): the state before the first window."""
        return np.zeros((self.steps, self.bundle.layers, self.bundle.latent), np.float32)

    def due(self, stream: DiffusionStream) -> int:
        """Windows that can run now: their audio has arrived and the emotion of all their frames is settled."""
        count = self.timing.windows(stream.audio.received, closed=stream.audio.closed, done=stream.done)
        until = stream.emotion.known_until
        if until is not None:
            while count and int(self.timing.samples(stream.done + count - 1)[-1]) > until:
                count -= 1
        return count

    def next_start(self, stream: DiffusionStream) -> int:
        """First sample the stream's next window reads."""
        return self.timing.schedule.start(stream.done)

    def step(self, streams: Sequence[DiffusionStream], strengths: Sequence[float] | None = None) -> list[NetworkFrames]:
        """Run what is due, at most `PORTION` windows of each stream; the frames of each, in the order given.

        Args:
            streams: Streams of this executor; each at most once.
            strengths: Gain on the audio of each stream; None for `input_strength`.
        """
        gains = [self.input_strength] * len(streams) if strengths is None else strengths
        due = [min(self.due(stream), PORTION) for stream in streams]
        made: list[list[NetworkFrames]] = [[] for _ in streams]
        for turn in range(max(due, default=0)):
            ready = [number for number, count in enumerate(due) if count > turn]
            # Constant noise lets streams at different windows share a run; otherwise each needs its own block.
            for group in [ready] if self._constant_noise else _by_window(streams, ready):
                results = self.run([streams[number] for number in group], [gains[number] for number in group])
                for number, frames in zip(group, results, strict=True):
                    made[number].append(frames)
        empty = NetworkFrames.none(self.bundle.sizes.total)
        return [NetworkFrames.joined(parts or [empty]) for parts in made]

    def run(self, streams: Sequence[DiffusionStream], gains: Sequence[float]) -> list[NetworkFrames]:
        """Run the next window of every stream as one batch, whether it is due or not."""
        bundle, schedule = self.bundle, self.timing.schedule
        windows = np.stack(
            [
                stream.audio.buffer.read(schedule.start(stream.done), schedule.size, gain)
                for stream, gain in zip(streams, gains, strict=True)
            ]
        )
        samples = [self.timing.samples(stream.done) for stream in streams]
        emotions = [stream.emotion.at(when) for stream, when in zip(streams, samples, strict=True)]  # (center, 10)
        prediction, latents = self._network.run(
            {
                "window": windows,
                "identity": np.eye(len(bundle.identities), dtype=np.float32)[[s.identity for s in streams]],
                "emotion": np.stack([bundle.emotion_input(felt) for felt in emotions]),
                "input_latents": np.stack([stream.latents for stream in streams], axis=2),
                "noise": self._noise_for(streams[0].done, len(streams)),
            },
            ["prediction", "output_latents"],
        )
        center = slice(bundle.frames_left, bundle.frames_left + bundle.frames_center)
        frames = []
        for slot, stream in enumerate(streams):
            stream.latents = np.ascontiguousarray(latents[:, :, slot])
            first = stream.done * bundle.frames_center - self.timing.before
            stream.done += 1
            # Frames before the audio and beyond its end are dropped before any post-processing sees them.
            begin = max(0, -first)
            end = (
                int(np.searchsorted(samples[slot], stream.audio.received))
                if stream.audio.closed
                else len(samples[slot])
            )
            kept = slice(begin, max(begin, end))
            frames.append(
                NetworkFrames(first + begin, samples[slot][kept], prediction[slot, center][kept], emotions[slot][kept])
            )
        return frames

    def _noise_for(self, window: int, count: int) -> NDArray[np.float32]:
        """Noise for `count` streams at one window, shape (count, steps + 1, frames, total)."""
        if not self._constant_noise:
            return self._filled(window, count)
        with self._lock:  # streams of several threads share the block
            if self._block is None or len(self._block) < count:
                self._block = self._filled(0, count)
            return self._block[:count]

    def _filled(self, block: int, count: int) -> NDArray[np.float32]:
        bundle = self.bundle
        noise = np.zeros((count, self.steps + 1, bundle.frames, bundle.sizes.total), np.float32)
        center = slice(bundle.frames_left, bundle.frames_left + bundle.frames_center)
        noise[:, 1:, center] = center_noise(bundle, self.steps, block, self._noise_seed)
        return noise


def center_noise(bundle: DiffusionBundle, steps: int, block: int, seed: int = 0) -> NDArray[np.float32]:
    """The part of a block of noise that matters: steps 1... and the centre frames, shape (steps, center, total).

    The rest of a block has no influence on the centre frames of the output and may be 0.
    """
    row = bundle.sizes.total
    size = (steps + 1) * bundle.frames * row
    out = np.empty((steps, bundle.frames_center, row), np.float32)
    for step in range(steps):
        start = block * size + ((step + 1) * bundle.frames + bundle.frames_left) * row
        out[step] = noise_values(start, bundle.frames_center * row, seed).reshape(bundle.frames_center, row)
    return out


def _by_window(streams: Sequence[DiffusionStream], numbers: Sequence[int]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for number in numbers:
        groups.setdefault(streams[number].done, []).append(number)
    return list(groups.values())
