"""Receivers: sockets on free loopback ports, and a reader of Live Link packets written from the format alone."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import numpy as np

from facewave.blendshapes import CHANNELS
from facewave.frames import Frame, StreamInfo
from facewave.timing import sample_of


def frame_of(index: int, rate: Fraction = Fraction(30), head: Any = None, **weights: float) -> Frame:
    """A frame of all channels, 0 but for those named."""
    values = np.zeros(len(CHANNELS), np.float32)
    for name, value in weights.items():
        values[CHANNELS.index(name)] = value
    return Frame(index, sample_of(index, rate), values, head=None if head is None else np.array(head, np.float32))


INFO = StreamInfo(Fraction(30))


class Udp:
    """A receiver on a port of its own."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(20)
        self.port: int = self.socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.socket.close()

    def take(self) -> bytes:
        """The next packet; waits for it."""
        return self.socket.recv(65_536)

    def rest(self) -> list[bytes]:
        """Every packet that is there."""
        self.socket.setblocking(False)
        packets = []
        try:
            while True:
                packets.append(self.socket.recv(65_536))
        except BlockingIOError:
            return packets


@dataclass
class LiveLinkPacket:
    """What a Live Link packet says."""

    version: int
    device: str
    subject: str
    frame: int
    sub_frame: float
    rate: Fraction
    values: tuple[float, ...]


class _Archive:
    """Unreal's big-endian archive: numbers, and strings as length in bytes and UTF-8."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, code: str) -> Any:
        size = struct.calcsize(">" + code)
        value = struct.unpack(">" + code, self.data[self.at : self.at + size])[0]
        self.at += size
        return value

    def string(self) -> str:
        length = self.take("i")
        self.at += length
        return self.data[self.at - length : self.at].decode()


def read_live_link(data: bytes) -> LiveLinkPacket:
    """Take a packet apart; a byte too many or too few is an error."""
    archive = _Archive(data)
    version = archive.take("B")
    device, subject = archive.string(), archive.string()
    frame, sub_frame = archive.take("i"), archive.take("f")
    rate = Fraction(archive.take("i"), archive.take("i"))
    values = tuple(archive.take("f") for _ in range(archive.take("B")))
    assert archive.at == len(data)
    return LiveLinkPacket(version, device, subject, frame, sub_frame, rate, values)
