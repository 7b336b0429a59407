"""Who may talk to the studio: pages of its own origin or of one allowed, with the token where one is set."""

from __future__ import annotations

import re
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


_OWN_HOST = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Guard:
    """ASGI middleware that refuses foreign origins (403) and missing tokens (401) before anything is read.

    Without a token, only the names every machine has for itself are served (`localhost`, 127.x.x.x, [::1]).
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
        # A page may point a name of its own at this machine: then its origin is "ours", and the name gives it away.
        host = headers.get("host")
        if host is not None and not self.token and not _OWN_HOST.fullmatch(host):
            return 403, f"host {host} is not this machine's own name; start the studio with --token to serve others"
        origin = headers.get("origin")
        if is_foreign(origin, headers.get("host", ""), self.origins):
            return 403, f"origin {origin} is not allowed; start the studio with --allow-origin {origin}"
        query = scope.get("query_string", b"").decode("latin-1")
        if not scope["path"].startswith(OPEN_PATHS) and not has_token(
            self.token, headers.get("authorization", ""), query
        ):
            return 401, "a token is needed: open the address that `facewave studio` printed"
        return None
