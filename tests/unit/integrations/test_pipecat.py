"""The processor in a real pipecat pipeline."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("pipecat.frames.frames", reason="needs the pipecat extra", exc_type=ImportError)

from pipecat.frames.frames import InterruptionFrame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.tests.utils import SleepFrame, run_test

from facewave.integrations.pipecat import FaceAnimationFrame, FaceProcessor

pytestmark = pytest.mark.filterwarnings("default")  # pipecat's own warnings are not ours to fix.


def spoken(seconds: float, rate: int = 24_000) -> list[TTSAudioRawFrame]:
    samples = (np.sin(np.arange(round(seconds * rate)) / 20) * 8000).astype("<i2")
    return [TTSAudioRawFrame(piece.tobytes(), rate, 1) for piece in np.array_split(samples, round(seconds * 10))]


def faces(frames: object) -> list[FaceAnimationFrame]:
    return [frame for frame in frames if isinstance(frame, FaceAnimationFrame)]  # type: ignore[attr-defined]


def test_speech_gives_face_frames_and_all_other_frames_pass() -> None:
    sent = [TTSStartedFrame(), *spoken(1.0), TTSStoppedFrame()]
    down, up = asyncio.run(run_test(FaceProcessor(), frames_to_send=sent, start_timeout=60))
    got = faces(down)
    assert [frame.face.frame.index for frame in got] == list(range(60))
    assert got[-1].face.time_s == pytest.approx(59 / 60, abs=1e-4)
    assert got[0].face.channels[0]
    others = [type(frame) for frame in down if not isinstance(frame, FaceAnimationFrame)]
    assert [kind for kind in others if kind.__name__.startswith("TTS")] == [type(frame) for frame in sent]
    assert not up


def test_two_utterances_are_numbered() -> None:
    sent = [*spoken(0.5), TTSStoppedFrame(), *spoken(0.5), TTSStoppedFrame()]
    down, _ = asyncio.run(run_test(FaceProcessor(), frames_to_send=sent, start_timeout=60))
    assert [sum(frame.face.utterance == n for frame in faces(down)) for n in (1, 2)] == [30, 30]


def test_an_interruption_drops_the_face_of_what_was_said() -> None:
    sent = [*spoken(60.0), SleepFrame(sleep=1.0), InterruptionFrame(), SleepFrame(sleep=0.2), *spoken(0.5)]
    down, _ = asyncio.run(run_test(FaceProcessor(), frames_to_send=sent, start_timeout=60))
    at = next(i for i, frame in enumerate(down) if isinstance(frame, InterruptionFrame))
    before = {frame.face.utterance for frame in faces(down[:at])}
    after = {frame.face.utterance for frame in faces(down[at:])}
    assert not before & after
    assert after, "what is said later has a face again"


def test_a_provider_that_cannot_be_used_is_an_error_frame() -> None:
    _, up = asyncio.run(run_test(FaceProcessor(provider="nobody"), frames_to_send=spoken(0.1), start_timeout=60))
    assert any("expected one of" in str(getattr(frame, "error", "")) for frame in up)
