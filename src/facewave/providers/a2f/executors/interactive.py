"""Random access to a whole clip: any frame at once, in any order, and parameters that may change at any time.

What was computed is kept in layers, and a change invalidates only what depends on it:

    logits     Audio2Emotion's output of each of its windows      audio
    emotion    the emotion of every frame                         + emotion settings and track
    inference  regression: network output of each frame           + input strength
               diffusion: recurrent state before each window
    frames     finished weights of the whole clip                 + face parameters, multipliers, offsets, clamp

`frames()` gives what a stream gives. `frame(i)` gives frame i alone: nothing is smoothed and the solver looks at no
frame before it, so its weights differ a little from those of the same frame in the stream, as in NVIDIA's SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ....animation.shaping import BlendShapeShaping
from ....emotions import EmotionTrack
from ....errors import SettingsError
from ....frames import Frame, StreamInfo
from ....streams import StreamSettings
from ...base import checked_samples
from ..post.face import FaceModel, FaceStream
from .diffusion import DiffusionExecutor
from .emotion import EmotionExecutor, GivenEmotion, process_held
from .regression import BATCH, RegressionExecutor
from .windows import AudioFeed, EmotionSource, NetworkFrames

Layer = Literal["logits", "emotion", "inference", "frames"]
LAYERS: tuple[Layer, ...] = ("logits", "emotion", "inference", "frames")
"""Each layer depends on those before it."""

Progress = Callable[[float], None]


class _Inference(Protocol):
    """Network output of one clip by frame, with a cache of its own."""

    total: int

    def one(self, index: int, emotion: EmotionSource, strength: float, preview_windows: int) -> NetworkFrames: ...
    def all(self, emotion: EmotionSource, strength: float, progress: Progress) -> Iterator[NetworkFrames]: ...
    def invalidate(self) -> None: ...
    def valid(self) -> bool: ...


class InteractiveClip:
    """One clip, all of it at hand. From `A2FProvider.open_clip`; not shared between threads."""

    def __init__(
        self,
        samples: NDArray[np.float32],
        settings: StreamSettings,
        fps: Fraction,
        face: FaceModel,
        inference: RegressionExecutor | DiffusionExecutor,
        identity: int,
        listener: EmotionExecutor | None,
        rest: NDArray[np.float32],
    ) -> None:
        """Take the samples, shape (n,), and settings; nothing is computed yet."""
        self._audio = AudioFeed()
        self._audio.buffer.append(checked_samples(samples))
        self._audio.buffer.close()
        self._settings = settings
        self._fps = fps
        self._face = face
        self._listener = listener
        self._rest = rest
        self._strength = inference.input_strength
        self._inference: _Inference
        if isinstance(inference, RegressionExecutor):
            self._inference = _RegressionInference(inference, self._audio)
        else:
            self._inference = _DiffusionInference(inference, self._audio, identity)
        self._logits: NDArray[np.float32] | None = None
        self._emotion: EmotionSource | None = None
        self._frames: list[Frame] | None = None
        self._previews: FaceStream | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return self._inference.total

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels."""
        return StreamInfo(self._fps, self._preview_stream().channels)

    @property
    def settings(self) -> StreamSettings:
        """Settings in force."""
        return self._settings

    @property
    def valid(self) -> tuple[Layer, ...]:
        """Layers that hold everything a change left standing."""
        held = {
            "logits": self._logits is not None,
            "emotion": self._emotion is not None,
            "inference": self._inference.valid(),
            "frames": self._frames is not None,
        }
        return tuple(layer for layer in LAYERS if held[layer])

    def change(self, settings: StreamSettings) -> None:
        """Put other settings in force; equal ones invalidate nothing.

        Raises:
            SettingsError: Another frame rate, which needs another clip.
        """
        old = self._settings
        if (settings.frame_rate or self._fps) != self._fps:
            raise SettingsError(
                f"interactive clip: found frame rate {settings.frame_rate}, expected {self._fps}; open another clip"
            )
        # Checked before anything is dropped: a refused change leaves everything as it was.
        preview = self._face.open(
            settings.face_parameters, float(1 / self._fps), geometry=settings.geometry, preview=True
        )
        if settings.emotion != old.emotion or settings.emotion_track is not old.emotion_track:
            self.invalidate("emotion")
        if settings.face_parameters.get("inputStrength") != old.face_parameters.get("inputStrength"):
            self.invalidate("inference")
        if settings != old:
            self.invalidate("frames")
        self._settings = settings
        self._previews = preview

    def invalidate(self, layer: Layer) -> None:
        """Forget a layer and all that depends on it."""
        reach = LAYERS.index(layer)
        if reach <= LAYERS.index("logits"):
            self._logits = None
        if reach <= LAYERS.index("emotion"):
            self._emotion = None
        if reach <= LAYERS.index("inference"):
            self._inference.invalidate()
        self._frames = None

    def frame(self, index: int, *, preview_windows: int = 0) -> Frame:
        """One frame, as nothing before it were shown.

        Args:
            index: Frame number, 0 to len - 1.
            preview_windows: Diffusion, where the recurrent state before the frame's window is not known yet: 0 runs
                every window up to it (exact), n > 0 only the last n from an empty state (fast, approximate).

        Raises:
            IndexError: No such frame.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index}: the clip has frames 0 to {len(self) - 1}")
        made = self._inference.one(index, self._felt(), self._gain(), preview_windows)
        stream = self._preview_stream()
        stream.reset(float(index / self._fps))
        return self._finished(made, stream)[0]

    def frames(self, progress: Progress = lambda share: None) -> list[Frame]:
        """Every frame, as a stream would give them; `progress` is called with the share done, 0..1."""
        if self._frames is None:
            made = self._inference.all(self._felt(), self._gain(), progress)
            settings = self._settings
            stream = self._face.open(settings.face_parameters, float(1 / self._fps), geometry=settings.geometry)
            self._frames = [frame for part in made for frame in self._finished(part, stream)]
        return list(self._frames)

    def _finished(self, made: NetworkFrames, stream: FaceStream) -> list[Frame]:
        if not len(made.rows):
            return []
        settings = self._settings
        shaping = BlendShapeShaping(stream.channels, settings.multipliers, settings.offsets, clamp=settings.clamp)
        weights, geometry = stream.frames(made.rows)
        weights = shaping(weights)
        return [
            Frame(
                made.index + i,
                int(made.samples[i]),
                weights[i],
                made.emotions[i],
                geometry=None if geometry is None else geometry[i],
            )
            for i in range(len(weights))
        ]

    def _preview_stream(self) -> FaceStream:
        if self._previews is None:
            settings = self._settings
            self._previews = self._face.open(
                settings.face_parameters, float(1 / self._fps), geometry=settings.geometry, preview=True
            )
        return self._previews

    def _gain(self) -> float:
        return self._settings.face_parameters.get("inputStrength", self._strength)

    def _felt(self) -> EmotionSource:
        """Emotion of every frame; Audio2Emotion runs over the whole clip once."""
        if self._emotion is None:
            given = GivenEmotion(self._settings.emotion, self._settings.emotion_track, self._rest)
            self._emotion = given if self._listener is None else self._detected(self._listener, given)
        return self._emotion

    def _detected(self, listener: EmotionExecutor, given: GivenEmotion) -> EmotionSource:
        received = self._audio.received
        count = listener.schedule.available(received, closed=True)
        if not count:
            return given
        if self._logits is None:
            windows = [
                self._audio.buffer.read(listener.schedule.start(i), listener.schedule.size) for i in range(count)
            ]
            parts = [np.stack(windows[i : i + BATCH]) for i in range(0, count, BATCH)]
            self._logits = np.concatenate([listener.infer(part) for part in parts])
        post = listener.post_processor(self._settings.emotion)
        samples = [listener.samples(window, received) for window in range(count)]
        values = [
            process_held(post, logits, given.preferred(when), len(when))
            for logits, when in zip(self._logits, samples, strict=True)
        ]
        return _Settled(EmotionTrack(np.concatenate(samples), np.concatenate(values)))


class _Settled:
    """Emotion that is known for the whole clip."""

    def __init__(self, track: EmotionTrack) -> None:
        self._track = track
        self.known_until: int | None = None

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._track.at(samples)


class _RegressionInference:
    """Keeps the network's output of every frame that was asked for."""

    def __init__(self, executor: RegressionExecutor, audio: AudioFeed) -> None:
        self._executor = executor
        self._audio = audio
        self.total = executor.schedule.frames_total(audio.received)
        self._rows = np.empty((self.total, executor.bundle.sizes.total), np.float32)
        self._have = np.zeros(self.total, bool)

    def valid(self) -> bool:
        return bool(self._have.all())

    def invalidate(self) -> None:
        self._have[:] = False

    def one(self, index: int, emotion: EmotionSource, strength: float, preview_windows: int) -> NetworkFrames:
        self._compute(np.array([index]), emotion, strength)
        return self._made(slice(index, index + 1), emotion)

    def all(self, emotion: EmotionSource, strength: float, progress: Progress) -> Iterator[NetworkFrames]:
        missing = np.flatnonzero(~self._have)
        for begin in range(0, len(missing), BATCH):
            self._compute(missing[begin : begin + BATCH], emotion, strength)
            progress(min(1.0, (begin + BATCH) / len(missing)))
        yield self._made(slice(0, self.total), emotion)

    def _compute(self, indices: NDArray[np.intp], emotion: EmotionSource, strength: float) -> None:
        wanted = [int(index) for index in indices if not self._have[index]]
        if not wanted:
            return
        schedule = self._executor.schedule
        windows = np.stack([self._audio.buffer.read(schedule.start(i), schedule.size, strength) for i in wanted])
        felt = emotion.at(np.array([schedule.target(i) for i in wanted], np.int64))
        self._rows[wanted] = self._executor.infer(windows[:, None], felt)
        self._have[wanted] = True

    def _made(self, span: slice, emotion: EmotionSource) -> NetworkFrames:
        schedule = self._executor.schedule
        samples = np.array([schedule.target(i) for i in range(span.start, span.stop)], np.int64)
        return NetworkFrames(span.start, samples, self._rows[span], emotion.at(samples))


