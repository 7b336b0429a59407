"""Live Link Face over UDP: packets of version 6, as Unreal's Live Link receives them from the app.

All numbers are big-endian: u8 version 6; device id and subject name, each an i32 length in bytes and UTF-8 without a
closing zero; frame time as i32 number and f32 fraction, and the rate as i32 numerator and denominator; u8 61; 61 f32:
the 52 channels in ARKit order, then yaw, pitch and roll of head, left eye and right eye.
"""

from __future__ import annotations

import platform
import struct
import time
import uuid
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...blendshapes import ARKIT
from ...errors import OutputError
from ...frames import Frame, StreamInfo
from .address import LiveAddress
from .base import Link, Packets, Picked
from .udp import UdpTarget

PORT = 11111
OPTIONS = ("subject", "device", "timecode", "head")

_VERSION = 6
_ROTATIONS = 9
_DEVICE_LENGTH = 36
"""Some receivers cut the id out by position, as long as a UUID is."""

_DAY_S = 86_400

HEAD_SCALES = {"off": 0.0, "unit": 1 / 180, "degrees": 1.0, "radians": float(np.pi / 180)}
"""What one degree becomes. Receivers disagree about the unit, so nothing is sent unless asked for."""


def open_link(address: LiveAddress) -> Link:
    """A link that sends to the address.

    Options: `subject`, the name in Unreal's Live Link panel (facewave); `device`, 36 characters; `timecode`, `day` for
    the time of day as the app sends, or `stream` from 0; `head`, the unit of the head's angles: off, unit (180 degrees
    are 1), degrees or radians.

    Raises:
        OutputError: An option's value cannot be used, or the host is not found.
    """
    subject = address.options.get("subject", "facewave")
    device = address.options.get("device") or device_id(subject)
    if not subject or len(subject.encode()) > 255:
        raise OutputError(f"{address.name}: found subject={subject!r}, expected 1 to 255 bytes")
    if len(device.encode()) != _DEVICE_LENGTH:
        raise OutputError(
            f"{address.name}: found device={device!r}, expected {_DEVICE_LENGTH} characters, as of a UUID"
        )
    timecode = address.choice("timecode", ("day", "stream"), "day")
    scale = HEAD_SCALES[address.choice("head", tuple(HEAD_SCALES), "off")]
    target = UdpTarget(address.name, address.host, PORT if address.port is None else address.port)
    return LiveLink(target, subject, device, scale, time_of_day if timecode == "day" else _zero)


def device_id(subject: str) -> str:
    """A UUID that stays the same for this machine and subject, so that Unreal keeps its settings for the source."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{platform.node()}/{subject}"))


def time_of_day() -> float:
    """Seconds since local midnight."""
    now = time.time()
    local = time.localtime(now)
    return local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec + now % 1


def _zero() -> float:
    return 0.0


class LiveLink:
    """Frames as packets."""

    def __init__(
        self,
        target: Packets,
        subject: str,
        device: str,
        head_scale: float,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives the seconds at which the stream begins, on the time code's own clock."""
        self._target = target
        self._head_scale, self._clock = np.float32(head_scale), clock
        self._head = struct.pack(">B", _VERSION) + _string(device) + _string(subject)
        self._channels = Picked(ARKIT)
        self._rate, self._origin = Fraction(60), 0.0

    @property
    def name(self) -> str:
        """The address."""
        return self._target.name

    def begin(self, info: StreamInfo) -> None:
        """Note the rate and the time code of the first frame."""
        self._channels.begin(info)
        self._rate, self._origin = info.frame_rate, self._clock() * float(info.frame_rate)

    def send(self, frame: Frame) -> None:
        """Send one packet."""
        rate = self._rate
        at = (self._origin + frame.index) % (_DAY_S * float(rate))
        number = int(at)
        values = np.concatenate([self._channels.of(frame), self._rotations(frame)])
        time_fields = struct.pack(">ifiiB", number, at - number, rate.numerator, rate.denominator, len(values))
        self._target.send([self._head + time_fields + values.astype(">f4").tobytes()])

    def end(self, frames: int) -> None:
        """Repeat the last packet, which is the rest pose, and close."""
        self._target.close()

    def _rotations(self, frame: Frame) -> NDArray[np.float32]:
        angles = np.zeros(_ROTATIONS, np.float32)
        if frame.head is not None and self._head_scale:
            angles[:3] = frame.head * self._head_scale
        return angles


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">i", len(data)) + data
