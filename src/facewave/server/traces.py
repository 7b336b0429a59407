"""OpenTelemetry traces: one span for each call, named after its method as NVIDIA's service does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import Any, TypeAlias

import grpc

from ..errors import SettingsError

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def tracing(endpoint: str, service_name: str) -> tuple[grpc.aio.ServerInterceptor, Callable[[], None]]:
    """An interceptor that records calls and sends them to an OTLP/HTTP collector, and what to call at the end.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    try:
        trace: Any = import_module("opentelemetry.sdk.trace")
        export: Any = import_module("opentelemetry.sdk.trace.export")
        resources: Any = import_module("opentelemetry.sdk.resources")
        otlp: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise SettingsError(f"traces need a package more ({error.name}): pip install 'facewave[telemetry]'") from error
    provider = trace.TracerProvider(resource=resources.Resource.create({"service.name": service_name}))
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter(endpoint=endpoint)))
    return Tracing(provider.get_tracer("facewave")), provider.shutdown


class Tracing(grpc.aio.ServerInterceptor):
    """Wraps every call in a span; what a call raises is recorded in it."""

    def __init__(self, tracer: Any) -> None:
        """Args: an OpenTelemetry tracer."""
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        name: str = handler_call_details.method.removeprefix("/")
        if handler is None or name.startswith("grpc."):
            return handler
        return self._wrapped(handler, name)

    def _wrapped(self, handler: Any, name: str) -> _Handler:
        async def awaited(request: Any, context: Any) -> Any:
            with self._tracer.start_as_current_span(name):
                return await (handler.stream_stream or handler.stream_unary or handler.unary_unary)(request, context)

        async def iterated(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._tracer.start_as_current_span(name):
                async for response in handler.unary_stream(request, context):
                    yield response

        form, behaviour = _forms(handler, awaited, iterated)
        made: _Handler = form(
            behaviour,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return made


def _forms(handler: Any, awaited: Any, iterated: Any) -> tuple[Any, Any]:
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler, awaited
    if handler.stream_unary is not None:
        return grpc.stream_unary_rpc_method_handler, awaited
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler, iterated
    return grpc.unary_unary_rpc_method_handler, awaited
