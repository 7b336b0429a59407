"""The port on which services of the one-way protocol deliver animation: there, the service is the client."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...errors import ProviderUnavailableError, RemoteError
from ...wire._proto.animation_id_pb2 import AnimationIds
from ...wire.animation import Status
from .client import Inbox

log = logging.getLogger("facewave.remote")

LATE_S = 5.0
"""Seconds for which an animation may wait for its session."""

MAX_STREAMS = 64
"""Animations received at the same time; further ones wait."""

Key = tuple[str, str]


def key_of(ids: AnimationIds) -> Key:
    """What tells one clip from another: stream and request id."""
    return ids.stream_id, ids.request_id


class Receiver:
    """A gRPC server for `PushAnimationDataStream`, which hands each stream to the session that expects it."""

    def __init__(self, address: str) -> None:
        """Listen.

        Args:
            address: Host and port; port 0 takes a free one.

        Raises:
            ProviderUnavailableError: The address cannot be listened on.
        """
        import grpc

        from ...wire._proto.animation_data_service_pb2_grpc import add_AnimationDataServiceServicer_to_server

        self._expected: dict[Key, Inbox] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._pool = ThreadPoolExecutor(MAX_STREAMS, thread_name_prefix="facewave-receiver")
        # Two programs on one port would each get half of the animations.
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        add_AnimationDataServiceServicer_to_server(self, self._server)
        try:
            self.port = int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            self._pool.shutdown(wait=False)
            raise ProviderUnavailableError(
                f"LegacyA2F: cannot listen on {address} for animation; is another program there? "
                "Set another address as listen"
            ) from error
        self.address = f"{address.rpartition(':')[0]}:{self.port}"
        """Where services can deliver."""
        self._server.start()
        log.info("receiving animation on %s", self.address)

    def expect(self, ids: AnimationIds, inbox: Inbox) -> None:
        """Hand the animation with these ids to `inbox`."""
        with self._changed:
            self._expected[key_of(ids)] = inbox
            self._changed.notify_all()

    def forget(self, ids: AnimationIds) -> None:
        """Expect these ids no longer."""
        with self._changed:
            self._expected.pop(key_of(ids), None)

    def stop(self) -> None:
        """Stop listening and break off what is being received."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._server.stop(0).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def PushAnimationDataStream(self, requests: Iterator[Any], context: Any) -> Status:  # noqa: N802
        """The remote procedure."""
        import grpc

        first = next(requests, None)
        if first is None or first.WhichOneof("stream_part") != "animation_data_stream_header":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message must be the header")
            raise AssertionError("abort raises")
        ids = first.animation_data_stream_header.animation_ids
        inbox = self._inbox_for(ids)
        if inbox is None:
            log.warning("animation for unknown ids %s refused", key_of(ids))
            context.abort(grpc.StatusCode.NOT_FOUND, f"nobody here expects stream {ids.stream_id!r}")
            raise AssertionError("abort raises")
        self.forget(ids)
        finished = False
        # A service that goes away raises in the iteration; the session must learn of it in any case.
        try:
            inbox.put(first)
            for message in requests:
                inbox.put(message)
                if inbox.closed:
                    return Status(code=Status.WARNING, message="the receiver has cancelled this stream")
            finished = True
        finally:
            inbox.end(None if finished else RemoteError("the service broke off its delivery", retryable=True))
        return Status(code=Status.SUCCESS, message="animation received")

    def PullAnimationDataStream(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Not offered: what arrives here is for this program."""
        import grpc

        context.abort(grpc.StatusCode.UNIMPLEMENTED, "this receiver does not pass animation on")

    def _inbox_for(self, ids: AnimationIds) -> Inbox | None:
        deadline = time.monotonic() + LATE_S
        with self._changed:
            while key_of(ids) not in self._expected and not self._stopped:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)
            return self._expected.get(key_of(ids))
