"""Who may talk to the studio: pages of its own origin or of one allowed, with the token where one is set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from ..wire.browser import has_token, is_foreign

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/static/", "/favicon.ico")
"""Paths that need no token: they hold nothing of the user's."""


@dataclass(frozen=True)
class Guard:
    """ASGI middleware that refuses foreign origins (403) and missing tokens (401) before anything is read.

    Browsers send `Origin` with every WebSocket and every POST; programs that send none are judged by the token alone.
    """

    app: App
    origins: tuple[str, ...] = ()
    """Further origins allowed, as `https://example.org`."""

    token: str = ""
    """Required as `Authorization: Bearer TOKEN` or as `?token=TOKEN`; blank for none."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is None:
            return await self.app(scope, receive, send)
        status, text = refusal
        if scope["type"] == "websocket":
            # Closing before accepting makes the server answer the handshake with 403.
            return await send({"type": "websocket.close", "code": 1008, "reason": text})
        body = text.encode()
        head = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        return await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        origin = headers.get("origin")
        if is_foreign(origin, headers.get("host", ""), self.origins):
            return 403, f"origin {origin} is not allowed; start the studio with --allow-origin {origin}"
        query = scope.get("query_string", b"").decode("latin-1")
        if not scope["path"].startswith(OPEN_PATHS) and not has_token(
            self.token, headers.get("authorization", ""), query
        ):
            return 401, "a token is needed: open the address that `facewave studio` printed"
        return None
