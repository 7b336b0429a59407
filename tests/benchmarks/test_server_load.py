"""The cheap clients of the load benchmark see what a client of gRPC sees, and notice what is wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import grpc
import numpy as np
import pytest

pytest.importorskip("h2", reason="h2 is not installed")

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived

from benchmarks.server_load.call import STREAM, WINDOW, Call, framed
from benchmarks.server_load.clients import RATE, Client, Result, Script, Stage
from facewave.providers import open_provider
from facewave.wire._proto.controller_pb2 import AnimationDataStream
from tests.servers import serving as s

SECONDS = 2.0


class Recorder(Client):
    """A client that keeps what it is given."""

    def __init__(self, target: str, script: Script, *, real_time: bool = True) -> None:
        super().__init__(target, script, real_time=real_time)
        self.answer = s.Answer()

    def take(self, message: bytes) -> None:
        super().take(message)
        self.answer.take(AnimationDataStream.FromString(message))


def play(target: str, *clients: Client) -> list[Result]:
    return Stage(target).play([(0.0, client) for client in clients])


@pytest.fixture(scope="module")
def running() -> Iterator[s.RunningServer]:
    with s.serving(open_provider("Embedded")) as running:
        yield running


@pytest.mark.parametrize("real_time", [True, False])
def test_the_answer_is_that_of_a_grpc_client(running: s.RunningServer, real_time: bool) -> None:
    pcm = s.speech(SECONDS)
    client = Recorder(running.target, Script.of(pcm), real_time=real_time)
    (result,) = play(running.target, client)
    theirs = s.call(running.target, s.clip(pcm))
    assert result.error == ""
    assert result.frames == 60
    assert result.first_s > 0
    assert client.answer.parts == theirs.parts
    assert client.answer.names == theirs.names
    assert client.answer.times == theirs.times
    assert client.answer.echo == theirs.echo == pcm
    np.testing.assert_allclose(client.answer.weights, theirs.weights, atol=1e-5)
    assert [status.message for status in client.answer.statuses] == [status.message for status in theirs.statuses]


def test_clients_on_one_thread_keep_apart(running: s.RunningServer) -> None:
    voices = [s.speech(1.0 + 0.1 * number, seed=number) for number in range(8)]
    clients = [Recorder(running.target, Script.of(pcm)) for pcm in voices]
    results = play(running.target, *clients)
    assert [result.error for result in results] == [""] * 8
    assert [client.answer.echo[: len(pcm)] for client, pcm in zip(clients, voices, strict=True)] == voices


def test_a_clip_longer_than_the_windows(running: s.RunningServer) -> None:
    pcm = s.speech(2.2 * WINDOW / (2 * RATE))  # Both ways: the server's window is smaller than ours.
    client = Recorder(running.target, Script.of(pcm), real_time=False)
    (result,) = play(running.target, client)
    assert result.error == ""
    assert client.answer.echo[: len(pcm)] == pcm


def test_a_refused_call_tells_code_and_message(running: s.RunningServer) -> None:
    script = Script.of(s.speech(SECONDS))
    wrong = Script(script.pieces[0], script.pieces, script.fps, script.frames)
    (result,) = play(running.target, Client(running.target, wrong))
    theirs = s.call(running.target, [s.audio(b"\0\0")])
    assert theirs.code is grpc.StatusCode.INVALID_ARGUMENT
    assert result.error == f"INVALID_ARGUMENT: {theirs.details}"
    assert result.frames == 0


def test_frames_that_are_missing_are_noticed(running: s.RunningServer) -> None:
    script = Script.of(s.speech(SECONDS), fps=60.0)
    (result,) = play(running.target, Client(running.target, script, real_time=False))
    assert result.error == "60 frames, expected 120"


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{probe.getsockname()[1]}"
        (result,) = play(target, Client(target, Script.of(s.speech(SECONDS))))
    assert result.error.startswith("UNAVAILABLE: ")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9])
def test_a_peer_that_does_not_speak_http2(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reply() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        (result,) = play(target, Client(target, Script.of(s.speech(SECONDS))))
        thread.join()
    assert result.error.split(":")[0] in {"UNAVAILABLE", "INTERNAL"}
    assert result.frames == 0


def test_a_server_that_is_killed_is_noticed() -> None:
    with s.serving(open_provider("Embedded")) as running:
        target = running.target
        client = Client(target, Script.of(s.speech(20.0)))
        results: list[Result] = []
        thread = threading.Thread(target=lambda: results.extend(play(target, client)))
        thread.start()
        s.wait_until(lambda: running.streams_in_use == 1)
    thread.join(20)
    assert results
    assert results[0].error == "UNAVAILABLE: Cancelling all calls"


OK = [("grpc-status", "0")]
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


class Peer:
    """The server's side of one connection, by h2 alone."""

    def __init__(self) -> None:
        self.call = Call("here:1", "/a.Service/Method", 5.0)
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.sent = bytearray()
        self.messages: list[bytes] = []
        self.exchange()
        assert self.call.connected
        self.call.begin()
        self.exchange()

    def exchange(self, step: int = 2**20) -> None:
        """Carry bytes both ways until neither side has any, so many at a time to the client."""
        while (theirs := self.h2.data_to_send()) or self.call.outgoing:
            ours = bytes(self.call.outgoing)
            self.call.outgoing.clear()
            for at in range(0, len(theirs), step):
                self.messages += self.call.receive(theirs[at : at + step])
            for event in self.h2.receive_data(ours):
                self.sent += event.data if isinstance(event, DataReceived) else b""


