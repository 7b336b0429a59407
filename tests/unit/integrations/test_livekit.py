"""The audio output with livekit's own frames and base class."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("livekit.agents.voice.io", reason="needs the livekit extra", exc_type=ImportError)

from livekit import rtc
from livekit.agents.voice.avatar import QueueAudioOutput

from facewave.integrations.livekit import FaceAudioOutput
from facewave.integrations.speech import FaceFrame

pytestmark = pytest.mark.filterwarnings("default")  # livekit's own warnings are not ours to fix.


def spoken(seconds: float, rate: int = 24_000) -> list[rtc.AudioFrame]:
    samples = (np.sin(np.arange(round(seconds * rate)) / 20) * 8000).astype("<i2")
    pieces = np.array_split(samples, round(seconds * 50))
    return [rtc.AudioFrame(piece.tobytes(), rate, 1, len(piece)) for piece in pieces]


def test_an_utterance_gives_its_frames_and_is_played_out() -> None:
    async def program() -> list[FaceFrame]:
        frames: list[FaceFrame] = []
        ended = asyncio.Event()
        output = FaceAudioOutput(frames.append, on_face_end=lambda number, ending: ended.set())
        for frame in spoken(0.5):
            await output.capture_frame(frame)
        output.flush()
        played = await asyncio.wait_for(output.wait_for_playout(), 60)
        assert played.playback_position == pytest.approx(0.5, abs=0.001)
        assert not played.interrupted
        await asyncio.wait_for(ended.wait(), 60)
        await output.aclose()
        return frames

    frames = asyncio.run(program())
    assert [face.frame.index for face in frames] == list(range(30))


def test_an_interruption_stops_face_and_playing() -> None:
    async def program() -> None:
        frames: list[FaceFrame] = []
        output = FaceAudioOutput(frames.append)
        for frame in spoken(10.0):
            await output.capture_frame(frame)
        while not frames:
            await asyncio.sleep(0.001)
        output.flush()
        output.clear_buffer()
        seen = len(frames)
        played = await asyncio.wait_for(output.wait_for_playout(), 60)
        assert played.interrupted
        await asyncio.sleep(0.1)
        assert len(frames) == seen
        await output.aclose()

    asyncio.run(program())


def test_audio_goes_on_to_the_next_output_unchanged() -> None:
    async def program() -> None:
        sink = QueueAudioOutput(sample_rate=24_000)
        output = FaceAudioOutput(lambda face: None, next_in_chain=sink)
        assert output.sample_rate == 24_000
        sent = spoken(0.2)
        for frame in sent:
            await output.capture_frame(frame)
        output.flush()
        got = [await asyncio.wait_for(anext(sink.__aiter__()), 60) for _ in range(len(sent) + 1)]
        assert b"".join(bytes(f.data) for f in got[:-1]) == b"".join(bytes(f.data) for f in sent)
        sink.notify_playback_finished(0.2, False)
        assert (await asyncio.wait_for(output.wait_for_playout(), 60)).playback_position == pytest.approx(0.2)
        await output.aclose()

    asyncio.run(program())
