"""What services send: stream headers, frames with echoed audio and emotions, events and statuses.

A frame's echo starts at the input sample nearest to the frame's time, so that the slices of n frames hold exactly
round(n * rate / fps) samples, however long the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from google.protobuf.any_pb2 import Any as AnyMessage
from numpy.typing import NDArray

from ..blendshapes import CHANNELS, canonical, pascal
from ..emotions import EMOTIONS
from ._proto import animation_data_pb2, controller_pb2, status_pb2
from ._proto.animation_id_pb2 import AnimationIds
from ._proto.emotion_aggregate_pb2 import EmotionAggregate as EmotionAggregate
from ._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode
from .a2f import audio_header

EMOTION_METADATA = "emotion_aggregate"
"""Key of a frame's metadata under which its emotions travel."""

SERVICE_ID = "A2F MS"
"""`source_service_id` of the one-way protocol, as receivers know it."""

Status = status_pb2.Status
"""Outcome of a stream: `Status.SUCCESS`, `INFO`, `WARNING`, `ERROR`, with a message."""


def echo_start(index: int, sample_rate: int, fps: Fraction) -> int:
    """First input sample of frame `index`'s echo: index * rate / fps, rounded half up."""
    double = 2 * index * sample_rate * fps.denominator
    return (double + fps.numerator) // (2 * fps.numerator)


