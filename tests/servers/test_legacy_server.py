"""The one-way protocol: audio pushed to the server, animation pushed by it to a receiver of our own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from facewave.blendshapes import ARKIT, pascal
from facewave.server import legacy
from facewave.server.server import ServeOptions
from facewave.wire._proto import a2f_service_pb2_grpc as a2f_grpc
from facewave.wire._proto import animation_data_service_pb2_grpc as animation_grpc
from facewave.wire._proto.a2f_pb2 import AudioStream, AudioStreamHeader, AudioWithEmotion
from facewave.wire._proto.animation_data_pb2 import AnimationDataStream
from facewave.wire._proto.animation_id_pb2 import AnimationIds
from facewave.wire._proto.audio_pb2 import AudioHeader
from facewave.wire._proto.status_pb2 import Status
from tests.servers.loudness import BatchLoudnessProvider, LoudnessProvider
from tests.servers.serving import RunningServer, call, chunks, clip, config, serving, speech, wait_until

IDS = AnimationIds(request_id="clip-1", stream_id="avatar-1", target_object_id="AceModel")


class Receiver(animation_grpc.AnimationDataServiceServicer):
    def __init__(self, answer: Status | None = None) -> None:
        self.calls: list[list[AnimationDataStream]] = []
        self.answer = answer or Status(code=Status.SUCCESS, message="received")

    def PushAnimationDataStream(self, requests: Iterator[AnimationDataStream], context: Any) -> Status:  # noqa: N802
        self.calls.append([])
        self.calls[-1].extend(requests)
        return self.answer


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    animation_grpc.add_AnimationDataServiceServicer_to_server(receiver, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@contextmanager
def legacy_server(port: int, **changes: Any) -> Iterator[RunningServer]:
    deployment = {"endpoints.unidirectional.client.url": f"0.0.0.0:{port}"} | changes
    options = ServeOptions(legacy=True, http_address=None)
    with serving(BatchLoudnessProvider(), config({}, deployment), options) as server:
        yield server


def push(server: RunningServer, pcm: bytes, ids: AnimationIds = IDS, *, with_header: bool = True) -> Status:
    def requests() -> Iterator[AudioStream]:
        sound = AudioHeader(channel_count=1, samples_per_second=16_000, bits_per_sample=16)
        if with_header:
            yield AudioStream(audio_stream_header=AudioStreamHeader(animation_ids=ids, audio_header=sound))
        for piece in chunks(pcm, 32_000):
            yield AudioStream(audio_with_emotion=AudioWithEmotion(audio_buffer=piece))

    with grpc.insecure_channel(f"127.0.0.1:{server.server.ports['legacy']}") as channel:
        status: Status = a2f_grpc.A2FServiceStub(channel).PushAudioStream(requests(), timeout=30)
    return status


def check_received(messages: list[AnimationDataStream], pcm: bytes) -> None:
    header = messages[0].animation_data_stream_header
    assert header.animation_ids == IDS
    assert header.source_service_id == "A2F MS"
    assert list(header.skel_animation_header.blend_shapes) == [pascal(name) for name in ARKIT]
    frames = [message.animation_data for message in messages[1:-1]]
    echo = b"".join(frame.audio.audio_buffer for frame in frames)
    assert len(frames) == -(-len(pcm) // 2 * 30 // 16_000)
    assert echo[: len(pcm)] == pcm
    assert messages[-1].status.code == Status.SUCCESS
    assert messages[-1].WhichOneof("stream_part") == "status"


def test_pushed_audio_comes_out_as_pushed_animation() -> None:
    receiver = Receiver()
    pcm = speech(1.3)
    with receiving(receiver) as port, legacy_server(port) as server:
        status = push(server, pcm)
        assert (status.code, bool(status.message)) == (Status.SUCCESS, True)
        check_received(receiver.calls[0], pcm)
        # Both protocols give the same animation.
        answer = call(server.target, clip(pcm))
    values = [m.animation_data.skel_animation.blend_shape_weights[0].values for m in receiver.calls[0][1:-1]]
    np.testing.assert_array_equal(np.array(values, np.float32), answer.weights)


def test_receiver_may_come_up_late() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    receiver = Receiver()
    pcm = speech(1.0)
    with legacy_server(port) as server, ThreadPoolExecutor(1) as pool:
        pushed: Future[Status] = pool.submit(push, server, pcm)
        wait_until(lambda: server.streams_in_use == 1)
        time.sleep(0.5)
        with receiving(receiver, port):
            assert pushed.result(20).code == Status.SUCCESS
    check_received(receiver.calls[0], pcm)


def test_receiver_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "RECEIVER_WAIT_S", 0.3)
    with legacy_server(1) as server:
        with pytest.raises(grpc.RpcError) as caught:
            push(server, speech(0.5))
        wait_until(lambda: server.streams_in_use == 0, timeout=1)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "127.0.0.1:1" in str(caught.value.details())


def test_receivers_error_reaches_the_client() -> None:
    with (
        receiving(Receiver(Status(code=Status.ERROR, message="no such avatar"))) as port,
        legacy_server(port) as server,
    ):
        status = push(server, speech(0.5))
    assert status.code == Status.ERROR
    assert "no such avatar" in status.message


def test_receiver_that_dies_in_the_middle_ends_the_call() -> None:
    class Dying(Receiver):
        def PushAnimationDataStream(self, requests: Iterator[AnimationDataStream], context: Any) -> Status:  # noqa: N802
            next(requests)
            context.abort(grpc.StatusCode.INTERNAL, "out of avatars")
            raise AssertionError("abort raises")

    with receiving(Dying()) as port, legacy_server(port) as server:
        with pytest.raises(grpc.RpcError) as caught:
            push(server, speech(3.0))
        wait_until(lambda: server.streams_in_use == 0, timeout=1)
    assert "out of avatars" in str(caught.value.details())


def test_client_that_errs_in_the_middle_is_told_and_the_receiver_does_not_get_a_complete_clip(
    caplog: pytest.LogCaptureFixture,
) -> None:
    got: list[AnimationDataStream] = []
    pushed, over = threading.Event(), threading.Event()

    class Watching(Receiver):
        def PushAnimationDataStream(self, requests: Iterator[AnimationDataStream], context: Any) -> Status:  # noqa: N802
            for message in requests:
                got.append(message)
                pushed.set()
            return self.answer

    def erring(header: AudioStream, audio: AudioStream) -> Iterator[AudioStream]:
        yield header
        yield audio
        assert pushed.wait(10)
        time.sleep(0.2)  # So that the server has sent all there is and waits for more.
        yield header
        over.wait(10)

    sound = AudioHeader(channel_count=1, samples_per_second=16000, bits_per_sample=16)
    header = AudioStream(audio_stream_header=AudioStreamHeader(animation_ids=IDS, audio_header=sound))
    audio = AudioStream(audio_with_emotion=AudioWithEmotion(audio_buffer=speech(0.5)))
    with receiving(Watching()) as port, legacy_server(port) as server:
        target = f"127.0.0.1:{server.server.ports['legacy']}"
        with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as caught:
            a2f_grpc.A2FServiceStub(channel).PushAudioStream(erring(header, audio))
        over.set()
        wait_until(lambda: server.streams_in_use == 0, timeout=1)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "expected audio, found audio_stream_header" in str(caught.value.details())
    assert got
    assert not any(message.HasField("status") for message in got)
    assert not [record for record in caplog.records if record.name == "grpc._channel"]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (AnimationIds(request_id="clip"), "stream_id is empty"),
        (AnimationIds(request_id="x" * 51, stream_id="s"), "request_id: found 51 characters, expected at most 50"),
        (AnimationIds(stream_id="s" * 51), "stream_id: found 51"),
        (AnimationIds(stream_id="s", target_object_id="t" * 51), "target_object_id: found 51"),
    ],
)
def test_ids_that_cannot_be_used_are_refused(ids: AnimationIds, words: str) -> None:
    receiver = Receiver()
    with receiving(receiver) as port, legacy_server(port) as server, pytest.raises(grpc.RpcError) as caught:
        push(server, speech(0.2), ids)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in str(caught.value.details())
    assert not receiver.calls


def test_audio_without_a_header_is_refused() -> None:
    with receiving(Receiver()) as port, legacy_server(port) as server, pytest.raises(grpc.RpcError) as caught:
        push(server, speech(0.2), with_header=False)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_several_clips_at_once_keep_their_ids() -> None:
    receiver = Receiver()
    with receiving(receiver) as port, legacy_server(port) as server:
        threads = [
            threading.Thread(target=push, args=(server, speech(0.5, seed=i), AnimationIds(stream_id=f"avatar-{i}")))
            for i in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = {}
    for messages in receiver.calls:
        ids = messages[0].animation_data_stream_header.animation_ids
        found[ids.stream_id] = b"".join(message.animation_data.audio.audio_buffer for message in messages[1:])
    assert found == {f"avatar-{i}": speech(0.5, seed=i) for i in range(5)}


def test_one_way_configuration_replaces_the_bidirectional_service() -> None:
    one_way = config({}, {"endpoints.use_bidirectional": False})
    with serving(LoudnessProvider(), one_way) as server:
        assert set(server.server.ports) == {"legacy"}
        answer = call(f"127.0.0.1:{server.server.ports['legacy']}", clip(speech(0.2)))
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED
