"""Plain OSC: one float a channel, `/facewave/jawOpen 0.31`, in bundles."""

from __future__ import annotations

from ...errors import OutputError
from ...frames import Frame, StreamInfo
from .address import LiveAddress
from .base import Link, Packets
from .osc_bundles import OscBundles, OscMessage
from .udp import UdpTarget

OPTIONS = ("prefix",)


def open_link(address: LiveAddress) -> Link:
    """A link that sends to the address. Option: `prefix`, what stands before the channel's name (/facewave/).

    Raises:
        OutputError: No port, a prefix that is none, or the host is not found.
    """
    prefix = address.options.get("prefix", "/facewave/")
    if not prefix.startswith("/") or set(prefix) & set(" #*,?[]{}") or not prefix.isascii():
        raise OutputError(
            f"{address.name}: found prefix={prefix!r}, expected one such as /avatar/parameters/ without wildcards"
        )
    target = UdpTarget(address.name, address.host, address.required_port())
    return Osc(target, prefix)


class Osc:
    """Frames as bundles of floats; every channel of the stream is sent."""

    def __init__(self, target: Packets, prefix: str) -> None:
        self._target = target
        self._prefix = prefix
        self._bundles = OscBundles(())

    @property
    def name(self) -> str:
        """The address."""
        return self._target.name

    def begin(self, info: StreamInfo) -> None:
        """Lay out the messages."""
        self._bundles = OscBundles([OscMessage(self._prefix + name, floats=1) for name in info.channels])

    def send(self, frame: Frame) -> None:
        """Send the bundles of one frame."""
        self._target.send(self._bundles.filled(frame.weights))

    def end(self, frames: int) -> None:
        """Repeat the last bundles, which are the rest pose, and close."""
        self._target.close()
