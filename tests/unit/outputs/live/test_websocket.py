"""The WebSocket server over real sockets: what clients see, who is let in, and that nobody waits for the slow."""

from __future__ import annotations

import json
import logging
import socket
import struct
import sys
import threading
import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from facewave.errors import OutputError
from facewave.frames import Frame, StreamInfo
from facewave.outputs.live import open_live_output
from tests.unit.outputs.live.receivers import INFO, frame_of

client = pytest.importorskip("websockets.sync.client", reason="the extra `live` is not installed")
exceptions = pytest.importorskip("websockets.exceptions", reason="the extra `live` is not installed")

JAW = INFO.channels.index("jawOpen")


def connected(name: str, query: str = "", **options: Any) -> Any:
    return client.connect(f"{name}/{query}", open_timeout=30, compression=None, **options)


def test_golden_messages() -> None:
    """The binary message by hand: index and count, then the weights, all little-endian."""
    output = open_live_output("ws://127.0.0.1:0")
    with connected(output.name) as web:
        output.start(StreamInfo(Fraction(30), ("jawOpen", "mouthClose")))
        assert json.loads(web.recv(20)) == {
            "type": "info", "protocol": 1, "channels": ["jawOpen", "mouthClose"], "fps": 30.0, "lookAheadMs": 0.0,
        }  # fmt: skip
        output.write(Frame(7, 3733, np.array([0.5, -1], np.float32)))
        assert web.recv(20) == bytes.fromhex("07000000 01000000 0000003f 000080bf".replace(" ", ""))
        output.close()
        assert web.recv(20) == bytes.fromhex("08000000 01000000 00000000 00000000".replace(" ", ""))
        assert json.loads(web.recv(20)) == {"type": "end", "frames": 9}
        with pytest.raises(exceptions.ConnectionClosedOK) as closed:
            web.recv(20)
        assert closed.value.rcvd.code == 1000


def test_json_for_those_who_ask_for_it() -> None:
    output = open_live_output("ws://127.0.0.1:0")
    with connected(output.name, "?format=json") as web:
        output.start(StreamInfo(Fraction(60), ("jawOpen",)))
        web.recv(20)
        output.write(Frame(30, 8000, np.array([0.5], np.float32)))
        assert json.loads(web.recv(20)) == {
            "type": "frame", "index": 30, "seconds": 0.5, "weights": {"jawOpen": 0.5},
        }  # fmt: skip
    output.close()
    spoken = open_live_output("ws://127.0.0.1:0?format=json")
    spoken.start(INFO)
    spoken.write(frame_of(0))
    with connected(spoken.name) as web:
        assert [json.loads(web.recv(20))["type"] for _ in range(2)] == ["info", "frame"]
    spoken.close()


def test_one_who_comes_in_the_middle_gets_the_newest_frame_at_once() -> None:
    output = open_live_output("ws://127.0.0.1:0")
    output.start(INFO)
    for index in range(5):
        output.write(frame_of(index, jawOpen=index / 10))
    with connected(output.name) as web:
        assert json.loads(web.recv(20))["type"] == "info"
        message = web.recv(20)
        assert struct.unpack_from("<II", message) == (4, 1)
        assert np.frombuffer(message, "<f4", offset=8)[JAW] == np.float32(0.4)
    output.close()


def test_what_a_client_says_is_not_read_and_the_studio_client_needs_no_change() -> None:
    output = open_live_output("ws://127.0.0.1:0")
    with connected(output.name) as web:
        for _ in range(50):
            web.send(json.dumps({"type": "start", "sampleRate": 48000}))
        output.start(INFO)
        assert json.loads(web.recv(20))["type"] == "info"
        output.write(frame_of(0))
        assert len(web.recv(20)) == 8 + 4 * len(INFO.channels)
    output.close()