def frames_of_clip(n_samples: int, sample_rate: int, fps: Fraction) -> int:
    """Frames of a clip of `n_samples` at its own rate: ceil(duration * fps)."""
    return -(-n_samples * fps.numerator // (sample_rate * fps.denominator))


def skel_header(names: Sequence[str]) -> animation_data_pb2.SkelAnimationHeader:
    """Announce weights by their wire names (`JawOpen`); there are no joints."""
    return animation_data_pb2.SkelAnimationHeader(blend_shapes=[pascal(name) for name in names])


def stream_header(channels: Sequence[str], sample_rate: int, start: float) -> controller_pb2.AnimationDataStream:
    """First message of the bidirectional answer.

    Args:
        channels: Names of the weights in their order.
        sample_rate: Hertz of the echoed audio, the input's own.
        start: Unix seconds to which time codes are relative.
    """
    return controller_pb2.AnimationDataStream(
        animation_data_stream_header=controller_pb2.AnimationDataStreamHeader(
            audio_header=audio_header(sample_rate),
            skel_animation_header=skel_header(channels),
            start_time_code_since_epoch=start,
        )
    )


def legacy_stream_header(
    ids: AnimationIds, channels: Sequence[str], sample_rate: int, start: float
) -> animation_data_pb2.AnimationDataStream:
    """First message of the one-way answer, with the ids of the request."""
    return animation_data_pb2.AnimationDataStream(
        animation_data_stream_header=animation_data_pb2.AnimationDataStreamHeader(
            animation_ids=ids,
            source_service_id=SERVICE_ID,
            audio_header=audio_header(sample_rate),
            skel_animation_header=skel_header(channels),
            start_time_code_since_epoch=start,
        )
    )


def animation_data(
    time_code: float,
    weights: NDArray[np.float32],
    audio: bytes | None = None,
    emotions: EmotionAggregate | None = None,
) -> animation_data_pb2.AnimationData:
    """One frame.

    Args:
        time_code: Seconds since the first sample of the clip.
        weights: Shape (n_channels,), in the announced order.
        audio: The frame's slice of the input; None leaves the echo out.
        emotions: Metadata; None leaves it out.
    """
    data = animation_data_pb2.AnimationData()
    entry = data.skel_animation.blend_shape_weights.add()
    entry.time_code = time_code
    entry.values.extend(weights.tolist())
    if audio is not None:
        data.audio.time_code = time_code
        data.audio.audio_buffer = audio
    if emotions is not None:
        data.metadata[EMOTION_METADATA].Pack(emotions)
    return data


def emotion_aggregate(
    time_code: float,
    smoothed: NDArray[np.float32] | None,
    given: Iterable[EmotionWithTimeCode] = (),
    combined: NDArray[np.float32] | None = None,
) -> EmotionAggregate:
    """The emotions of one frame.

    Args:
        time_code: Seconds since the first sample of the clip.
        smoothed: Shape (10,), what shaped the face; zeros where the provider does not say.
        given: What the client sent and has not been reported yet.
        combined: Shape (10,), before smoothing. Better left out: NVIDIA's sample clients stop with a KeyError on it.
    """
    shaped = np.zeros(len(EMOTIONS), np.float32) if smoothed is None else smoothed
    message = EmotionAggregate(input_emotions=given)
    message.a2f_smoothed_output.append(_named(time_code, shaped))
    if combined is not None:
        message.a2e_output.append(_named(time_code, combined))
    return message


def end_of_processing() -> controller_pb2.AnimationDataStream:
    """The event that inference is done. Its fields are all zero, but the part itself is set and travels."""
    return controller_pb2.AnimationDataStream(
        event=controller_pb2.Event(event_type=controller_pb2.END_OF_A2F_AUDIO_PROCESSING)
    )


def status(code: status_pb2.Status.Code, message: str) -> controller_pb2.AnimationDataStream:
    """A status of the bidirectional protocol; in the one-way protocol it has another field number."""
    return controller_pb2.AnimationDataStream(status=Status(code=code, message=message))


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """One frame as a service sent it."""

    time_code: float
    """Seconds as announced by the service."""

    weights: NDArray[np.float32]
    """Shape (68,), in the order of `CHANNELS`; shapes that were not sent are 0."""


class ChannelMap:
    """From a service's list of shape names, any length and order, to our channels.

    Weights without a name are dropped and missing ones are 0. Names we do not have (head angles, a rig's own shapes)
    are listed in `unknown`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        position: dict[str, int] = {}
        unknown = []
        for index, name in enumerate(names):
            channel = canonical(name)
            if channel is None:
                unknown.append(name)
            else:
                position.setdefault(channel, index)
        self.names = tuple(names)
        self.unknown = tuple(unknown)
        self.channels = tuple(name for name in CHANNELS if name in position)
        self._to = np.array([CHANNELS.index(name) for name in self.channels], np.intp)
        self._source = np.array([position[name] for name in self.channels], np.intp)

    def weights(self, values: Sequence[float]) -> NDArray[np.float32]:
        """Shape (68,), in the order of `CHANNELS`."""
        out = np.zeros(len(CHANNELS), np.float32)
        row = np.zeros(max(len(self.names), len(values)), np.float32)
        row[: len(values)] = values
        out[self._to] = row[self._source]
        return out


def frames_in(data: animation_data_pb2.AnimationData, channel_map: ChannelMap) -> Iterator[ReceivedFrame]:
    """Every frame of a message, none or several."""
    for entry in data.skel_animation.blend_shape_weights:
        yield ReceivedFrame(entry.time_code, channel_map.weights(entry.values))


def emotions_in(data: animation_data_pb2.AnimationData) -> NDArray[np.float32] | None:
    """Shape (10,): the emotion that shaped the frame; None where the service does not say."""
    packed: Mapping[str, AnyMessage] = data.metadata
    if EMOTION_METADATA not in packed:
        return None
    aggregate = EmotionAggregate()
    if not packed[EMOTION_METADATA].Unpack(aggregate) or not aggregate.a2f_smoothed_output:
        return None
    values = aggregate.a2f_smoothed_output[0].emotion
    return np.array([values.get(name, 0.0) for name in EMOTIONS], np.float32)


def _named(time_code: float, values: NDArray[np.float32]) -> EmotionWithTimeCode:
    return EmotionWithTimeCode(time_code=time_code, emotion=dict(zip(EMOTIONS, values.tolist(), strict=True)))


class FrameEncoder:
    """Frames of one stream as finished `AnimationDataStream` messages, for servers with many streams.

    The frame part has the same field number in both protocols, so the bytes serve either. They are what
    `animation_data` in its stream message serialises to, up to the order of a map's entries; all but the
    numbers is known beforehand, so writing them directly takes a fraction of the time.
    """

    def __init__(self, n_channels: int, *, echo: bool = True) -> None:
        """Args: weights in each frame, and whether audio is echoed."""
        values = 4 * n_channels
        entry = len(_DOUBLE_1) + 8 + len(_length(2, values)) + values
        skel = _length(1, entry)
        self._weights_head = _length(1, len(skel) + entry) + skel + _DOUBLE_1
        self._weights_mid = _length(2, values)
        self._n_channels = n_channels
        self._echo = echo
        # A map entry: its tag and length, the name, then the tag of the number that follows.
        names = [_length(1, len(name)) + name.encode() + b"\x15" for name in EMOTIONS]
        pieces = [_length(2, len(name) + 4) + name for name in names]
        self._state = struct.Struct("<d" + "".join(f"{len(piece)}sf" for piece in pieces))
        self._state_row: list[bytes | float] = [part for piece in pieces for part in (piece, 0.0)]
        self._state_head = _length(3, len(_DOUBLE_1) + self._state.size) + _DOUBLE_1
        self._combined_head = _length(2, len(_DOUBLE_1) + self._state.size) + _DOUBLE_1
        # Slices of a stream have two lengths, so that their frames share two sets of length prefixes.
        self._frames: dict[tuple[int, int], tuple[bytes, tuple[bytes, bytes], bytes]] = {}

    def encode(
        self,
        time_code: float,
        weights: NDArray[np.float32],
        audio: bytes | bytearray | memoryview = b"",
        smoothed: NDArray[np.float32] | None = None,
        given: Iterable[EmotionWithTimeCode] = (),
        combined: NDArray[np.float32] | None = None,
    ) -> bytes:
        """One frame; see `animation_data` and `emotion_aggregate` for the arguments."""
        if weights.shape != (self._n_channels,):
            raise ValueError(f"frame weights: found shape {weights.shape}, expected ({self._n_channels},)")
        extra = b"".join(part for key in given for part in _delimited(1, key.SerializeToString()))
        if combined is not None:
            extra += self._combined_head + self._packed(time_code, combined)
        sizes = (len(audio), len(extra))
        head, middle, tail = self._frames.get(sizes) or self._prefixes(*sizes)
        time = _DOUBLE.pack(time_code)
        values = weights.astype("<f4", copy=False).tobytes()
        sound = (middle[0], time, middle[1], audio) if self._echo else ()
        state = self._packed(time_code, smoothed)
        return b"".join((head, time, self._weights_mid, values, *sound, tail, extra, self._state_head, state))

    def _prefixes(self, audio: int, extra: int) -> tuple[bytes, tuple[bytes, bytes], bytes]:
        """What stands before the weights' time, around the audio's time, and before the emotions."""
        aggregate = extra + len(self._state_head) + self._state.size
        value = _ANY_TYPE + _length(2, aggregate)
        entry = _METADATA_KEY + _length(2, len(value) + aggregate) + value
        tail = _length(4, len(entry) + aggregate) + entry
        size = len(self._weights_head) + 8 + len(self._weights_mid) + 4 * self._n_channels + len(tail) + aggregate
        inner = _length(2, audio)
        content = len(_DOUBLE_1) + 8 + len(inner) + audio
        middle = (_length(2, content) + _DOUBLE_1, inner)
        if self._echo:
            size += len(middle[0]) - len(_DOUBLE_1) + content
        prefixes = _length(2, size) + self._weights_head, middle, tail
        if not extra and len(self._frames) < _KEPT_PREFIXES:
            self._frames[audio, extra] = prefixes
        return prefixes

    def _packed(self, time_code: float, values: NDArray[np.float32] | None) -> bytes:
        row = self._state_row.copy()
        if values is not None:
            row[1::2] = values.tolist()
        return self._state.pack(time_code, *row)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _length(field: int, length: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return bytes([field << 3 | 2]) + _varint(length)


def _delimited(field: int, content: bytes) -> tuple[bytes, bytes]:
    return _length(field, len(content)), content


_DOUBLE = struct.Struct("<d")
_KEPT_PREFIXES = 64
_DOUBLE_1 = b"\x09"
"""Tag of a double in field 1, which every time code is."""

_METADATA_KEY = _length(1, len(EMOTION_METADATA)) + EMOTION_METADATA.encode()
_TYPE_URL = f"type.googleapis.com/{EmotionAggregate.DESCRIPTOR.full_name}".encode()
_ANY_TYPE = _length(1, len(_TYPE_URL)) + _TYPE_URL
