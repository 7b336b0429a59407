"""LegacyA2F: the one-way protocol of services before 2.0, where audio goes out on one connection and the animation
comes back on another.
"""

from __future__ import annotations

import threading
from typing import cast

from ...settings import FacewaveSettings
from ...streams import StreamSettings
from ..base import ProviderInfo
from .connection import Connection
from .emotions import KeyLedger
from .legacy_line import LegacyLine
from .link import Links
from .options import RemoteOptions
from .provider import LearnedRate
from .reader import FrameReader
from .receiver import Receiver
from .route import LegacyRoute as LegacyRoute
from .route import Way as Way
from .session import RemoteSession


class LegacyA2F:
    """An Audio2Face service of the 1.0 generation, or a later one in its one-way mode."""

    name = "LegacyA2F"

    def __init__(
        self,
        connection: Connection | None = None,
        route: LegacyRoute | None = None,
        options: RemoteOptions | None = None,
    ) -> None:
        """Set up; connects and listens with `allocate` or the first stream.

        Args:
            connection: Where audio goes: the service, or the controller.
            route: How the animation comes back.
            options: Patience and policy.
        """
        self._route = route or LegacyRoute()
        self._options = options or RemoteOptions()
        self._links = Links(connection or Connection())
        pull = Connection(url=self._route.pull_url)
        self._pull_links = Links(pull) if self._route.way == "pull" else self._links
        self._rates = LearnedRate()
        self._lock = threading.Lock()
        self._receiver: Receiver | None = None
        self._streams = 0
        self._freed = False

    @property
    def info(self) -> ProviderInfo:
        """Name, rates and whether connected; the rates are exact once one stream has been seen."""
        return self._rates.applied(
            ProviderInfo(
                self.name, "remote", "Audio2Face service of the one-way 1.0 protocol", loaded=self._links.connected
            )
        )

    @property
    def connection(self) -> Connection:
        """The connection settings in force."""
        return self._links.connection

    @property
    def receiving(self) -> str:
        """Host and port where services can deliver now; blank while not listening."""
        with self._lock:
            return self._receiver.address if self._receiver else ""

    def require(self) -> None:
        """Check that a call could be made; connects to nothing.

        Raises:
            ProviderUnavailableError: No address is configured.
        """
        self._links.connection.require(self.name, "legacy")

    def override(self, connection: Connection) -> None:
        """Use other connection settings from the next clip on; blank fields fall back to the configured ones."""
        self._links.override(connection)
        self._rates.forget()

    def open(self, settings: StreamSettings) -> RemoteSession:
        """Start a stream; connects and listens where that has not been done.

        Raises:
            SettingsError: A frame rate that the service does not have, or an emotion vector of a model's own.
            ProviderUnavailableError: No address is configured, or the port to listen on is taken.
            RemoteError: No connection can be made.
        """
        self._links.connection.require(self.name, "legacy")
        self._rates.check(settings.frame_rate)
        ledger = KeyLedger(settings)
        receiver = self._enter()
        line: LegacyLine | None = None
        try:
            link = self._links.acquire()
            try:
                line = LegacyLine(link, self._pull_links, receiver, settings, self._route, self._options, self._leave)
            except BaseException:
                link.release()
                raise
            line.wait_connected(self._options.connect_timeout_s)
        except BaseException:
            if line is None:
                self._leave()
            else:
                line.cancel()
            raise
        link.connected = True
        reader = FrameReader(settings.frame_rate, self._rates.assumed)
        return RemoteSession(
            line, reader, ledger, self._options, where=link.connection.target, learned=self._rates.learn
        )

    def allocate(self) -> None:
        """Connect and listen now. Idempotent.

        Raises:
            ProviderUnavailableError: No address is configured, or the port to listen on is taken.
            RemoteError: No connection can be made.
        """
        self._links.connection.require(self.name, "legacy")
        self._enter()
        self._leave()
        if not self._links.connected:
            link = self._links.acquire()
            try:
                link.check(self._options.connect_timeout_s)
            finally:
                link.release()

    def free(self) -> None:
        """Disconnect and stop listening after the last open stream. Idempotent."""
        with self._lock:
            self._freed = True
            stopped = self._receiver if self._streams == 0 else None
            if stopped:
                self._receiver = None
        if stopped:
            stopped.stop()
        self._links.close()
        self._pull_links.close()
        self._rates.forget()

    def _enter(self) -> Receiver | None:
        with self._lock:
            if self._route.way == "deliver" and self._receiver is None:
                self._receiver = Receiver(self._route.listen)
            self._streams += 1
            self._freed = False
            return self._receiver

    def _leave(self) -> None:
        with self._lock:
            self._streams -= 1
            stopped = self._receiver if self._freed and self._streams == 0 else None
            if stopped:
                self._receiver = None
        if stopped:
            stopped.stop()


def legacy_a2f(settings: FacewaveSettings) -> LegacyA2F:
    """The provider that the project's settings describe, section `[legacy]`.

    Raises:
        SettingsError: A way or an address that cannot be used.
    """
    legacy = settings.legacy
    # A wrong word for the way is refused by the route, which lists those there are.
    route = LegacyRoute(cast(Way, legacy.way), legacy.listen, legacy.pull_url)
    return LegacyA2F(Connection.of_settings(legacy), route, RemoteOptions(stall_timeout_s=legacy.timeout_s))
