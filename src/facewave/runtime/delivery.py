"""What a caller holds while its audio is on the way: the answer whether all of it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from .workers import Workers

Reason = Literal["finished", "idle", "cancelled", "replaced", "stopped", "closed", "failed"]
"""Why a clip came to its end.

finished: all of its audio was animated. idle: nothing arrived for too long, the clip was ended where it was.
cancelled: by `cancel`. replaced: a new clip began. stopped: the consumer wanted no more. closed: the runtime was
closed. failed: see the error.
"""

GRACEFUL: tuple[Reason, ...] = ("finished", "idle", "failed")
"""Endings after which a player still plays what it has; the others interrupt it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a clip ended."""

    reason: Reason
    """Why."""

    error: Exception | None = None
    """What failed, where something did."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """Whether audio was handed to the provider; true in a condition if all of it was."""

    sent: bool
    """Whether every sample was handed over. It says nothing about playing."""

    samples: int = 0
    """16 kHz samples of the clip handed over so far."""

    ending: Ending | None = None
    """Why not all of it was sent; None where it was, or where no session was open."""

    def __bool__(self) -> bool:
        return self.sent


class Delivery:
    """The sending of one call's audio, which goes on in the background. Can be awaited."""

    def __init__(self, workers: Workers, ended: Future[Ending]) -> None:
        self._workers = workers
        self._future: Future[SendResult] = running_future()
        self._ended = ended

    @classmethod
    def settled(cls, workers: Workers, result: SendResult) -> Delivery:
        """A delivery of which the result is known already."""
        ended: Future[Ending] = running_future()
        ended.set_result(result.ending or Ending("finished"))
        delivery = cls(workers, ended)
        delivery.settle(result)
        return delivery

    @property
    def done(self) -> bool:
        """Whether the result is known."""
        return self._future.done()

    def result(self, timeout_s: float | None = None) -> SendResult:
        """Wait until the audio was handed over, or will never be.

        Raises:
            FacewaveError: What failed; a clip that was cancelled or replaced is no failure.
            TimeoutError: Still being sent after `timeout_s`.
        """
        return self._workers.wait(self._future, timeout_s)

    def ending(self, timeout_s: float | None = None) -> Ending:
        """Wait until the whole clip has been animated and handed to the consumer, or has ended otherwise.

        Raises:
            TimeoutError: Not ended after `timeout_s`.
        """
        return self._workers.wait(self._ended, timeout_s)

    def __await__(self) -> Generator[object, None, SendResult]:
        # Shielded: a caller that gives up waiting does not change what others see.
        return asyncio.shield(asyncio.wrap_future(self._future)).__await__()

    def settle(self, result: SendResult) -> None:
        """Answer. The first answer counts."""
        if not self._future.done():
            self._future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Answer with an error. The first answer counts."""
        if not self._future.done():
            self._future.set_exception(error)


def running_future() -> Future[Any]:
    """A future that nobody can cancel: an answer always has a place to go."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future
