"""OSC 1.0 messages in bundles, encoded once: a frame only fills in its numbers.

A library would encode every name again for every frame, and what is needed of the format is a page.

Source: The Open Sound Control 1.0 Specification.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

MAX_BYTES = 1400
"""A larger datagram may be cut in two on its way, and is lost with either half."""

_HEADER = b"#bundle\0" + struct.pack(">Q", 1)
"""Time tag 1 means: at once."""


@dataclass(frozen=True, slots=True)
class OscMessage:
    """A message whose last arguments are numbers that every frame fills in."""

    address: str
    """As `/facewave/jawOpen`."""

    fixed: tuple[str | int, ...] = ()
    """Arguments that stay the same."""

    floats: int = 0
    """How many float arguments follow."""


class OscBundles:
    """Some messages in as few bundles as fit, in their order."""

    def __init__(self, messages: Sequence[OscMessage], max_bytes: int = MAX_BYTES) -> None:
        """Lay the messages out."""
        self._bundles: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
        self._places: list[list[int]] = []
        data, places = bytearray(_HEADER), list[int]()
        for message in messages:
            body = _encoded(message)
            if len(data) + 4 + len(body) > max_bytes and len(data) > len(_HEADER):
                self._add(data, places)
                data, places = bytearray(_HEADER), []
            data += struct.pack(">i", len(body)) + body
            # Everything in OSC fills whole words of four bytes, so a bundle is also an array of floats.
            places += range(len(data) // 4 - message.floats, len(data) // 4)
        self._add(data, places)

    def filled(self, values: ArrayLike) -> list[bytes]:
        """The bundles with their numbers.

        Args:
            values: Shape (n,): the floats of all messages in order.
        """
        given = np.asarray(values, np.float32)
        packets, at = [], 0
        for bundle, places in zip(self._bundles, self._places, strict=True):
            bundle[places] = given[at : at + len(places)]
            at += len(places)
            packets.append(bundle.tobytes())
        return packets

    def _add(self, data: bytearray, places: list[int]) -> None:
        self._bundles.append(np.frombuffer(bytes(data), ">f4").copy())
        self._places.append(places)


def _encoded(message: OscMessage) -> bytes:
    tags, body = ",", b""
    for value in message.fixed:
        tags += "s" if isinstance(value, str) else "i"
        body += _text(value) if isinstance(value, str) else struct.pack(">i", value)
    return _text(message.address) + _text(tags + "f" * message.floats) + body + bytes(4 * message.floats)


def _text(text: str) -> bytes:
    """With one to four zeros behind it, to whole words."""
    data = text.encode()
    return data + bytes(4 - len(data) % 4)
