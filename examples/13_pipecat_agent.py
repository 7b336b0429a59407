"""A pipecat pipeline whose speech gets a face: a recording stands for the text-to-speech service, so no key is needed.

pip install 'facewave[pipecat]'
python examples/13_pipecat_agent.py
"""

from __future__ import annotations

import asyncio
from importlib import resources

import numpy as np
from pipecat.frames.frames import EndFrame, Frame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from facewave.audio.files import read_audio
from facewave.integrations.pipecat import FaceAnimationFrame, FaceProcessor


class Screen(FrameProcessor):  # type: ignore[misc]
    """Stands where the transport would send audio and face to the listener."""

    frames = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Count the frames of the face."""
        await super().process_frame(frame, direction)
        if isinstance(frame, FaceAnimationFrame):
            self.frames += 1
        await self.push_frame(frame, direction)


async def main() -> None:
    """Speak once and end."""
    speech = read_audio(str(resources.files("facewave") / "data" / "demo.wav"))
    pcm = (speech.samples[:, 0] * 32767).astype("<i2")
    screen = Screen()
    task = PipelineTask(Pipeline([FaceProcessor(emotion={"joy": 0.5}), screen]))
    pieces = [TTSAudioRawFrame(piece.tobytes(), speech.sample_rate, 1) for piece in np.array_split(pcm, 100)]
    await task.queue_frames([TTSStartedFrame(), *pieces, TTSStoppedFrame(), EndFrame()])
    await PipelineRunner(handle_sigint=False).run(task)
    print(f"{screen.frames} frames of the face for {speech.duration_s:.1f} s of speech")


asyncio.run(main())
