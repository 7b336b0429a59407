"""What services send: exact bytes, frames read back, and the arithmetic of the audio echo."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewave.blendshapes import ARKIT, CHANNELS, pascal
from facewave.emotions import EMOTIONS
from facewave.streams import StreamSettings
from facewave.wire import a2f, animation
from facewave.wire._proto.a2f_pb2 import AudioStream as LegacyAudioStream
from facewave.wire._proto.animation_data_pb2 import AnimationData, AnimationDataStream
from facewave.wire._proto.animation_id_pb2 import AnimationIds
from facewave.wire._proto.controller_pb2 import AnimationDataStream as AnswerStream
from facewave.wire._proto.controller_pb2 import AudioStream
from facewave.wire._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode

# PCM is 0 and not written; 1 channel, 16000 Hz as a varint, 16 bits.
AUDIO_16K = bytes.fromhex("1001 18807d 2010")


def _part(number: int, content: bytes) -> bytes:
    assert len(content) < 128, "one length byte is enough for these messages"
    return bytes([number << 3 | 2, len(content)]) + content


def test_bytes_of_the_bidirectional_header() -> None:
    sent = AudioStream(audio_stream_header=a2f.controller_header(StreamSettings(), 16_000))
    assert sent.SerializeToString() == _part(1, _part(1, AUDIO_16K))


def test_bytes_of_the_one_way_header_have_the_ids_first() -> None:
    ids = AnimationIds(request_id="r", stream_id="s")
    sent = LegacyAudioStream(audio_stream_header=a2f.legacy_header(StreamSettings(), 16_000, ids))
    assert sent.SerializeToString() == _part(1, _part(1, b"\x0a\x01r\x12\x01s") + _part(2, AUDIO_16K))


def test_bytes_of_an_explicit_zero() -> None:
    header = a2f.controller_header(StreamSettings(), 16_000)
    header.emotion_post_processing_params.emotion_strength = 0.0
    assert header.SerializeToString() == _part(1, AUDIO_16K) + _part(3, bytes.fromhex("2d00000000"))


def test_parts_without_content_still_say_which_part_they_are() -> None:
    assert AudioStream(end_of_audio=AudioStream.EndOfAudio()).SerializeToString() == b"\x1a\x00"
    assert animation.end_of_processing().SerializeToString() == b"\x1a\x00"
    assert animation.status(animation.Status.SUCCESS, "").SerializeToString() == b"\x22\x00"
    assert AnimationDataStream(status=animation.Status()).SerializeToString() == b"\x1a\x00"


def test_bytes_of_a_status() -> None:
    assert animation.status(animation.Status.ERROR, "no").SerializeToString() == _part(4, b"\x08\x03\x12\x02no")


def test_bytes_of_a_frame() -> None:
    weights = np.array([0.0, 0.5, -0.25], np.float32)
    sent = animation.animation_data(0.5, weights, b"\x01\x00\xff\x7f").SerializeToString()
    time = b"\x09" + struct.pack("<d", 0.5)
    values = _part(2, struct.pack("<3f", 0.0, 0.5, -0.25))
    assert sent == _part(1, _part(1, time + values)) + _part(2, time + _part(2, b"\x01\x00\xff\x7f"))


def test_bytes_of_the_answer_header() -> None:
    sent = animation.stream_header(["jawOpen"], 16_000, 1.5).SerializeToString()
    start = b"\x19" + struct.pack("<d", 1.5)
    assert sent == _part(1, _part(1, AUDIO_16K) + _part(2, _part(1, b"JawOpen")) + start)


def test_bytes_of_the_one_way_answer_header() -> None:
    ids = AnimationIds(stream_id="s")
    sent = animation.legacy_stream_header(ids, ["jawOpen"], 16_000, 1.5).SerializeToString()
    start = b"\x29" + struct.pack("<d", 1.5)
    parts = _part(1, b"\x12\x01s") + _part(2, b"A2F MS") + _part(3, AUDIO_16K) + _part(4, _part(1, b"JawOpen"))
    assert sent == _part(1, parts + start)


def test_emotions_of_a_frame_travel_as_metadata() -> None:
    smoothed = np.linspace(0, 0.9, 10, dtype=np.float32)
    given = [EmotionWithTimeCode(time_code=0.0, emotion={"joy": 1.0})]
    data = animation.animation_data(
        1.0, np.zeros(52, np.float32), None, animation.emotion_aggregate(1.0, smoothed, given)
    )
    assert (
        data.metadata["emotion_aggregate"].type_url
        == "type.googleapis.com/nvidia_ace.emotion_aggregate.v1.EmotionAggregate"
    )
    aggregate = animation.EmotionAggregate()
    assert data.metadata["emotion_aggregate"].Unpack(aggregate)
    assert len(aggregate.a2e_output) == 0
    assert list(aggregate.input_emotions) == given
    assert set(aggregate.a2f_smoothed_output[0].emotion) == set(EMOTIONS)
    found = animation.emotions_in(AnimationData.FromString(data.SerializeToString()))
    assert found is not None
    np.testing.assert_array_equal(found, smoothed)


def test_no_metadata_means_no_emotion() -> None:
    assert animation.emotions_in(AnimationData()) is None


@pytest.mark.parametrize("names", [ARKIT, CHANNELS, tuple(reversed(CHANNELS)), ("jawOpen", "tongueOut")])
def test_weights_are_read_by_name(names: tuple[str, ...]) -> None:
    sent = np.arange(1, len(names) + 1, dtype=np.float32)
    data = animation.animation_data(0.0, sent)
    (frame,) = animation.frames_in(data, animation.ChannelMap([pascal(name) for name in names]))
    expected = {name: float(value) for name, value in zip(names, sent, strict=True)}
    assert frame.weights.tolist() == [expected.get(name, 0.0) for name in CHANNELS]


def test_unknown_names_are_listed_and_other_counts_survive() -> None:
    channel_map = animation.ChannelMap(["HeadRoll", "JawOpen", "MouthClose"])
    assert channel_map.unknown == ("HeadRoll",)
    assert channel_map.channels == ("jawOpen", "mouthClose")
    short = channel_map.weights([0.0, 0.5])
    assert short[CHANNELS.index("jawOpen")] == 0.5
    assert short.sum() == 0.5
    long = channel_map.weights([9.0, 0.5, 0.25, 7.0])
    assert long.sum() == 0.75


def test_echo_of_the_documented_example() -> None:
    # 60,371 samples at 16 kHz give 114 frames and 60,800 echoed samples, in slices of 533 and 534.
    fps = Fraction(30)
    assert animation.frames_of_clip(60_371, 16_000, fps) == 114
    assert animation.echo_start(114, 16_000, fps) == 60_800
    slices = np.diff([animation.echo_start(k, 16_000, fps) for k in range(115)])
    assert set(slices.tolist()) == {533, 534}


@given(
    st.integers(0, 5_000_000),
    st.sampled_from([16_000, 22_050, 44_100, 48_000, 144_000]),
    st.sampled_from([Fraction(30), Fraction(60), Fraction(30_000, 1001)]),
)
def test_echo_of_all_frames_covers_the_clip_within_a_frame(n_samples: int, rate: int, fps: Fraction) -> None:
    frames = animation.frames_of_clip(n_samples, rate, fps)
    echoed = animation.echo_start(frames, rate, fps)
    assert n_samples <= echoed
    assert echoed - n_samples < rate / fps + 1


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("n_channels", [0, 1, 52, 68])
@pytest.mark.parametrize("audio", [b"", bytes(100), bytes(1066), bytes(40_000)])
@pytest.mark.parametrize("extras", [False, True])
def test_encoder_writes_what_protobuf_reads(echo: bool, n_channels: int, audio: bytes, extras: bool) -> None:
    rng = np.random.default_rng(n_channels)
    weights, smoothed, combined = (rng.random(n, np.float32) for n in (n_channels, 10, 10))
    given = [EmotionWithTimeCode(time_code=0.25, emotion={"joy": 0.5})] if extras else []
    expected = animation.animation_data(
        2.5, weights, audio if echo else None,
        animation.emotion_aggregate(2.5, smoothed, given, combined if extras else None),
    )  # fmt: skip
    encoder = animation.FrameEncoder(n_channels, echo=echo)
    for _ in range(2):  # The second frame takes its prefixes from the first.
        made = encoder.encode(2.5, weights, audio, smoothed, given, combined if extras else None)
        for kind in (AnswerStream, AnimationDataStream):
            found = kind.FromString(made)
            assert found.WhichOneof("stream_part") == "animation_data"
            # Inside Any the order of a map's entries is free: compare what it holds.
            assert _opened(found.animation_data) == _opened(expected)


def _opened(data: AnimationData) -> tuple[bytes, animation.EmotionAggregate, str]:
    aggregate = animation.EmotionAggregate()
    assert data.metadata["emotion_aggregate"].Unpack(aggregate)
    plain = AnimationData()
    plain.CopyFrom(data)
    plain.metadata.clear()
    return plain.SerializeToString(deterministic=True), aggregate, data.metadata["emotion_aggregate"].type_url
