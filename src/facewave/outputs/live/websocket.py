"""A WebSocket server that shows the same stream to everyone who connects, in the studio's messages.

    server                                                client
    text    {"type": "info", "channels": [...], ...}  ->
    binary  frames, one a message                     ->  or text, {"type": "frame", ...}, with ?format=json
    text    {"type": "end", "frames": n}              ->
    close 1000

What a client says is not read. One that connects in the middle gets the description and the newest frame. One that is
slow misses frames, never the newest: nothing is queued for it but the frame on its way.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import socket
import threading
from concurrent.futures import Future
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...errors import OutputError
from ...frames import Frame, StreamInfo
from ...wire.browser import end_message, frame_json, frames_message, has_token, info_message, is_foreign
from .address import LiveAddress
from .base import Link

log = logging.getLogger("facewave.outputs")

PORT = 8765
OPTIONS = ("token", "origin", "format")
FORMATS = ("binary", "json")

MAX_CLIENTS = 64
"""Connections at once."""

_SEND_BUFFER = 16_384
"""Bytes the system may hold back for one client: what lies there is old by the time a slow client reads it."""

_WRITE_LIMIT = 1024
"""Bytes waiting in this process from which on a client counts as slow."""

_MAX_HEARD = 4096
"""Bytes of one message from a client; a longer one ends the connection."""

_GOODBYE_S = 1.0
"""Seconds for a client to take the end of the stream."""


def open_link(address: LiveAddress) -> Link:
    """A server on the address, this machine's own unless another is given.

    Options: `token`, a secret that clients must carry; `origin`, pages besides the server's own that may connect,
    separated by commas; `format`, binary or json, for clients that do not ask themselves (binary).

    Raises:
        OutputError: The package `websockets` is missing, or the address cannot be listened on.
    """
    default = address.choice("format", FORMATS, "binary")
    token = address.options.get("token", "")
    origins = tuple(filter(None, address.options.get("origin", "").split(",")))
    if not token and not _is_loopback(address.host):
        log.warning("%s: anyone who reaches this machine can watch; add ?token=SECRET to the address", address.name)
    port = PORT if address.port is None else address.port
    return Broadcast(address.name, address.host, port, token=token, origins=origins, default=default)


class Broadcast:
    """The server, in a thread of its own with an event loop of its own."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        token: str = "",
        origins: tuple[str, ...] = (),
        default: str = "binary",
    ) -> None:
        """Listen.

        Raises:
            OutputError: It cannot.
        """
        try:
            import websockets.asyncio.server  # noqa: F401
        except ModuleNotFoundError as error:
            raise OutputError(
                f"{name}: needs the package websockets: install it with  pip install 'facewave[live]'"
            ) from error
        self._socket = _listening(name, host, port)
        shown = f"[{host}]" if ":" in host else host
        self.name = f"ws://{shown}:{self._socket.getsockname()[1]}"
        """The address, with the real port."""
        self._token, self._origins, self._default = token, origins, default
        self._info: StreamInfo | None = None
        self._newest: Frame | None = None
        self._told = False  # The loop has been asked to look at the newest frame, and has not yet.
        self._frames: int | None = None  # Set at the end.
        self._clients: set[_Client] = set()
        self._loop = asyncio.new_event_loop()
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=f"facewave {self.name}", daemon=True)
        self._thread.start()
        ready.result()

    def begin(self, info: StreamInfo) -> None:
        """Describe the stream to everyone."""
        self._loop.call_soon_threadsafe(self._described, info)

    def send(self, frame: Frame) -> None:
        """Make this frame the newest. Never waits."""
        self._newest = frame
        if not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._wake)

    def end(self, frames: int) -> None:
        """Say goodbye to everyone, for a second at most, and stop listening."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over, frames)
            self._thread.join(2 * _GOODBYE_S + 1)

    # In the loop's thread

    def _run(self, ready: Future[None]) -> None:
        try:
            self._loop.run_until_complete(self._serve(ready))
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
            log.exception("%s: the server failed", self.name)
        finally:
            self._loop.close()

    async def _serve(self, ready: Future[None]) -> None:
        from websockets.asyncio.server import serve

        self._stopped = asyncio.Event()
        server = await serve(
            self._connected,
            sock=self._socket,
            process_request=self._refused,
            compression=None,
            max_size=_MAX_HEARD,
            max_queue=1,
            write_limit=_WRITE_LIMIT,
            close_timeout=_GOODBYE_S,
            server_header=None,
            # Refused handshakes are the client's affair; what they say is in the answer.
            logger=_quiet(),
        )
        ready.set_result(None)
        await self._stopped.wait()
        pending = [client.task for client in self._clients]
        if pending:
            await asyncio.wait(pending, timeout=_GOODBYE_S)
        for client in list(self._clients):
            client.connection.transport.abort()
        server.close()
        await server.wait_closed()

    def _refused(self, connection: Any, request: Any) -> Any:
        headers = request.headers
        origin = headers.get("Origin")
        if is_foreign(origin, headers.get("Host", ""), self._origins):
            return connection.respond(403, f"origin {origin} is not allowed; add origin={origin} to the ws address\n")
        query = urlsplit(request.path).query
        if not has_token(self._token, headers.get("Authorization", ""), query):
            return connection.respond(401, "a token is needed: ?token=SECRET\n")
        form = self._format(query)
        if form not in FORMATS:
            return connection.respond(400, f"found format={form}, expected one of: {', '.join(FORMATS)}\n")
        if len(self._clients) >= MAX_CLIENTS:
            return connection.respond(503, f"{MAX_CLIENTS} clients are connected already\n")
        return None

    def _format(self, query: str) -> str:
        return parse_qs(query).get("format", [self._default])[0]

    async def _connected(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        raw = connection.transport.get_extra_info("socket")
        if raw is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _SEND_BUFFER)
        task = asyncio.current_task()
        assert task is not None
        as_json = self._format(urlsplit(connection.request.path).query) == "json"
        client = _Client(connection, as_json, task)
        self._clients.add(client)
        listening = asyncio.create_task(_ignored(connection, client))
        try:
            await self._shown_to(client)
        except ConnectionClosed:
            pass
        except Exception:
            log.exception("%s: a client could not be served", self.name)
        finally:
            self._clients.discard(client)
            listening.cancel()

    async def _shown_to(self, client: _Client) -> None:
        described, shown = False, None
        while not client.gone:
            if self._info is not None and not described:
                described = True
                await client.connection.send(json.dumps(info_message(self._info)))
                continue
            frame = self._newest
            if described and frame is not None and frame is not shown:
                assert self._info is not None
                shown = frame
                message = frame_json(frame, self._info) if client.json else frames_message([frame])
                await client.connection.send(message)
                continue
            if self._frames is not None:
                if described:
                    await client.connection.send(json.dumps(end_message(self._frames)))
                await client.connection.close(1000)
                return
            client.news.clear()
            await client.news.wait()

    def _described(self, info: StreamInfo) -> None:
        self._info = info
        self._wake()

    def _wake(self) -> None:
        self._told = False
        for client in self._clients:
            client.news.set()

    def _over(self, frames: int) -> None:
        self._frames = frames
        self._wake()
        self._stopped.set()


class _Client:
    def __init__(self, connection: Any, as_json: bool, task: asyncio.Task[None]) -> None:
        self.connection, self.json, self.task = connection, as_json, task
        self.news = asyncio.Event()
        self.gone = False


async def _ignored(connection: Any, client: _Client) -> None:
    """Read what the client says, so that its goodbye is noticed."""
    try:
        async for _ in connection:
            pass
    except Exception as error:
        log.debug("a client went: %s", error)
    finally:
        client.gone = True
        client.news.set()


def _quiet() -> logging.Logger:
    logger = logging.getLogger("facewave.outputs.websocket")
    logger.setLevel(logging.CRITICAL)
    return logger


def _listening(name: str, host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OutputError(f"{name}: host {host!r} was not found ({error.strerror or error})") from error
    try:
        if socket.has_dualstack_ipv6() and family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listener.bind(place)
        listener.listen()
    except OSError as error:
        listener.close()
        raise OutputError(f"{name}: cannot be listened on ({error.strerror or error}); choose another port") from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
