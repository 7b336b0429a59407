"""The studio's server over real sockets: clips in, frames and files out, live streams, and who is let in."""

import http.client
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.blendshapes import CHANNELS
from facewave.errors import SettingsError
from facewave.frames import Animation
from facewave.pipeline import animate
from facewave.studio import app, stream
from facewave.studio.app import create_app
from facewave.studio.options import stream_settings

pytest.importorskip("starlette", reason="the extra `studio` is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra `studio` is not installed")
client = pytest.importorskip("websockets.sync.client", reason="the extra `studio` is not installed")

DEMO = Path(__file__).parents[2] / "src" / "facewave" / "data" / "demo.wav"


def serving(**options: Any) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        create_app(**options), host="127.0.0.1", port=port, log_level="error", ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    yield from serving()


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    yield from serving(token="secret", origins=("https://friend.example",))


@pytest.fixture(scope="module")
def clip() -> bytes:
    """The first second and a half of the bundled speech, as a WAV file."""
    data = DEMO.read_bytes()
    rate = struct.unpack_from("<I", data, 24)[0]
    align = struct.unpack_from("<H", data, 32)[0]
    start = data.index(b"data") + 8
    body = data[start : start + int(1.5 * rate) * align]
    header = data[: start - 8] + b"data" + struct.pack("<I", len(body))
    return header[:4] + struct.pack("<I", len(header) - 8 + len(body)) + header[8:] + body


