"""The one-way protocol of the 1.0 services: audio is pushed to us, and we push the animation to a receiver.

The end of a clip is the client's half-close, and one status comes back when the receiver has everything. The receiver
may come up after the audio: connecting is tried again for a while, and the clip waits, bounded by its own length.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

import grpc

from ..wire import animation
from ..wire._proto import a2f_service_pb2
from ..wire._proto.a2f_pb2 import AudioStream
from ..wire._proto.animation_data_pb2 import AnimationDataStream
from ..wire._proto.animation_id_pb2 import AnimationIds
from .limits import Code, RefusalError
from .service import SUCCESS_TEXT, Context, as_bytes, run_call
from .stream import Host, Stream

logger = logging.getLogger("facewave.server")

SERVICE = a2f_service_pb2.DESCRIPTOR.services_by_name["A2FService"].full_name

RECEIVER_WAIT_S = 15.0
"""Seconds for which a receiver may be late."""

_PUSH = "/nvidia_ace.services.animation_data.v1.AnimationDataService/PushAnimationDataStream"


class LegacyService:
    """`A2FService`: audio in; the animation goes to `target` on a connection of our own."""

    def __init__(self, host: Host, target: str) -> None:
        """Args: what calls share, and the receiver's `host:port`."""
        self._host = host
        # 0.0.0.0 is where NVIDIA's files send to; it means this machine.
        self._target = target.replace("0.0.0.0", "127.0.0.1")

    def handler(self) -> grpc.GenericRpcHandler:
        """What to add to a gRPC server."""
        method = grpc.stream_unary_rpc_method_handler(
            self.push_audio_stream,
            request_deserializer=AudioStream.FromString,
            response_serializer=animation.Status.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"PushAudioStream": method})

    async def push_audio_stream(self, requests: AsyncIterator[AudioStream], context: Context) -> animation.Status:
        """Animate one clip; return when the receiver has it."""
        stream = self._host.begin(context.peer())
        ids = AnimationIds()
        return await run_call(stream, context, self._read(stream, requests, ids), self._push(stream, ids))

    async def _read(self, stream: Stream, requests: AsyncIterator[AudioStream], ids: AnimationIds) -> None:
        async for request in requests:
            part = request.WhichOneof("stream_part")
            if stream.watch.waiting_for_header:
                if part != "audio_stream_header":
                    raise RefusalError(
                        Code.INVALID_ARGUMENT,
                        f"the first message must be the header; found {part or 'an empty message'}",
                    )
                header = request.audio_stream_header
                self._check_ids(header.animation_ids)
                ids.CopyFrom(header.animation_ids)
                await self._host.open(stream, header)
                stream.accept()
            elif part == "audio_with_emotion":
                stream.receive(request.audio_with_emotion)
            else:
                raise RefusalError(Code.INVALID_ARGUMENT, f"expected audio, found {part or 'an empty message'}")
        if stream.watch.waiting_for_header:
            raise RefusalError(Code.INVALID_ARGUMENT, "the call ended without a message; expected a header and audio")
        stream.end()

    def _check_ids(self, ids: AnimationIds) -> None:
        for name, value in (
            ("request_id", ids.request_id),
            ("stream_id", ids.stream_id),
            ("target_object_id", ids.target_object_id),
        ):
            self._host.config.limits.check_id(name, value)
        if not ids.stream_id:
            raise RefusalError(
                Code.INVALID_ARGUMENT,
                "stream_id is empty; the receiver finds the avatar by it, so send any text, such as a UUID",
            )

    async def _push(self, stream: Stream, ids: AnimationIds) -> animation.Status:
        await stream.wait_accepted()
        pushing = asyncio.ensure_future(self._send(stream, ids))
        try:
            ends: set[asyncio.Future[Any]] = {pushing, stream.failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if stream.failure.done():
                raise stream.refusal
            return pushing.result()
        finally:
            pushing.cancel()
            await asyncio.gather(pushing, return_exceptions=True)

    async def _send(self, stream: Stream, ids: AnimationIds) -> animation.Status:
        # gRPC's asyncio client forgets the receiver's reason where a message was being written when the call ended, and
        # says "Internal error from Core" instead. The other client, which writes from a thread of its own, keeps it.
        with grpc.insecure_channel(self._target) as channel:
            try:
                async with asyncio.timeout(RECEIVER_WAIT_S):
                    await _ended(grpc.channel_ready_future(channel))
            except TimeoutError:
                raise self._unreachable(f"nothing listened there for {RECEIVER_WAIT_S:g} s") from None
            push = channel.stream_unary(
                _PUSH, request_serializer=as_bytes, response_deserializer=animation.Status.FromString
            )
            messages = _Handed(self._messages(stream, ids))
            call = push.future(messages)
            try:
                await _ended(call)
            finally:
                messages.close()
            if call.code() is not grpc.StatusCode.OK:
                raise self._unreachable(f"it answered {call.code().name}: {call.details()}")
            answer: animation.Status = call.result()
        if answer.code == animation.Status.ERROR:
            return animation.Status(code=answer.code, message=f"receiver {self._target}: {answer.message}")
        return animation.Status(code=animation.Status.SUCCESS, message=SUCCESS_TEXT)

    async def _messages(self, stream: Stream, ids: AnimationIds) -> AsyncIterator[bytes | AnimationDataStream]:
        yield animation.legacy_stream_header(ids, self._host.shape.channels, stream.sample_rate, stream.started)
        async for frame in stream.frames():
            yield frame
        self._host.leave_place(stream)
        yield AnimationDataStream(status=animation.Status(code=animation.Status.SUCCESS, message=SUCCESS_TEXT))

    def _unreachable(self, reason: str) -> RefusalError:
        return RefusalError(
            Code.UNAVAILABLE,
            f"animation receiver {self._target}: {reason}; start it, or set endpoints.unidirectional.client.url",
        )


async def _ended(future: Any) -> None:
    """Wait for one of gRPC's own futures; cancelling the wait cancels it."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: Any) -> None:
        # Where a cancelled call ends late, the loop may be gone.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(wake)
    try:
        await ended.wait()
    finally:
        future.cancel()


class _Handed(Iterator[bytes | AnimationDataStream]):
    """The event loop's messages, one at a time, for gRPC's writing thread, so that a slow receiver slows them."""

    def __init__(self, messages: AsyncIterator[bytes | AnimationDataStream]) -> None:
        self._messages = messages
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Task[Any] | None = None
        self._closed = False

    def __next__(self) -> bytes | AnimationDataStream:
        if self._closed:
            raise StopIteration
        try:
            return asyncio.run_coroutine_threadsafe(self._step(), self._loop).result()
        except (StopAsyncIteration, CancelledError):
            raise StopIteration from None

    def close(self) -> None:
        """Nothing more is wanted; to be called in the event loop."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _step(self) -> bytes | AnimationDataStream:
        if self._closed:
            raise StopAsyncIteration
        self._waiting = asyncio.current_task()
        try:
            return await anext(self._messages)
        except RefusalError:
            # The clip has failed and its call is about to be cancelled. Ending it here would tell the receiver that the
            # clip is complete; an exception would only be logged by gRPC.
            await asyncio.get_running_loop().create_future()
            raise
