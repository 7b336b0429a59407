"""Who may talk to the server: certificates for the connection, bearer keys for the calls."""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from ..errors import SettingsError
from .config import Endpoint
from .limits import Code

_OPEN_PREFIX = "/grpc.health.v1.Health/"
"""Balancers and clients ask for health before they have keys."""


def credentials(endpoint: Endpoint) -> grpc.ServerCredentials | None:
    """The connection's credentials; None for plain text.

    Raises:
        SettingsError: A certificate, key or CA that is not configured or cannot be read.
    """
    if endpoint.secure_mode == "disabled":
        return None
    certificate = _pem(endpoint.certificate_path, "certificate_path", endpoint.secure_mode)
    key = _pem(endpoint.key_path, "key_path", endpoint.secure_mode)
    mutual = endpoint.secure_mode == "mtls"
    ca = _pem(endpoint.ca_path, "ca_path", endpoint.secure_mode) if mutual else None
    return grpc.ssl_server_credentials([(key, certificate)], ca, mutual)


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Bearer keys, one a line; blank lines and lines that begin with # are skipped.

    Raises:
        SettingsError: Not readable, readable by others than its owner, or without a key.
    """
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"key file {path}: cannot be read ({error})") from error
    if os.name == "posix" and mode & 0o007:
        raise SettingsError(f"key file {path}: everyone may read it; make it private: chmod 600 {path}")
    keys = tuple(line.strip().encode() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not keys:
        raise SettingsError(f"key file {path}: found no key, expected one a line")
    return keys


class KeyCheck(grpc.aio.ServerInterceptor):
    """Turns away calls without one of the keys as `authorization: Bearer KEY`; health checks need none."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._keys = keys

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Let the call through, or replace its handler by one that refuses."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or method.startswith(_OPEN_PREFIX) or self._knows(handler_call_details):
            return handler
        return _refusing(handler)

    def _knows(self, details: grpc.HandlerCallDetails) -> bool:
        given = b""
        for name, value in details.invocation_metadata:
            if name == "authorization":
                given = value if isinstance(value, bytes) else value.encode()
        scheme, _, key = given.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        # Every key is compared, in constant time, so that the time tells nothing about which one was close.
        return any([hmac.compare_digest(key.strip(), known) for known in self._keys])  # noqa: C419


def _refusing(handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler of the same form that ends every call with UNAUTHENTICATED."""
    code = grpc.StatusCode[Code.UNAUTHENTICATED.name]
    text = "a valid key is needed: send the metadata `authorization: Bearer KEY`"

    async def refuse(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(code, text)

    forms = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    form = forms[bool(handler.request_streaming), bool(handler.response_streaming)]
    made: grpc.RpcMethodHandler[Any, Any] = form(
        refuse, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
    )
    return made


def _pem(path: str, key: str, mode: str) -> bytes:
    if not path:
        raise SettingsError(f"endpoints.bidirectional.server.{key}: found nothing, needed for secure_mode {mode}")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{key} {path}: cannot be read ({error.strerror})") from error
    if b"-----BEGIN" not in content:
        raise SettingsError(f"{key} {path}: found no PEM block, expected a PEM file")
    return content
