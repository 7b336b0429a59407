"""One clip on its way through a provider: pieces of audio in, chunks of audio and frames out, step by step.

`ClipStream` is stepped by a worker and fed from any thread; what crosses between them is a queue of pieces.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..audio.clip import AudioClip, as_float32
from ..audio.resample import StreamResampler
from ..emotions import EmotionSettings, EmotionTrack, emotion_vector, replaced_from
from ..errors import FacewaveError, ProviderError
from ..frames import Frame
from ..providers.base import Session
from ..streams import StreamSettings
from ..timing import SAMPLE_RATE, sample_of
from .batches import BatchedSession
from .consumers import Attachment, AudioFormat, Chunk, Consumer
from .delivery import Delivery, Ending, Reason, SendResult, running_future
from .pacing import Pacer, Pacing
from .resources import ProviderSlot
from .workers import NEVER, Handle, Workers

log = logging.getLogger("facewave.runtime")

Emotion = EmotionSettings | EmotionTrack

MOST_AT_ONCE = SAMPLE_RATE // 2
"""Samples pushed in one step: between two steps a cancellation is noticed and frames reach the consumer."""

_POLL_S = 0.005
"""Seconds between two looks for frames that a remote service makes in its own time."""

_NOTHING: NDArray[np.float32] = np.zeros(0, np.float32)

_numbers = count(1)


class ArrivingSession(Protocol):
    """A session whose frames arrive by themselves, as those of a remote service do."""

    def end(self) -> None:
        """Declare the end of the audio without waiting."""
        ...

    def take(self, timeout_s: float = 0.0) -> Sequence[Frame]:
        """Frames that have arrived."""
        ...

    @property
    def done(self) -> bool:
        """Whether every frame has been taken."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What one call adds to a clip."""

    audio: NDArray[Any] | Callable[[], AudioClip]
    """Shape (n, channels), float32 or int16; or what reads the clip, run by the worker."""

    emotion: Emotion | None
    """In force from this piece on; None keeps what is."""

    last: bool
    """Whether the clip ends with this piece."""

    delivery: Delivery
    """Told when the piece has been sent."""


