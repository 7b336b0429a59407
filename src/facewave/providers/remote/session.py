"""A session whose frames are made elsewhere: audio out, frames in as they arrive, with patience that ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...emotions import EmotionTrack
from ...errors import RemoteError, SessionError
from ...frames import Frame, StreamInfo
from ...timing import SAMPLE_RATE, frames_in
from ...wire.a2f import EmotionKeys, pcm_of
from ..base import checked_samples
from .emotions import KeyLedger
from .options import RemoteOptions
from .reader import FrameReader

MIN_CHUNK = 160
"""Samples below which audio waits for more: a message per sample would cost a hundred times its content."""

MAX_CHUNK = SAMPLE_RATE
"""Samples in one message; services refuse more than ten seconds."""

_LOOK_EVERY_S = 0.5
"""Seconds between two looks at the clock while waiting."""

_GRACE_S = 1.0
"""Seconds that a call may stay open after the service has declared success."""


class Line(Protocol):
    """The two directions of one clip, whichever protocol carries them."""

    def send(self, pcm: bytes, keys: EmotionKeys, *, timeout_s: float) -> bool:
        """Queue audio and emotions; False where the service does not take what came before."""
        ...

    def end(self) -> None:
        """Declare the end of the audio."""
        ...

    def take(self, timeout_s: float = 0.0) -> list[Any]:
        """Responses that are here; waits for the first.

        Raises:
            RemoteError: The call has failed and everything before has been taken.
        """
        ...

    @property
    def exhausted(self) -> bool:
        """Whether the answer has ended and everything has been taken."""
        ...

    def cancel(self) -> None:
        """Drop the clip."""
        ...

    def close(self) -> None:
        """The clip is complete: release what it held."""
        ...

    @property
    def silence(self) -> str:
        """What is probably wrong where nothing comes."""
        ...


class RemoteSession:
    """One stream through a service."""

    def __init__(
        self,
        line: Line,
        reader: FrameReader,
        ledger: KeyLedger,
        options: RemoteOptions,
        *,
        where: str,
        learned: Callable[[Fraction], None],
    ) -> None:
        """Take over an open line.

        Args:
            line: The call, with its header on the way.
            reader: Turns its responses into frames.
            ledger: The emotion keys the service knows or must learn.
            options: How long to wait.
            where: The service, for messages.
            learned: Told the service's frame rate once it is known.
        """
        self._line, self._reader, self._ledger, self._options = line, reader, ledger, options
        self._where, self._learned = where, learned
        self._state: Literal["open", "ended", "cancelled"] = "open"
        self._waiting: list[NDArray[np.float32]] = []
        self._n_waiting = 0
        self._n_samples = 0
        self._undelivered: list[Frame] = []
        self._complete = False
        self._failure: RemoteError | None = None
        self._heard = time.monotonic()
        self._n_samples_heard = 0

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels; the rate is the service's own once two frames have come, before that the one asked
        for or last seen."""
        return self._reader.info

    @property
    def notices(self) -> tuple[str, ...]:
        """What the service remarked or what had to be put right, for people."""
        return tuple(self._reader.notices)

    @property
    def announced(self) -> tuple[str, ...]:
        """Shape names as the service spells and orders them; empty before its header."""
        return self._reader.announced

    @property
    def sent_channels(self) -> tuple[str, ...]:
        """Our names of the shapes the service sends; all other channels of the frames are 0."""
        return self._reader.channels

    @property
    def done(self) -> bool:
        """Whether the stream is over and every frame has been handed out."""
        return self._over and not self._undelivered

    @property
    def _over(self) -> bool:
        return self._complete or self._state == "cancelled"

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        """Send audio and return the frames that have arrived; waits only for a service that does not take audio.

        Args:
            samples: Shape (n,), mono in [-1, 1], 16 kHz; sent as 16-bit PCM.
            emotion: Keys that replace, from their first time on, the emotion track in force.

        Raises:
            AudioError: Not one-dimensional, or with NaN or infinite samples.
            SessionError: The session has been finished or cancelled.
            SettingsError: An emotion track that is not of the ten named emotions.
            RemoteError: The service failed; frames that came before have been returned.
        """
        self._require_open("push")
        checked = checked_samples(samples)
        if emotion is not None:
            self._ledger.replace(emotion)
        if len(checked) and self._failure is None:
            self._waiting.append(checked.copy())
            self._n_waiting += len(checked)
            self._n_samples += len(checked)
            if self._n_waiting >= MIN_CHUNK:
                self._send_waiting()
        return self.take()

    def finish(self) -> Sequence[Frame]:
        """Declare the end of the audio and wait for the remaining frames.

        Raises:
            SessionError: The session has been finished or cancelled.
            RemoteError: The service failed, stalled or ended early; `take` still gives the frames that came.

        Where another thread cancels the session, the frames so far are returned.
        """
        self.end()
        frames: list[Frame] = []
        deadline = time.monotonic() + self._options.finish_timeout_s
        try:
            while not self._over:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._fail(
                        RemoteError(
                            f"no end of the animation within {self._options.finish_timeout_s:g} s", retryable=True
                        )
                    )
                frames += self.take(max(left, 0.0))
        except RemoteError:
            self._undelivered = frames
            raise
        return frames + list(self.take())

    def end(self) -> None:
        """Declare the end of the audio without waiting; the frames come with `take`.

        Raises:
            SessionError: The session has been finished or cancelled.
        """
        self._require_open("finish")
        self._state = "ended"
        self._heard = time.monotonic()
        if self._n_samples == 0:
            # A clip needs at least one message of audio; none has no frames, which needs no service.
            self._complete = True
            self._line.cancel()
        elif self._failure is None:
            self._send_waiting()
            self._line.end()

    def take(self, timeout_s: float = 0.0) -> Sequence[Frame]:
        """The frames that have arrived, in order.

        Args:
            timeout_s: Seconds to wait for the first; 0 does not wait.

        Raises:
            RemoteError: The service failed, stalled or ended early, and everything before has been taken.
        """
        frames, self._undelivered = self._undelivered, []
        deadline = time.monotonic() + timeout_s
        while not (self._over or self._failure):
            left = 0.0 if frames else max(deadline - time.monotonic(), 0.0)
            self._receive(frames, min(left, _LOOK_EVERY_S))
            if left == 0.0:
                break
        if not frames and self._failure is not None:
            raise self._failure
        return frames

    def cancel(self) -> None:
        """Drop the stream: the service is told, no more frames come.

        Safe at any time, more than once, and from another thread than the one that pushes.
        """
        self._state = "cancelled"
        self._undelivered = []
        self._failure = None
        self._line.cancel()

    def _receive(self, frames: list[Frame], timeout_s: float) -> None:
        """Add what has arrived to `frames`; a failure is kept until everything before it has been taken."""
        try:
            messages = self._line.take(timeout_s)
            if self._over:  # Cancelled from another thread, which is not the end of an answer.
                return
            for message in messages:
                frames += self._reader.read(message)
            if self._reader.rate_known:
                self._learned(self._reader.info.frame_rate)
            silent_s = 0.0 if messages else time.monotonic() - self._heard
            if messages:
                self._heard, self._n_samples_heard = time.monotonic(), self._n_samples
            elif self._line.exhausted:
                frames += self._closed()
            elif self._state == "ended" and self._reader.succeeded and silent_s > _GRACE_S:
                # Success is the last message; a service that then leaves the call open has nothing more to say.
                frames += self._closed()
                self._line.cancel()
            elif silent_s > self._options.stall_timeout_s and self._awaits_frames():
                raise RemoteError(
                    f"nothing came for {self._options.stall_timeout_s:g} s after {self._reader.received} frames; "
                    f"{self._line.silence if self._reader.received == 0 else 'the service is stuck or overloaded'}",
                    retryable=True,
                )
        except RemoteError as error:
            self._fail(error)

    def _awaits_frames(self) -> bool:
        """Whether silence means that something is wrong: a speaker who pauses gets no frames, and rightly so."""
        unanswered_s = (self._n_samples - self._n_samples_heard) / SAMPLE_RATE
        return self._state == "ended" or unanswered_s > self._options.stall_timeout_s

    def _closed(self) -> list[Frame]:
        """The answer is over: the last frames, or the reason why it should not be over yet."""
        frames = self._reader.end()
        if self._state == "open":
            raise RemoteError("the service ended the stream before the end of the audio", retryable=True)
        expected = frames_in(self._n_samples, self._reader.info.frame_rate)
        count = self._reader.received + self._reader.filled
        if count < expected and not self._reader.succeeded:
            raise RemoteError(
                f"the stream ended early and without a status: {count} frames of {expected}", retryable=True
            )
        if count < expected:
            self._reader.note(f"the service declared success after {count} frames, {expected} were expected")
        self._complete = True
        self._line.close()
        return frames

    def _send_waiting(self) -> None:
        audio = np.concatenate(self._waiting) if self._waiting else np.zeros(0, np.float32)
        self._waiting.clear()
        self._n_waiting = 0
        for start in range(0, len(audio), MAX_CHUNK):
            pcm = pcm_of(audio[start : start + MAX_CHUNK])
            if not self._line.send(pcm, self._ledger.take(), timeout_s=self._options.stall_timeout_s):
                self._fail(
                    RemoteError(
                        f"the service has not taken audio for {self._options.stall_timeout_s:g} s", retryable=True
                    )
                )
                return

    def _fail(self, error: RemoteError) -> None:
        text = str(error)
        message = text if text.startswith(self._where) else f"{self._where}: {text}"
        self._failure = RemoteError(message, retryable=error.retryable)
        self._line.cancel()

    def _require_open(self, what: str) -> None:
        if self._state != "open":
            how = "cancelled" if self._state == "cancelled" else "finished"
            raise SessionError(f"{what}: the session has been {how}; open a new session for a new clip")
