"""Datagrams to one receiver, who may or may not be there."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from ...errors import OutputError

_LAST_TIMES = 2
"""Times the last packets are sent once more: a lost one would leave the mouth as it was."""


class UdpTarget:
    """Sends packets; never waits. That nobody listens is no error: the receiver may start later."""

    def __init__(self, name: str, host: str, port: int) -> None:
        """Find the receiver's address.

        Raises:
            OutputError: The host has none.
        """
        self.name = name
        """The address as messages show it."""
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise OutputError(f"{name}: host {host!r} was not found ({error.strerror or error})") from error
        self._address = place
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._last: Sequence[bytes] = ()

    def send(self, packets: Sequence[bytes]) -> None:
        """Send the packets of one frame.

        Raises:
            OutputError: The network refuses them.
        """
        self._last = packets
        try:
            for packet in packets:
                self._socket.sendto(packet, self._address)
        except BlockingIOError:
            return  # The machine's own buffer is full: the next frame is worth more than this one.
        except OSError as error:
            raise OutputError(f"{self.name}: cannot be sent to ({error.strerror or error})") from error

    def close(self) -> None:
        """Repeat the last packets and close."""
        with self._socket:
            for _ in range(_LAST_TIMES):
                self.send(self._last)