def slow_client(name: str) -> socket.socket:
    """A client that opens the connection and then reads nothing."""
    host, port = name.removeprefix("ws://").split(":")
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(30)
    raw.connect((host, int(port)))
    raw.sendall(
        f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += raw.recv(1)
    return raw


def binary_messages(data: bytes) -> list[int]:
    """Indices of the frames in a stream of unmasked WebSocket frames."""
    indices, at = [], 0
    while at < len(data):
        kind, length = data[at] & 15, data[at + 1]
        at += 2
        if length == 126:
            length = struct.unpack_from(">H", data, at)[0]
            at += 2
        if kind == 2 and len(data) >= at + 8:
            indices.append(struct.unpack_from("<I", data, at)[0])
        at += length
    return indices


def test_a_slow_client_gets_the_newest_frame_and_holds_up_nobody() -> None:
    total = 4000
    output = open_live_output("ws://127.0.0.1:0")
    output.start(INFO)
    slow = slow_client(output.name)
    with connected(output.name) as quick:
        json.loads(quick.recv(20))
        # In lock step with a quick client, so that every frame is one the server had time to send to both.
        tracemalloc.start()
        for index in range(total):
            output.write(frame_of(index))
            assert struct.unpack_from("<I", quick.recv(20))[0] == index
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert grown < 2_000_000, "a queue of 4000 frames for the slow client would be larger"
        reader: dict[str, bytes] = {}

        def read_all() -> None:
            data = b""
            while part := slow.recv(65_536):
                data += part
            reader["data"] = data

        thread = threading.Thread(target=read_all)
        thread.start()
        output.close()
        thread.join(30)
    slow.close()
    seen = binary_messages(reader["data"])
    assert seen == sorted(seen)
    assert len(seen) < total / 4, "most frames were left out"
    assert seen[-1] == total, "the rest pose, the newest of all, has come"


def test_a_client_that_never_reads_does_not_stop_the_end() -> None:
    before = threading.active_count()
    output = open_live_output("ws://127.0.0.1:0")
    output.start(INFO)
    slow = slow_client(output.name)
    with connected(output.name) as quick:
        quick.recv(20)
        for index in range(500):
            output.write(frame_of(index))
            quick.recv(20)
        output.close()
        assert threading.active_count() < before + 20
    slow.close()
    host, port = output.name.removeprefix("ws://").split(":")
    with pytest.raises(OSError), socket.create_connection((host, int(port)), 2):
        pass


def test_a_client_that_leaves_is_forgotten() -> None:
    output = open_live_output("ws://127.0.0.1:0")
    output.start(INFO)
    slow_client(output.name).close()
    with connected(output.name) as web:
        web.recv(20)
    with connected(output.name) as web:
        json.loads(web.recv(20))
        output.write(frame_of(0, jawOpen=1))
        assert np.frombuffer(web.recv(20), "<f4", offset=8)[JAW] == 1
    output.close()


@pytest.mark.parametrize(
    ("options", "query", "headers", "status"),
    [
        ("", "", {"Origin": "https://evil.example"}, 403),
        ("", "", {"Origin": "null"}, 403),
        ("?origin=https://a.example,null", "", {"Origin": "https://evil.example"}, 403),
        ("?token=secret", "", {}, 401),
        ("?token=secret", "?token=guess", {}, 401),
        ("", "?format=xml", {}, 400),
    ],
)
def test_who_is_refused(options: str, query: str, headers: dict[str, str], status: int) -> None:
    output = open_live_output(f"ws://127.0.0.1:0{options}")
    with pytest.raises(exceptions.InvalidStatus) as caught, connected(output.name, query, additional_headers=headers):
        pass
    assert caught.value.response.status_code == status
    output.close()


@pytest.mark.parametrize(
    ("options", "query", "headers"),
    [
        ("?origin=https://a.example,null", "", {"Origin": "https://a.example"}),
        ("?origin=https://a.example,null", "", {"Origin": "null"}),
        ("?token=secret", "?token=secret", {}),
        ("?token=secret", "", {"Authorization": "Bearer secret"}),
    ],
)
def test_who_is_let_in(options: str, query: str, headers: dict[str, str]) -> None:
    output = open_live_output(f"ws://127.0.0.1:0{options}")
    output.start(INFO)
    with connected(output.name, query, additional_headers=headers) as web:
        assert json.loads(web.recv(20))["type"] == "info"
    output.close()


def test_pages_of_its_own_origin_are_let_in() -> None:
    output = open_live_output("ws://127.0.0.1:0")
    output.start(INFO)
    with connected(output.name, additional_headers={"Origin": output.name.replace("ws:", "http:")}) as web:
        web.recv(20)
    output.close()


def test_loopback_unless_told_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    output = open_live_output("ws://:0")
    assert output.name.startswith("ws://127.0.0.1:")
    output.close()
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        open_live_output("ws://0.0.0.0:0").close()
    assert "add ?token=SECRET" in caplog.text
    caplog.clear()
    open_live_output("ws://0.0.0.0:0?token=secret").close()
    assert not caplog.records


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.asyncio.server", None)
    with pytest.raises(OutputError, match=r"pip install 'facewave\[live\]'"):
        open_live_output("ws://127.0.0.1:0")


def test_a_port_in_use_is_said() -> None:
    output = open_live_output("ws://127.0.0.1:0")
    with pytest.raises(OutputError, match=r"cannot be listened on .*choose another port"):
        open_live_output(output.name)
    output.close()