class ClipStream:
    """One clip from its first sample to its ending."""

    def __init__(
        self,
        consumer: Consumer,
        slot: ProviderSlot,
        *,
        provider: str,
        settings: StreamSettings,
        pacing: Pacing,
        audio: AudioFormat | None,
        idle_timeout_s: float,
        after: ClipStream | None,
        ended: Callable[[ClipStream], None],
        released: Callable[[ClipStream], None],
    ) -> None:
        """Prepare a clip; nothing runs before `begin`.

        Args:
            consumer: Who gets audio and frames.
            slot: Who makes the frames.
            provider: The provider's name, for messages.
            settings: Settings of the provider's session.
            pacing: When audio is sent.
            audio: Form of the pieces; None where the first piece, a file, will tell.
            idle_timeout_s: Seconds without a piece after which the clip is ended.
            after: The consumer's clip before this one.
            ended: Called once, from any thread, when the consumer has been told the ending.
            released: Called once, by the worker, when it has let go of the provider.
        """
        self.number = next(_numbers)
        """Counts the clips of this process, for log lines."""
        self.workers_ended: Future[None] = running_future()
        """Set when the worker has let go of the provider."""
        self.provider, self.pacing = provider, pacing
        self._slot, self._settings, self._audio, self._released_by_worker = slot, settings, audio, released
        self._idle_timeout_s = idle_timeout_s
        self._attachment: Attachment = Attachment(consumer, after._attachment if after else None, lambda _: ended(self))
        self._lock = threading.Lock()
        self._inbox: deque[Piece] = deque()
        self._accepting = True
        self._handle: Handle | None = None
        self._session: Session | None = None
        self._arriving: ArrivingSession | None = None
        self._batched: BatchedSession | None = None
        self._leased = False
        self._pacer = Pacer(pacing)
        self._resampler: StreamResampler | None = None
        self._outgoing: deque[NDArray[np.float32]] = deque()
        self._pushed = 0
        self._tracks: list[EmotionTrack] = []
        self._track = settings.emotion_track
        self._pending: deque[tuple[int, Delivery]] = deque()
        self._last: Delivery | None = None
        self._closing: Reason | None = None
        self._original: deque[NDArray[np.float32]] = deque()
        self._received = self._released = 0  # Samples of the original.
        self._covered = 0  # 16 kHz sample up to which frames are known.
        self._heard_at = math.nan
        self._ended_upstream = False

    @property
    def ending(self) -> Ending | None:
        """How the clip ended; None while it goes on."""
        return self._attachment.ending

    @property
    def over(self) -> Future[Ending]:
        """Set when the consumer has been told the ending."""
        return self._attachment.over

    @property
    def audio(self) -> AudioFormat | None:
        """The form of the clip's pieces."""
        return self._audio

    def begin(self, workers: Workers) -> None:
        """Start the worker; once."""
        log.info("[clip %d] %s, %s", self.number, self.provider, self.pacing.mode)
        # Under the lock: a piece that comes while the thread starts must find whom to wake.
        with self._lock:
            self._handle = workers.start(self, f"clip {self.number}")

    def append(self, piece: Piece) -> bool:
        """Add a piece; False where the clip takes none any more. Never blocks."""
        with self._lock:
            if not self._accepting:
                return False
            self._accepting = not piece.last
            self._inbox.append(piece)
        self._wake()
        return True

    def end(self, ending: Ending) -> bool:
        """End the clip at once; False where it had ended. The worker lets go of the provider in its own time."""
        with self._lock:
            self._accepting = False
        first = self._attachment.end(ending)
        self._wake()
        return first

    def step(self, now: float) -> float | None:
        """Do the next small part of the work; see `Task`."""
        try:
            if self.ending is None:
                due = self._advance(now)
                if due is not None:
                    return due
        except FacewaveError as error:
            self._fail(error)
        except Exception as error:  # Providers and consumers are foreign code: what they raise must be heard of.
            wrapped = ProviderError(f"{self.provider}: failed unexpectedly ({type(error).__name__}: {error})")
            wrapped.__cause__ = error
            self._fail(wrapped)
        self._let_go()
        return None

    def _wake(self) -> None:
        with self._lock:
            handle = self._handle
        if handle is not None:
            handle.wake()

    def _advance(self, now: float) -> float | None:
        if self._session is None:
            self._open()
            self._heard_at = now
        while (piece := self._first_piece()) is not None:
            self._heard_at = now
            self._accept(piece)
            # Only now: a piece that fails is among those whose callers are told.
            with self._lock:
                self._inbox.popleft()
        self._check_idle(now)
        # A stream that is computed with others takes more when it has computed what it has, and says when.
        busy = self._batched is not None and self._batched.busy
        if not busy and (self._outgoing or self._pacer.due() <= now or self._tracks):
            self._push(now)
            self._heard_at = now
            self._settle_sent()
            return now
        self._settle_sent()
        if self._closing and self._pacer.done and not self._outgoing:
            return self._finish(now)
        due = NEVER if busy else self._pacer.due()
        if self._arriving is not None:
            self._deliver(self._arriving.take())
            due = min(due, now + self._look_again_s)
        return min(due, self._heard_at + self._idle_timeout_s) if not self._closing else due

    @property
    def _look_again_s(self) -> float:
        """Seconds until frames that arrive by themselves are looked for again."""
        return _POLL_S if self._batched is None else NEVER

    def _open(self) -> None:
        self._slot.lease()
        self._leased = True
        self._session = self._slot.open(self._settings, self._wake)
        if hasattr(self._session, "take") and hasattr(self._session, "done"):
            self._arriving = cast(ArrivingSession, self._session)
        if isinstance(self._session, BatchedSession):
            self._batched = self._session

    def _first_piece(self) -> Piece | None:
        with self._lock:
            return self._inbox[0] if self._inbox else None

    def _accept(self, piece: Piece) -> None:
        if callable(piece.audio):
            clip = piece.audio()
            samples = clip.samples
            self._audio = AudioFormat(clip.sample_rate, clip.channels)
        else:
            samples = as_float32(piece.audio)
        assert self._audio is not None, "only a clip that is read here comes without its format"
        if self._resampler is None:
            self._resampler = StreamResampler(self._audio.sample_rate, self._audio.channels)
        if piece.emotion is not None:
            self._change_emotion(piece.emotion)
        if len(samples):
            self._received += len(samples)
            self._original.append(samples)
            self._pacer.push(self._resampler.push(samples))
        if piece.last:
            self._last, self._closing = piece.delivery, "finished"
            self._end_audio()
        else:
            self._pending.append((self._pacer.received, piece.delivery))

    def _end_audio(self) -> None:
        if self._resampler is not None:
            self._pacer.push(self._resampler.finish())
        self._pacer.end()

    def _check_idle(self, now: float) -> None:
        if self._closing or now < self._heard_at + self._idle_timeout_s:
            return
        with self._lock:
            if self._inbox:
                return
            self._accepting = False
        log.warning(
            "[clip %d] nothing came for %g s: the clip is ended; call end_samples after the last samples of a clip",
            self.number,
            self._idle_timeout_s,
        )
        self._closing = "idle"
        self._end_audio()

    def _change_emotion(self, emotion: Emotion) -> None:
        """Have `emotion` hold from the samples that follow, without fading into it over what came before."""
        assert self._audio is not None
        at = self._received * SAMPLE_RATE // self._audio.sample_rate
        if isinstance(emotion, EmotionTrack):
            newer = EmotionTrack(emotion.samples + at, emotion.values)
        elif not emotion.overrides or emotion.override_strength <= 1e-4:
            return
        else:
            newer = EmotionTrack(np.array([at]), emotion_vector(emotion.overrides)[None])
        first = int(newer.samples[0])
        before = np.zeros_like(newer.values[0]) if self._track is None else self._track.at(first - 1)
        held = EmotionTrack(np.append(first - 1, newer.samples), np.concatenate([before[None], newer.values]))
        self._track = replaced_from(self._track, held)
        self._tracks.append(held)

    def _push(self, now: float) -> None:
        """Hand the provider what is due, at most half a second of it."""
        assert self._session is not None
        for track in self._tracks:
            self._deliver(self._session.push(_NOTHING, track))
        self._tracks.clear()
        if not self._outgoing and (samples := self._pacer.take(now)) is not None:
            self._outgoing.append(samples)
        if self._outgoing:
            samples = self._outgoing.popleft()
            if len(samples) > MOST_AT_ONCE:
                self._outgoing.appendleft(samples[MOST_AT_ONCE:])
                samples = samples[:MOST_AT_ONCE]
            frames = self._session.push(samples)
            self._pushed += len(samples)
            self._deliver(frames)

    def _settle_sent(self) -> None:
        """Answer the calls of which everything that can be sent without more audio has been sent."""
        all_out = not self._outgoing and self._pacer.due() == NEVER
        while self._pending and (all_out or self._pushed >= self._pending[0][0]):
            self._pending.popleft()[1].settle(SendResult(True, self._pushed))

    def _finish(self, now: float) -> float | None:
        """The audio is over: the remaining frames, and the end."""
        assert self._session is not None
        if self._arriving is None:
            self._deliver(self._session.finish(), everything=True)
        else:
            if not self._ended_upstream:
                self._arriving.end()
                self._ended_upstream = True
                if self._batched is None:
                    self._answer_last()  # A service has it now; what fails there from now on is for the consumer.
            self._deliver(self._arriving.take())
            if not self._arriving.done:
                return now + self._look_again_s
            self._deliver((), everything=True)
        self._answer_last()
        self._session = None
        self._attachment.end(Ending(self._closing or "finished"))
        return None

    def _answer_last(self) -> None:
        if self._last is not None:
            self._last.settle(SendResult(True, self._pushed))

    def _deliver(self, frames: Sequence[Frame], *, everything: bool = False) -> None:
        """Hand the consumer frames, and the audio up to the last of them.

        Audio beyond it would be played without knowing the next frame, and the face would stand still meanwhile.
        """
        if self._session is None or self.ending is not None:
            return
        info = self._session.info
        if frames:
            self._covered = sample_of(frames[-1].index, info.frame_rate)
        if self._audio is None or not (frames or everything):
            return
        reach = min(self._received, self._covered * self._audio.sample_rate // SAMPLE_RATE)
        audio = self._original_up_to(self._received if everything else reach)
        if len(frames) or len(audio):
            self._attachment.deliver(info, self._audio, Chunk(audio, tuple(frames)))

    def _original_up_to(self, position: int) -> NDArray[np.float32]:
        parts: list[NDArray[np.float32]] = []
        while self._original and self._released < position:
            part = self._original.popleft()
            wanted = position - self._released
            if len(part) > wanted:
                self._original.appendleft(part[wanted:])
                part = part[:wanted]
            parts.append(part)
            self._released += len(part)
        if len(parts) == 1:
            return parts[0]
        assert self._audio is not None
        return np.concatenate(parts) if parts else np.zeros((0, self._audio.channels), np.float32)

    def _fail(self, error: Exception) -> None:
        log.error("[clip %d] %s", self.number, error)
        with self._lock:
            self._accepting = False
        self._attachment.end(Ending("failed", error))

    def _let_go(self) -> None:
        """Answer every caller that still waits, and give the provider back."""
        with self._lock:
            self._accepting = False
            waiting = [piece.delivery for piece in self._inbox]
            self._inbox.clear()
        waiting = [delivery for _, delivery in self._pending] + waiting + ([self._last] if self._last else [])
        self._answer(waiting)
        if self._session is not None:
            try:
                self._session.cancel()
            except Exception:
                log.exception("[clip %d] %s: cancelling failed", self.number, self.provider)
            self._session = None
        if self._leased:
            self._leased = False
            self._slot.release()
        log.info("[clip %d] ended: %s", self.number, self.ending.reason if self.ending else "unknown")
        self._released_by_worker(self)
        self.workers_ended.set_result(None)

    def _answer(self, waiting: list[Delivery]) -> None:
        """A failure is raised in one call, the first that waits; the others learn that their audio was not sent."""
        ending = self.ending or Ending("finished")
        open_calls = [delivery for delivery in waiting if not delivery.done]
        if ending.error is not None and open_calls:
            open_calls.pop(0).fail(ending.error)
        for delivery in open_calls:
            delivery.settle(SendResult(False, self._pushed, ending))


def stream_settings(
    base: StreamSettings | None,
    emotion: Emotion | None,
    face_parameters: dict[str, float] | None,
    *,
    one_call: bool,
) -> StreamSettings:
    """The settings of a clip's provider session, from what its first call says.

    Args:
        base: Frame rate, multipliers and so on; None for the defaults.
        emotion: Takes the place of the base's.
        face_parameters: Laid over the base's.
        one_call: Whether the whole clip comes in one call. Where more calls may follow, overrides become keys in time,
            so that a later call can change them.
    """
    settings = base or StreamSettings()
    if face_parameters:
        settings = replace(settings, face_parameters={**settings.face_parameters, **face_parameters})
    if isinstance(emotion, EmotionTrack):
        return replace(settings, emotion_track=emotion)
    if emotion is not None:
        settings = replace(settings, emotion=emotion)
    if not settings.emotion.overrides:
        return settings
    if settings.emotion.override_strength <= 1e-4:
        return replace(settings, emotion=replace(settings.emotion, overrides={}))
    if not one_call and settings.emotion_track is None:
        track = EmotionTrack(np.zeros(1, np.int64), emotion_vector(settings.emotion.overrides)[None])
        return replace(settings, emotion=replace(settings.emotion, overrides={}), emotion_track=track)
    return settings
