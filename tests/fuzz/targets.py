"""Every place where foreign bytes become values: one row each, with sound inputs and a call.

A call may return, or refuse with a `FacewaveError` whose message a person can read. Anything else is a defect. To add
a parser, write its seeds and give it a row in `TARGETS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from facewave.audio.files import read_audio
from facewave.audio.live import PcmStream
from facewave.audio.resample import StreamResampler
from facewave.emotion_files import read_emotion_keys
from facewave.frames import Animation
from facewave.inference.store import ENTRY, ModelStore
from facewave.providers import open_provider
from facewave.providers.a2f.folder.bundle import load_bundle
from facewave.providers.a2f.folder.validate import validate
from facewave.providers.a2f.provider import A2FProvider
from facewave.providers.base import Provider
from facewave.providers.remote.reader import FrameReader
from facewave.server.config import as_json, as_yaml, load_config
from facewave.server.defaults import ADVANCED, DEPLOYMENT, STYLIZATION
from facewave.settings import FacewaveSettings, ModelsSettings, load_settings
from facewave.streams import StreamSettings
from facewave.timing import frame_rate
from facewave.wire import a2f
from facewave.wire._proto import a2f_authoring_pb2, a2f_pb2, animation_data_pb2, controller_pb2
from tests.fuzz import seeds

TEXT = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"nan", b"-inf", b"1e999", b"9" * 5000, b"-1", b"0", b"\n", b"\r", b",", b'"',
    b"'", b"{", b"}", b"[", b"]", b":", b"[" * 3000, b"\xc3\xa9", b"null", b"true",
)  # fmt: skip
YAML = (
    *TEXT, b"&a [*a]", b"&a {x: *a}", b"<<: *e", b"*e", b"!!int ''", b"!!bool 'x'", b"!!timestamp 'x'", b"!!binary",
    b"!!set {a, b}", b"!!python/object/apply:os.getcwd []", b"2001-99-99", b"2001-01-01", b"? ", b"- ", b"\t",
    b"1:60:60", b"off", b"~", b"!!float ''", b"%YAML 9.9\n---\n", b"--- ", b"|\n", b"!!pairs [a: b]", b"0x",
    b"!!omap [a: 1]",
)  # fmt: skip
FORM = (*TEXT, b"--xx", b"--xx--\r\n", b'filename=".."', b'filename="a\0b.wav"', b"; filename*=utf-8''%2e%2e")
CHUNKS = (b"RIFF", b"RIFX", b"RF64", b"WAVE", b"fmt ", b"data", b"LIST", b"ds64", b"fact", b"FORM", b"AIFF", b"SSND",
          b"COMM", b"fLaC", b"OggS", b"ID3\x04", b"\xff\xfb\x90", b"\x01vorbis", b"OpusHead", b"PEAK")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of foreign bytes."""

    name: str
    """Name to choose it by, and of its crashes' files."""

    reads: str
    """What it reads, for people."""

    seeds: seeds.SeedMaker
    run: Callable[[str, bytes, Path], object]
    """Read the bytes, called by their file name, in an empty folder of the target's own."""

    tokens: tuple[bytes, ...] = ()
    """Pieces of the format to throw in."""