class _DiffusionInference:
    """Keeps the recurrent state before every window; output is too large to keep (0.4 MB a frame)."""

    def __init__(self, executor: DiffusionExecutor, audio: AudioFeed, identity: int) -> None:
        self._executor = executor
        self._audio = audio
        self._identity = identity
        self.total = executor.timing.total(audio.received)
        self._windows = executor.timing.windows(audio.received, closed=True)
        self._states = [executor.rest()]
        self._last: tuple[int, NetworkFrames] | None = None

    def valid(self) -> bool:
        return len(self._states) >= self._windows

    def invalidate(self) -> None:
        del self._states[1:]
        self._last = None

    def one(self, index: int, emotion: EmotionSource, strength: float, preview_windows: int) -> NetworkFrames:
        center = self._executor.bundle.frames_center
        window = (index + self._executor.timing.before) // center
        made = self._window(window, emotion, strength, preview_windows)
        place = index - made.index
        return replace(
            made,
            index=index,
            samples=made.samples[place : place + 1],
            rows=made.rows[place : place + 1],
            emotions=made.emotions[place : place + 1],
        )

    def all(self, emotion: EmotionSource, strength: float, progress: Progress) -> Iterator[NetworkFrames]:
        for window in range(self._windows):  # one at a time: output of a whole clip would fill the memory
            yield self._run(window, emotion, strength)
            progress((window + 1) / self._windows)

    def _window(self, window: int, emotion: EmotionSource, strength: float, preview_windows: int) -> NetworkFrames:
        if self._last is not None and self._last[0] == window:
            return self._last[1]
        if window >= len(self._states) and preview_windows > 0:
            first = max(0, window - preview_windows + 1)
            state = self._executor.rest()
            for number in range(first, window + 1):
                made, state = self._step(number, state, emotion, strength)
            return made
        for number in range(len(self._states) - 1, window):
            self._run(number, emotion, strength)
        made = self._run(window, emotion, strength)
        self._last = (window, made)
        return made

    def _run(self, window: int, emotion: EmotionSource, strength: float) -> NetworkFrames:
        """Run a window from its known state, and keep the state it leaves."""
        made, after = self._step(window, self._states[window], emotion, strength)
        if len(self._states) == window + 1:
            self._states.append(after)
        return made

    def _step(
        self, window: int, state: NDArray[np.float32], emotion: EmotionSource, strength: float
    ) -> tuple[NetworkFrames, NDArray[np.float32]]:
        stream = self._executor.open(self._audio, emotion, self._identity)
        stream.done, stream.latents = window, state
        (made,) = self._executor.run([stream], [strength])
        return made, stream.latents
