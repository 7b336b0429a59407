"""Faults of every kind, each beside a bystander: a client whose clip must come out whole and unchanged meanwhile."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import grpc
import numpy as np
import pytest

from facewave.emotions import EmotionTrack
from facewave.errors import ProviderUnavailableError
from facewave.frames import Frame
from facewave.server.server import ServeOptions
from facewave.streams import StreamSettings
from facewave.wire._proto import a2f_controller_service_pb2_grpc as controller_grpc
from facewave.wire._proto.a2f_pb2 import FaceParameters
from facewave.wire._proto.controller_pb2 import AudioStream
from tests.servers.loudness import BatchLoudnessProvider, FedLoudnessSession, LoudnessProvider, LoudnessSession
from tests.servers.serving import (
    Answer,
    RunningServer,
    audio,
    call,
    chunks,
    clip,
    config,
    end,
    header,
    serving,
    speech,
    wait_until,
)

METHOD = "/nvidia_ace.services.a2f_controller.v1.A2FControllerService/ProcessAudioStream"
BYSTANDER = speech(2.0, seed=99)
PATIENT = {"input_sanitization.low_fps_max_duration_second": 600}
"""The bystander pauses for as long as a fault takes, on a busy machine longer than slow clients are borne with."""


@contextmanager
def bystander(server: RunningServer) -> Iterator[threading.Event]:
    """A client that is in the middle of its clip while the block runs; afterwards its answer is checked."""
    begun, release = threading.Event(), threading.Event()
    answers: list[Answer] = []
    pieces = list(chunks(BYSTANDER, 3200))

    def requests() -> Iterator[AudioStream]:
        yield header()
        for piece in pieces[:8]:
            yield audio(piece)
        begun.set()
        release.wait(60)
        for piece in pieces[8:]:
            yield audio(piece)
        yield end()

    thread = threading.Thread(target=lambda: answers.append(call(server.target, requests(), timeout=120)))
    thread.start()
    assert begun.wait(30)
    try:
        yield begun
    finally:
        release.set()
        thread.join()
    (answer,) = answers
    assert (answer.code, answer.details) == (grpc.StatusCode.OK, "")
    assert answer.echo == BYSTANDER
    assert len(answer.frames) == 60
    loud = np.frombuffer(BYSTANDER, "<i2").astype(np.float32) / 32768
    starts = [index * 16_000 // 30 for index in range(61)]
    expected = [np.sqrt(np.mean(loud[a:b] ** 2)) for a, b in pairwise(starts)]
    np.testing.assert_allclose(answer.column("JawOpen"), expected, rtol=1e-4)


@pytest.fixture
def provider() -> BatchLoudnessProvider:
    return BatchLoudnessProvider()


@pytest.fixture
def server(provider: BatchLoudnessProvider) -> Iterator[RunningServer]:
    with serving(provider, config(PATIENT, {"common.stream_number": 8})) as running:
        yield running


def _unfinished(seconds: float = 1.0) -> Iterator[AudioStream]:
    yield header()
    yield audio(speech(seconds))
    time.sleep(30)


def test_client_process_killed_in_the_middle(server: RunningServer, provider: BatchLoudnessProvider) -> None:
    script = (
        "import sys, time, grpc\n"
        "messages = [bytes.fromhex(text) for text in sys.argv[3:]]\n"
        "def requests():\n    yield from messages\n    time.sleep(60)\n"
        "for answer in grpc.insecure_channel(sys.argv[1]).stream_stream(sys.argv[2])(requests()):\n"
        "    print('answer', flush=True)\n"
    )
    messages = [message.SerializeToString().hex() for message in (header(), audio(bytes(20_000)))]
    with bystander(server):
        process = subprocess.Popen(
            [sys.executable, "-c", script, server.target, METHOD, *messages], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"answer\n"
        assert server.streams_in_use == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        wait_until(lambda: server.streams_in_use == 1, timeout=1)
        wait_until(lambda: provider.open_sessions == 1, timeout=1)


@contextmanager
def cut_cable(server: RunningServer) -> Iterator[tuple[str, threading.Event]]:
    """A relay in front of the server; once the event is set it swallows everything and tells nobody."""
    listener = socket.create_server(("127.0.0.1", 0))
    cut = threading.Event()
    open_sockets: list[socket.socket] = []

    def relay(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not cut.is_set():
                    target.sendall(data)
        except OSError:
            return

    def accept() -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        upstream = socket.create_connection(("127.0.0.1", server.server.ports["grpc"]))
        open_sockets.extend((client, upstream))
        threads = [threading.Thread(target=relay, args=pair) for pair in ((client, upstream), (upstream, client))]
        for thread in threads:
            thread.start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", cut
    finally:
        listener.close()
        for one in open_sockets:
            one.close()
        thread.join()


def test_half_open_connection(provider: BatchLoudnessProvider) -> None:
    limits = {**PATIENT, "input_sanitization.max_wait_time_idle_ms": 3000}
    with serving(provider, config(limits)) as server, cut_cable(server) as (target, cut):
        channel = grpc.insecure_channel(target)
        responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(_unfinished())
        next(iter(responses))
        cut.set()
        with bystander(server):
            pass
        wait_until(lambda: server.streams_in_use == 0)
        wait_until(lambda: provider.open_sessions == 0)
        channel.close()


def test_client_that_never_reads_holds_up_nobody(server: RunningServer, provider: BatchLoudnessProvider) -> None:
    pcm = speech(100.0)
    with bystander(server):
        channel = grpc.insecure_channel(server.target)
        written = threading.Event()

        def requests() -> Iterator[AudioStream]:
            yield from clip(pcm)
            written.set()

        responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(requests())
        assert written.wait(30)
        assert call(server.target, clip(speech(1.0))).code is grpc.StatusCode.OK
        # What it does not read is not computed either: a few hundred frames, not three thousand.
        deepest = server.read(lambda: max(s.clip.frames for s in server.server.host._watched))
        assert deepest < 1500
        responses.cancel()
        channel.close()
        wait_until(lambda: server.streams_in_use == 1, timeout=2)


def test_client_that_never_reads_is_cut_in_the_end(provider: BatchLoudnessProvider) -> None:
    limits = {"input_sanitization.max_processing_duration_second": 2}
    with serving(provider, config(limits)) as server:
        channel = grpc.insecure_channel(server.target)
        responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(clip(speech(100.0)))
        wait_until(lambda: server.streams_in_use == 1)
        # Its place and its session are free although it still reads nothing.
        wait_until(lambda: server.streams_in_use == 0 and provider.open_sessions == 0)
        with pytest.raises(grpc.RpcError) as caught:
            list(responses)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        channel.close()


@pytest.mark.parametrize(
    "junk", [b"\x00" * 5000, b"GET / HTTP/1.1\r\n\r\n", os.urandom(20_000), b"\x16\x03\x01\x02\x00"]
)
def test_garbage_bytes_on_the_port(server: RunningServer, junk: bytes) -> None:
    with bystander(server):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.server.ports["grpc"])) as raw:
                raw.sendall(junk)
                raw.settimeout(5)
                try:
                    while raw.recv(4096):
                        pass
                except OSError:
                    continue


@pytest.mark.parametrize("junk", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", os.urandom(500)])
def test_messages_that_are_not_protobuf(server: RunningServer, junk: bytes) -> None:
    with bystander(server), grpc.insecure_channel(server.target) as channel:
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHOD)
        responses = method(iter([junk]), timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            list(responses)
        code = caught.value.code()
        assert code not in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED)
        wait_until(lambda: server.streams_in_use == 1, timeout=2)


def test_wrong_method(server: RunningServer) -> None:
    with bystander(server), grpc.insecure_channel(server.target) as channel:
        for name in ("/nope/Nope", METHOD + "2"):
            method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(name)
            with pytest.raises(grpc.RpcError) as caught:
                method(b"", timeout=20)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_oversized_message(server: RunningServer) -> None:
    options = [("grpc.max_send_message_length", -1)]
    with bystander(server), grpc.insecure_channel(server.target, options=options) as channel:
        answer = call(server.target, [header(), audio(bytes(65 * 2**20))], channel=channel)
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        wait_until(lambda: server.streams_in_use == 1, timeout=2)


def test_a_thousand_connections(server: RunningServer) -> None:
    with bystander(server):
        for _ in range(1000):
            socket.create_connection(("127.0.0.1", server.server.ports["grpc"])).close()
        assert call(server.target, clip(speech(0.5))).code is grpc.StatusCode.OK


def _code(responses: Any) -> grpc.StatusCode:
    """How a call ended, once its answers have been read."""
    try:
        for _ in responses:
            pass
    except grpc.RpcError:
        pass
    code: grpc.StatusCode = responses.code()
    return code


def test_many_more_calls_than_places(server: RunningServer) -> None:
    with bystander(server), grpc.insecure_channel(server.target) as channel:
        stub = controller_grpc.A2FControllerServiceStub(channel)
        release = threading.Event()

        def requests() -> Iterator[AudioStream]:
            yield header()
            release.wait(60)
            yield end()

        calls = [stub.ProcessAudioStream(requests(), timeout=60) for _ in range(40)]
        wait_until(lambda: sum(one.done() for one in calls) == 33, timeout=30)
        release.set()
        codes = [_code(one) for one in calls]
        assert codes.count(grpc.StatusCode.OK) == 7
        assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 33


def test_client_that_leaves_before_its_session_is_open(provider: BatchLoudnessProvider) -> None:
    opening = threading.Event()
    proceed = threading.Event()
    plain = provider.open

    def slow(settings: StreamSettings) -> FedLoudnessSession:
        if settings.face_parameters:
            opening.set()
            proceed.wait(20)
        return plain(settings)

    provider.open = slow  # type: ignore[method-assign]
    with serving(provider, config(PATIENT)) as server:
        channel = grpc.insecure_channel(server.target)
        face = FaceParameters(float_params={"skinStrength": 1.0})
        responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(
            clip(speech(1.0), face_params=face)
        )
        assert opening.wait(20)
        responses.cancel()
        wait_until(lambda: server.streams_in_use == 0)
        proceed.set()
        with bystander(server):
            pass
        wait_until(lambda: provider.open_sessions == 0)
        channel.close()


class Failing(LoudnessProvider):
    """Fails where a stream's `skinStrength` says so."""

    def open(self, settings: StreamSettings) -> LoudnessSession:
        if settings.face_parameters.get("skinStrength") == 0.5:
            raise ProviderUnavailableError("model of the test: not there")
        with self.lock:
            self.open_sessions += 1
        return FailingSession(self, settings)


