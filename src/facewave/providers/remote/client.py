"""One clip on its way to a service and back: requests leave and responses arrive on threads of their own.

What crosses between the threads are queues of messages. This module knows nothing about blend shapes or emotions.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ...errors import RemoteError
from .connection import Connection
from .failures import described, remote_error
from .options import RetryPolicy

log = logging.getLogger("facewave.remote")

_MAX_WAITING_BYTES = 16 << 20
"""Requests that may wait for a service which does not read: eight minutes of 16 kHz audio."""

_MAX_REPLAY_BYTES = 1 << 20
"""Requests kept for a second try while the service has not answered at all: half a minute of 16 kHz audio."""

_MAX_WAITING_PARTS = 20_000
"""Responses that may wait for a program which does not take them; the service is slowed down beyond."""


class Outbox:
    """Requests in order, kept until the service has answered so that a second try can start from the first one."""

    def __init__(self) -> None:
        self.flowing = threading.Event()
        """Set when the first request has left: gRPC fetches a second one only after the connection took the first."""
        self._changed = threading.Condition()
        self._messages: deque[tuple[Any, int]] = deque()
        self._first = 0  # Number of the oldest message still kept.
        self._sent = 0  # Messages handed to gRPC in the current try.
        self._kept_bytes = 0
        self._unsent_bytes = 0
        self._generation = 0
        self._closed = False
        self._replayable = True

    @property
    def replayable(self) -> bool:
        """Whether everything from the first request on is still here."""
        return self._replayable

    def put(self, message: Any, size: int, *, timeout_s: float) -> bool:
        """Queue a request of `size` bytes; False where the service did not take earlier ones for `timeout_s`.

        A request of size 0 never waits: what ends a clip must not be lost where its audio is still waiting.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while size and self._unsent_bytes > _MAX_WAITING_BYTES and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            if self._closed:
                return True
            self._messages.append((message, size))
            self._kept_bytes += size
            self._unsent_bytes += size
            self._changed.notify_all()
        return True

    def close(self) -> None:
        """No request follows: the call's sending side ends after those queued."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def discard(self) -> None:
        """End the sending side at once."""
        with self._changed:
            self._closed = True
            self._generation += 1
            self._messages.clear()
            self._kept_bytes = self._unsent_bytes = 0
            self._replayable = False
            self._changed.notify_all()

    def answered(self) -> None:
        """The service has begun to answer: from now on nothing is sent twice."""
        with self._changed:
            if self._replayable:
                self._replayable = False
                self._forget_sent()

    def messages(self) -> Iterator[Any]:
        """Requests from the first one kept; ends after `close`, and when a newer iteration begins."""
        with self._changed:
            self._generation += 1
            generation = self._generation
            self._sent = self._first
            self._unsent_bytes = self._kept_bytes
            self._changed.notify_all()
        return self._iterate(generation)

    def _iterate(self, generation: int) -> Iterator[Any]:
        while True:
            with self._changed:
                while generation == self._generation and self._sent >= self._end() and not self._closed:
                    self._changed.wait()
                if generation != self._generation or self._sent >= self._end():
                    return
                message, size = self._messages[self._sent - self._first]
                self._sent += 1
                self._unsent_bytes -= size
                if not self._replayable or self._kept_bytes - self._unsent_bytes > _MAX_REPLAY_BYTES:
                    self._replayable = False
                    self._forget_sent()
                self._changed.notify_all()
            yield message
            self.flowing.set()

    def stop(self) -> None:
        """End the iteration in progress, keeping the requests for another."""
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def _end(self) -> int:
        return self._first + len(self._messages)

    def _forget_sent(self) -> None:
        while self._first < self._sent and self._messages:
            self._kept_bytes -= self._messages.popleft()[1]
            self._first += 1
        self._changed.notify_all()


class Inbox:
    """Responses in order, then the way the stream ended."""

    def __init__(self) -> None:
        self.arrived: Callable[[], None] = lambda: None
        """Called for each response, from the thread that receives it."""
        self._changed = threading.Condition()
        self._parts: deque[Any] = deque()
        self._ended = False
        self._closed = False
        self._failure: RemoteError | None = None

    def put(self, part: Any) -> None:
        """Add a response; waits while too many are waiting, which slows the service down."""
        self.arrived()
        with self._changed:
            while len(self._parts) >= _MAX_WAITING_PARTS and not self._closed:
                self._changed.wait()
            if not self._closed:
                self._parts.append(part)
                self._changed.notify_all()

    def end(self, failure: RemoteError | None = None) -> None:
        """The stream has ended, well or with a failure; only the first call counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._failure = True, failure
                self._changed.notify_all()

    def close(self) -> None:
        """Nobody will take any more."""
        with self._changed:
            self._closed = self._ended = True
            self._failure = None
            self._parts.clear()
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nobody takes any more."""
        with self._changed:
            return self._closed

    @property
    def exhausted(self) -> bool:
        """Whether the stream has ended and everything has been taken."""
        with self._changed:
            return self._ended and not self._parts

    def take(self, timeout_s: float = 0.0) -> list[Any]:
        """All responses that are here; waits up to `timeout_s` for the first.

        Raises:
            RemoteError: The stream failed, and everything before the failure has been taken.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._parts and not self._ended:
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                self._changed.wait(left)
            parts = list(self._parts)
            self._parts.clear()
            self._changed.notify_all()
            if not parts and self._failure is not None:
                raise self._failure
            return parts