def post(
    address: str, path: str, fields: dict[str, str], audio: bytes | None, headers: dict[str, str] | None = None
) -> bytes:
    parts = [f'--xx\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    if audio is not None:
        head = b'--xx\r\nContent-Disposition: form-data; name="audio"; filename="a clip.wav"\r\n\r\n'
        parts.append(head + audio + b"\r\n")
    request = urllib.request.Request(f"http://{address}{path}", b"".join(parts) + b"--xx--\r\n", headers or {})
    request.add_header("Content-Type", "multipart/form-data; boundary=xx")
    with urllib.request.urlopen(request, timeout=120) as answer:
        return bytes(answer.read())


def frames_of(body: bytes) -> tuple[dict[str, Any], NDArray[np.float32]]:
    size = struct.unpack_from("<I", body)[0]
    header = json.loads(body[4 : 4 + size])
    return header, np.frombuffer(body, "<f4", offset=4 + size).reshape(-1, len(header["channels"]))


def refused(status: int, *call: Any) -> str:
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(*call)
    with caught.value as error:
        assert error.code == status
        return str(error.read().decode())


def test_clip_gives_the_frames_that_the_library_gives(address: str, clip: bytes, tmp_path: Path) -> None:
    header, frames = frames_of(post(address, "/api/animate", {"settings": '{"fps": 30}'}, clip))
    path = tmp_path / "clip.wav"
    path.write_bytes(clip)
    np.testing.assert_array_equal(frames, animate(path, fps=30).weights)
    assert (header["fps"], header["frames"]) == (30, 45)


def test_any_sound_comes_back_as_wav(address: str, clip: bytes) -> None:
    data = post(address, "/api/sound", {}, clip)
    assert data[:4] == b"RIFF"
    np.testing.assert_array_equal(
        np.frombuffer(data[44:], "<i2"), np.frombuffer(clip[clip.index(b"data") + 8 :], "<i2")
    )
    assert refused(400, address, "/api/sound", {}, b"no sound").startswith("a clip.wav: not audio")


def test_settings_change_the_frames(address: str, clip: bytes) -> None:
    _, plain = frames_of(post(address, "/api/animate", {}, clip))
    _, halved = frames_of(post(address, "/api/animate", {"settings": '{"multipliers": {"jawOpen": 0.5}}'}, clip))
    jaw = CHANNELS.index("jawOpen")
    np.testing.assert_allclose(halved[:, jaw], plain[:, jaw] * 0.5, atol=1e-6)
    assert plain[:, jaw].max() > 0.05


@pytest.mark.parametrize("extension", [".csv", ".json", ".livelink.csv", ".html", ".npz"])
def test_export_is_the_file(address: str, clip: bytes, tmp_path: Path, extension: str) -> None:
    data = post(address, "/api/export", {"format": extension}, clip)
    if extension == ".html":
        assert data.startswith(b"<!doctype html>")
        assert b"a clip.wav" in data
        return
    path = tmp_path / f"x{extension}"
    path.write_bytes(data)
    assert len(Animation.load(path)) == 90
    assert b"/tmp" not in data


def test_errors_come_in_words(address: str, clip: bytes) -> None:
    told = refused(400, address, "/api/animate", {}, b"this is no sound at all, only a few words")
    assert told.startswith("a clip.wav: not audio"), told
    assert "joyy" in refused(400, address, "/api/animate", {"settings": '{"emotion": {"joyy": 1}}'}, clip)
    assert "not JSON" in refused(400, address, "/api/animate", {"settings": "{"}, clip)
    assert "audio" in refused(400, address, "/api/animate", {}, None)
    assert "no output format" in refused(400, address, "/api/export", {"format": ".exe"}, clip)
    assert "unknown provider" in refused(400, address, "/api/animate", {"provider": "Nobody"}, clip)


def test_page_and_table_are_served(address: str) -> None:
    with urllib.request.urlopen(f"http://{address}/") as answer:
        page = answer.read().decode()
    assert "{{" not in page
    with urllib.request.urlopen(f"http://{address}/api/info") as answer:
        info = json.loads(answer.read())
    assert info["channels"] == list(CHANNELS)
    assert ".html" in [row["extension"] for row in info["formats"]]
    assert info["providers"][0]["name"] == "Embedded"


def test_foreign_origin_and_missing_token_are_refused(address: str, locked: str, clip: bytes) -> None:
    assert "--allow-origin" in refused(403, address, "/api/animate", {}, clip, {"Origin": "https://evil.example"})
    own = post(address, "/api/animate", {}, clip, {"Origin": f"http://{address}"})
    assert len(own) > 1000
    assert "token" in refused(401, locked, "/api/animate", {}, clip)
    assert "token" in refused(401, locked, "/api/animate", {}, clip, {"Authorization": "Bearer wrong"})
    friend = {"Authorization": "Bearer secret", "Origin": "https://friend.example"}
    assert len(post(locked, "/api/animate", {}, clip, friend)) > 1000
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus, match="403"):
        client.connect(f"ws://{address}/ws/stream", origin="https://evil.example")
    with client.connect(f"ws://{locked}/ws/stream?token=secret") as opened:
        opened.send(json.dumps({"type": "start", "sampleRate": 16000}))
        assert json.loads(opened.recv())["type"] == "info"


def streamed(address: str, pcm: bytes, rate: int, chunk: int) -> tuple[dict[str, Any], NDArray[np.float32], int]:
    frames: list[NDArray[np.float32]] = []
    with client.connect(f"ws://{address}/ws/stream") as opened:
        opened.send(json.dumps({"type": "start", "sampleRate": rate, "settings": {"fps": 30}}))
        info = json.loads(opened.recv())
        for i in range(0, len(pcm), chunk * 2):
            opened.send(pcm[i : i + chunk * 2])
        opened.send(json.dumps({"type": "end"}))
        while isinstance(message := opened.recv(), bytes):
            first, count = struct.unpack_from("<II", message)
            assert first == sum(len(part) for part in frames)
            part = np.frombuffer(message, "<f4", offset=8).reshape(count, len(info["channels"]))
            frames.append(part)
        return info, np.vstack(frames), json.loads(message)["frames"]