class FailingSession(LoudnessSession):
    def push(self, samples: Any, emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        if self.settings.face_parameters.get("skinStrength") == 1.5:
            raise RuntimeError("bug in the model")
        return super().push(samples, emotion)


@pytest.mark.parametrize(
    ("skin", "code", "words"),
    [(0.5, "FAILED_PRECONDITION", "model of the test: not there"), (1.5, "INTERNAL", "internal error")],
)
def test_provider_that_fails_for_one_stream(skin: float, code: str, words: str) -> None:
    failing = Failing()
    with serving(failing, config(PATIENT)) as server, bystander(server):
        face = FaceParameters(float_params={"skinStrength": skin})
        answer = call(server.target, clip(speech(1.0), face_params=face))
        assert answer.code is grpc.StatusCode[code]
        assert words in answer.details
        assert "bug in the model" not in answer.details
        wait_until(lambda: server.streams_in_use == 1 and failing.open_sessions == 1)


def test_batch_that_fails_ends_its_streams_and_the_next_ones_are_served(provider: BatchLoudnessProvider) -> None:
    broken = threading.Event()
    plain = provider.step

    def step(sessions: Sequence[FedLoudnessSession]) -> list[list[Frame]]:
        if broken.is_set():
            raise MemoryError("out of memory")
        return plain(sessions)

    provider.step = step  # type: ignore[method-assign]
    with serving(provider, config(PATIENT)) as server:
        broken.set()
        assert call(server.target, clip(speech(1.0))).code is grpc.StatusCode.INTERNAL
        broken.clear()
        wait_until(lambda: provider.open_sessions == 0)
        with bystander(server):
            pass


def test_clock_that_jumps(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    with bystander(server):
        for jump in (-86_400.0, 1e6):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            # No deadline: the client's library would count it on the clock that jumps.
            answer = call(server.target, clip(speech(1.0)), timeout=None)
            assert answer.code is grpc.StatusCode.OK
            assert answer.times == [index / 30 for index in range(30)]


def test_stop_under_load_lets_running_clips_end(provider: BatchLoudnessProvider) -> None:
    with serving(provider, config(PATIENT)) as server:
        channel = grpc.insecure_channel(server.target)
        grpc.channel_ready_future(channel).result(10)
        with bystander(server):
            import asyncio

            stopping = asyncio.run_coroutine_threadsafe(server.server.stop(60), server.loop)
            wait_until(lambda: server.server.host.draining)
            late = call(server.target, clip(speech(0.5)), channel=channel, timeout=10)
            # Refused by us, or by gRPC itself as its ports close at that moment; either way at once, before a frame.
            assert late.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            assert not late.frames
        stopping.result(30)
        channel.close()
    assert provider.open_sessions == 0


def test_stop_with_a_client_that_never_ends_takes_no_longer_than_the_grace(provider: BatchLoudnessProvider) -> None:
    with serving(provider, config(PATIENT)) as server:
        channel = grpc.insecure_channel(server.target)
        responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(_unfinished())
        next(iter(responses))
        server.run(server.server.stop(0.5), timeout=20)
        with pytest.raises(grpc.RpcError):
            list(responses)
        channel.close()
    wait_until(lambda: provider.open_sessions == 0)


def test_slow_and_broken_http_requests(provider: BatchLoudnessProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    from facewave.server import health

    monkeypatch.setattr(health, "_TIMEOUT_S", 0.5)
    with serving(provider, config(PATIENT), ServeOptions(http_address="127.0.0.1:0")) as server, bystander(server):
        port = server.server.ports["http"]
        lingering = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for junk in (b"GET /v1/health/ready", b"\x00\xff" * 50, b"A" * 20_000, b"POST / HTTP/1.1\r\n\r\n", b"\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(junk)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/health/ready", timeout=10) as answer:
            assert answer.status == 200
        for one in lingering:
            one.settimeout(10)
            assert one.recv(1) == b""  # Cut off by the server.
            one.close()


def test_a_call_leaves_nothing_behind(server: RunningServer, provider: BatchLoudnessProvider) -> None:
    from facewave.server.stream import Stream

    for _ in range(3):
        call(server.target, clip(speech(0.5)))
        call(server.target, [header(), audio(b"abc")])
        with grpc.insecure_channel(server.target) as channel:
            responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(_unfinished())
            next(iter(responses))
            responses.cancel()
    wait_until(lambda: provider.open_sessions == 0)

    def left() -> int:
        gc.collect()
        return sum(isinstance(thing, Stream) for thing in gc.get_objects())

    wait_until(lambda: server.read(left) == 0)
