"""Whether the server is alive and ready, over HTTP: for orchestrators, and the metrics for Prometheus.

gRPC health is the standard service; this is the small HTTP side that NVIDIA's container has as well. It answers GET and
nothing else, closes after each answer, and gives up on requests that are slow or long.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import SettingsError

_MAX_REQUEST = 8192
_TIMEOUT_S = 5.0
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one path gives."""

    status: int
    body: bytes
    content_type: str = "application/json"


Routes = Mapping[str, Callable[[], Answer]]


def health_routes(ready: Callable[[], bool], metadata: Callable[[], Mapping[str, object]]) -> Routes:
    """`/v1/health/live`, `/v1/health/ready`, `/v1/metadata`."""

    def readiness() -> Answer:
        is_ready = ready()
        return Answer(200 if is_ready else 503, _json(status="ready" if is_ready else "not ready"))

    return {
        "/v1/health/live": lambda: Answer(200, _json(status="live")),
        "/v1/health/ready": readiness,
        "/v1/metadata": lambda: Answer(200, _json(**metadata())),
    }


def metrics_routes(text: Callable[[], bytes]) -> Routes:
    """`/metrics`, and the same at the root."""
    return dict.fromkeys(("/metrics", "/"), lambda: Answer(200, text(), _TEXT))


async def serve_http(address: str, routes: Routes) -> asyncio.Server:
    """Listen on `host:port` and answer `routes`.

    Raises:
        SettingsError: The address is taken or not ours.
    """
    host, port = split_address(address)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whatever a stranger sends or how it leaves, only this connection ends.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, routes))
                await writer.drain()
        writer.close()

    try:
        return await asyncio.start_server(answer, host, port, limit=_MAX_REQUEST)
    except OSError as error:
        raise SettingsError(
            f"HTTP on {address}: cannot listen ({error.strerror or error}); choose another or none"
        ) from error


def split_address(address: str) -> tuple[str, int]:
    """`host:port`, `[v6]:port` -> host, port.

    Raises:
        SettingsError: Not of that form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"address {address!r}: expected host:port, such as 127.0.0.1:52000")
    return host.strip("[]") or "0.0.0.0", int(port)


def _response(head: bytes, routes: Routes) -> bytes:
    method, _, rest = head.split(b"\r\n", 1)[0].partition(b" ")
    path = rest.split(b" ")[0].split(b"?")[0].decode("latin-1")
    route = routes.get(path)
    if method not in (b"GET", b"HEAD"):
        answer = Answer(405, _json(error="only GET"))
    elif route is None:
        answer = Answer(404, _json(error="not found", paths=sorted(routes)))
    else:
        answer = route()
    body = b"" if method == b"HEAD" else answer.body
    return (
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body


def _json(**values: object) -> bytes:
    return json.dumps(values).encode()