def _file(read: Callable[[Path], object]) -> Callable[[str, bytes, Path], object]:
    """A run that writes the bytes to a file and reads it."""

    def run(name: str, data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return run


def _pcm_stream(name: str, data: bytes, folder: Path) -> None:
    stream = PcmStream(io.BytesIO(data))
    resampler = StreamResampler(stream.sample_rate, stream.channels)
    for block in stream:
        if block.samples.dtype == np.float32:
            resampler.push(block.samples)


def _server_config(path: Path) -> None:
    given = [path if path.name == name else None for name in (STYLIZATION, DEPLOYMENT, ADVANCED)]
    config = load_config(*given)
    for content in config.files.values():
        as_yaml(content)
        as_json(content)


def _model_folder(name: str, data: bytes, folder: Path) -> None:
    kind, _, file = name.partition("/")
    if not (folder / kind).exists():
        shutil.copytree(seeds.pristine_models(), folder, dirs_exist_ok=True)
    path = folder / kind / file
    sound = path.read_bytes()
    path.write_bytes(data)
    try:
        bundle = load_bundle(folder / kind, confined=True)
        validate(bundle)
        models = ModelsSettings(
            face=str(folder / ("regression" if kind == "emotion" else kind)),
            emotion=str(folder / "emotion") if kind == "emotion" else "none",
            threads=1,
        )
        provider = A2FProvider("Fuzz", "Mark", "diffusion" if kind == "diffusion" else "regression",
                               FacewaveSettings(models=models))  # fmt: skip
        session = provider.open(StreamSettings())
        session.push(seeds.TONE)
        session.finish()
        provider.free()
    finally:
        path.write_bytes(sound)


@cache
def embedded() -> Provider:
    """The bundled model, loaded once."""
    return open_provider("Embedded", FacewaveSettings())


def _stream(settings: StreamSettings, samples: Any) -> None:
    session = embedded().open(settings)
    session.push(samples)
    session.finish()


def _client_message(name: str, data: bytes, folder: Path) -> None:
    kind = a2f_pb2.AudioStream if name == "legacy.pb" else controller_pb2.AudioStream
    with contextlib.suppress(DecodeError):  # gRPC itself refuses what is no message.
        message = kind.FromString(data)
        part = message.WhichOneof("stream_part")
        if part == "audio_stream_header":
            header = message.audio_stream_header
            StreamResampler(a2f.sample_rate_of(header.audio_header))
            _stream(a2f.tuning_of(header).stream_settings(frame_rate(30)), seeds.TONE[:400])
        elif part == "audio_with_emotion":
            samples = a2f.samples_of(message.audio_with_emotion.audio_buffer)
            keys = a2f.emotion_keys_of(message.audio_with_emotion.emotions, [])
            _stream(StreamSettings(emotion_track=a2f.emotion_track(keys) if keys else None), samples[:400])


def _authoring_message(name: str, data: bytes, folder: Path) -> None:
    with contextlib.suppress(DecodeError):
        if name == "clip.pb":
            clip = a2f_authoring_pb2.AudioClip.FromString(data)
            resampler = StreamResampler(a2f.sample_rate_of(clip.audio_header))
            resampler.push(a2f.samples_of(clip.content))
            return
        request = a2f_authoring_pb2.FacePoseRequest.FromString(data)
        given = a2f.emotions_of(request.preferred_emotions, [])
        header = controller_pb2.AudioStreamHeader(
            face_params=request.face_params,
            emotion_post_processing_params=request.emotion_pp_params,
            blendshape_params=request.blendshape_params,
        )
        a2f.tuning_of(header).stream_settings(None, {0.0: given} if given else None)


@cache
def _sound_answers() -> dict[str, bytes]:
    return {seed.name: seed.data for seed in seeds.service_messages()}


def _service_message(name: str, data: bytes, folder: Path) -> None:
    sound = _sound_answers()
    reader = FrameReader(None, frame_rate(30))
    kind: Any = animation_data_pb2.AnimationDataStream if name == "legacy.pb" else controller_pb2.AnimationDataStream
    with contextlib.suppress(DecodeError):
        if name != "header.pb":
            reader.read(controller_pb2.AnimationDataStream.FromString(sound["header.pb"]))
        if name not in ("header.pb", "first.pb"):
            reader.read(controller_pb2.AnimationDataStream.FromString(sound["first.pb"]))
        reader.read(kind.FromString(data))
    reader.end()
    assert all(len(notice) < 100_000 for notice in reader.notices)


def _store_entry(name: str, data: bytes, folder: Path) -> None:
    (folder / "tiny").mkdir(exist_ok=True)
    (folder / "tiny" / ENTRY).write_bytes(data)
    ModelStore(folder).find("tiny")


@cache
def _studio() -> tuple[Any, asyncio.Runner]:
    from facewave.studio.app import create_app

    return create_app(), asyncio.Runner()


def _studio_socket(name: str, data: bytes, folder: Path) -> None:
    if name.endswith(".json"):
        data = b"T" + data + seeds.PART + b'T{"type": "end"}'
    events: list[dict[str, Any]] = [{"type": "websocket.connect"}]
    for part in data.split(seeds.PART):
        if part[:1] == b"T":
            events.append({"type": "websocket.receive", "text": part[1:].decode("utf-8", "replace")})
        else:
            events.append({"type": "websocket.receive", "bytes": part[1:]})
    events.append({"type": "websocket.disconnect", "code": 1005})
    sent = _conversation({"type": "websocket", "path": "/ws/stream", "subprotocols": []}, events)
    assert sent[0]["type"] == "websocket.accept"
    codes = [event.get("code") for event in sent if event["type"] == "websocket.close"]
    assert not codes or codes[-1] in (1000, 1008, 1009, 1011, 1013), codes


def _studio_form(name: str, data: bytes, folder: Path) -> None:
    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=xx")]
    scope = {"type": "http", "method": "POST", "path": "/api/export", "headers": headers}
    sent = _conversation(scope, [{"type": "http.request", "body": data, "more_body": False}])
    assert sent[0]["status"] in (200, 400, 413), sent


def _conversation(scope: dict[str, Any], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the studio's application answers, spoken to in ASGI, as its web server does."""
    app, runner = _studio()
    sent: list[dict[str, Any]] = []
    ended = {"type": "http.disconnect" if scope["type"] == "http" else "websocket.disconnect", "code": 1005}

    async def receive() -> dict[str, Any]:
        return events.pop(0) if events else ended

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    base = {
        "headers": [(b"host", b"127.0.0.1:8765")], "query_string": b"", "http_version": "1.1", "scheme": "http",
        "root_path": "", "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "asgi": {"version": "3.0"},
    }  # fmt: skip
    runner.run(app(base | {"raw_path": scope["path"].encode()} | scope, receive, send))
    return sent


TARGETS: tuple[Target, ...] = (
    Target(
        "audio-files", "wav, flac, ogg, aiff, mp3", seeds.audio_files, _file(lambda p: read_audio(p).mono_16k()), CHUNKS
    ),
    Target("audio-pipes", "wav and raw PCM from a pipe", seeds.pcm_streams, _pcm_stream, CHUNKS),
    Target(
        "animation-files",
        "csv, livelink.csv, json, npz",
        seeds.animation_files,
        _file(Animation.load),
        (*TEXT, b"01:02:03:04.5", b"9" * 140_000),
    ),
    Target("emotion-files", "emotion keys, JSON and YAML", seeds.emotion_files, _file(read_emotion_keys), YAML),
    Target("server-config", "the three YAML files of a service", seeds.server_files, _file(_server_config), YAML),
    Target(
        "settings-file",
        "facewave.toml",
        seeds.settings_files,
        _file(lambda p: load_settings(p, {})),
        (*TEXT, b"[a.b]", b"2001-01-01", b"=", b"'''"),
    ),
    Target("model-folders", "model.json and what it names: JSON, npz, ONNX", seeds.model_folders, _model_folder, TEXT),
    Target("model-store", "entries of the model store", seeds.store_entries, _store_entry, TEXT),
    Target("client-messages", "protobuf from clients of the service", seeds.client_messages, _client_message),
    Target("legacy-messages", "protobuf of the one-way protocol", seeds.legacy_messages, _client_message),
    Target("authoring-messages", "protobuf of the authoring service", seeds.authoring_messages, _authoring_message),
    Target("service-messages", "protobuf from a service to its client", seeds.service_messages, _service_message),
    Target(
        "studio-socket",
        "WebSocket messages of a page",
        seeds.studio_conversations,
        _studio_socket,
        (*TEXT, seeds.PART, b"T", b"B"),
    ),
    Target("studio-form", "uploads of a page", seeds.studio_forms, _studio_form, FORM),
)


def target(name: str) -> Target:
    """The row of that name."""
    return next(row for row in TARGETS if row.name == name)
