"""What the adapters share: utterances as 16-bit PCM in, face frames on an event loop out, with interruption.

Knows no framework.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ..emotions import EmotionSettings
from ..frames import Frame, StreamInfo
from ..runtime.consumers import AudioFormat, Chunk
from ..runtime.delivery import Ending
from ..runtime.runtime import Runtime
from ..streams import StreamSettings
from ..timing import SAMPLE_RATE

log = logging.getLogger("facewave.integrations")


@dataclass(frozen=True, slots=True, eq=False)
class FaceFrame:
    """One frame of a speaking face, with its place in the speech."""

    utterance: int
    """Counts utterances from 1; frames of an interrupted one are not handed out any more."""

    time_s: float
    """Seconds from the first sample of the utterance to this frame."""

    channels: tuple[str, ...]
    """Names of the weights, in order."""

    frame: Frame
    """The weights, nominally in 0..1, and the emotion."""


class FaceSpeech:
    """Animates a voice agent's speech, one utterance after the other, and hands frames out on an event loop.

    Used from the loop's thread; nothing here waits. The animation itself runs in the threads of a `Runtime`.
    """

    def __init__(
        self,
        on_frame: Callable[[FaceFrame], None],
        *,
        on_end: Callable[[int, Ending], None] | None = None,
        runtime: Runtime | None = None,
        provider: str = "",
        settings: StreamSettings | None = None,
        emotion: EmotionSettings | Mapping[str, float] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Set up.

        Args:
            on_frame: Called on the loop with every frame, in order within an utterance.
            on_end: Called on the loop once per utterance, after its last frame, with its number and how it ended.
            runtime: Shared by several agents, and not closed here; None makes one of its own, in burst mode, since
                agents have speech faster than it is spoken.
            provider: Who animates; blank for the default.
            settings: Frame rate, multipliers and so on.
            emotion: Emotion of the utterances that begin from now on; see also the attribute.
            loop: None for the running one.
        """
        self.emotion = emotion
        """Emotion of the next utterance; can be set between utterances, for example from what the agent says."""
        self._owned = runtime is None
        if runtime is None:
            runtime = Runtime()
            runtime.override_burst_mode("burst")
        self._runtime, self._provider, self._settings = runtime, provider, settings
        self._on_frame, self._on_end = on_frame, on_end
        self._loop = loop or asyncio.get_running_loop()
        self._numbers = count(1)
        self._current: _Utterance | None = None
        self._alive: dict[int, _Utterance] = {}

    def audio(self, pcm: bytes | memoryview, sample_rate: int, channels: int = 1) -> int:
        """Add 16-bit little-endian samples to the running utterance, or begin one; returns its number.

        Raises:
            AudioError: A rate or channel count that cannot be used.
            ProviderError: The provider does not exist or cannot be used.
        """
        if self._current is not None and self._current.format != (sample_rate, channels):
            self.end()  # A voice of another rate is another utterance.
        samples: NDArray[np.int16] = np.frombuffer(pcm, "<i2").astype(np.int16, copy=False)
        utterance = self._current or _Utterance(next(self._numbers), (sample_rate, channels), self._loop, self)
        self._runtime.animate_samples(
            utterance, samples, channels, sample_rate, emotion=None if self._current else self.emotion,
            provider=self._provider, settings=self._settings,
        )  # fmt: skip
        self._current = utterance
        self._alive[utterance.number] = utterance
        return utterance.number

    def end(self) -> None:
        """The utterance is complete; its remaining frames follow."""
        if self._current is not None:
            self._runtime.end_samples(self._current)
            self._current = None

    def interrupt(self) -> None:
        """The agent was interrupted: no frame of what it was saying is handed out any more, from this very call on."""
        alive, self._alive = self._alive, {}
        for utterance in alive.values():
            self._runtime.cancel(utterance)
        self.end()

    @property
    def busy(self) -> bool:
        """Whether frames may still come."""
        return bool(self._alive)

    def close(self) -> None:
        """Interrupt, and close the runtime if it is ours."""
        self.interrupt()
        if self._owned:
            self._runtime.close()

    def hand_out(self, utterance: _Utterance, frames: tuple[Frame, ...], channels: tuple[str, ...]) -> None:
        """On the loop: frames of an utterance that may have been interrupted meanwhile."""
        for frame in frames:
            if utterance.number not in self._alive:
                return
            self._on_frame(FaceFrame(utterance.number, frame.sample / SAMPLE_RATE, channels, frame))

    def ended(self, utterance: _Utterance, ending: Ending) -> None:
        """On the loop: nothing more comes of an utterance."""
        self._alive.pop(utterance.number, None)
        if ending.error is not None:
            log.error("utterance %d: %s", utterance.number, ending.error)
            if self._current is utterance:
                self._runtime.end_samples(utterance)
                self._current = None
        if self._on_end is not None:
            self._on_end(utterance.number, ending)


class _Utterance:
    """A consumer that carries frames from the runtime's threads to the loop."""

    def __init__(
        self, number: int, audio: tuple[int, int], loop: asyncio.AbstractEventLoop, speech: FaceSpeech
    ) -> None:
        self.number, self.format = number, audio
        self._loop, self._speech = loop, speech
        self._channels: tuple[str, ...] = ()

    def start(self, info: StreamInfo, audio: AudioFormat) -> None:
        self._channels = info.channels

    def take(self, chunk: Chunk) -> bool:
        if self._loop.is_closed():
            return False
        if chunk.frames:
            self._loop.call_soon_threadsafe(self._speech.hand_out, self, chunk.frames, self._channels)
        return True

    def end(self, ending: Ending) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._speech.ended, self, ending)
