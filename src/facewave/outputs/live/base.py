"""What live outputs have in common: a stream over a link, which ends with the face at rest whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np

from ...blendshapes import reorder
from ...errors import OutputError
from ...frames import Frame, StreamInfo
from ...timing import sample_of


class Link(Protocol):
    """Puts frames on the wire in one format."""

    @property
    def name(self) -> str:
        """The address as messages show it, without options."""
        ...

    def begin(self, info: StreamInfo) -> None:
        """A stream begins."""
        ...

    def send(self, frame: Frame) -> None:
        """The next frame, of the stream's channels.

        Raises:
            OutputError: It cannot be sent.
        """
        ...

    def end(self, frames: int) -> None:
        """The stream is over after so many frames, and the link is not used again. Called once."""
        ...


class Packets(Protocol):
    """Where the packets of a frame are sent."""

    @property
    def name(self) -> str:
        """The address as messages show it."""
        ...

    def send(self, packets: Sequence[bytes]) -> None:
        """Send the packets of one frame."""
        ...

    def close(self) -> None:
        """Send the last packets again, in case they were lost, and close."""
        ...


class LiveOutput:
    """An output of the second seam over a link: it keeps the order of calls and sends the rest pose last.

    One that never started sends nothing. After `close` or `abort` it is used up: open another.
    """

    def __init__(self, link: Link, frame_rate: Fraction | None = None) -> None:
        self.frame_rate = frame_rate
        """Frames per second that the address asks for, or None."""
        self._link = link
        self._info: StreamInfo | None = None
        self._next = 0
        self._ended = False

    @property
    def name(self) -> str:
        """The address, without options; with the real port where port 0 was asked for."""
        return self._link.name

    def start(self, info: StreamInfo) -> None:
        """Begin the stream.

        Raises:
            OutputError: It has begun already, or is over.
        """
        if self._info is not None or self._ended:
            raise OutputError(f"{self.name}: a stream can be started once; open another output")
        self._info = info
        self._link.begin(info)

    def write(self, frame: Frame) -> None:
        """Send the next frame. Values that are no numbers go out as 0.

        Raises:
            OutputError: Before the start, after the end, or the frame cannot be sent.
        """
        if self._info is None or self._ended:
            raise OutputError(f"{self.name}: a frame before the start or after the end of the stream")
        self._next = frame.index + 1
        if not np.isfinite(frame.weights).all():
            frame = Frame(frame.index, frame.sample, np.nan_to_num(frame.weights, posinf=0, neginf=0), head=frame.head)
        self._link.send(frame)

    def close(self) -> None:
        """Send the rest pose and end the stream.

        Raises:
            OutputError: The rest pose cannot be sent; the link is closed all the same.
        """
        if self._ended:
            return
        self._ended = True
        try:
            if self._info is not None:
                rest = np.zeros(len(self._info.channels), np.float32)
                self._link.send(Frame(self._next, sample_of(self._next, self._info.frame_rate), rest))
                self._next += 1
        finally:
            self._link.end(self._next)

    def abort(self) -> None:
        """The same as `close`: what was shown cannot be taken back, but the mouth must not stay open."""
        self.close()


class Picked:
    """The weights of some channels, in an order of its own, by name."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = wanted
        self._channels: tuple[str, ...] = ()

    def begin(self, info: StreamInfo) -> None:
        """Learn the order of the stream."""
        self._channels = info.channels

    def of(self, frame: Frame) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Shape (wanted,); channels that the stream lacks are 0."""
        return reorder(frame.weights, self._channels, self._wanted)
