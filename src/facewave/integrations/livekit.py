"""livekit-agents: an audio output that animates what the agent says on its way to the listeners.

    face = FaceAudioOutput(on_face=send, next_in_chain=session.output.audio)
    session.output.audio = face

Audio passes at once. The frames carry their time in the utterance; `send` puts them where the face is drawn, for
example into a data packet of the room. When the agent is interrupted, no further frame of what it said is handed out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

try:
    from livekit import rtc
    from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities
except ImportError as error:
    raise ImportError(f"the livekit adapter needs livekit-agents ({error}): pip install 'facewave[livekit]'") from error

from ..emotions import EmotionSettings
from ..runtime.delivery import Ending
from ..runtime.runtime import Runtime
from ..streams import StreamSettings
from .speech import FaceFrame, FaceSpeech


class FaceAudioOutput(AudioOutput):  # type: ignore[misc]
    """Stands in front of an agent's audio output; without one, it only keeps the time of the playing."""

    def __init__(
        self,
        on_face: Callable[[FaceFrame], None],
        *,
        on_face_end: Callable[[int, Ending], None] | None = None,
        next_in_chain: AudioOutput | None = None,
        sample_rate: int | None = None,
        runtime: Runtime | None = None,
        provider: str = "",
        settings: StreamSettings | None = None,
        emotion: EmotionSettings | Mapping[str, float] | None = None,
    ) -> None:
        """Set up, inside the event loop; the arguments not named here are those of `FaceSpeech`.

        Args:
            on_face: Called with every frame.
            on_face_end: Called once per utterance with its number and how it ended.
            next_in_chain: Where the audio goes on to.
            sample_rate: Rate the agent shall produce; None for the next one's.
        """
        super().__init__(
            label="facewave",
            capabilities=AudioOutputCapabilities(pause=next_in_chain is not None),
            next_in_chain=next_in_chain,
            sample_rate=sample_rate or (next_in_chain.sample_rate if next_in_chain is not None else None),
        )
        self.speech = FaceSpeech(
            on_face, on_end=on_face_end, runtime=runtime, provider=provider, settings=settings, emotion=emotion
        )
        """The animation; its `emotion` can be set between utterances."""
        self._alone = next_in_chain is None
        self._pushed_s = 0.0
        self._began = 0.0
        self._finish: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Animate a piece of speech and pass it on."""
        await super().capture_frame(frame)
        self.speech.audio(frame.data.cast("b").tobytes(), frame.sample_rate, frame.num_channels)
        if self.next_in_chain is not None:
            await self.next_in_chain.capture_frame(frame)
            return
        if self._pushed_s == 0.0:
            self._began = time.monotonic()
            self.on_playback_started(created_at=time.time())
        self._pushed_s += frame.duration

    def flush(self) -> None:
        """The utterance is complete."""
        super().flush()
        self.speech.end()
        if self.next_in_chain is not None:
            self.next_in_chain.flush()
        elif self._pushed_s:
            left = max(0.0, self._began + self._pushed_s - time.monotonic())
            self._finish = asyncio.get_running_loop().call_later(left, self._played, False)

    def clear_buffer(self) -> None:
        """The agent was interrupted."""
        self.speech.interrupt()
        if self.next_in_chain is not None:
            self.next_in_chain.clear_buffer()
        elif self._pushed_s:
            self._played(True)

    async def aclose(self) -> None:
        """Stop animating; waits for the threads without holding the loop."""
        self.speech.interrupt()
        await asyncio.get_running_loop().run_in_executor(None, self.speech.close)

    def _played(self, interrupted: bool) -> None:
        if self._finish is not None:
            self._finish.cancel()
            self._finish = None
        position = min(self._pushed_s, time.monotonic() - self._began) if interrupted else self._pushed_s
        self._pushed_s = 0.0
        self.on_playback_finished(playback_position=position, interrupted=interrupted)
