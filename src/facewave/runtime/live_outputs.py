"""Live outputs fed from what is being played: every target gets frames at a steady rate, at their time on that clock.

Frame k of a clip leaves when second k / rate of its sound is heard, with the face interpolated for exactly that time.
Where sound has to wait, frames wait with it; where the machine was too slow for some, they are left out and the newest
is sent. At the end of a clip, on an interruption and at the close, the rest pose is the last to leave.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import reorder
from ..errors import FacewaveError, OutputError
from ..frames import Frame, StreamInfo
from ..outputs.base import Output
from ..outputs.live import LiveOutput, open_live_output
from ..timing import frame_rate, sample_of
from .curve_source import AudioCurveSource
from .delivery import running_future
from .workers import Threads, Workers

log = logging.getLogger("facewave.runtime")

FRAME_RATE = 60
"""Frames a second where neither the address nor the caller says anything."""

_DUE_S = 0.0005
"""A frame is sent this much before its time rather than after another look at the clock."""

_LOOK_S = 0.004
"""Seconds between two looks whether a clip has begun: its first frame is this late at most."""

_REST_TIMES = 3
"""Frames at rest that follow a clip: a lost datagram must not leave the mouth open."""


class LiveOutputs:
    """Sends what an `AudioCurveSource` plays to any number of targets, each in a thread of its own.

    A target that fails is reported once and tried again with every frame; the others do not notice.
    """

    def __init__(
        self,
        source: AudioCurveSource,
        targets: Iterable[str | Output],
        *,
        fps: int | float | str | Fraction = FRAME_RATE,
        on_failed: Callable[[str, Exception], None] | None = None,
        workers: Workers | None = None,
    ) -> None:
        """Open the targets and begin.

        Args:
            source: Whose sound and face are followed.
            targets: Addresses such as `livelink://host:11111`, or outputs of one's own.
            fps: Frames per second for targets whose address does not say.
            on_failed: Called once per target that fails, with its name and the error, from a background thread; None
                writes to the log.
            workers: Threads and clock; must be those of the source if that was given any.

        Raises:
            OutputError: A target cannot be opened; those opened before are closed again.
            SettingsError: Not a frame rate.
        """
        self._workers = workers or Threads()
        rate = frame_rate(fps)
        opened: list[Output] = []
        try:
            for target in targets:
                opened.append(open_live_output(target) if isinstance(target, str) else target)
        except FacewaveError:
            for output in opened:
                output.close()
            raise
        self._senders = [_Sender(source, output, rate, on_failed or _logged) for output in opened]
        self._handles = [self._workers.start(sender, f"to {sender.name}") for sender in self._senders]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    @property
    def names(self) -> list[str]:
        """The targets as messages call them; a WebSocket server's with its real port."""
        return [sender.name for sender in self._senders]

    @property
    def sent(self) -> list[int]:
        """Frames that have left for each target."""
        return [sender.sent for sender in self._senders]

    def close(self, timeout_s: float = 5.0) -> None:
        """Send the rest pose and let the targets go; one that does not answer is left behind. Safe to call twice."""
        for sender, handle in zip(self._senders, self._handles, strict=True):
            sender.closing = True
            handle.wake()
        for sender in self._senders:
            try:
                self._workers.wait(sender.closed, timeout_s)
            except TimeoutError:
                log.warning("%s: did not take the end of the stream within %g s", sender.name, timeout_s)


class _Sender:
    """One target's task: when to send what."""

    def __init__(
        self,
        source: AudioCurveSource,
        output: Output,
        rate: Fraction,
        on_failed: Callable[[str, Exception], None],
    ) -> None:
        self._source, self._output, self._on_failed = source, output, on_failed
        asked = output.frame_rate if isinstance(output, LiveOutput) else None
        self._rate = asked or rate
        self._fps = float(self._rate)
        self.name = output.name if isinstance(output, LiveOutput) else type(output).__name__
        self.closing = False
        self.closed: Future[None] = running_future()
        self.sent = 0
        self._info: StreamInfo | None = None
        self._failed = False
        self._clip = 0
        self._zero = 0.0  # On the clock: when frame `_base` was, or would have been, heard.
        self._base = 0  # Index of the running clip's frame 0.
        self._next = 0
        self._resting = _REST_TIMES

    def step(self, now: float) -> float | None:
        """Send the frame that is due, if one is."""
        if self.closing:
            self._try(self._output.close)
            self.closed.set_result(None)
            return None
        moment = self._source.moment(now)
        if moment.position_s is None:
            if self._resting >= _REST_TIMES:
                return now + _LOOK_S
            elapsed = now - self._zero
        else:
            if moment.clip != self._clip:
                self._clip, self._base = moment.clip, self._next
            elapsed, self._resting = moment.position_s, 0
            self._zero = now - elapsed
        frame = math.floor((elapsed + _DUE_S) * self._fps)
        if self._base + frame >= self._next:
            at = min(now, now - (elapsed - frame / self._fps))
            self._send(self._base + frame, at)
        return now + max(_DUE_S, (frame + 1) / self._fps - elapsed)

    def _send(self, index: int, at: float) -> None:
        moment = self._source.moment(at)
        self._next = index + 1
        if moment.position_s is None and not moment.weights.any():
            self._resting += 1
        if self._info is None:
            self._info = StreamInfo(self._rate, moment.channels)
            info = self._info
            self._try(lambda: self._output.start(info))
        weights = _ordered(moment.weights, moment.channels, self._info.channels)
        frame = Frame(index, sample_of(index, self._rate), weights, head=moment.head)
        if self._try(lambda: self._output.write(frame)):
            self.sent += 1

    def _try(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except Exception as error:  # Outputs may be foreign code; what they raise must not stop the clock.
            if not self._failed:
                self._failed = True
                known = error if isinstance(error, FacewaveError) else OutputError(f"{self.name}: failed ({error})")
                self._on_failed(self.name, known)
            return False
        return True


def _ordered(weights: NDArray[np.float32], channels: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.float32]:
    """A later clip's weights in the order that the stream began with."""
    return weights if channels == wanted else reorder(weights, channels, wanted)


def _logged(name: str, error: Exception) -> None:
    log.error("%s; the other targets go on", error)