class Call:
    """A streaming call in both directions, with tries that never repeat a clip of which the service has used a part."""

    def __init__(
        self,
        start: Callable[[Iterator[Any]], Any],
        connection: Connection,
        retry: RetryPolicy,
        *,
        ended: Callable[[RemoteError | None], None],
        name: str,
    ) -> None:
        """Start the call.

        Args:
            start: Begins an RPC from an iterator of requests and returns gRPC's call object.
            connection: Named in failures.
            retry: How often and when to try again.
            ended: Called once, from the call's thread, with the failure if any, when nothing more will happen.
            name: Names the thread and the log lines.
        """
        self._start, self._connection, self._retry, self._on_end = start, connection, retry, ended
        self._name = name
        self.outbox = Outbox()
        self.inbox = Inbox()
        self.inbox.arrived = self.outbox.answered
        self._rpc: Any = None
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name=f"facewave-{name}", daemon=True).start()

    def wait_connected(self, timeout_s: float) -> None:
        """Wait until the first request has left, through as many tries as the policy allows.

        Raises:
            RemoteError: No connection, with the reason that gRPC gives; the call is over then.
        """
        if not self.outbox.flowing.wait(timeout_s):
            self.cancel()
            raise described(
                "DEADLINE_EXCEEDED", f"not connected after {timeout_s:g} s", self._connection, doing="connecting"
            )
        if self.inbox.exhausted:
            self.inbox.take()

    def cancel(self) -> None:
        """Drop the call: the service is told, nothing more arrives. Safe at any time and more than once."""
        with self._lock:
            self._cancelled.set()
            rpc = self._rpc
        self.outbox.discard()
        self.inbox.close()
        if rpc is not None:
            rpc.cancel()

    def _run(self) -> None:
        failure: RemoteError | None = None
        try:
            for attempt in range(1, self._retry.attempts + 1):
                failure = self._attempt()
                if failure is None or not failure.retryable or not self.outbox.replayable:
                    return
                if attempt == self._retry.attempts:
                    return
                wait = self._retry.delay_after(attempt)
                log.warning("[%s] %s; nothing was used, trying again in %.1f s", self._name, failure, wait)
                if self._cancelled.wait(wait):
                    return
        finally:
            self.outbox.discard()
            self.inbox.end(failure)
            self.outbox.flowing.set()
            self._on_end(failure)

    def _attempt(self) -> RemoteError | None:
        import grpc

        received = 0
        try:
            with self._lock:
                if self._cancelled.is_set():
                    return None
                self._rpc = self._start(self.outbox.messages())
            for part in self._rpc:
                received += 1
                self.inbox.put(part)
        except grpc.RpcError as error:
            if self._cancelled.is_set():
                return None
            if received:
                doing = f"animating (after {received} messages of the answer)"
            else:
                lost = error.code() is grpc.StatusCode.UNAVAILABLE and not self.outbox.flowing.is_set()
                doing = "connecting" if lost else "starting a clip"
            return remote_error(error, self._connection, doing=doing)
        except grpc.FutureCancelledError:
            return None
        except ValueError as error:
            # gRPC's word for a channel that has been closed.
            return RemoteError(f"{self._connection.target}: the connection was closed: {error}", retryable=True)
        except Exception as error:
            # This is the end of a thread: what is not passed on from here, nobody learns.
            return RemoteError(f"{self._connection.target}: the call broke: {type(error).__name__}: {error}")
        finally:
            self.outbox.stop()
        return None
