"""What a client may send, how fast, and how it is told when it does not.

Pure: a checker is told what arrived and what time it is, and raises a `RefusalError` that carries the gRPC code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..errors import AudioError, FacewaveError, ModelError, ProviderError, SettingsError
from ..wire.a2f import BYTES_PER_SAMPLE


class Code(Enum):
    """The gRPC codes a stream can end with, by their names."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    NOT_FOUND = "NOT_FOUND"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class RefusalError(FacewaveError):
    """A stream that ends with an error for its client. The message is what the client reads."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        """How the call ends."""


def refusal_of(error: Exception) -> RefusalError:
    """The refusal that tells a client about any error; an unexpected one is not described to strangers."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, (SettingsError, AudioError)):
        return RefusalError(Code.INVALID_ARGUMENT, str(error))
    if isinstance(error, (ProviderError, ModelError)):
        return RefusalError(Code.FAILED_PRECONDITION, str(error))
    return RefusalError(Code.INTERNAL, "internal error; the server's log has the details under this session's number")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one stream; names and defaults of NVIDIA's `input_sanitization`."""

    max_len_uuid: int = 50
    """Characters of one id of the one-way protocol."""

    max_sample_rate: int = 144_000
    """Hertz."""

    min_sample_rate: int = 16_000
    """Hertz."""

    max_processing_duration_second: float = 300.0
    """Wall-clock seconds of one call."""

    max_audio_buffer_size_second: float = 10.0
    """Seconds of audio in one message."""

    max_audio_clip_size_second: float = 300.0
    """Seconds of audio in one call."""

    max_wait_time_idle_ms: float = 30_000.0
    """Milliseconds without any message while audio is expected."""

    low_fps: float = 29.0
    """Audio seconds times 30 per wall second below which a client counts as slow."""

    low_fps_max_duration_second: float = 7.0
    """Seconds for which a client may be slow."""

    max_emotion_keys: int = 20_000
    """Emotion keys in one call; bounds memory, far above what 300 s need."""

    def check_rate(self, sample_rate: int) -> None:
        """Refuse a sample rate outside the limits."""
        if not self.min_sample_rate <= sample_rate <= self.max_sample_rate:
            raise RefusalError(
                Code.INVALID_ARGUMENT,
                f"audio sample rate: found {sample_rate} Hz, "
                f"expected {self.min_sample_rate} to {self.max_sample_rate} Hz",
            )

    def check_id(self, name: str, value: str) -> None:
        """Refuse an id that is too long."""
        if len(value) > self.max_len_uuid:
            raise RefusalError(
                Code.INVALID_ARGUMENT,
                f"{name}: found {len(value)} characters, expected at most {self.max_len_uuid}",
            )


class InputWatch:
    """Follows the input of one call.

    A client is slow while the audio it has sent since its first sample lags behind the clock by more than the ratio
    of `low_fps` to 30. A client that has sent more than real time is never slow, however long it then pauses; the idle
    limit covers that.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        """Args: the limits, and the monotonic clock in seconds."""
        self._limits = limits
        self._opened = now
        self._last_message = now
        self._first_audio: float | None = None
        self._slow_since: float | None = None
        self._samples = 0
        self._sample_rate = 0
        self._keys = 0
        self._ended = False

    @property
    def samples(self) -> int:
        """Samples received, at the input's own rate."""
        return self._samples

    @property
    def waiting_for_header(self) -> bool:
        """Whether no header has been accepted yet."""
        return not self._sample_rate

    @property
    def ended(self) -> bool:
        """Whether the client has declared the end of the audio."""
        return self._ended

    def message(self, now: float) -> None:
        """Anything arrived."""
        self._last_message = now

    def header(self, sample_rate: int) -> None:
        """The header arrived, with this sample rate."""
        self._limits.check_rate(sample_rate)
        self._sample_rate = sample_rate

    def audio(self, n_bytes: int, now: float) -> None:
        """A buffer of `n_bytes` arrived; empty ones are fine."""
        limits = self._limits
        if n_bytes % BYTES_PER_SAMPLE:
            raise RefusalError(
                Code.INVALID_ARGUMENT,
                f"audio buffer: found {n_bytes} bytes, expected whole 16-bit samples (an even number)",
            )
        count = n_bytes // BYTES_PER_SAMPLE
        if count > limits.max_audio_buffer_size_second * self._sample_rate:
            raise RefusalError(
                Code.INVALID_ARGUMENT,
                f"audio buffer: found {count / self._sample_rate:.2f} s of audio in one message, "
                f"expected at most {limits.max_audio_buffer_size_second:g} s; send smaller pieces",
            )
        if self._samples + count > limits.max_audio_clip_size_second * self._sample_rate:
            raise RefusalError(
                Code.INVALID_ARGUMENT,
                f"audio clip: longer than {limits.max_audio_clip_size_second:g} s; split it into several calls",
            )
        if count and self._first_audio is None:
            self._first_audio = now
        self._samples += count

    def emotion_keys(self, count: int) -> None:
        """So many emotion keys arrived."""
        self._keys += count
        if self._keys > self._limits.max_emotion_keys:
            raise RefusalError(
                Code.INVALID_ARGUMENT,
                f"emotion keys: more than {self._limits.max_emotion_keys} in one call, expected at most one a frame",
            )

    def end(self) -> None:
        """The end of the audio was declared."""
        self._ended = True

    def excuse(self, seconds: float) -> None:
        """The server itself could not read for so long: the client is not slow for that."""
        if self._first_audio is not None:
            self._first_audio += seconds
        if self._slow_since is not None:
            self._slow_since += seconds

    def check(self, now: float) -> None:
        """Refuse a call that takes too long, is idle, or too slow. To be asked a few times a second."""
        limits = self._limits
        if now - self._opened > limits.max_processing_duration_second:
            raise RefusalError(
                Code.DEADLINE_EXCEEDED,
                f"the call took longer than {limits.max_processing_duration_second:g} s "
                "(max_processing_duration_second)",
            )
        if self._ended:
            return
        if (now - self._last_message) * 1000 > limits.max_wait_time_idle_ms:
            raise RefusalError(
                Code.DEADLINE_EXCEEDED,
                f"no data for {limits.max_wait_time_idle_ms / 1000:g} s (max_wait_time_idle_ms); "
                "end the clip when there is nothing to say",
            )
        if self._first_audio is None:
            return
        elapsed = now - self._first_audio
        if self._samples * 30 >= limits.low_fps * elapsed * self._sample_rate:
            self._slow_since = None
        elif self._slow_since is None:
            self._slow_since = now
        elif now - self._slow_since > limits.low_fps_max_duration_second:
            fps = self._samples * 30 / self._sample_rate / elapsed
            raise RefusalError(
                Code.DEADLINE_EXCEEDED,
                f"audio arrives at {fps:.1f} frames per second, below low_fps = {limits.low_fps:g} for more than "
                f"{limits.low_fps_max_duration_second:g} s; send in real time or faster",
            )
