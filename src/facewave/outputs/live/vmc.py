"""The VMC protocol: a performer's face for VTuber apps and avatars, as OSC over UDP.

A frame is `/VMC/Ext/OK`, `/VMC/Ext/T`, a `/VMC/Ext/Blend/Val` for every name, then one `/VMC/Ext/Blend/Apply`: too long
for one datagram with 52 names, so it goes as two. Apply stands only at the very end, because there are receivers that
forget at Apply what was set before.

Source: protocol.vmc.info, Marionette specification.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ...blendshapes import ARKIT, pascal
from ...frames import Frame, StreamInfo
from ...timing import seconds_of
from .address import LiveAddress
from .base import Link, Packets, Picked
from .osc_bundles import OscBundles, OscMessage
from .udp import UdpTarget
from .vrm import VRM0, VRM1, expressions

PORT = 39539
OPTIONS = ("profile", "head")

PROFILES: Mapping[str, tuple[str, ...]] = {
    "arkit": ARKIT,
    "perfectsync": tuple(map(pascal, ARKIT)),
    "vrm0": tuple(VRM0.values()),
    "vrm1": VRM1,
}
"""Profile -> names as sent. Receivers tell capitals from small letters: `jawOpen` is not `JawOpen`."""

OWN = "own"
"""The profile that sends the channels of the animation under their own names, whatever these are."""


def open_link(address: LiveAddress) -> Link:
    """A link that sends to the address.

    Options: `profile`, how the avatar's expressions are called: arkit (jawOpen), perfectsync (JawOpen), vrm0 (A I U E
    O Blink Joy ...), vrm1 (aa ih ou ee oh blink happy ...), or own for the names in the animation; `head`, on to turn
    the bone Head too (off).

    Raises:
        OutputError: An option's value cannot be used, or the host is not found.
    """
    profile = address.choice("profile", (*PROFILES, OWN), "arkit")
    head = address.choice("head", ("off", "on"), "off") == "on"
    target = UdpTarget(address.name, address.host, PORT if address.port is None else address.port)
    return Vmc(target, profile, head)


class Vmc:
    """Frames as bundles."""

    def __init__(self, target: Packets, profile: str, head: bool) -> None:
        self._target = target
        self._profile, self._with_head = profile, head
        self._channels = Picked(ARKIT)
        self._bundles = OscBundles(())
        self._info: StreamInfo | None = None

    @property
    def name(self) -> str:
        """The address."""
        return self._target.name

    def begin(self, info: StreamInfo) -> None:
        """Lay out the messages."""
        self._info = info
        self._channels = Picked(info.channels if self._profile == OWN else ARKIT)
        self._channels.begin(info)
        names = info.channels if self._profile == OWN else PROFILES[self._profile]
        bone = [OscMessage("/VMC/Ext/Bone/Pos", ("Head",), floats=7)] if self._with_head else []
        self._bundles = OscBundles(
            [
                OscMessage("/VMC/Ext/OK", (1,)),
                OscMessage("/VMC/Ext/T", floats=1),
                *bone,
                *(OscMessage("/VMC/Ext/Blend/Val", (name,), floats=1) for name in names),
                OscMessage("/VMC/Ext/Blend/Apply"),
            ]
        )

    def send(self, frame: Frame) -> None:
        """Send the bundles of one frame."""
        assert self._info is not None
        weights = np.clip(self._channels.of(frame), 0, 1)
        if self._profile in ("vrm0", "vrm1"):
            found = expressions(weights)
            weights = np.array([found[name] for name in (VRM0 if self._profile == "vrm0" else VRM1)], np.float32)
        time = [seconds_of(frame.index, self._info.frame_rate)]
        bone = [0.0, 0.0, 0.0, *head_rotation(frame)] if self._with_head else []
        self._target.send(self._bundles.filled(np.concatenate([time, bone, weights])))

    def end(self, frames: int) -> None:
        """Repeat the last bundles, which are the rest pose, and close."""
        self._target.close()


def head_rotation(frame: Frame) -> tuple[float, float, float, float]:
    """The head's turn as a quaternion x, y, z, w in Unity's axes: x to the right, y up, z forward, left-handed.

    Seen from the avatar, right is +x: turning to its own right is positive about y, looking up negative about x,
    and tilting to its right shoulder negative about z. Yaw is applied last, as Unity's Euler angles are.
    """
    yaw, pitch, roll = (0.0, 0.0, 0.0) if frame.head is None else (math.radians(float(v)) / 2 for v in frame.head)
    (sy, cy), (sx, cx), (sz, cz) = ((math.sin(a), math.cos(a)) for a in (yaw, -pitch, -roll))
    return (
        cy * sx * cz + sy * cx * sz,
        sy * cx * cz - cy * sx * sz,
        cy * cx * sz - sy * sx * cz,
        cy * cx * cz + sy * sx * sz,
    )
