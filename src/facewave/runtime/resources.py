"""A provider as the runtime holds it: opened when needed, freed when idle, never both at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import cast

from ..providers.base import BatchProvider, Provider, Session
from ..streams import StreamSettings
from .batches import Batches
from .workers import Workers

log = logging.getLogger("facewave.runtime")


class ProviderSlot:
    """One provider shared by many clips. Freeing waits until the last clip has ended; using waits for a freeing."""

    def __init__(self, name: str, open_provider: Callable[[], Provider], workers: Workers) -> None:
        """Args: the name for messages, how to get the provider when it is first needed, and who computes."""
        self._name = name
        self._open = open_provider
        self._workers = workers
        self._batches: Batches | None = None
        self._provider: Provider | None = None
        self._changed = threading.Condition()
        self._leases = 0
        self._free_wanted = False
        self._busy = False  # The provider is being made or freed.

    @property
    def in_use(self) -> bool:
        """Whether a clip holds the provider."""
        with self._changed:
            return self._leases > 0

    def lease(self) -> Provider:
        """Hold the provider; withdraws a freeing that has not begun. May take long: not for the caller's thread.

        Raises:
            FacewaveError: The provider cannot be had.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._free_wanted = False
            self._leases += 1
            if self._provider is not None:
                return self._provider
            self._busy = True
        try:
            provider = self._open()
        except BaseException:
            self._settle(leases=-1)
            raise
        self._provider = provider
        if hasattr(provider, "step"):
            self._batches = Batches(cast(BatchProvider, provider), self._workers)
        self._settle()
        return provider

    def open(self, settings: StreamSettings, arrived: Callable[[], None]) -> Session:
        """Start a stream of the provider, which must be held: one of many that are computed together where it can.

        Args:
            settings: Of the stream.
            arrived: Called, from another thread, when a stream computed with others may have frames.

        Raises:
            FacewaveError: As `Provider.open`.
        """
        assert self._provider is not None, "leased before"
        if self._batches is not None:
            return self._batches.open(settings, arrived)
        return self._provider.open(settings)

    def release(self) -> None:
        """Give the provider back."""
        with self._changed:
            self._leases -= 1
        self._free_if_wanted()

    def allocate(self) -> None:
        """Have the provider load now.

        Raises:
            FacewaveError: It cannot.
        """
        provider = self.lease()
        try:
            provider.allocate()
        finally:
            self.release()

    def free(self) -> None:
        """Free the provider now, or when the last clip that uses it ends."""
        with self._changed:
            self._free_wanted = True
        self._free_if_wanted()

    def _free_if_wanted(self) -> None:
        with self._changed:
            if self._busy or self._leases or not self._free_wanted:
                return
            self._free_wanted = False
            provider = self._provider
            if provider is None:
                return
            self._busy = True
        try:
            provider.free()
        except Exception:
            log.exception("%s: freeing failed", self._name)
        self._settle()

    def _settle(self, leases: int = 0) -> None:
        with self._changed:
            self._busy = False
            self._leases += leases
            self._changed.notify_all()
        # A request to free that came meanwhile found the provider busy.
        self._free_if_wanted()