@pytest.mark.parametrize("step", [1, 7, 2**20])
def test_messages_in_any_pieces(step: int) -> None:
    peer = Peer()
    messages = [b"", b"a", b"b" * 300, b"c" * 20_000]
    wire = b"".join(framed(message) for message in messages)
    peer.h2.send_headers(STREAM, HEAD)
    peer.h2.send_data(STREAM, wire[:303])
    peer.h2.send_data(STREAM, wire[303:5000], pad_length=9)
    peer.h2.send_data(STREAM, wire[5000:20_000])
    peer.h2.send_data(STREAM, wire[20_000:])
    peer.h2.send_headers(STREAM, OK, end_stream=True)
    peer.exchange(step)
    assert peer.messages == messages
    assert peer.call.code == "OK"


def test_more_than_the_windows_hold_goes_both_ways() -> None:
    peer = Peer()
    message = framed(bytes(range(256)) * 1000)
    peer.call.send(message)
    peer.call.half_close()
    peer.exchange()
    assert peer.call.waiting, "the peer has granted no more than its first window"
    assert len(peer.sent) == 65_535
    while len(peer.sent) < len(message):
        peer.h2.increment_flow_control_window(50_000)
        peer.h2.increment_flow_control_window(50_000, STREAM)
        peer.exchange()
    assert bytes(peer.sent) == message
    peer.h2.send_headers(STREAM, HEAD)
    for _ in range(3 * WINDOW // 2**14):
        peer.h2.send_data(STREAM, framed(bytes(2**14 - 5)))  # Raises where the client's windows are full.
        peer.exchange()
    assert len(peer.messages) == 3 * WINDOW // 2**14


def test_code_and_message_of_the_trailers() -> None:
    peer = Peer()
    peer.h2.send_headers(STREAM, HEAD)
    peer.h2.send_headers(STREAM, [("grpc-status", "8"), ("grpc-message", "100%25 voll: M%C3%A4rz")], end_stream=True)
    peer.exchange()
    assert (peer.call.code, peer.call.details) == ("RESOURCE_EXHAUSTED", "100% voll: März")


def test_an_answer_of_trailers_alone() -> None:
    peer = Peer()
    peer.h2.send_headers(STREAM, [*HEAD, ("grpc-status", "16"), ("grpc-message", "no")], end_stream=True)
    peer.exchange()
    assert (peer.call.code, peer.call.details) == ("UNAUTHENTICATED", "no")


def test_ends_that_are_none() -> None:
    reset, page, cut, silent, leaving = (Peer() for _ in range(5))
    reset.h2.reset_stream(STREAM, ErrorCodes.CANCEL)
    page.h2.send_headers(STREAM, [(":status", "502")], end_stream=True)
    cut.h2.send_headers(STREAM, HEAD)
    cut.h2.send_data(STREAM, framed(b"half")[:-1])
    cut.h2.send_headers(STREAM, OK, end_stream=True)
    silent.h2.send_headers(STREAM, HEAD)
    silent.h2.send_data(STREAM, framed(b"all"), end_stream=True)
    leaving.h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM, last_stream_id=0)
    codes = []
    for peer in (reset, page, cut, silent, leaving):
        peer.exchange()
        codes.append(peer.call.code)
    assert codes == ["CANCELLED", "UNKNOWN", "INTERNAL", "INTERNAL", "UNAVAILABLE"]
    assert page.call.details == "HTTP status 502"
    assert silent.messages == [b"all"]
