"""Services of the one-way protocol: Audio2Face, which delivers its animation, and an animation controller, which keeps
it to be fetched. Both compute frames like the bidirectional one beside this file.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import grpc
import numpy as np
from google.protobuf.empty_pb2 import Empty

from facewave.timing import frames_in
from facewave.wire import a2f, animation
from facewave.wire._proto import (
    a2f_pb2,
    a2f_service_pb2_grpc,
    animation_controller_service_pb2,
    animation_controller_service_pb2_grpc,
    animation_data_pb2,
    animation_data_service_pb2_grpc,
)
from facewave.wire._proto.animation_id_pb2 import AnimationIds
from facewave.wire.animation import Status
from tests.servers.awkward import NAMES_52, expected_weights

Part = animation_data_pb2.AnimationDataStream


@dataclass(frozen=True)
class LegacyHabits:
    """How the service behaves. The defaults are those of a polite one."""

    names: tuple[str, ...] = NAMES_52
    rate: Fraction = Fraction(30)
    final_status: bool = True
    error: str = ""
    wrong_ids: bool = False
    late_answer_s: float = 0.0
    deliver_delay_s: float = 0.0
    break_after: int | None = None
    refuse_first: int = 0
    no_ids: str = ""


@dataclass
class LegacyClip:
    """What one call brought and what its delivery was answered."""

    header: a2f_pb2.AudioStreamHeader | None = None
    pcm: bytearray = field(default_factory=bytearray)
    keys: dict[float, dict[str, float]] = field(default_factory=dict)
    answer: Status | None = None
    delivery_error: grpc.RpcError | None = None


class LegacyService:
    """One server with every service of the old generation, on a port of its own."""

    def __init__(self, habits: LegacyHabits | None = None) -> None:
        self.habits = habits or LegacyHabits()
        self.deliver_to = ""
        self.clips: list[LegacyClip] = []
        self._kept: dict[tuple[str, str], queue.Queue[Part | None]] = {}
        self._lock = threading.Lock()
        self._given = 0
        self._pool = ThreadPoolExecutor(32)
        self._server = grpc.server(self._pool)
        a2f_service_pb2_grpc.add_A2FServiceServicer_to_server(self, self._server)
        animation_data_service_pb2_grpc.add_AnimationDataServiceServicer_to_server(self, self._server)
        controller = _Controller(self)
        animation_controller_service_pb2_grpc.add_AnimationControllerServiceServicer_to_server(controller, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def __enter__(self) -> LegacyService:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def PushAudioStream(self, requests: Iterator[a2f_pb2.AudioStream], context: Any) -> Status:  # noqa: N802
        clip = LegacyClip()
        self.clips.append(clip)
        if len(self.clips) <= self.habits.refuse_first:
            context.abort(grpc.StatusCode.UNAVAILABLE, "still loading")
        parts: queue.Queue[Part | None] = queue.Queue()
        courier: threading.Thread | None = None
        sent = 0
        for request in requests:
            if request.WhichOneof("stream_part") == "audio_stream_header":
                clip.header = request.audio_stream_header
                parts.put(self._header(clip))
                if self.deliver_to:
                    courier = threading.Thread(target=self._deliver, args=(clip, parts))
                    courier.start()
                else:
                    with self._lock:
                        self._kept[_key(clip.header.animation_ids)] = parts
                continue
            clip.pcm += request.audio_with_emotion.audio_buffer
            clip.keys |= a2f.emotion_keys_of(request.audio_with_emotion.emotions, [])
            whole = frames_in(len(clip.pcm) // 2, self.habits.rate) - 1
            self._make(clip, parts, sent, whole)
            sent = max(sent, whole)
        if self.habits.error:
            parts.put(None)
            if courier is not None:
                courier.join(30)
            time.sleep(self.habits.late_answer_s)
            return Status(code=Status.ERROR, message=self.habits.error)
        self._make(clip, parts, sent, frames_in(len(clip.pcm) // 2, self.habits.rate))
        if self.habits.final_status:
            parts.put(Part(status=Status(code=Status.SUCCESS)))
        parts.put(None)
        if courier is not None:
            courier.join(30)
        return Status(code=Status.SUCCESS, message="all audio processed")

    def PushAnimationDataStream(self, requests: Iterator[Part], context: Any) -> Status:  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "this service sends animation and takes none")
        raise AssertionError

    def PullAnimationDataStream(self, ids: AnimationIds, context: Any) -> Iterator[Part]:  # noqa: N802
        with self._lock:
            known = [parts for key, parts in self._kept.items() if key[0] == ids.stream_id]
        if not known:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such stream yet")
        while context.is_active():
            with contextlib.suppress(queue.Empty):
                part = known[-1].get(timeout=0.1)
                if part is None:
                    return
                yield part

    def give_ids(self) -> animation_controller_service_pb2.AnimationIdsOrStatus:
        if self.habits.no_ids:
            status = Status(code=Status.ERROR, message=self.habits.no_ids)
            return animation_controller_service_pb2.AnimationIdsOrStatus(status=status)
        self._given += 1
        ids = AnimationIds(request_id=f"request-{self._given}", stream_id=f"stream-{self._given}")
        return animation_controller_service_pb2.AnimationIdsOrStatus(animation_ids=ids)

    def keep(self, stream_id: str, parts: list[Part]) -> None:
        """Have an animation that nobody of the test sent audio for."""
        waiting: queue.Queue[Part | None] = queue.Queue()
        for part in [*parts, None]:
            waiting.put(part)
        with self._lock:
            self._kept[stream_id, ""] = waiting

    def _header(self, clip: LegacyClip) -> Part:
        assert clip.header is not None
        ids = AnimationIds()
        ids.CopyFrom(clip.header.animation_ids)
        if self.habits.wrong_ids:
            ids.request_id = "somebody else"
        return animation.legacy_stream_header(ids, self.habits.names, 16_000, time.time())

    def _make(self, clip: LegacyClip, parts: queue.Queue[Part | None], begin: int, end: int) -> None:
        samples = a2f.samples_of(bytes(clip.pcm))
        for index in range(begin, end):
            if self.habits.break_after is not None and index >= self.habits.break_after:
                return
            values = expected_weights(samples, index, self.habits.rate)
            row = [values[name[:1].lower() + name[1:]] for name in self.habits.names]
            data = animation.animation_data(
                float(index / self.habits.rate), np.array(row, np.float32), b"\0\0" * (16_000 // 30)
            )
            parts.put(Part(animation_data=data))

    def _deliver(self, clip: LegacyClip, parts: queue.Queue[Part | None]) -> None:
        time.sleep(self.habits.deliver_delay_s)
        with grpc.insecure_channel(self.deliver_to) as channel:
            stub: Any = animation_data_service_pb2_grpc.AnimationDataServiceStub(channel)
            call = stub.PushAnimationDataStream.future(iter(parts.get, None))
            try:
                clip.answer = call.result(timeout=30)
            except grpc.RpcError as error:
                clip.delivery_error = error


class _Controller:
    """The animation controller's face of the same service."""

    def __init__(self, service: LegacyService) -> None:
        self._service = service

    def RequestAnimationIds(self, request: Empty, context: Any) -> Any:  # noqa: N802
        return self._service.give_ids()

    def PullAnimationDataStream(self, ids: AnimationIds, context: Any) -> Iterator[Part]:  # noqa: N802
        return self._service.PullAnimationDataStream(ids, context)

    def PushAudioStream(self, requests: Iterator[a2f_pb2.AudioStream], context: Any) -> Status:  # noqa: N802
        return self._service.PushAudioStream(requests, context)

    def UpdateAnimationGraphVariable(self, requests: Iterator[Any], context: Any) -> Status:  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this test")
        raise AssertionError


def _key(ids: AnimationIds) -> tuple[str, str]:
    return ids.stream_id, ids.request_id
