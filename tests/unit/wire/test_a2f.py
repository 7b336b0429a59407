"""What clients send, read into our values and written from them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack
from facewave.errors import AudioError, SettingsError
from facewave.streams import StreamSettings
from facewave.wire import a2f
from facewave.wire._proto.a2f_pb2 import AudioStreamHeader as LegacyHeader
from facewave.wire._proto.animation_id_pb2 import AnimationIds
from facewave.wire._proto.audio_pb2 import AudioHeader
from facewave.wire._proto.controller_pb2 import AudioStreamHeader
from facewave.wire._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode


def _emotion(value: float, name: str) -> AudioStreamHeader:
    header = AudioStreamHeader()
    setattr(header.emotion_post_processing_params, name, value)
    return header


def test_unset_parameters_keep_the_deployment_value_and_explicit_zero_replaces_it() -> None:
    defaults = a2f.Tuning(emotion=EmotionSettings(strength=0.9, override_strength=0.8), clamp=True)
    unset = a2f.tuning_of(AudioStreamHeader(), defaults)
    assert (unset.emotion.strength, unset.emotion.override_strength, unset.clamp) == (0.9, 0.8, True)
    header = _emotion(0.0, "emotion_strength")
    header.blendshape_params.enable_clamping_bs_weight = False
    zero = a2f.tuning_of(header, defaults)
    assert (zero.emotion.strength, zero.emotion.override_strength, zero.clamp) == (0.0, 0.8, False)


def test_header_parameters_win_name_by_name() -> None:
    defaults = a2f.Tuning(face_parameters={"skinStrength": 1.5, "tongueStrength": 2.0}, multipliers={"jawOpen": 0.5})
    header = AudioStreamHeader()
    header.face_params.float_params["skinStrength"] = 0.25
    header.blendshape_params.bs_weight_multipliers["MouthClose"] = 0.75
    read = a2f.tuning_of(header, defaults)
    assert read.face_parameters == {"skinStrength": 0.25, "tongueStrength": 2.0}
    assert read.multipliers == {"jawOpen": 0.5, "mouthClose": 0.75}


@pytest.mark.parametrize("kind", [AudioStreamHeader, LegacyHeader])
def test_both_headers_are_read_alike(kind: type[AudioStreamHeader] | type[LegacyHeader]) -> None:
    header = kind()
    header.face_params.float_params["lipOpenOffset"] = -0.03
    header.emotion_post_processing_params.max_emotions = 6
    header.emotion_params.live_transition_time = 0.0001
    header.emotion_params.beginning_emotion["joy"] = 1.0
    header.blendshape_params.bs_weight_offsets["JawOpen"] = 0.125
    read = a2f.tuning_of(header)
    assert read.face_parameters == {"lipOpenOffset": pytest.approx(-0.03)}
    assert read.emotion.max_detected == 6
    assert read.emotion.transition_s == pytest.approx(0.0001)
    assert read.emotion.beginning == {"joy": 1.0}
    assert read.offsets == {"jawOpen": 0.125}
    assert read.notes == ()


def test_unknown_names_are_ignored_and_noted() -> None:
    header = AudioStreamHeader()
    header.face_params.float_params["noseLength"] = 1.0
    header.face_params.integer_params["count"] = 1
    header.blendshape_params.bs_weight_multipliers["HeadRoll_deprecated"] = 2.0
    header.emotion_params.beginning_emotion["out_of_breath"] = 1.0
    read = a2f.tuning_of(header)
    assert read.stream_settings(Fraction(30)) == StreamSettings(frame_rate=Fraction(30))
    assert [note.split(":")[0] for note in read.notes] == [
        "emotion out_of_breath",
        "face parameter noseLength",
        "face parameters count",
        "blend-shape multiplier HeadRoll_deprecated",
    ]


@pytest.mark.parametrize(
    ("name", "sent", "kept"),
    [("emotion_contrast", 9.0, 3.0), ("emotion_contrast", 0.0, 0.3), ("live_blend_coef", -1.0, 0.0),
     ("preferred_emotion_strength", 1.5, 1.0), ("emotion_strength", 2.0, 1.0)],
)  # fmt: skip
def test_numbers_outside_their_range_are_limited_and_noted(name: str, sent: float, kept: float) -> None:
    read = a2f.tuning_of(_emotion(sent, name))
    settings = {
        "emotion_contrast": read.emotion.detected_contrast,
        "live_blend_coef": read.emotion.detected_smoothing,
        "preferred_emotion_strength": read.emotion.override_strength,
        "emotion_strength": read.emotion.strength,
    }
    assert settings[name] == kept
    assert len(read.notes) == 1
    assert name in read.notes[0]


def test_limits_that_float32_cannot_hold_are_not_noted() -> None:
    header = AudioStreamHeader()
    header.face_params.float_params["upperFaceSmoothing"] = 0.1
    header.face_params.float_params["lipOpenOffset"] = 0.2
    read = a2f.tuning_of(header)
    assert read.notes == ()
    read.stream_settings(None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["face", "emotion", "multiplier", "offset", "beginning", "transition"])
def test_numbers_that_are_not_finite_are_refused_by_name(where: str, value: float) -> None:
    header = AudioStreamHeader()
    if where == "face":
        header.face_params.float_params["skinStrength"] = value
    elif where == "emotion":
        header.emotion_post_processing_params.emotion_strength = value
    elif where == "multiplier":
        header.blendshape_params.bs_weight_multipliers["JawOpen"] = value
    elif where == "offset":
        header.blendshape_params.bs_weight_offsets["JawOpen"] = value
    elif where == "beginning":
        header.emotion_params.beginning_emotion["joy"] = value
    else:
        header.emotion_params.live_transition_time = value
    with pytest.raises(SettingsError, match=r"skinStrength|emotion_strength|JawOpen|joy|live_transition_time"):
        a2f.tuning_of(header)


def test_disabled_override_leaves_detected_emotions_alone() -> None:
    header = AudioStreamHeader()
    header.emotion_post_processing_params.enable_preferred_emotion = False
    header.emotion_post_processing_params.preferred_emotion_strength = 1.0
    assert a2f.tuning_of(header).stream_settings(None).emotion.override_strength == 0.0


def test_emotion_keys_are_sorted_and_of_equal_times_the_last_wins() -> None:
    sent = [
        EmotionWithTimeCode(time_code=2.0, emotion={"joy": 0.5}),
        EmotionWithTimeCode(time_code=0.0, emotion={"fear": 1.0, "out_of_breath": 1.0}),
        EmotionWithTimeCode(time_code=2.0, emotion={"anger": 2.0}),
    ]
    notes: list[str] = []
    keys = a2f.emotion_keys_of(sent, notes)
    assert keys == {0.0: {"fear": 1.0}, 2.0: {"anger": 1.0}}
    assert len(notes) == 2
    track = a2f.emotion_track(keys)
    assert track.samples.tolist() == [0, 32_000]
    assert track.values[1, EMOTIONS.index("anger")] == 1.0


def test_emotion_key_without_a_time_is_refused() -> None:
    with pytest.raises(SettingsError, match="time code"):
        a2f.emotion_keys_of([EmotionWithTimeCode(time_code=float("nan"))], [])


@pytest.mark.parametrize(
    ("change", "named"),
    [({"channel_count": 2}, "channel count"), ({"bits_per_sample": 8}, "bits"), ({"samples_per_second": 0}, "rate"),
     ({"audio_format": 7}, "format")],
)  # fmt: skip
def test_audio_that_is_not_16_bit_mono_pcm_is_refused(change: dict[str, Any], named: str) -> None:
    header = a2f.audio_header(16_000)
    header.MergeFrom(AudioHeader(**change))
    if "samples_per_second" in change:
        header.samples_per_second = 0
    with pytest.raises(AudioError, match=named):
        a2f.sample_rate_of(header)


@given(st.lists(st.integers(-32768, 32767), max_size=200))
def test_pcm_comes_back_bit_for_bit(values: list[int]) -> None:
    pcm = np.array(values, "<i2").tobytes()
    assert a2f.pcm_of(a2f.samples_of(pcm)) == pcm


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError, match="3 bytes"):
        a2f.samples_of(b"abc")


def test_settings_survive_the_way_over_the_wire() -> None:
    settings = StreamSettings(
        emotion=EmotionSettings(
            strength=0.25, detected_contrast=2.0, max_detected=2, detected_smoothing=0.5,
            override_strength=0.75, transition_s=0.5, beginning={"fear": 0.5},
        ),
        face_parameters={"skinStrength": 1.5},
        multipliers={"jawOpen": 0.5},
        offsets={"tongueTipUp": 0.25},
        clamp=True,
    )  # fmt: skip
    header = AudioStreamHeader.FromString(a2f.controller_header(settings, 44_100).SerializeToString())
    assert a2f.sample_rate_of(header.audio_header) == 44_100
    assert a2f.tuning_of(header).stream_settings(None) == settings
    ids = AnimationIds(request_id="r", stream_id="s", target_object_id="t")
    legacy = LegacyHeader.FromString(a2f.legacy_header(settings, 16_000, ids).SerializeToString())
    assert legacy.animation_ids == ids
    assert a2f.tuning_of(legacy).stream_settings(None) == settings


def test_untouched_settings_send_nothing_but_the_audio_format() -> None:
    header = a2f.controller_header(StreamSettings(), 16_000)
    assert [field.name for field, _ in header.ListFields()] == ["audio_header"]


def test_overrides_are_laid_over_every_key() -> None:
    track = EmotionTrack.from_keys([(0.0, {"fear": 0.5}), (1.0, {"joy": 1.0})])
    settings = StreamSettings(emotion=EmotionSettings(overrides={"joy": 0.25}), emotion_track=track)
    assert a2f.keys_of_settings(settings) == {0.0: {"fear": 0.5, "joy": 0.25}, 1.0: {"joy": 0.25}}
    alone = StreamSettings(emotion=EmotionSettings(overrides={"joy": 0.25}))
    assert a2f.keys_of_settings(alone) == {0.0: {"joy": 0.25}}
    off = StreamSettings(emotion=EmotionSettings(overrides={"joy": 0.25}, override_strength=0.0))
    assert a2f.keys_of_settings(off) == {}
