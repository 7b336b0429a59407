"""The bundled model through the server: the same animation as without it, for any number of clients at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import grpc
import numpy as np
import pytest
import soundfile

from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack
from facewave.providers import open_provider
from facewave.streams import StreamSettings
from facewave.wire import animation
from facewave.wire._proto.a2f_pb2 import EmotionPostProcessingParameters
from facewave.wire._proto.controller_pb2 import AudioStream
from facewave.wire._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode
from facewave.wire.a2f import samples_of
from tests.servers.serving import Answer, RunningServer, audio, call, chunks, config, end, header, serving


@pytest.fixture(scope="module")
def pcm() -> bytes:
    from importlib.resources import files

    samples, rate = soundfile.read(str(files("facewave") / "data/demo.wav"), dtype="int16")
    assert rate == 16_000
    return bytes(np.asarray(samples[: 3 * rate], "<i2").tobytes())


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    patient = {"input_sanitization.low_fps_max_duration_second": 600}
    with serving(open_provider("Embedded"), config(patient)) as running:
        yield running


JOY = EmotionWithTimeCode(time_code=0.0, emotion={"joy": 1.0})
STRONG = EmotionPostProcessingParameters(emotion_strength=1.0, preferred_emotion_strength=1.0)


def requests(pcm: bytes, size: int = 32_000) -> Iterator[AudioStream]:
    yield header(emotion_post_processing_params=STRONG)
    for index, piece in enumerate(chunks(pcm, size)):
        yield audio(piece, [] if index else [JOY])
    yield end()


@pytest.fixture(scope="module")
def alone(pcm: bytes) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], ...]:
    emotion = EmotionSettings(strength=1.0, override_strength=1.0, transition_s=0.5)
    track = EmotionTrack.from_keys([(0.0, {"joy": 1.0})])
    session = open_provider("Embedded").open(StreamSettings(frame_rate=Fraction(30), emotion=emotion))
    frames = [*session.push(samples_of(pcm), track), *session.finish()]
    return np.stack([f.weights for f in frames]), np.stack([f.emotion for f in frames if f.emotion is not None])


def test_served_animation_is_the_animation(
    server: RunningServer, pcm: bytes, alone: tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], ...]
) -> None:
    answer = call(server.target, requests(pcm))
    assert answer.code is grpc.StatusCode.OK
    weights, emotions = alone
    np.testing.assert_allclose(answer.weights, weights[:, :52], atol=1e-4)
    for frame, expected in zip(answer.frames, emotions, strict=True):
        found = animation.emotions_in(frame)
        assert found is not None
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert emotions[-1][EMOTIONS.index("joy")] > 0.5


def test_clients_in_batches_get_the_same(
    server: RunningServer, pcm: bytes, alone: tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], ...]
) -> None:
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda size=size: answers.append(call(server.target, requests(pcm, size))))
        for size in (1120, 3200, 5000, 32_000, 96_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.code for answer in answers] == [grpc.StatusCode.OK] * 5
    for answer in answers:
        np.testing.assert_allclose(answer.weights, alone[0][:, :52], atol=1e-4)
