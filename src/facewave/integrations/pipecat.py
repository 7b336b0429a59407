"""pipecat: a processor that stands behind the text-to-speech service and adds face frames to the pipeline.

    pipeline = Pipeline([..., tts, FaceProcessor(), transport.output()])

Audio frames pass at once. `FaceAnimationFrame`s follow them with their time in the utterance; a transport, or the
program's own processor, sends them to whatever draws the face. An interruption drops what has not been handed out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

try:
    from pipecat.frames.frames import (
        CancelFrame,
        DataFrame,
        EndFrame,
        Frame,
        InterruptionFrame,
        StartFrame,
        TTSAudioRawFrame,
        TTSStoppedFrame,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
except ImportError as error:
    raise ImportError(f"the pipecat adapter needs pipecat ({error}): pip install 'facewave[pipecat]'") from error

from ..emotions import EmotionSettings
from ..errors import FacewaveError
from ..runtime.delivery import Ending
from ..runtime.runtime import Runtime
from ..streams import StreamSettings
from .speech import FaceFrame, FaceSpeech


@dataclass
class FaceAnimationFrame(DataFrame):  # type: ignore[misc]
    """One frame of the speaking face, on its way downstream."""

    face: FaceFrame
    """Utterance, time and weights."""


class FaceProcessor(FrameProcessor):  # type: ignore[misc]
    """Animates the speech that passes through it."""

    def __init__(
        self,
        *,
        runtime: Runtime | None = None,
        provider: str = "",
        settings: StreamSettings | None = None,
        emotion: EmotionSettings | Mapping[str, float] | None = None,
    ) -> None:
        """Set up; the arguments are those of `FaceSpeech`."""
        super().__init__()
        self._options = {"runtime": runtime, "provider": provider, "settings": settings, "emotion": emotion}
        self._speech: FaceSpeech | None = None
        self._waiting: asyncio.Queue[FaceFrame | Ending] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def speech(self) -> FaceSpeech | None:
        """The animation, once the pipeline runs; its `emotion` can be set between utterances."""
        return self._speech

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass every frame on; animate speech, end and interrupt with it."""
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._begin()
        elif isinstance(frame, InterruptionFrame):
            self._interrupt()
        elif isinstance(frame, TTSAudioRawFrame) and direction == FrameDirection.DOWNSTREAM:
            await self._hear(frame)
        elif isinstance(frame, TTSStoppedFrame) and self._speech is not None:
            self._speech.end()
        elif isinstance(frame, EndFrame) and self._speech is not None:
            # The end of the pipeline overtakes nothing: what was said is animated first.
            self._speech.end()
            await self._quiet.wait()
            await self._waiting.join()
        elif isinstance(frame, CancelFrame):
            self._interrupt()
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """Stop with the pipeline."""
        await super().cleanup()
        if self._sender is not None:
            await self.cancel_task(self._sender)
            self._sender = None
        if self._speech is not None:
            speech, self._speech = self._speech, None
            # Closing waits for threads, which is not for the loop to do.
            await asyncio.get_running_loop().run_in_executor(None, speech.close)

    def _begin(self) -> None:
        if self._speech is None:
            self._speech = FaceSpeech(self._waiting.put_nowait, on_end=self._ended, **self._options)  # type: ignore[arg-type]
            self._sender = self.create_task(self._send())

    async def _hear(self, frame: TTSAudioRawFrame) -> None:
        if self._speech is None:
            return
        try:
            self._speech.audio(frame.audio, frame.sample_rate, frame.num_channels)
        except FacewaveError as error:
            await self.push_error(error_msg=f"face: {error}", exception=error)
        else:
            self._quiet.clear()

    def _ended(self, utterance: int, ending: Ending) -> None:
        if self._speech is None or not self._speech.busy:
            self._quiet.set()
        if ending.error is not None:
            self._waiting.put_nowait(ending)

    def _interrupt(self) -> None:
        if self._speech is not None:
            self._speech.interrupt()
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._waiting.task_done()
        self._quiet.set()

    async def _send(self) -> None:
        while True:
            item = await self._waiting.get()
            try:
                if isinstance(item, Ending):
                    await self.push_error(error_msg=f"face: {item.error}", exception=item.error)
                else:
                    await self.push_frame(FaceAnimationFrame(face=item))
            finally:
                self._waiting.task_done()
