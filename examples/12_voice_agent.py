"""The face of a voice agent on asyncio, with two utterances and an interruption; needs no framework and no cloud key.

    python examples/12_voice_agent.py

`facewave.integrations.pipecat.FaceProcessor` and `facewave.integrations.livekit.FaceAudioOutput` do the same inside
those frameworks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from importlib import resources

import numpy as np

from facewave.audio.files import read_audio
from facewave.integrations.speech import FaceFrame, FaceSpeech


async def main() -> None:
    """Let the agent speak twice; the listener interrupts the first time."""
    speech = read_audio(str(resources.files("facewave") / "data" / "demo.wav"))
    pcm = (speech.samples[:, 0] * 32767).astype("<i2")
    frames: list[FaceFrame] = []
    done = asyncio.Event()

    def ended(utterance: int, ending: object) -> None:
        print(f"utterance {utterance}: {getattr(ending, 'reason', ending)}")
        if utterance == 2:
            done.set()

    face = FaceSpeech(frames.append, on_end=ended, emotion={"joy": 0.5})
    for piece in np.array_split(pcm, 50):
        face.audio(piece.tobytes(), speech.sample_rate)
        await asyncio.sleep(0)
    while not frames:
        await asyncio.sleep(0.01)
    face.interrupt()

    face.emotion = {"sadness": 0.4}
    face.audio(pcm.tobytes(), speech.sample_rate)
    face.end()
    await done.wait()
    counts = Counter(frame.utterance for frame in frames)
    print(f"{counts[2]} frames of the second utterance, the last at {frames[-1].time_s:.2f} s")
    await asyncio.to_thread(face.close)


asyncio.run(main())
