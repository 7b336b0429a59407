"""From the messages of a service to frames: names to channels, time codes to a frame rate, holes filled.

Pure: no sockets, no threads, no clock.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ...emotions import EMOTIONS
from ...errors import AudioError, RemoteError
from ...frames import Frame, StreamInfo
from ...timing import SAMPLE_RATE, frame_rate, sample_of
from ...wire._proto.emotion_aggregate_pb2 import EmotionAggregate
from ...wire.a2f import sample_rate_of
from ...wire.animation import EMOTION_METADATA, ChannelMap, Status

log = logging.getLogger("facewave.remote")

COMMON_RATES: tuple[Fraction, ...] = tuple(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60, 90, 100, 120))
"""Rates meant by time codes that have been rounded, for example to milliseconds."""

_EXACT = 1e-4
"""Relative distance up to which a measured rate is a whole or television rate: 30 and 29.97 are ten times further."""

_ROUNDED = 0.022
"""Relative distance up to which a measured rate is one of the common ones: 0.017 s is still 60 frames per second."""

_UNEVEN = 0.25
"""Share of a frame by which a time code may miss its place."""

_LONGEST_HOLE_S = 10.0
"""Seconds of lost frames that are bridged; more means that the stream is broken."""

_FIRST_AT_MOST_S = 1.0
"""A first time code later than this does not count from the start of the clip; it is itself taken for the start."""

_LAST_FRAME = 2.0**40
"""Frame numbers beyond this are no numbers of frames; a century at 300 frames per second."""

_MOST_NOTICES = 100
"""Remarks kept of one stream."""


def rate_between(first: float, second: float) -> Fraction:
    """Frames per second of two neighbouring time codes.

    Raises:
        RemoteError: The second is not after the first, or the rate is not one of animation.
    """
    gap = second - first
    if not (math.isfinite(gap) and gap > 0):
        raise RemoteError(f"time codes: found {second} after {first}, expected seconds that increase")
    measured = 1.0 / gap
    if not 1 <= measured <= 1000:
        raise RemoteError(f"time codes: found {gap:g} s between two frames, expected 0.001 s to 1 s")
    whole = max(round(measured), 1)
    for exact in (Fraction(whole), Fraction(whole * 1000, 1001)):
        if abs(measured - float(exact)) < _EXACT * measured:
            return exact
    nearest = min(COMMON_RATES, key=lambda rate: abs(float(rate) - measured))
    if abs(float(nearest) - measured) < _ROUNDED * measured:
        return nearest
    return frame_rate(measured)


class FrameReader:
    """Reads one stream of either protocol generation.

    Frames come out with consecutive indices. The rate is known at the second frame, so the first one waits for it;
    frames that the service lost are interpolated.
    """

    def __init__(self, asked: Fraction | None, assumed: Fraction, *, keep_audio: bool = False) -> None:
        """Begin a stream.

        Args:
            asked: The rate the stream must have; None accepts the service's.
            assumed: The rate to state until the first two frames are here.
            keep_audio: Whether to keep the echoed audio for `take_audio`.
        """
        self._asked, self._rate = asked, asked or assumed
        self.rate_known = False
        """Whether the rate has been read from time codes."""
        self.received = 0
        """Frames that the service has sent."""
        self.filled = 0
        """Frames that were interpolated because the service lost them."""
        self.announced: tuple[str, ...] = ()
        """Shape names in the service's order and spelling."""
        self.channels: tuple[str, ...] = ()
        """Our names of those among them that we know, in our order."""
        self.notices: list[str] = []
        """What the service or this reader had to remark, for people."""
        self.succeeded = False
        """Whether the service has declared success."""
        self.events = 0
        """Events received."""
        self.audio_rate = SAMPLE_RATE
        """Hertz of the echoed audio."""
        self.echoed_bytes = 0
        """Bytes of audio the service has sent back."""
        self._keep_audio = keep_audio
        self._audio: list[bytes] = []
        self._map: ChannelMap | None = None
        self._origin: float | None = None
        self._held: tuple[float, NDArray[np.float32], NDArray[np.float32] | None] | None = None
        self._next = 0
        self._last: NDArray[np.float32] | None = None
        self._non_finite = False

    @property
    def info(self) -> StreamInfo:
        """Rate and channels; the rate is final once `rate_known`."""
        return StreamInfo(self._rate)

    def read(self, message: Any) -> list[Frame]:
        """The frames that one response completes.

        Raises:
            RemoteError: The service reported an error, or what it sent is not an animation.
        """
        part = message.WhichOneof("stream_part")
        if part == "animation_data":
            return self._data(message.animation_data)
        if part == "animation_data_stream_header":
            self._header(message.animation_data_stream_header)
        elif part == "status":
            self._status(message.status)
        elif part == "event":
            self.events += 1
        else:
            # A newer service may send parts that this schema lacks; they read as nothing.
            self.note("the service sent a message of an unknown kind; ignored")
        return []

    def end(self) -> list[Frame]:
        """The frame that still waited for the rate, after the last message."""
        if self._held is None:
            return []
        time, weights, emotion = self._held
        self._held = None
        self._origin = 0.0 if time <= _FIRST_AT_MOST_S else time
        return self._place(self._origin, weights, emotion)

    def take_audio(self) -> bytes:
        """The echoed audio since the last call: 16-bit mono PCM at `audio_rate`."""
        audio = b"".join(self._audio)
        self._audio.clear()
        return audio

    def _header(self, header: Any) -> None:
        names = tuple(header.skel_animation_header.blend_shapes)
        self._map = ChannelMap(names)
        self.announced, self.channels = names, self._map.channels
        if not self.channels:
            found = ", ".join(names[:5]) or "none"
            raise RemoteError(f"stream header: found no blend shape we know ({found}), expected ARKit names")
        if self._map.unknown:
            self.note(f"shapes without a channel are left out: {', '.join(self._map.unknown)}")
        if header.HasField("audio_header"):
            try:
                self.audio_rate = sample_rate_of(header.audio_header)
            except AudioError as error:
                # The echo is a convenience; frames do not depend on it.
                self.note(f"echoed audio cannot be used: {error}")
                self._keep_audio = False

    def _status(self, status: Any) -> None:
        code = Status.Code.Name(status.code) if status.code in Status.Code.values() else f"status {status.code}"
        words = status.message or code
        if status.code == Status.ERROR:
            raise RemoteError(f"the service reported an error: {words}")
        if status.code == Status.SUCCESS:
            self.succeeded = True
        else:
            level = logging.INFO if status.code == Status.INFO else logging.WARNING
            self.note(f"{code} from the service: {words}", level)

    def _data(self, data: Any) -> list[Frame]:
        if data.audio.audio_buffer:
            self.echoed_bytes += len(data.audio.audio_buffer)
            if self._keep_audio:
                self._audio.append(data.audio.audio_buffer)
        entries = data.skel_animation.blend_shape_weights
        if not entries:
            return []
        if self._map is None:
            raise RemoteError("stream: found frames before the header that names their shapes")
        emotions = _emotions(data, len(entries))
        frames = []
        for entry, emotion in zip(entries, emotions, strict=True):
            if len(entry.values) != len(self.announced):
                raise RemoteError(
                    f"frame at {entry.time_code:g} s: found {len(entry.values)} weights, "
                    f"expected {len(self.announced)} as announced"
                )
            self.received += 1
            frames += self._frame(entry.time_code, self._finite(self._map.weights(entry.values)), emotion)
        return frames

    def _finite(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.isfinite(weights).all():
            return weights
        if not self._non_finite:
            self._non_finite = True
            self.note("weights that are not numbers are taken as 0")
        return np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)

    def _frame(self, time: float, weights: NDArray[np.float32], emotion: NDArray[np.float32] | None) -> list[Frame]:
        if not math.isfinite(time):
            raise RemoteError(f"time codes: found {time}, expected seconds")
        if self._origin is not None:
            return self._place(time, weights, emotion)
        if self._held is None:
            self._held = (time, weights, emotion)
            return []
        first = self._held
        self._held = None
        self._settle(rate_between(first[0], time))
        self._origin = 0.0 if 0 <= first[0] <= _FIRST_AT_MOST_S else first[0]
        return self._place(*first) + self._place(time, weights, emotion)

    def _settle(self, rate: Fraction) -> None:
        if self._asked is not None and rate != self._asked:
            raise RemoteError(
                f"frame rate: the service animates at {_rate_text(rate)} frames per second, "
                f"the stream was opened for {_rate_text(self._asked)}; "
                "ask for no rate, or for the service's, and resample the result"
            )
        self._rate, self.rate_known = rate, True

    def _place(self, time: float, weights: NDArray[np.float32], emotion: NDArray[np.float32] | None) -> list[Frame]:
        assert self._origin is not None
        place = (time - self._origin) * float(self._rate)
        index = round(place) if abs(place) < _LAST_FRAME else -1
        if abs(place - index) > _UNEVEN or index < self._next:
            raise RemoteError(
                f"time codes: found {time:g} s where frame {self._next} of "
                f"{_rate_text(self._rate)} frames per second was expected "
                f"({self._origin + self._next / float(self._rate):g} s)"
            )
        hole = index - self._next
        if hole > _LONGEST_HOLE_S * self._rate:
            raise RemoteError(f"time codes: {hole} frames are missing before {time:g} s")
        frames = []
        if hole:
            self.filled += hole
            self.note(f"{hole} frames before {time:g} s were lost by the service and are interpolated")
            before = weights if self._last is None else self._last
            for step in range(1, hole + 1):
                share = np.float32(step / (hole + 1))
                frames.append(self._numbered(before + share * (weights - before), emotion))
        self._last = weights
        return [*frames, self._numbered(weights, emotion)]

    def _numbered(self, weights: NDArray[np.float32], emotion: NDArray[np.float32] | None) -> Frame:
        index = self._next
        self._next += 1
        return Frame(index, sample_of(index, self._rate), weights, emotion)

    def note(self, text: str, level: int = logging.WARNING) -> None:
        """Keep a remark for people, once, and log it."""
        if text not in self.notices and len(self.notices) < _MOST_NOTICES:
            self.notices.append(text)
            log.log(level, "%s", text)


def _emotions(data: Any, frames: int) -> Sequence[NDArray[np.float32] | None]:
    """The emotions of each frame in a message: one entry a frame, or the one there is for all."""
    packed = data.metadata
    aggregate = EmotionAggregate()
    try:
        if EMOTION_METADATA not in packed or not packed[EMOTION_METADATA].Unpack(aggregate):
            return [None] * frames
    except DecodeError:
        # The face is what counts; emotions that cannot be read are as good as none.
        return [None] * frames
    outputs = aggregate.a2f_smoothed_output
    if not outputs:
        return [None] * frames
    vectors = [np.array([output.emotion.get(name, 0.0) for name in EMOTIONS], np.float32) for output in outputs]
    return vectors if len(vectors) == frames else [vectors[-1]] * frames


def _rate_text(rate: Fraction) -> str:
    return str(rate) if rate.denominator == 1 else f"{float(rate):.2f}"
