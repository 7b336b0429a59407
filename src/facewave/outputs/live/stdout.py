"""JSON lines on standard output: the description of the stream, a line a frame, and the end."""

from __future__ import annotations

import json
import sys

from ...errors import OutputError
from ...frames import Frame, StreamInfo
from ...wire.browser import end_message, frame_json, info_message
from .address import LiveAddress
from .base import Link

OPTIONS = ()


def open_link(address: LiveAddress) -> Link:
    """A link to this process's standard output; it has no options."""
    return JsonLines(address.name)


class JsonLines:
    """Frames as lines, each written out at once. Waits while the reader does not read."""

    def __init__(self, name: str) -> None:
        self.name = name
        """The address."""
        self._info: StreamInfo | None = None

    def begin(self, info: StreamInfo) -> None:
        """Write the description."""
        self._info = info
        self._write(json.dumps(info_message(info)))

    def send(self, frame: Frame) -> None:
        """Write one line."""
        assert self._info is not None
        self._write(frame_json(frame, self._info))

    def end(self, frames: int) -> None:
        """Write the end, where there was a stream."""
        if self._info is not None:
            self._write(json.dumps(end_message(frames)))

    def _write(self, line: str) -> None:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (OSError, ValueError) as error:  # ValueError: somebody closed it.
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{self.name}: standard output cannot be written ({reason})") from error
