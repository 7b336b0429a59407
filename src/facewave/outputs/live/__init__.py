"""Live outputs: the table of schemes, and the one door to it.

To add one, write a module with `OPTIONS` and `open_link(address) -> Link`, and give it a row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from ...errors import OutputError
from .address import LiveAddress, parse
from .base import Link, LiveOutput

__all__ = ["SCHEMES", "LiveOutput", "LiveScheme", "open_live_output"]


@dataclass(frozen=True, slots=True)
class LiveScheme:
    """One way to send frames while they are being made."""

    scheme: str
    """How addresses of this kind begin."""

    module: str
    """Module of this folder that sends it."""

    example: str
    """An address as people write it."""

    summary: str
    """Who listens."""


SCHEMES: tuple[LiveScheme, ...] = (
    LiveScheme("livelink", "livelink", "livelink://host:11111", "Unreal: Live Link, as the Live Link Face app"),
    LiveScheme("vmc", "vmc", "vmc://host:39539", "VTuber apps and avatars: VMC protocol"),
    LiveScheme("osc", "osc", "osc://host:9000", "anything that takes OSC: one float per channel"),
    LiveScheme("ws", "websocket", "ws://127.0.0.1:8765", "web pages and scripts: a WebSocket server"),
    LiveScheme("stdout", "stdout", "stdout:", "the next program of a pipe: JSON lines"),
)


def open_live_output(url: str) -> LiveOutput:
    """An output that sends frames to an address, with options in its query: `livelink://host:11111?subject=Anna`.

    Sockets are open when this returns. Every address takes `fps`, the rate at which it wants frames.

    Raises:
        OutputError: Not an address of the table, an option nobody knows, or a port or host that cannot be used.
        SettingsError: `fps` is not a frame rate.
    """
    scheme, colon, _ = url.partition(":")
    row = next((row for row in SCHEMES if colon and row.scheme == scheme.lower()), None)
    if row is None:
        known = ", ".join(row.example for row in SCHEMES)
        raise OutputError(f"{url!r}: not the address of a live output, expected one such as {known}")
    module = import_module(f".{row.module}", __name__)
    address: LiveAddress = parse(url, module.OPTIONS)
    link: Link = module.open_link(address)
    return LiveOutput(link, address.frame_rate)
