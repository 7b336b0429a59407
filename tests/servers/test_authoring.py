"""The authoring service: clips by hash, poses by time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from facewave.blendshapes import ARKIT, INDEX, pascal
from facewave.emotions import EMOTIONS
from facewave.server.authoring import ClipStore
from facewave.server.limits import Code, RefusalError
from facewave.wire._proto import a2f_authoring_service_pb2_grpc as authoring_grpc
from facewave.wire._proto.a2f_authoring_pb2 import AudioClip, FacePoseRequest
from facewave.wire._proto.a2f_pb2 import BlendShapeParameters, FaceParameters
from facewave.wire._proto.audio_pb2 import AudioHeader
from tests.servers.loudness import BatchLoudnessProvider
from tests.servers.serving import call, clip, serving, speech


@pytest.fixture(scope="module")
def provider() -> BatchLoudnessProvider:
    return BatchLoudnessProvider()


@pytest.fixture(scope="module")
def target(provider: BatchLoudnessProvider) -> Iterator[str]:
    with serving(provider) as server:
        yield server.target


@pytest.fixture(scope="module")
def stub(target: str) -> Iterator[authoring_grpc.A2FAuthoringServiceStub]:
    options = [("grpc.max_send_message_length", 64 * 2**20)]
    with grpc.insecure_channel(target, options=options) as channel:
        yield authoring_grpc.A2FAuthoringServiceStub(channel)


def upload(stub: authoring_grpc.A2FAuthoringServiceStub, pcm: bytes, rate: int = 16_000) -> str:
    header = AudioHeader(channel_count=1, samples_per_second=rate, bits_per_sample=16)
    handle = stub.UploadAudioClip(AudioClip(audio_header=header, content=pcm))
    assert list(handle.blendshape_names) == [pascal(name) for name in ARKIT]
    clip_id: str = handle.audio_clip_id
    return clip_id


def test_same_clip_has_the_same_hash(stub: authoring_grpc.A2FAuthoringServiceStub) -> None:
    pcm = speech(1.0)
    first = upload(stub, pcm)
    assert first == hashlib.sha256(pcm).hexdigest()
    assert upload(stub, pcm) == first
    assert upload(stub, pcm, 44_100) != first
    assert upload(stub, speech(1.0, seed=2)) != first


def test_pose_is_what_a_stream_gives_at_that_time(target: str, stub: authoring_grpc.A2FAuthoringServiceStub) -> None:
    pcm = speech(3.0)
    name = upload(stub, pcm)
    for seconds in (0.0, 0.5, 1.0, 2.9):
        answer = stub.GetAvatarFacePose(
            FacePoseRequest(audio_hash=name, time_stamp=seconds, preferred_emotions={"joy": 1.0, "unknown": 1.0})
        )
        assert answer.time_code == np.float32(seconds)
        assert answer.emotions == pytest.approx({emotion: 0.3 * (emotion == "joy") for emotion in EMOTIONS})
        heard = np.frombuffer(pcm, "<i2")[round(seconds * 16_000) :][: 16_000 // 60] / 32768
        assert answer.blendshapes[INDEX["jawOpen"]] == pytest.approx(np.sqrt(np.mean(heard**2)), rel=0.01)
        assert len(answer.blendshapes) == 52


def test_parameters_vary_from_pose_to_pose(stub: authoring_grpc.A2FAuthoringServiceStub) -> None:
    name = upload(stub, speech(1.0))
    plain = stub.GetAvatarFacePose(FacePoseRequest(audio_hash=name, time_stamp=0.5))
    shapes = BlendShapeParameters(bs_weight_multipliers={"JawOpen": 2.0}, bs_weight_offsets={"MouthClose": 0.5})
    changed = stub.GetAvatarFacePose(
        FacePoseRequest(audio_hash=name, time_stamp=0.5, blendshape_params=shapes, face_params=FaceParameters())
    )
    jaw, close = INDEX["jawOpen"], INDEX["mouthClose"]
    assert changed.blendshapes[jaw] == pytest.approx(2 * plain.blendshapes[jaw], rel=1e-5)
    assert changed.blendshapes[close] == 0.5


def test_eight_threads_at_once(stub: authoring_grpc.A2FAuthoringServiceStub, provider: BatchLoudnessProvider) -> None:
    name = upload(stub, speech(2.0))
    times = [index / 30 for index in range(60)]

    def ask(seconds: float) -> list[float]:
        return list(stub.GetAvatarFacePose(FacePoseRequest(audio_hash=name, time_stamp=seconds)).blendshapes)

    in_turn = [ask(seconds) for seconds in times]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, times)) == in_turn
    assert provider.open_sessions == 0


def test_300_s_upload(stub: authoring_grpc.A2FAuthoringServiceStub) -> None:
    name = upload(stub, speech(300.0))
    assert stub.GetAvatarFacePose(FacePoseRequest(audio_hash=name, time_stamp=299.9)).blendshapes


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (FacePoseRequest(audio_hash="0" * 64), "NOT_FOUND", "upload it again"),
        (FacePoseRequest(audio_hash="../../etc/passwd"), "NOT_FOUND", "not uploaded"),
    ],
)
def test_unknown_clip(
    stub: authoring_grpc.A2FAuthoringServiceStub, request_: FacePoseRequest, code: str, words: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetAvatarFacePose(request_)
    assert caught.value.code().name == code
    assert words in str(caught.value.details())


@pytest.mark.parametrize("seconds", [-0.1, 1.1, float("nan")])
def test_time_outside_the_clip(stub: authoring_grpc.A2FAuthoringServiceStub, seconds: float) -> None:
    name = upload(stub, speech(1.0))
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetAvatarFacePose(FacePoseRequest(audio_hash=name, time_stamp=seconds))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "time_stamp" in str(caught.value.details())


@pytest.mark.parametrize(
    ("header", "pcm", "words"),
    [
        (AudioHeader(channel_count=2, samples_per_second=16_000, bits_per_sample=16), b"ab", "channel count"),
        (AudioHeader(channel_count=1, samples_per_second=8_000, bits_per_sample=16), b"ab", "8000 Hz"),
        (AudioHeader(channel_count=1, samples_per_second=16_000, bits_per_sample=16), b"abc", "3 bytes"),
        (AudioHeader(channel_count=1, samples_per_second=16_000, bits_per_sample=16), b"", "no audio"),
        (AudioHeader(channel_count=1, samples_per_second=16_000, bits_per_sample=16), bytes(9_632_000), "301.0 s"),
    ],
)
def test_uploads_that_cannot_be_used(
    stub: authoring_grpc.A2FAuthoringServiceStub, header: AudioHeader, pcm: bytes, words: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.UploadAudioClip(AudioClip(audio_header=header, content=pcm))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in str(caught.value.details())


def test_store_is_shared_between_processes_and_bounded(tmp_path: Path) -> None:
    one, two = ClipStore(tmp_path, max_bytes=300_000), ClipStore(tmp_path, max_bytes=300_000)
    first = one.add(speech(1.0, seed=1), 16_000)
    assert len(two.get(first)) == 16_000
    others = [one.add(speech(1.0, seed=seed), 16_000) for seed in range(2, 12)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 300_000
    assert len(two.get(others[-1])) == 16_000
    with pytest.raises(RefusalError) as caught:
        ClipStore(tmp_path).get(first)
    assert caught.value.code is Code.NOT_FOUND


def test_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ClipStore(tmp_path)
    monkeypatch.setattr("os.replace", _no_space)
    with pytest.raises(RefusalError, match="No space left") as caught:
        store.add(speech(0.5), 16_000)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert list(tmp_path.iterdir()) == []


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_streams_run_beside_poses(target: str, stub: authoring_grpc.A2FAuthoringServiceStub) -> None:
    name = upload(stub, speech(1.0))
    pcm = speech(2.0)
    alone = call(target, clip(pcm))
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            stub.GetAvatarFacePose(FacePoseRequest(audio_hash=name, time_stamp=0.5))

    thread = threading.Thread(target=ask)
    thread.start()
    beside = call(target, clip(pcm))
    stop.set()
    thread.join()
    np.testing.assert_array_equal(beside.weights, alone.weights)
