"""An Audio2Face-3D service that behaves as badly as the protocol allows, or worse, on request.

Its frames are computed from the audio and the emotion keys it received, so that a test can tell whether both arrived
whole: `JawOpen` is the loudness of the frame's audio, `MouthClose` the frame's number / 1000, every other weight its
index / 100, and the reported joy follows the keys.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from facewave.blendshapes import ARKIT, CHANNELS, pascal
from facewave.emotions import EMOTIONS, EmotionTrack
from facewave.timing import frames_in, sample_of
from facewave.wire import a2f, animation
from facewave.wire._proto import a2f_controller_service_pb2_grpc, animation_data_pb2, controller_pb2
from facewave.wire._proto.emotion_aggregate_pb2 import EmotionAggregate

NAMES_52 = tuple(pascal(name) for name in ARKIT)
NAMES_68 = tuple(pascal(name) for name in CHANNELS)


@dataclass(frozen=True)
class Habits:
    """How the service behaves. The defaults are those of a polite one."""

    names: tuple[str, ...] = NAMES_52
    rate: Fraction = Fraction(30)
    frames_per_message: int = 1
    echo: bool = True
    emotions: bool = True
    infos: bool = False
    event: bool = True
    status: bool = True
    time_code: Callable[[int, Fraction], float] = lambda index, rate: index * rate.denominator / rate.numerator
    lost: frozenset[int] = frozenset()
    fail_after: int | None = None
    failure: tuple[grpc.StatusCode, str] = (grpc.StatusCode.INTERNAL, "something broke")
    error_status: str = ""
    stall_after: int | None = None
    end_after: int | None = None
    refuse_first: int = 0
    refusal: tuple[grpc.StatusCode, str] = (grpc.StatusCode.RESOURCE_EXHAUSTED, "all streams are in use")
    reads_nothing: bool = False
    stays_open: bool = False
    edit: Callable[[int, list[float]], list[float]] = lambda index, weights: weights
    no_header: bool = False


@dataclass
class Clip:
    """What one call brought."""

    metadata: dict[str, str]
    header: controller_pb2.AudioStreamHeader | None = None
    pcm: bytearray = field(default_factory=bytearray)
    keys: dict[float, dict[str, float]] = field(default_factory=dict)
    chunks: list[int] = field(default_factory=list)
    ended: bool = False
    over: threading.Event = field(default_factory=threading.Event)


def expected_weights(samples: NDArray[np.float32], index: int, rate: Fraction) -> dict[str, float]:
    """Channel -> weight as the service computes it, before any `edit`."""
    begin, end = sample_of(index, rate), sample_of(index + 1, rate)
    part = samples[begin:end].astype(np.float64)
    values = {name: position / 100 for position, name in enumerate(CHANNELS)}
    values["jawOpen"] = float(np.sqrt(np.mean(part**2))) if len(part) else 0.0
    values["mouthClose"] = index / 1000
    return values


class AwkwardServer:
    """A gRPC server on a port of its own, on threads of its own."""

    def __init__(self, habits: Habits | None = None, *, tls: tuple[Path, Path, Path | None] | None = None) -> None:
        """Start.

        Args:
            habits: How to behave; may be replaced between calls.
            tls: Server certificate, its key, and the authority of client certificates where those are demanded.
        """
        self.habits = habits or Habits()
        self.clips: list[Clip] = []
        self._pool = ThreadPoolExecutor(32)
        self._server = grpc.server(self._pool)
        a2f_controller_service_pb2_grpc.add_A2FControllerServiceServicer_to_server(self, self._server)
        if tls is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            certificate, key, clients = tls
            credentials = grpc.ssl_server_credentials(
                [(key.read_bytes(), certificate.read_bytes())],
                root_certificates=clients.read_bytes() if clients else None,
                require_client_auth=clients is not None,
            )
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def __enter__(self) -> AwkwardServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.stop(0).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ProcessAudioStream(self, requests: Iterator[controller_pb2.AudioStream], context: Any) -> Iterator[Any]:  # noqa: N802
        habits = self.habits
        clip = Clip({key: str(value) for key, value in context.invocation_metadata()})
        context.add_callback(clip.over.set)
        self.clips.append(clip)
        if len(self.clips) <= habits.refuse_first:
            context.abort(*habits.refusal)
        if habits.reads_nothing:
            clip.over.wait()
            return
        sent = 0
        for request in requests:
            part = request.WhichOneof("stream_part")
            if part == "audio_stream_header":
                clip.header = request.audio_stream_header
                if not habits.no_header:
                    yield animation.stream_header(habits.names, 16_000, time.time())
                if habits.infos:
                    yield animation.status(animation.Status.INFO, "warming up")
            elif part == "audio_with_emotion":
                clip.pcm += request.audio_with_emotion.audio_buffer
                clip.chunks.append(len(request.audio_with_emotion.audio_buffer))
                clip.keys |= a2f.emotion_keys_of(request.audio_with_emotion.emotions, [])
                # A frame is made as soon as all its audio is there, except the last which may be cut short.
                whole = frames_in(len(clip.pcm) // 2, habits.rate) - 1
                for message in self._frames(clip, sent, whole, context):
                    yield message
                sent = max(sent, whole)
            elif part == "end_of_audio":
                clip.ended = True
                break
        for message in self._frames(clip, sent, frames_in(len(clip.pcm) // 2, habits.rate), context, last=True):
            yield message
        if habits.end_after is not None:
            return
        if habits.event:
            yield animation.end_of_processing()
        if habits.infos:
            yield animation.status(animation.Status.WARNING, "nearly there")
        if habits.status:
            yield animation.status(animation.Status.SUCCESS, "")
        if habits.stays_open:
            clip.over.wait()

    def _frames(self, clip: Clip, begin: int, end: int, context: Any, *, last: bool = False) -> Iterator[Any]:
        habits = self.habits
        samples = a2f.samples_of(bytes(clip.pcm))
        entries: list[tuple[int, list[float]]] = []
        for index in range(begin, end):
            if habits.fail_after is not None and index >= habits.fail_after:
                if habits.error_status:
                    yield animation.status(animation.Status.ERROR, habits.error_status)
                context.abort(*habits.failure)
            if habits.stall_after is not None and index >= habits.stall_after:
                clip.over.wait()
                return
            if habits.end_after is not None and index >= habits.end_after:
                return
            if index in habits.lost:
                continue
            values = expected_weights(samples, index, habits.rate)
            row = [values.get(name[:1].lower() + name[1:], 0.77) for name in habits.names]
            entries.append((index, habits.edit(index, row)))
            if len(entries) == habits.frames_per_message or index == end - 1:
                yield controller_pb2.AnimationDataStream(animation_data=self._message(clip, samples, entries))
                entries = []
                if habits.infos and index % 10 == 0:
                    yield animation.status(animation.Status.INFO, "still at it")

    def _message(
        self, clip: Clip, samples: NDArray[np.float32], entries: list[tuple[int, list[float]]]
    ) -> animation_data_pb2.AnimationData:
        habits = self.habits
        data = animation_data_pb2.AnimationData()
        aggregate = EmotionAggregate()
        for index, row in entries:
            time_code = habits.time_code(index, habits.rate)
            entry = data.skel_animation.blend_shape_weights.add()
            entry.time_code = time_code
            entry.values.extend(row)
            if clip.keys:
                emotion = EmotionTrack.from_keys(clip.keys.items()).at(sample_of(index, habits.rate))
            else:
                emotion = np.zeros(len(EMOTIONS), np.float32)
            output = aggregate.a2f_smoothed_output.add()
            output.time_code = time_code
            output.emotion.update(dict(zip(EMOTIONS, emotion.tolist(), strict=True)))
        if habits.emotions:
            data.metadata[animation.EMOTION_METADATA].Pack(aggregate)
        if habits.echo:
            begin, end = (sample_of(entries[0][0], habits.rate), sample_of(entries[-1][0] + 1, habits.rate))
            data.audio.audio_buffer = a2f.pcm_of(samples[begin:end])
        return data


class Cable:
    """A TCP connection to a server that a test can cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self.connections = 0
        self._frozen = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection there is; new ones are accepted."""
        sockets, self._sockets = self._sockets, []
        for end in sockets:
            _close(end)

    def freeze(self) -> None:
        """Swallow everything from now on while the connections seem to stand: a peer that vanished without a word."""
        self._frozen.set()

    def close(self) -> None:
        _close(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self.connections += 1
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink, self._frozen), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, frozen: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if not frozen.is_set():
                sink.sendall(data)
    _close(source)
    _close(sink)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
