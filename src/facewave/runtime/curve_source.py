"""`AudioCurveSource`: the consumer that plays a clip and hands out the face for any moment of it."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError, SettingsError
from ..frames import StreamInfo
from .consumers import AudioFormat, Chunk
from .delivery import Ending, running_future
from .devices import Device, NullDevice, SpeakerDevice, default_device
from .playback import Ended, Moment, Playback, Started, State
from .workers import Handle, Threads, Workers

log = logging.getLogger("facewave.runtime")

BUFFER_S = 0.1
FADE_S = 0.08
MAX_FADE_S = 0.1

_TICK_S = 0.02
_LINGER_S = 1.0
"""Seconds an idle device stays open: the next sentence then starts without opening it again."""


@dataclass(frozen=True, slots=True)
class _Start:
    info: StreamInfo
    audio: AudioFormat


@dataclass(frozen=True, slots=True)
class _End:
    ending: Ending
    started: bool


@dataclass(frozen=True, slots=True)
class _Interrupt:
    ending: Ending


class AudioCurveSource:
    """Plays what a `Runtime` animates and knows the face's weights at any time, in step with what is heard.

    Playback begins once `buffer_s` of audio is there, or a shorter clip is complete. Where audio comes too late,
    exactly the missing samples are replaced by silence and the face waits with them. At the end the mouth closes.
    """

    def __init__(
        self,
        *,
        buffer_s: float = BUFFER_S,
        volume: float = 1.0,
        interpolate: bool = True,
        fade_s: float = FADE_S,
        device: Literal["auto", "speaker", "null"] | Device = "auto",
        on_started: Callable[[], None] | None = None,
        on_ended: Callable[[Ending], None] | None = None,
        workers: Workers | None = None,
    ) -> None:
        """Set up; a device is opened with the first clip.

        Args:
            buffer_s: Seconds of audio collected before playback begins.
            volume: Gain, 0 or more.
            interpolate: Between frames linearly; otherwise the nearest frame.
            fade_s: Seconds, at most 0.1, in which the face goes to rest when a clip ends or is interrupted.
            device: `speaker`, `null` (timed, unheard), `auto` for the first that works, or a device of one's own.
            on_started: Called when a clip is first heard, at most once per clip, from a background thread.
            on_ended: Called with the reason when a clip is over, exactly once per clip, whatever happened.
            workers: Threads and clock; None takes real ones. Tests share those of the runtime.

        Raises:
            SettingsError: A value out of its range.
            OutputError: `speaker`, and there is none.
        """
        for name, value, high in (("buffer_s", buffer_s, 60.0), ("volume", volume, math.inf), ("fade_s", fade_s, 0.1)):
            if not (math.isfinite(value) and 0 <= value <= high):
                raise SettingsError(f"audio curve source {name}: found {value}, expected 0 to {high:g}")
        self._workers = workers or Threads()
        self._on_started, self._on_ended = on_started, on_ended
        self._device = self._chosen(device)
        self._playback = Playback(buffer_s=buffer_s, fade_s=fade_s, interpolate=interpolate, volume=volume)
        self._inbox: queue.SimpleQueue[_Start | Chunk | _End | _Interrupt] = queue.SimpleQueue()
        self._lock = threading.Lock()  # Guards the playback.
        self._gate = threading.Lock()  # Guards what follows, with which clips come in.
        self._handle: Handle | None = None
        self._expecting = False  # A clip has started and not ended.
        self._wanted = True
        self._idle = _set_future()
        self._open_as: AudioFormat | None = None
        self._idle_since = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # What a runtime calls

    def start(self, info: StreamInfo, audio: AudioFormat) -> None:
        """A clip begins; what is left of an older one is replaced."""
        with self._gate:
            self._expecting, self._wanted = True, True
        self._put(_Start(info, audio))

    def take(self, chunk: Chunk) -> bool:
        """Queue a piece; False where `stop` was called."""
        self._put(chunk)
        return self._wanted

    def end(self, ending: Ending) -> None:
        """No more comes of the clip."""
        with self._gate:
            started, self._expecting = self._expecting, False
        self._put(_End(ending, started))

    def interrupt(self, ending: Ending) -> bool:
        """Drop what is still to be played, whoever sent it."""
        if self._idle.done():
            return False
        self._put(_Interrupt(ending))
        return True

    # What the program calls

    def stop(self) -> None:
        """Fall silent and go to rest within `fade_s`; no more of the running clip is wanted."""
        with self._gate:
            self._wanted = not self._expecting
        self.interrupt(Ending("stopped"))

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop, and let the device go. The source can be used again afterwards."""
        self.stop()
        try:
            self.wait(timeout_s)
        except TimeoutError:
            log.warning("audio curve source: did not come to rest within %g s", timeout_s)

    def wait(self, timeout_s: float | None = None) -> None:
        """Block until everything has been played and the face is at rest.

        Raises:
            TimeoutError: Not so after `timeout_s`.
        """
        self._workers.wait(self._idle, timeout_s)

    @property
    def state(self) -> State:
        """idle, starting, playing or ending."""
        with self._lock:
            return self._playback.state

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the weights of the newest clip, in order."""
        with self._lock:
            return self._playback.channels

    @property
    def position_s(self) -> float:
        """Seconds of the running clip that have been heard; inserted silence does not count."""
        with self._lock:
            return self._playback.position_s(self._workers.now())

    @property
    def underruns(self) -> int:
        """Times at which audio came too late, in all clips."""
        with self._lock:
            return self._playback.underruns

    @property
    def inserted_silence_s(self) -> float:
        """Seconds of silence that replaced audio which came too late, in all clips."""
        with self._lock:
            return self._playback.silence_s

    @property
    def volume(self) -> float:
        """Gain; can be changed at any time and is heard at once."""
        with self._lock:
            return self._playback.volume

    @volume.setter
    def volume(self, value: float) -> None:
        if not (math.isfinite(value) and value >= 0):
            raise SettingsError(f"audio curve source volume: found {value}, expected 0 or more")
        with self._lock:
            self._playback.volume = value

    def weights(self, at: float | None = None) -> NDArray[np.float32]:
        """The face, shape (channels,), in the order of `channels`.

        Args:
            at: Seconds on the clock of the workers (`time.monotonic` by default), for example when the next picture
                will be seen; None for now. Up to two seconds back, and as far ahead as frames are known.
        """
        with self._lock:
            return self._playback.weights(self._workers.now() if at is None else at)

    def pose(self, at: float | None = None) -> dict[str, float]:
        """`weights` by channel name."""
        with self._lock:
            values = self._playback.weights(self._workers.now() if at is None else at)
            return dict(zip(self._playback.channels, values.tolist(), strict=True))

    def moment(self, at: float | None = None) -> Moment:
        """Clip, position, weights and head together; `at` as in `weights`."""
        with self._lock:
            return self._playback.moment(self._workers.now() if at is None else at)

    def step(self, now: float) -> float | None:
        """One tick of the playback; called by the workers."""
        with self._lock:
            while not self._inbox.empty():
                self._received(self._inbox.get(), now)
            wanted = self._playback.audio
        due = self._play(wanted, now)
        with self._lock:
            events = self._playback.tick(now)
        for event in events:
            self._tell(event)
        return self._next(min(due, now + _TICK_S), now)

    # Beneath

    def _chosen(self, device: Literal["auto", "speaker", "null"] | Device) -> Device:
        if not isinstance(device, str):
            return device
        if device == "null":
            return NullDevice()
        if device == "speaker":
            return SpeakerDevice(self._workers.now)
        if device == "auto":
            return default_device(self._workers.now)
        raise SettingsError(f"audio device: found {device!r}, expected 'auto', 'speaker', 'null' or a device")

    def _put(self, value: _Start | Chunk | _End | _Interrupt) -> None:
        with self._gate:
            self._inbox.put(value)
            if self._idle.done():
                self._idle = running_future()
            if self._handle is None:
                self._handle = self._workers.start(self, "playback")
            else:
                self._handle.wake()

    def _received(self, value: _Start | Chunk | _End | _Interrupt, now: float) -> None:
        match value:
            case _Start(info, audio):
                self._playback.start(info, audio, now)
            case _End(ending, started):
                if started:
                    self._playback.end(ending, now)
                else:
                    self._playback.failed_before_start(ending)
            case _Interrupt(ending):
                self._playback.interrupt(ending, now)
            case Chunk():
                self._playback.receive(value)

    def _play(self, wanted: AudioFormat | None, now: float) -> float:
        """Keep the device open in the form of the newest clip."""
        if wanted is not None and wanted != self._open_as:
            self._device.close()
            self._open_as = wanted
            render = partial(self._rendered, wanted)
            try:
                self._device.open(wanted, render, now)
            except OutputError as error:
                log.error("%s; the clip is played unheard", error)
                self._device = NullDevice()
                self._device.open(wanted, render, now)
        return self._device.step(now)

    def _rendered(self, audio: AudioFormat, count: int, heard_at: float) -> NDArray[np.float32]:
        with self._lock:
            return self._playback.render(count, audio, heard_at)

    def _tell(self, event: Started | Ended) -> None:
        try:
            if isinstance(event, Started):
                if self._on_started is not None:
                    self._on_started()
            elif self._on_ended is not None:
                self._on_ended(event.ending)
        except Exception:
            log.exception("a callback of an audio curve source failed")

    def _next(self, due: float, now: float) -> float | None:
        with self._gate:
            with self._lock:
                busy = not self._inbox.empty() or not self._playback.at_rest
            if busy:
                self._idle_since = now
                return due
            if not self._idle.done():
                self._idle.set_result(None)
        if now < self._idle_since + _LINGER_S:
            return self._idle_since + _LINGER_S
        self._device.close()
        self._open_as = None
        with self._gate:
            if not self._inbox.empty():
                return now
            self._handle = None
        return None


def _set_future() -> Future[None]:
    future: Future[None] = running_future()
    future.set_result(None)
    return future