def test_stream_gives_the_frames_of_the_clip_however_it_is_cut(address: str, clip: bytes) -> None:
    start = clip.index(b"data") + 8
    rate = struct.unpack_from("<I", clip, 24)[0]
    _, whole = frames_of(post(address, "/api/animate", {"settings": '{"fps": 30}'}, clip))
    for chunk in (1000, 7777):
        info, frames, count = streamed(address, clip[start:], rate, chunk)
        assert info["protocol"] == 1
        assert info["fps"] == 30
        assert count == len(frames) == len(whole)
        np.testing.assert_allclose(frames, whole, atol=2e-4)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([b"\0\0"], "first message"),
        (["{nonsense"], "not JSON"),
        ([json.dumps({"type": "start", "sampleRate": "fast"})], "sampleRate"),
        ([json.dumps({"type": "start", "sampleRate": 5})], "sample rate"),
        ([json.dumps({"type": "start", "settings": {"warp": 9}})], "warp"),
        ([json.dumps({"type": "start"}), b"\0"], "even number"),
        ([json.dumps({"type": "start"}), json.dumps({"type": "dance"})], "dance"),
        ([json.dumps({"type": "start"}), json.dumps({"type": "emotion", "values": {"joy": "x"}})], "emotion"),
    ],
)
def test_wrong_messages_are_answered_in_words(address: str, messages: list[str | bytes], words: str) -> None:
    with client.connect(f"ws://{address}/ws/stream") as opened:
        for message in messages:
            opened.send(message)
        answer = json.loads(opened.recv())
        if answer["type"] == "info":
            answer = json.loads(opened.recv())
    assert answer["type"] == "error"
    assert words in answer["message"]


def test_too_many_streams_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_STREAMS", 1)
    with client.connect(f"ws://{address}/ws/stream") as first:
        first.send(json.dumps({"type": "start"}))
        assert json.loads(first.recv())["type"] == "info"
        with client.connect(f"ws://{address}/ws/stream") as second:
            assert "streams are open" in json.loads(second.recv())["message"]


def test_settings_from_json() -> None:
    settings = stream_settings(
        {"fps": "30000/1001", "emotion": {"joy": 0.5}, "emotionKeys": [[0, {"joy": 1}], [1, {}]], "clamp": True}
    )
    assert settings.clamp
    assert settings.emotion_track is not None
    with pytest.raises(SettingsError, match="emotionKeys"):
        stream_settings({"emotionKeys": [1, 2]})
    with pytest.raises(SettingsError, match="expected a number"):
        stream_settings({"emotionStrength": "much"})
    with pytest.raises(SettingsError, match="JSON object"):
        stream_settings([1])


def test_a_name_that_was_pointed_at_this_machine_is_not_served(address: str, locked: str) -> None:
    """A page at a name of its own can make that name mean 127.0.0.1, and then passes for the studio's own page."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(address, {"Host": "attacker.example", "Origin": "http://attacker.example"})
    assert refused.value.code == 403
    for name in ("localhost:1", "127.0.0.1", "[::1]:8765"):
        assert get(address, {"Host": name}) == 200
    # With a token the name may be any: whoever has the token may come.
    assert get(locked, {"Host": "studio.example", "Authorization": "Bearer secret"}) == 200


def get(address: str, headers: dict[str, str]) -> int:
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}/", headers=headers)) as answer:
        return int(answer.status)


def test_an_upload_that_tells_no_length_ends_at_the_limit(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_UPLOAD", 100_000)
    head = b'--xx\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'
    pieces = iter([head, *[bytes(10_000)] * 50, b"\r\n--xx--\r\n"])
    connection = http.client.HTTPConnection(address)
    try:
        connection.request(
            "POST", "/api/animate", body=pieces, headers={"Content-Type": "multipart/form-data; boundary=xx"},
            encode_chunked=True,
        )  # fmt: skip
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # The server may hang up before it has heard everything.
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("speech.wav", "speech.wav"),
        ("你好 (2).wav", "你好 (2).wav"),
        ("..", "clip.wav"),
        ("", "clip.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\clips\\a.wav", "a.wav"),
        ("a\0b.wav", "a_b.wav"),
        ("x" * 300 + ".wav", "x" * 56 + ".wav"),
    ],
)
def test_what_a_browser_calls_a_clip_stays_inside_its_folder(name: str, kept: str) -> None:
    assert app._safe_name(name) == kept
