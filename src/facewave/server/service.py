"""The main service, one call for one clip, and the service that hands out the configuration.

A call has two halves that never wait for each other: one task reads whatever the client sends, the other writes what
has been computed. A client that writes everything before it reads therefore never meets a full pipe, and a client that
never reads holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NoReturn, Protocol, TypeVar

import grpc

from ..wire import animation
from ..wire._proto import a2f_controller_service_pb2, a2x_export_config_service_pb2
from ..wire._proto.a2x_export_config_service_pb2 import A2XConfig, ConfigsTypeRequest
from ..wire._proto.controller_pb2 import AudioStream
from .config import ServerConfig, as_json, as_yaml
from .limits import Code, RefusalError
from .stream import Host, Stream

logger = logging.getLogger("facewave.server")

CONTROLLER = a2f_controller_service_pb2.DESCRIPTOR.services_by_name["A2FControllerService"].full_name
EXPORT_CONFIG = a2x_export_config_service_pb2.DESCRIPTOR.services_by_name["A2XExportConfigService"].full_name

SUCCESS_TEXT = "Audio processing completed successfully!"
"""The text NVIDIA's service ends a clip with."""

Context = grpc.aio.ServicerContext[Any, Any]
_Result = TypeVar("_Result")


class _Message(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802  The name is protobuf's.


def as_bytes(message: _Message | bytes) -> bytes:
    """Response serializer for frames that are encoded already."""
    return message if isinstance(message, bytes) else message.SerializeToString()


async def abort(context: Context, refusal: RefusalError) -> NoReturn:
    """End the call with the refusal's code and message."""
    await context.abort(grpc.StatusCode[refusal.code.name], str(refusal))
    raise AssertionError("abort raises")


class ControllerService:
    """`A2FControllerService`: audio in and animation out on one call."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def handler(self) -> grpc.GenericRpcHandler:
        """What to add to a gRPC server."""
        method = grpc.stream_stream_rpc_method_handler(
            self.process_audio_stream,
            request_deserializer=AudioStream.FromString,
            response_serializer=as_bytes,
        )
        return grpc.method_handlers_generic_handler(CONTROLLER, {"ProcessAudioStream": method})

    async def process_audio_stream(self, requests: AsyncIterator[AudioStream], context: Context) -> None:
        """Animate one clip."""
        stream = self._host.begin(context.peer())
        await run_call(stream, context, self._read(stream, requests), self._answer(stream, context))

    async def _read(self, stream: Stream, requests: AsyncIterator[AudioStream]) -> None:
        async for request in requests:
            part = request.WhichOneof("stream_part")
            if stream.watch.ended:
                stream.after_end()
            elif stream.watch.waiting_for_header:
                if part != "audio_stream_header":
                    raise RefusalError(
                        Code.INVALID_ARGUMENT,
                        f"the first message must be the header; found {part or 'an empty message'}",
                    )
                await self._host.open(stream, request.audio_stream_header)
                stream.accept()
            elif part == "audio_with_emotion":
                stream.receive(request.audio_with_emotion)
            elif part == "end_of_audio":
                stream.end()
            elif part == "audio_stream_header":
                raise RefusalError(
                    Code.INVALID_ARGUMENT, "a second header; one call animates one clip, open another call for the next"
                )
            else:
                raise RefusalError(Code.INVALID_ARGUMENT, "an empty message; expected audio or the end of the audio")
        if stream.watch.waiting_for_header:
            raise RefusalError(Code.INVALID_ARGUMENT, "the call ended without a message; expected a header and audio")
        stream.end()
        stream.input_closed()

    async def _answer(self, stream: Stream, context: Context) -> None:
        await stream.wait_accepted()
        await context.write(animation.stream_header(self._host.shape.channels, stream.sample_rate, stream.started))
        async for frame in stream.frames():
            await context.write(frame)
        await context.write(animation.end_of_processing())
        self._host.leave_place(stream)
        for warning in stream.warnings:
            await context.write(animation.status(animation.Status.WARNING, warning))
        await context.write(animation.status(animation.Status.SUCCESS, SUCCESS_TEXT))
        await stream.wait_input_closed()


async def run_call(
    stream: Stream, context: Context, reading: Coroutine[Any, Any, None], answering: Coroutine[Any, Any, _Result]
) -> _Result:
    """Run both halves of a call until the answer is complete or something fails; then free all it held.

    `answering` must end by itself once `stream.failure` is done. It is not cancelled, because gRPC cannot send a call's
    error while one of its messages is under way: a client that does not read gets its error when it reads. By then the
    call holds nothing but that message.
    """
    reader = asyncio.ensure_future(_reported(stream, reading))
    writer = asyncio.ensure_future(_reported(stream, answering))
    outcome = "CANCELLED"
    try:
        ends: set[asyncio.Future[Any]] = {writer, stream.failure}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if writer.done() and (result := writer.result()):
            outcome = "OK"
            return result[0]
        refusal = stream.refusal
        outcome = refusal.code.name
        # Everything is free before the client learns that the call is over.
        stream.host.close(stream, outcome)
        await asyncio.wait({writer})
        await abort(context, refusal)
    finally:
        reader.cancel()
        writer.cancel()
        stream.host.close(stream, outcome)
        await asyncio.gather(reader, writer, return_exceptions=True)


async def _reported(stream: Stream, work: Coroutine[Any, Any, _Result]) -> tuple[_Result] | None:
    """The result; None where something went wrong, which ends this call with a reason, and no other."""
    try:
        return (await work,)
    except Exception as error:
        stream.fail(error)
        return None


class ExportConfigService:
    """`A2XExportConfigService`: the three files this server runs with, as they can be given to another."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config

    def handler(self) -> grpc.GenericRpcHandler:
        """What to add to a gRPC server."""
        method = grpc.unary_stream_rpc_method_handler(
            self.get_configs,
            request_deserializer=ConfigsTypeRequest.FromString,
            response_serializer=A2XConfig.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(EXPORT_CONFIG, {"GetConfigs": method})

    async def get_configs(self, request: ConfigsTypeRequest, context: Context) -> AsyncIterator[A2XConfig]:
        """One message a file."""
        if request.config_type not in (ConfigsTypeRequest.YAML, ConfigsTypeRequest.JSON):
            await abort(
                context,
                RefusalError(Code.INVALID_ARGUMENT, f"config_type: found {request.config_type}, expected YAML or JSON"),
            )
        wants_json = request.config_type == ConfigsTypeRequest.JSON
        render: Callable[..., str] = as_json if wants_json else as_yaml
        for name, content in self._config.files.items():
            yield A2XConfig(name=name.replace(".yaml", ".json") if wants_json else name, content=render(content))
