"""`Runtime`: animate characters while the program runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from ..audio.clip import AudioClip, from_array
from ..audio.files import read_audio
from ..errors import SessionError, SettingsError
from ..providers.base import Provider
from ..settings import FacewaveSettings, RemoteSettings, load_settings
from ..streams import StreamSettings
from .consumers import AudioFormat, Consumer, Player
from .delivery import Delivery, Ending, SendResult
from .inputs import EmotionLike, checked_rate, checked_samples, emotion_of
from .pacing import INITIAL_S, Mode, Pacing
from .providers import RuntimeProviders
from .resources import ProviderSlot
from .sessions import ClipStream, Piece, stream_settings
from .workers import Threads, Workers

log = logging.getLogger("facewave.runtime")

IDLE_TIMEOUT_S = 30.0
"""Seconds after which a clip that gets no samples is ended."""


@dataclass(slots=True, eq=False)
class _Entry:
    """A consumer's newest clip."""

    consumer: Consumer
    stream: ClipStream
    open: bool
    """Whether more samples may be added: the clip has come by `animate_samples` and was not ended by the caller."""
    sample_type: str
    face_parameters: Mapping[str, float] | None


class Runtime:
    """Sends speech to providers and their frames to consumers, one clip per consumer at a time.

    Every call may come from any thread. Audio is paced and animated in the background; only the calls that are
    documented as blocking wait for it. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        settings: FacewaveSettings | None = None,
        *,
        workers: Workers | None = None,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        """Start a runtime.

        Args:
            settings: Project settings; None reads those in force.
            workers: Threads and clock; None takes real ones.
            idle_timeout_s: Seconds after which a clip that gets no samples is ended.
        """
        if not idle_timeout_s > 0:
            raise SettingsError(f"idle timeout: found {idle_timeout_s} s, expected seconds above 0")
        self._workers = workers or Threads()
        self._providers = RuntimeProviders(load_settings() if settings is None else settings, self._workers)
        self._idle_timeout_s = idle_timeout_s
        self._lock = threading.Lock()
        self._entries: dict[int, _Entry] = {}
        self._running: set[ClipStream] = set()
        self._mode: Literal["default"] | Mode = "default"
        self._initial_s: float | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # Providers and their settings

    def available_providers(self) -> list[str]:
        """Names of the providers, the default first."""
        return self._providers.names()

    def set_connection_info(
        self,
        provider: str = "",
        *,
        url: str = "",
        api_key: str = "",
        function_id: str = "",
        function_version: str = "",
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        timeout_s: float | None = None,
    ) -> None:
        """Override where a remote provider's service is, from the next clip on; takes the place of earlier overrides.

        A blank field falls back to the project's setting. Clips on their way keep their connection; it is released
        when the last of them ends.

        Raises:
            UnknownProviderError: No such provider.
        """
        texts: dict[str, Any] = {
            "url": url, "api_key": api_key, "function_id": function_id, "function_version": function_version,
            "ca_file": ca_file, "cert_file": cert_file, "key_file": key_file,
        }  # fmt: skip
        self._providers.connect(provider, RemoteSettings(**texts), timeout_s)

    def connection_info(self, provider: str = "") -> RemoteSettings:
        """The connection settings in force, overrides laid over the project's, the key masked.

        For a provider that is not remote: the project's, with a line in the log.

        Raises:
            UnknownProviderError: No such provider.
        """
        return self._providers.connection(provider)

    def override_burst_mode(self, mode: Literal["default", "burst", "real time"]) -> None:
        """Choose how the clips that begin from now on are sent; `default` is real time.

        Raises:
            SettingsError: Not one of the three.
        """
        if mode not in ("default", "burst", "real time"):
            raise SettingsError(f"burst mode: found {mode!r}, expected 'default', 'burst' or 'real time'")
        self._mode = mode

    def override_max_initial_chunk(self, seconds: float | None) -> None:
        """Choose the audio sent at once at the start of clips in real-time mode; None for the default of 0.5 s.

        Raises:
            SettingsError: Not a length.
        """
        if seconds is not None:
            Pacing(initial_s=seconds)
        self._initial_s = seconds

    def allocate(self, provider: str | Provider = "") -> None:
        """Hint that a provider will be used soon: it loads or connects in the background. Returns at once.

        A failure is logged; the clip that needs the provider reports it.

        Raises:
            UnknownProviderError, ProviderUnavailableError: There is no such provider, or it has no address.
        """
        self._check_usable()
        self._providers.allocate(provider)

    def free(self, provider: str | Provider = "") -> None:
        """Hint that a provider will not be used soon: it is freed once its clips have ended. Returns at once.

        Raises:
            UnknownProviderError: There is no such provider.
        """
        self._providers.free(provider)

    # Whole clips

    def animate_clip(
        self,
        consumer: Consumer,
        clip: AudioClip | ArrayLike,
        *,
        sample_rate: int = 16_000,
        emotion: EmotionLike | None = None,
        face_parameters: Mapping[str, float] | None = None,
        provider: str | Provider = "",
        settings: StreamSettings | None = None,
    ) -> SendResult:
        """Animate a clip and block until its audio has been sent: in real-time mode nearly as long as it lasts.

        The consumer's clip in progress is replaced.

        Args:
            consumer: Who gets audio and frames.
            clip: A clip, or samples of shape (n,) or (n, channels), float in [-1, 1] or int16.
            sample_rate: Hertz of samples given as an array.
            emotion: Emotion settings, a track in time, or values by name such as {"joy": 0.8}.
            face_parameters: Face-parameter name -> value.
            provider: A provider's name, blank for the default; or a provider of one's own.
            settings: Frame rate, multipliers and so on.

        Returns:
            Whether all audio was sent; not so where the clip was cancelled or replaced meanwhile.

        Raises:
            UnknownProviderError, ProviderUnavailableError: There is no such provider, or it cannot be used.
            AudioError, SettingsError: Audio or settings that cannot be used.
            FacewaveError: What failed on the way.
        """
        delivery = self.start_clip(
            consumer, clip, sample_rate=sample_rate, emotion=emotion, face_parameters=face_parameters,
            provider=provider, settings=settings,
        )  # fmt: skip
        return self._interruptible(consumer, delivery)

    async def animate_clip_async(
        self,
        consumer: Consumer,
        clip: AudioClip | ArrayLike,
        *,
        sample_rate: int = 16_000,
        emotion: EmotionLike | None = None,
        face_parameters: Mapping[str, float] | None = None,
        provider: str | Provider = "",
        settings: StreamSettings | None = None,
    ) -> SendResult:
        """`animate_clip` for asyncio. Cancelling the task cancels the clip."""
        delivery = self.start_clip(
            consumer, clip, sample_rate=sample_rate, emotion=emotion, face_parameters=face_parameters,
            provider=provider, settings=settings,
        )  # fmt: skip
        return await self._awaited(consumer, delivery)

    def animate_file(
        self,
        consumer: Consumer,
        path: str | Path,
        *,
        emotion: EmotionLike | None = None,
        face_parameters: Mapping[str, float] | None = None,
        provider: str | Provider = "",
        settings: StreamSettings | None = None,
    ) -> SendResult:
        """Animate an audio file; like `animate_clip`, and raises AudioError for a file that cannot be read."""
        delivery = self.start_file(
            consumer, path, emotion=emotion, face_parameters=face_parameters, provider=provider, settings=settings
        )
        return self._interruptible(consumer, delivery)

    async def animate_file_async(
        self,
        consumer: Consumer,
        path: str | Path,
        *,
        emotion: EmotionLike | None = None,
        face_parameters: Mapping[str, float] | None = None,
        provider: str | Provider = "",
        settings: StreamSettings | None = None,
    ) -> SendResult:
        """`animate_file` for asyncio. Cancelling the task cancels the clip."""
        delivery = self.start_file(
            consumer, path, emotion=emotion, face_parameters=face_parameters, provider=provider, settings=settings
        )
        return await self._awaited(consumer, delivery)

    def start_clip(
        self,
        consumer: Consumer,
        clip: AudioClip | ArrayLike,
        *,
        sample_rate: int = 16_000,
        emotion: EmotionLike | None = None,
        face_parameters: Mapping[str, float] | None = None,
        provider: str | Provider = "",
        settings: StreamSettings | None = None,
    ) -> Delivery:
        """Begin to animate a clip and return at once; the arguments are those of `animate_clip`."""
        taken = clip if isinstance(clip, AudioClip) else from_array(np.array(clip), sample_rate)
        return self._start_whole(consumer, lambda: taken, emotion, face_parameters, provider, settings)

    def start_file(
        self,
        consumer: Consumer,
        path: str | Path,
        *,
        emotion: EmotionLike | None = None,
        face_parameters: Mapping[str, float] | None = None,
        provider: str | Provider = "",
        settings: StreamSettings | None = None,
    ) -> Delivery:
        """Begin to animate a file and return at once; the file is read in the background."""
        return self._start_whole(consumer, partial(read_audio, path), emotion, face_parameters, provider, settings)

    # Samples as they come

    def animate_samples(
        self,
        consumer: Consumer,
        samples: ArrayLike,
        channels: int = 1,
        sample_rate: int = 16_000,
        end_of_samples: bool = False,
        *,
        emotion: EmotionLike | None = None,
        face_parameters: Mapping[str, float] | None = None,
        provider: str | Provider = "",
        settings: StreamSettings | None = None,
    ) -> Delivery:
        """Add samples to the consumer's clip, or begin one with them, and return at once.

        The first call of a clip fixes provider, rate, channels, sample type, pacing and everything in `settings`;
        later calls may leave the provider blank. Samples are copied.

        Args:
            consumer: Who gets audio and frames.
            samples: Float in [-1, 1] or int16; shape (n,), interleaved where there are two channels, or (n, channels).
            channels: 1 or 2.
            sample_rate: Hertz.
            end_of_samples: Whether the clip ends with these samples.
            emotion: Emotion from these samples on; None keeps what is in force.
            face_parameters: Face-parameter name -> value; those of the first call hold for the whole clip.
            provider: A provider's name, blank for the default; or a provider of one's own.
            settings: Frame rate, multipliers and so on, in the first call.

        Returns:
            The sending: ask or await it to learn whether these samples were handed to the provider.

        Raises:
            SessionError: Provider, rate, channels or sample type differ from the clip's first call.
            AudioError, SettingsError, UnknownProviderError, ProviderUnavailableError: As `animate_clip`.
        """
        audio = AudioFormat(checked_rate(sample_rate), channels)
        taken = checked_samples(samples, channels)
        feeling = emotion_of(emotion)
        with self._lock:
            self._check_usable()
            entry = self._open_entry(consumer)
            if entry is not None:
                self._check_match(entry, audio, str(taken.dtype), provider)
                if face_parameters is not None and face_parameters != entry.face_parameters:
                    log.warning(
                        "[clip %d] face parameters hold for a whole clip: those of this call are left out",
                        entry.stream.number,
                    )
                delivery = Delivery(self._workers, entry.stream.over)
                if entry.stream.append(Piece(taken, feeling, end_of_samples, delivery)):
                    entry.open = not end_of_samples
                    return delivery
                if entry.stream.ending is not None:
                    return self._swallow(entry, end_of_samples)
            # No clip is open, or the one that was has just been ended for being idle.
            name, slot = self._providers.slot(provider)
            first = stream_settings(settings, feeling, dict(face_parameters or {}), one_call=end_of_samples)
            stream, before = self._made(consumer, name, slot, first, audio)
            self._entries[id(consumer)] = _Entry(
                consumer, stream, not end_of_samples, str(taken.dtype), face_parameters and dict(face_parameters)
            )
            delivery = Delivery(self._workers, stream.over)
            stream.append(Piece(taken, None, end_of_samples, delivery))
        self._begin(consumer, before, stream)
        return delivery

    def end_samples(self, consumer: Consumer) -> Delivery:
        """End the consumer's clip; returns at once.

        The result is false, with a warning in the log, where no clip is open.
        """
        with self._lock:
            entry = self._open_entry(consumer)
            if entry is not None:
                if entry.stream.ending is not None:
                    return self._swallow(entry, ended=True)
                delivery = Delivery(self._workers, entry.stream.over)
                nothing = np.zeros((0, entry.stream.audio.channels if entry.stream.audio else 1), np.float32)
                if entry.stream.append(Piece(nothing, None, True, delivery)):
                    entry.open = False
                    return delivery
        log.warning("end_samples: the consumer has no clip open, nothing was ended")
        return Delivery.settled(self._workers, SendResult(False))

    def cancel(self, consumer: Consumer) -> bool:
        """Stop the consumer's clip at once, also one that is only being played any more; returns whether there was one.

        Samples still sent into an open clip are swallowed until it is ended with `end_of_samples` or `end_samples`.
        """
        with self._lock:
            entry = self._entries.get(id(consumer))
        if entry is not None and entry.stream.end(Ending("cancelled")):
            return True
        return _interrupt(consumer, Ending("cancelled"))

    def close(self, timeout_s: float = 10.0) -> None:
        """End every clip, free every provider and wait for both. Safe to call twice."""
        with self._lock:
            self._closed = True
            entries, self._entries = list(self._entries.values()), {}
            running = list(self._running)
        for entry in entries:
            entry.stream.end(Ending("closed"))
        for stream in running:
            stream.end(Ending("closed"))
            try:
                self._workers.wait(stream.workers_ended, timeout_s)
            except (TimeoutError, FutureTimeoutError):
                log.warning("[clip %d] %s did not stop within %g s", stream.number, stream.provider, timeout_s)
        self._providers.close()

    # Beneath

    def _start_whole(
        self,
        consumer: Consumer,
        read: Any,
        emotion: EmotionLike | None,
        face_parameters: Mapping[str, float] | None,
        provider: str | Provider,
        settings: StreamSettings | None,
    ) -> Delivery:
        first = stream_settings(settings, emotion_of(emotion), dict(face_parameters or {}), one_call=True)
        with self._lock:
            self._check_usable()
            name, slot = self._providers.slot(provider)
            stream, before = self._made(consumer, name, slot, first, None)
            self._entries[id(consumer)] = _Entry(consumer, stream, False, "", None)
            delivery = Delivery(self._workers, stream.over)
            stream.append(Piece(read, None, True, delivery))
        self._begin(consumer, before, stream)
        return delivery

    def _made(
        self,
        consumer: Consumer,
        provider: str,
        slot: ProviderSlot,
        settings: StreamSettings,
        audio: AudioFormat | None,
    ) -> tuple[ClipStream, ClipStream | None]:
        """The consumer's new clip, and the one before it; holds the lock."""
        entry = self._entries.get(id(consumer))
        before = entry.stream if entry else None
        stream = ClipStream(
            consumer,
            slot,
            provider=provider,
            settings=settings,
            pacing=self._pacing(),
            audio=audio,
            idle_timeout_s=self._idle_timeout_s,
            after=before,
            ended=self._clip_ended,
            released=self._let_go,
        )
        self._running.add(stream)
        return stream, before

    def _begin(self, consumer: Consumer, before: ClipStream | None, stream: ClipStream) -> None:
        if before is None or not before.end(Ending("replaced")):
            _interrupt(consumer, Ending("replaced"))
        stream.begin(self._workers)

    def _clip_ended(self, stream: ClipStream) -> None:
        with self._lock:
            for key, entry in list(self._entries.items()):
                if entry.stream is stream and not entry.open:
                    del self._entries[key]

    def _let_go(self, stream: ClipStream) -> None:
        with self._lock:
            self._running.discard(stream)

    def _open_entry(self, consumer: Consumer) -> _Entry | None:
        """The consumer's open clip, also one that only swallows; holds the lock."""
        entry = self._entries.get(id(consumer))
        if entry is None or not entry.open:
            return None
        ending = entry.stream.ending
        return None if ending is not None and ending.reason == "idle" else entry

    def _swallow(self, entry: _Entry, ended: bool) -> Delivery:
        """Samples of a clip that is over lead to nothing until the caller has ended it; holds the lock."""
        if ended:
            self._entries.pop(id(entry.consumer), None)
        return Delivery.settled(self._workers, SendResult(False, ending=entry.stream.ending))

    def _check_match(self, entry: _Entry, audio: AudioFormat, sample_type: str, provider: str | Provider) -> None:
        fixed = entry.stream.audio or audio
        asked = provider if not isinstance(provider, str) else self._providers.resolved(provider)
        name = entry.stream.provider if provider == "" else asked if isinstance(asked, str) else asked.info.name
        pairs = (
            ("provider", name, entry.stream.provider),
            ("sample rate", audio.sample_rate, fixed.sample_rate),
            ("channels", audio.channels, fixed.channels),
            ("sample type", sample_type, entry.sample_type),
        )
        for what, found, expected in pairs:
            if found != expected:
                raise SessionError(
                    f"{what} of the samples: found {found}, expected {expected} as in the first call of this clip; "
                    "end the clip with end_samples before one of another kind"
                )

    def _pacing(self) -> Pacing:
        mode: Mode = "real time" if self._mode == "default" else self._mode
        return Pacing(mode, INITIAL_S if self._initial_s is None else self._initial_s)

    def _check_usable(self) -> None:
        if self._closed:
            raise SessionError("runtime: it has been closed; make a new one")

    def _interruptible(self, consumer: Consumer, delivery: Delivery) -> SendResult:
        try:
            return delivery.result()
        except KeyboardInterrupt:
            self.cancel(consumer)
            raise

    async def _awaited(self, consumer: Consumer, delivery: Delivery) -> SendResult:
        try:
            return await delivery
        except asyncio.CancelledError:
            self.cancel(consumer)
            raise


def _interrupt(consumer: Consumer, ending: Ending) -> bool:
    return isinstance(consumer, Player) and consumer.interrupt(ending)
