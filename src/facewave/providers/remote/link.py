"""The connection itself: opened when needed, shared by the sessions of a provider, closed after the last of them."""

from __future__ import annotations

import logging
import threading
from typing import Any

from ...errors import RemoteError
from .connection import Connection
from .failures import remote_error

log = logging.getLogger("facewave.remote")

# The standard health message has one field, an enumeration; reading its encodings needs no generated module, and so no
# package beyond grpcio.
_HEALTH: dict[bytes, str] = {
    b"": "UNKNOWN",
    b"\x08\x00": "UNKNOWN",
    b"\x08\x01": "SERVING",
    b"\x08\x02": "NOT_SERVING",
    b"\x08\x03": "SERVICE_UNKNOWN",
}


class Link:
    """One gRPC channel with a count of its users."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.channel: Any = connection.channel()
        self.connected = False
        """Whether the service has been reached and not been lost since, as far as is known."""
        self._users = 0
        self._retired = False
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Count one more user."""
        with self._lock:
            self._users += 1

    def release(self, failure: RemoteError | None = None) -> None:
        """One user less, with how it failed if it did; the last one closes a retired link."""
        with self._lock:
            self._users -= 1
            if failure is not None and failure.retryable:
                self.connected = False
            close = self._retired and self._users == 0
        if close:
            self._close()

    def retire(self) -> None:
        """Close once nobody uses it; at once where nobody does."""
        with self._lock:
            close = not self._retired and self._users == 0
            self._retired = True
        if close:
            self._close()

    def check(self, timeout_s: float) -> str:
        """Ask the service for its health, which also connects.

        Returns:
            `SERVING`, `NOT_SERVING`, `UNKNOWN`, `SERVICE_UNKNOWN`, or `UNIMPLEMENTED` where the service has no health
            check, which still shows that it is there.

        Raises:
            RemoteError: No connection, or the service refuses the caller.
        """
        import grpc

        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer: bytes = check(b"", timeout=timeout_s, metadata=self.connection.metadata())
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise remote_error(error, self.connection, doing="connecting") from None
            status = "UNIMPLEMENTED"
        else:
            status = _HEALTH.get(answer, "UNKNOWN")
        self.connected = True
        return status

    def _close(self) -> None:
        self.connected = False
        self.channel.close()
        log.info("disconnected from %s", self.connection.target)


class Links:
    """The current link of a provider, made for the connection in force."""

    def __init__(self, connection: Connection) -> None:
        self._base, self._override = connection, Connection()
        self._link: Link | None = None
        self._lock = threading.Lock()

    @property
    def connection(self) -> Connection:
        """The connection in force: the configured one with the override laid over it, field by field."""
        with self._lock:
            return self._base.merged(self._override)

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""
        with self._lock:
            return self._link is not None and self._link.connected

    def override(self, connection: Connection) -> None:
        """Use other settings from the next clip on; blank fields fall back to the configured ones.

        Streams in progress keep their connection, which is closed after the last of them.
        """
        with self._lock:
            self._override = connection
            if self._link is not None and self._link.connection != self._base.merged(connection):
                self._link.retire()
                self._link = None

    def acquire(self) -> Link:
        """The link in force, counted for the caller, who must `release` it."""
        with self._lock:
            if self._link is None:
                connection = self._base.merged(self._override)
                if connection.exposes_key:
                    log.warning(
                        "the API key travels unencrypted to %s; use https:// where the service has it",
                        connection.target,
                    )
                self._link = Link(connection)
                log.info("connecting to %s, key %s", connection.target, connection.shown()["api_key"] or "none")
            self._link.acquire()
            return self._link

    def close(self) -> None:
        """Disconnect after the last stream."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.retire()
