"""Parts the runtime's tests share: consumers that keep what they get, and providers that do what a test needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from facewave.blendshapes import CHANNELS
from facewave.emotions import EmotionTrack
from facewave.errors import SessionError
from facewave.frames import Animation, Frame, StreamInfo
from facewave.providers.base import ProviderInfo
from facewave.providers.replay import ReplayProvider
from facewave.runtime.consumers import AudioFormat, Chunk
from facewave.runtime.delivery import Ending
from facewave.streams import StreamSettings
from facewave.timing import SAMPLE_RATE, frames_in, sample_of

JAW = CHANNELS.index("jawOpen")


def ramp_provider(seconds: float, fps: int = 60) -> ReplayProvider:
    """A provider whose jawOpen tells the time: 0 at the start, 1 after `seconds`."""
    weights = np.zeros((int(seconds * fps) + 2, len(CHANNELS)), np.float32)
    weights[:, JAW] = np.arange(len(weights)) / (seconds * fps)
    return ReplayProvider(Animation(StreamInfo(Fraction(fps)), weights))


def ramp_audio(seconds: float, rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """Audio whose samples tell the time, from just above 0 to 1."""
    count = round(seconds * rate)
    return np.arange(1, count + 1, dtype=np.float32) / np.float32(count)


@dataclass
class Recorder:
    """A consumer that keeps what it gets and checks that it is called in order, by one thread at a time."""

    wants: Callable[[Chunk], bool] = lambda chunk: True
    log: list[str] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    formats: list[AudioFormat] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _open: bool = False
    _inside: threading.Lock = field(default_factory=threading.Lock)

    def start(self, info: StreamInfo, audio: AudioFormat) -> None:
        with self._Alone(self, "start"):
            if self._open:
                self.wrong.append("a clip starts before the one before has ended")
            self._open = True
            self.formats.append(audio)
            self.log.append("start")

    def take(self, chunk: Chunk) -> bool:
        with self._Alone(self, "take"):
            if not self._open:
                self.wrong.append("a chunk outside a clip")
            self.chunks.append(chunk)
            self.log.append("take")
            return self.wants(chunk)

    def end(self, ending: Ending) -> None:
        with self._Alone(self, "end"):
            self._open = False
            self.endings.append(ending)
            self.log.append(ending.reason)
        self.over.set()

    @property
    def reasons(self) -> list[str]:
        return [ending.reason for ending in self.endings]

    @property
    def frames(self) -> list[Frame]:
        return [frame for chunk in self.chunks for frame in chunk.frames]

    @property
    def audio(self) -> NDArray[np.float32]:
        return np.concatenate([chunk.audio for chunk in self.chunks])

    class _Alone:
        def __init__(self, recorder: Recorder, what: str) -> None:
            self._recorder, self._what = recorder, what

        def __enter__(self) -> None:
            if not self._recorder._inside.acquire(blocking=False):
                self._recorder.wrong.append(f"{self._what} while another call was running")

        def __exit__(self, *_: object) -> None:
            if self._recorder._inside.locked():
                self._recorder._inside.release()


@dataclass
class ScriptedProvider:
    """Makes frames of zeros and does on the way what a test tells it to; keeps what was asked of it."""

    name: str = "scripted"
    fps: Fraction = Fraction(30)
    look_ahead: int = 0
    on_open: Callable[[], None] = lambda: None
    on_push: Callable[[int], None] = lambda received: None
    calls: list[str] = field(default_factory=list)
    pushes: list[int] = field(default_factory=list)
    pushed: list[NDArray[np.float32]] = field(default_factory=list)
    settings: list[StreamSettings] = field(default_factory=list)
    tracks: list[EmotionTrack] = field(default_factory=list)
    active: int = 0
    freed_while_active: bool = False

    @property
    def info(self) -> ProviderInfo:
        return ProviderInfo(self.name, "plugin", "does what a test tells it", frame_rate=self.fps)

    def open(self, settings: StreamSettings) -> ScriptedSession:
        self.on_open()
        self.calls.append("open")
        self.settings.append(settings)
        self.active += 1
        return ScriptedSession(self)

    def allocate(self) -> None:
        self.calls.append("allocate")

    def free(self) -> None:
        self.calls.append("free")
        self.freed_while_active |= self.active > 0


class ScriptedSession:
    """One stream of a `ScriptedProvider`."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self._provider = provider
        self._received = self._made = 0
        self._open = True

    @property
    def info(self) -> StreamInfo:
        return StreamInfo(self._provider.fps)

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        if not self._open:
            raise SessionError("scripted session: push after the end")
        if emotion is not None:
            self._provider.tracks.append(emotion)
        self._received += len(samples)
        self._provider.on_push(self._received)
        if len(samples):
            self._provider.pushes.append(len(samples))
            self._provider.pushed.append(samples)
        return self._frames(max(0, self._received - self._provider.look_ahead))

    def finish(self) -> Sequence[Frame]:
        frames = self._frames(self._received)
        self._end("finish")
        return frames

    def cancel(self) -> None:
        self._end("cancel")

    def _end(self, how: str) -> None:
        if self._open:
            self._open = False
            self._provider.calls.append(how)
            self._provider.active -= 1

    def _frames(self, samples: int) -> list[Frame]:
        fps = self._provider.fps
        index = range(self._made, max(self._made, frames_in(samples, fps)))
        self._made = index.stop
        return [Frame(i, sample_of(i, fps), np.zeros(len(CHANNELS), np.float32)) for i in index]
