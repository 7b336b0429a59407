"""The reader without sockets: frame rates from time codes of any precision, and emotion keys told in pieces."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewave.blendshapes import ARKIT, CHANNELS, pascal
from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack, replaced_from
from facewave.errors import RemoteError
from facewave.frames import Frame
from facewave.providers.remote.emotions import KeyLedger
from facewave.providers.remote.reader import COMMON_RATES, FrameReader, rate_between
from facewave.streams import StreamSettings
from facewave.wire import animation
from facewave.wire._proto import animation_data_pb2, controller_pb2

TELEVISION = [Fraction(24_000, 1001), Fraction(30_000, 1001), Fraction(60_000, 1001), Fraction(120_000, 1001)]


@settings(deadline=None)
@given(st.sampled_from([*COMMON_RATES, *TELEVISION, *map(Fraction, range(1, 241))]), st.integers(0, 100_000))
def test_exact_time_codes_give_the_exact_rate_anywhere_in_a_stream(rate: Fraction, index: int) -> None:
    assert rate_between(float(index / rate), float((index + 1) / rate)) == rate


@settings(deadline=None)
@given(st.sampled_from(COMMON_RATES), st.sampled_from([3, 4, 6]))
def test_rounded_time_codes_give_the_common_rate_they_mean(rate: Fraction, digits: int) -> None:
    if digits == 3 and rate > 60:
        return  # A millisecond is too coarse for these: 0.011 s and 0.010 s are ten per cent apart.
    assert rate_between(0.0, round(float(1 / rate), digits)) == rate


@settings(deadline=None)
@given(st.sampled_from([*COMMON_RATES, *TELEVISION]))
def test_single_precision_time_codes_give_the_exact_rate(rate: Fraction) -> None:
    assert rate_between(0.0, float(np.float32(1 / rate))) == rate


@pytest.mark.parametrize("codes", [(0.0, 0.0), (1.0, 0.5), (0.0, 5.0), (0.0, 1e-5), (0.0, float("inf"))])
def test_time_codes_of_no_animation_are_refused(codes: tuple[float, float]) -> None:
    with pytest.raises(RemoteError, match="time codes"):
        rate_between(*codes)


def _message(time_code: float, value: float = 0.5, names: int = 52) -> controller_pb2.AnimationDataStream:
    data = animation_data_pb2.AnimationData()
    data.skel_animation.blend_shape_weights.add(time_code=time_code, values=[value] * names)
    return controller_pb2.AnimationDataStream(animation_data=data)


def _reader(asked: Fraction | None = None) -> FrameReader:
    reader = FrameReader(asked, Fraction(30))
    assert reader.read(animation.stream_header(ARKIT, 16_000, 0.0)) == []
    return reader


def _read(reader: FrameReader, codes: list[float]) -> list[Frame]:
    return [frame for code in codes for frame in reader.read(_message(code))] + reader.end()


def test_the_first_frame_waits_for_the_second_which_tells_the_rate() -> None:
    reader = _reader()
    assert reader.read(_message(0.0)) == []
    assert not reader.rate_known
    assert len(reader.read(_message(1 / 60))) == 2
    assert reader.info.frame_rate == 60
    assert len(reader.read(_message(2 / 60))) == 1


def test_a_stream_that_counts_from_its_first_full_frame_gets_a_frame_0() -> None:
    frames = _read(_reader(), [(index + 1) / 30 for index in range(5)])
    assert [frame.index for frame in frames] == list(range(6))
    np.testing.assert_array_equal(frames[0].weights, frames[1].weights)


def test_time_codes_on_another_clock_count_from_the_first() -> None:
    frames = _read(_reader(), [1_763_800_000.0 + index / 30 for index in range(50)])
    assert [frame.index for frame in frames] == list(range(50))
    single = _read(_reader(), [1_763_800_000.0])
    assert [frame.index for frame in single] == [0]


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=60))
def test_whatever_is_lost_the_frames_are_consecutive_and_in_place(kept: list[bool]) -> None:
    # The first two are needed to learn the rate.
    indices = [0, 1] + [index for index, keep in enumerate(kept, 2) if keep]
    reader = _reader()
    frames: list[Frame] = []
    for index in indices:
        frames += reader.read(_message(index / 30, index / 100))
    assert [frame.index for frame in frames] == list(range(indices[-1] + 1))
    np.testing.assert_allclose([frame.weights[0] for frame in frames], np.arange(len(frames)) / 100, atol=1e-6)
    assert reader.filled == len(frames) - len(indices)


def test_a_second_header_may_name_other_shapes() -> None:
    reader = _reader()
    reader.read(_message(0.0, 0.25))
    reader.read(animation.stream_header(ARKIT[::-1], 16_000, 0.0))
    data = animation_data_pb2.AnimationData()
    data.skel_animation.blend_shape_weights.add(time_code=1 / 30, values=list(range(52)))
    frames = reader.read(controller_pb2.AnimationDataStream(animation_data=data))
    np.testing.assert_array_equal(frames[1].weights[:52], np.arange(52)[::-1])


def test_names_that_mean_one_channel_twice_take_the_first() -> None:
    reader = FrameReader(None, Fraction(30))
    header = controller_pb2.AnimationDataStreamHeader()
    header.skel_animation_header.blend_shapes.extend(["JawOpen", "jaw_open", pascal(ARKIT[0])])
    reader.read(controller_pb2.AnimationDataStream(animation_data_stream_header=header))
    data = animation_data_pb2.AnimationData()
    data.skel_animation.blend_shape_weights.add(time_code=0.0, values=[0.1, 0.9, 0.3])
    reader.read(controller_pb2.AnimationDataStream(animation_data=data))
    weights = reader.end()[0].weights
    assert weights[CHANNELS.index("jawOpen")] == np.float32(0.1)
    assert weights[0] == np.float32(0.3)


def test_messages_of_an_unknown_kind_are_reported_once() -> None:
    reader = _reader()
    for _ in range(3):
        assert reader.read(controller_pb2.AnimationDataStream()) == []
    assert sum("unknown kind" in note for note in reader.notices) == 1


def test_echoed_audio_is_kept_where_it_is_wanted() -> None:
    reader = FrameReader(None, Fraction(30), keep_audio=True)
    reader.read(animation.stream_header(ARKIT, 44_100, 0.0))
    for index in range(3):
        data = animation.animation_data(index / 30, np.zeros(52, np.float32), bytes([index, 0]))
        reader.read(controller_pb2.AnimationDataStream(animation_data=data))
    assert reader.audio_rate == 44_100
    assert reader.take_audio() == bytes([0, 0, 1, 0, 2, 0])
    assert reader.take_audio() == b""
    assert reader.echoed_bytes == 6


numbers = st.one_of(st.floats(), st.sampled_from([0.0, 1 / 30, 2 / 30, 1 / 60, 1e300, -1e300, -1.0]))
single = st.floats(width=32)


@st.composite
def responses(draw: st.DrawFn) -> controller_pb2.AnimationDataStream:
    """Anything a message can hold, sensible or not; enumerations are open, whatever their types say."""
    message = controller_pb2.AnimationDataStream()
    part = draw(st.sampled_from(["header", "data", "data", "status", "event", "none"]))
    if part == "header":
        header = message.animation_data_stream_header
        header.skel_animation_header.blend_shapes.extend(
            draw(st.lists(st.sampled_from(["JawOpen", "jaw_open", "TongueOut", "Nose", ""]), max_size=3))
        )
        if draw(st.booleans()):
            header.audio_header.samples_per_second = draw(st.integers(0, 2**32 - 1))
            header.audio_header.audio_format = draw(st.integers(-5, 5))  # type: ignore[assignment]
        header.start_time_code_since_epoch = draw(numbers)
    elif part == "data":
        for _ in range(draw(st.integers(0, 3))):
            entry = message.animation_data.skel_animation.blend_shape_weights.add(time_code=draw(numbers))
            entry.values.extend(draw(st.lists(single, max_size=3)))
        message.animation_data.audio.audio_buffer = draw(st.binary(max_size=5))
        if draw(st.booleans()):
            packed = message.animation_data.metadata["emotion_aggregate"]
            packed.type_url = draw(st.sampled_from(["", "type.googleapis.com/x", EMOTION_TYPE]))
            packed.value = draw(st.binary(max_size=6))
        message.animation_data.SetInParent()
    elif part == "status":
        message.status.code = draw(st.sampled_from([0, 1, 2, 3, 7, -1]))  # type: ignore[assignment]
        message.status.message = draw(st.text(max_size=5))
    elif part == "event":
        message.event.event_type = draw(st.integers(-1, 3))  # type: ignore[assignment]
        message.event.SetInParent()
    return message


EMOTION_TYPE = "type.googleapis.com/nvidia_ace.emotion_aggregate.v1.EmotionAggregate"


@settings(max_examples=300, deadline=None)
@given(st.lists(responses(), max_size=12), st.sampled_from([None, Fraction(30), Fraction(60)]))
def test_whatever_a_service_sends_gives_proper_frames_or_an_error_of_ours(
    messages: list[controller_pb2.AnimationDataStream], asked: Fraction | None
) -> None:
    reader = FrameReader(asked, Fraction(30), keep_audio=True)
    frames: list[Frame] = []
    with contextlib.suppress(RemoteError):
        for message in messages:
            frames += reader.read(message)
        frames += reader.end()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    for frame in frames:
        assert frame.weights.shape == (len(CHANNELS),)
        assert np.isfinite(frame.weights).all()
        assert frame.emotion is None or frame.emotion.shape == (len(EMOTIONS),)


def test_emotions_that_cannot_be_read_are_none() -> None:
    reader = _reader()
    for index in range(2):
        message = _message(index / 30)
        message.animation_data.metadata["emotion_aggregate"].type_url = EMOTION_TYPE
        message.animation_data.metadata["emotion_aggregate"].value = b"\xff\xff"
        frames = reader.read(message)
    assert [frame.emotion for frame in frames] == [None, None]


tracks = st.builds(
    lambda times, values: EmotionTrack(
        np.array(sorted(set(times)), np.int64),
        np.random.default_rng(values).random((len(set(times)), len(EMOTIONS))).astype(np.float32),
    ),
    st.lists(st.integers(0, 40_000), min_size=1, max_size=6),
    st.integers(0, 1000),
)


@settings(deadline=None)
@given(tracks, st.lists(tracks, max_size=3))
def test_what_a_service_was_told_amounts_to_the_tracks_in_force(
    initial: EmotionTrack, replacements: list[EmotionTrack]
) -> None:
    ledger = KeyLedger(StreamSettings(emotion_track=initial))
    told = dict(ledger.take())
    samples = np.arange(0, 45_000, 97)
    want = initial
    for track in replacements:
        ledger.replace(track)
        told |= ledger.take()
        want = replaced_from(want, track)
    assert dict(ledger.take()) == {}
    np.testing.assert_allclose(EmotionTrack.from_keys(told.items()).at(samples), want.at(samples), atol=2e-5)


def test_overrides_lie_over_every_key() -> None:
    settings = StreamSettings(emotion=EmotionSettings(overrides={"joy": 0.0, "fear": 1.0}))
    ledger = KeyLedger(settings)
    assert ledger.take() == {0.0: {"fear": 1.0}}
    ledger.replace(EmotionTrack.from_keys([(1.0, {"joy": 1.0, "pain": 0.5})]))
    keys = ledger.take()
    assert keys[1.0] == {"fear": 1.0, "pain": 0.5}


def test_without_emotions_nothing_is_told() -> None:
    assert KeyLedger(StreamSettings()).take() == {}
