"""A server in a thread of the test process, and raw clients made from the protocol's stubs alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np

from facewave.providers.base import Provider
from facewave.server.config import ServerConfig, load_config
from facewave.server.defaults import ADVANCED, DEPLOYMENT, STYLIZATION
from facewave.server.server import ServeOptions, Server
from facewave.wire._proto import a2f_controller_service_pb2_grpc as controller_grpc
from facewave.wire._proto.a2f_pb2 import AudioWithEmotion
from facewave.wire._proto.animation_data_pb2 import AnimationData
from facewave.wire._proto.audio_pb2 import AudioHeader
from facewave.wire._proto.controller_pb2 import (
    AnimationDataStream,
    AnimationDataStreamHeader,
    AudioStream,
    AudioStreamHeader,
)
from facewave.wire._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode
from facewave.wire._proto.status_pb2 import Status

T = TypeVar("T")


def config(
    advanced: dict[str, Any] | None = None,
    deployment: dict[str, Any] | None = None,
    stylization: dict[str, Any] | None = None,
    **changes: Any,
) -> ServerConfig:
    """A configuration on a free port; arguments are dotted keys of each file, and fields of the result."""
    overrides = {ADVANCED: advanced or {}, DEPLOYMENT: dict(deployment or {}), STYLIZATION: stylization or {}}
    overrides[DEPLOYMENT].setdefault("endpoints.bidirectional.server.url", "127.0.0.1:0")
    overrides[DEPLOYMENT].setdefault("endpoints.unidirectional.server.url", "127.0.0.1:0")
    overrides[DEPLOYMENT].setdefault("telemetry.prometheus_endpoint", "127.0.0.1:0")
    return replace(load_config(overrides=overrides), **changes)


class RunningServer:
    """A started server and the loop it runs on."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.ports['grpc']}"

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 30) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def read(self, function: Callable[[], T]) -> T:
        """Something of the server's, read on its own loop."""

        async def call() -> T:
            return function()

        return self.run(call())

    @property
    def streams_in_use(self) -> int:
        return self.read(lambda: self.server.host.slots.used)


@contextmanager
def serving(
    provider: Provider, server_config: ServerConfig | None = None, options: ServeOptions | None = None
) -> Iterator[RunningServer]:
    """Run a server for the length of a `with` block."""
    options = options or ServeOptions(http_address=None)
    loop = asyncio.new_event_loop()
    server = Server(provider, server_config or config(), options)
    thread = threading.Thread(target=loop.run_forever, name="server-loop")
    thread.start()
    running = RunningServer(server, loop)
    try:
        running.run(server.start())
        yield running
    finally:
        running.run(server.stop(0.2))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def speech(seconds: float, rate: int = 16_000, seed: int = 1) -> bytes:
    """16-bit noise whose loudness rises and falls, so that every frame differs."""
    n = round(seconds * rate)
    noise = np.random.default_rng(seed).standard_normal(n) * 3000 * (1 + np.sin(np.arange(n) / rate * 7))
    return bytes(np.clip(noise, -32768, 32767).astype("<i2").tobytes())


def header(rate: int = 16_000, **parts: Any) -> AudioStream:
    return AudioStream(
        audio_stream_header=AudioStreamHeader(
            audio_header=AudioHeader(channel_count=1, samples_per_second=rate, bits_per_sample=16), **parts
        )
    )


def audio(pcm: bytes, emotions: Sequence[EmotionWithTimeCode] = ()) -> AudioStream:
    return AudioStream(audio_with_emotion=AudioWithEmotion(audio_buffer=pcm, emotions=emotions))


def end() -> AudioStream:
    return AudioStream(end_of_audio=AudioStream.EndOfAudio())


def chunks(pcm: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


@dataclass
class Answer:
    """Everything a call gave, in its order."""

    parts: list[str] = field(default_factory=list)
    header: AnimationDataStreamHeader | None = None
    frames: list[AnimationData] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    code: grpc.StatusCode | None = None
    details: str = ""
    arrived: list[float] = field(default_factory=list)

    def take(self, message: AnimationDataStream) -> None:
        part = message.WhichOneof("stream_part")
        assert part is not None, "an answer message without a part"
        self.parts.append(part)
        self.arrived.append(time.monotonic())
        if part == "animation_data_stream_header":
            self.header = message.animation_data_stream_header
        elif part == "animation_data":
            self.frames.append(message.animation_data)
        elif part == "status":
            self.statuses.append(message.status)

    @property
    def names(self) -> list[str]:
        assert self.header is not None
        return list(self.header.skel_animation_header.blend_shapes)

    @property
    def echo(self) -> bytes:
        return b"".join(frame.audio.audio_buffer for frame in self.frames)

    @property
    def weights(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        rows = [list(frame.skel_animation.blend_shape_weights[0].values) for frame in self.frames]
        return np.array(rows, np.float32)

    @property
    def times(self) -> list[float]:
        return [frame.skel_animation.blend_shape_weights[0].time_code for frame in self.frames]

    def column(self, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        return self.weights[:, self.names.index(name)]


def call(
    target: str,
    requests: Iterable[AudioStream],
    *,
    channel: grpc.Channel | None = None,
    metadata: Sequence[tuple[str, str]] = (),
    timeout: float | None = 60,
) -> Answer:
    """One call to its end, reading while writing; errors become `code` and `details`."""
    answer = Answer()
    own = channel is None
    channel = channel or grpc.insecure_channel(target)
    try:
        stub = controller_grpc.A2FControllerServiceStub(channel)
        responses = stub.ProcessAudioStream(iter(requests), metadata=metadata, timeout=timeout)
        try:
            for message in responses:
                answer.take(message)
            answer.code = responses.code()
        except grpc.RpcError as error:
            answer.code, answer.details = error.code(), error.details() or ""
    finally:
        if own:
            channel.close()
    return answer


def clip(pcm: bytes, rate: int = 16_000, chunk_s: float = 1.0, **parts: Any) -> Iterator[AudioStream]:
    """The messages of a simple client."""
    yield header(rate, **parts)
    for piece in chunks(pcm, 2 * round(chunk_s * rate)):
        yield audio(piece)
    yield end()


def wait_until(condition: Callable[[], bool], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.01)


def golden(name: str) -> Path:
    return Path(__file__).parent / "golden" / name
