from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack, emotion_name, given_emotion, replaced_from
from facewave.errors import SettingsError


def test_defaults_are_those_of_the_plugin() -> None:
    settings = EmotionSettings()
    assert (settings.strength, settings.detected_contrast, settings.max_detected) == (0.6, 1.0, 3)
    assert (settings.detected_smoothing, settings.override_strength, dict(settings.overrides)) == (0.7, 0.5, {})


@pytest.mark.parametrize(
    ("setting", "value", "low", "high"),
    [
        ("strength", 1.1, 0, 1),
        ("detected_contrast", 0.2, 0.3, 3),
        ("detected_contrast", 3.1, 0.3, 3),
        ("max_detected", 0, 1, 6),
        ("max_detected", 7, 1, 6),
        ("detected_smoothing", -0.1, 0, 1),
        ("override_strength", float("nan"), 0, 1),
    ],
)
def test_a_setting_outside_its_range_states_the_range(setting: str, value: float, low: float, high: float) -> None:
    with pytest.raises(SettingsError, match=rf"{setting}: found {value}, expected {low}(\.0)? to {high}"):
        EmotionSettings(**{setting: value})  # type: ignore[arg-type]


def test_an_override_outside_its_range_is_ignored_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"joy: found 1\.5"):
        settings = EmotionSettings(overrides={"joy": 1.5, "fear": 0.0})
    assert dict(settings.overrides) == {"fear": 0.0}


def test_names_in_any_spelling_and_with_a_hint() -> None:
    assert emotion_name("Out_Of_Breath") == "outofbreath"
    with pytest.raises(SettingsError, match="did you mean joy"):
        emotion_name("joyy")


KEYS = st.lists(st.integers(-1000, 100_000), min_size=1, max_size=8, unique=True).map(sorted)


@given(times=KEYS, data=st.data())
def test_a_track_is_linear_between_keys_and_constant_outside(times: list[int], data: st.DataObject) -> None:
    values = np.array(
        data.draw(st.lists(st.floats(0, 1, width=32), min_size=len(times), max_size=len(times))), np.float32
    )
    track = EmotionTrack(np.array(times), values[:, None])
    asked = np.array(data.draw(st.lists(st.integers(-2000, 110_000), min_size=1, max_size=20)))
    found = track.at(asked)[:, 0]
    np.testing.assert_allclose(found, np.interp(asked, times, values), atol=1e-6)
    assert np.array_equal(track.at(np.array(times))[:, 0], values)


def test_keys_in_any_order_and_the_last_of_equal_times_wins() -> None:
    track = EmotionTrack.from_keys([(1.0, {"joy": 0.2}), (0.0, {"fear": 1}), (1.0, {"joy": 0.9})])
    assert track.samples.tolist() == [0, 16000]
    assert track.at(8000)[EMOTIONS.index("joy")] == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("samples", "values"),
    [
        ([], np.zeros((0, 10))),
        ([0, 0], np.zeros((2, 10))),
        ([0], np.full((1, 10), np.nan)),
        ([0, 1], np.zeros((1, 10))),
    ],
)
def test_a_track_refuses(samples: list[int], values: NDArray[np.float32]) -> None:
    with pytest.raises(SettingsError, match="emotion track"):
        EmotionTrack(np.array(samples, np.int64), values)


def test_overrides_lie_over_the_track() -> None:
    track = EmotionTrack.from_keys([(0, {"joy": 1, "fear": 1})])
    values = given_emotion(EmotionSettings(overrides={"fear": 0.0}), track, np.array([0]))
    assert values is not None
    assert values[0, EMOTIONS.index("joy")] == 1
    assert values[0, EMOTIONS.index("fear")] == 0
    assert given_emotion(EmotionSettings(), None, np.array([0])) is None


def test_newer_keys_replace_older_ones_from_their_first_time() -> None:
    old = EmotionTrack.from_keys([(0, {"joy": 1}), (2, {"joy": 0})])
    merged = replaced_from(old, EmotionTrack.from_keys([(1, {"fear": 1})]))
    assert merged.samples.tolist() == [0, 16000]
    assert replaced_from(None, old) is old


@pytest.mark.parametrize("seconds", [1e300, -1e12, float("inf"), float("nan")])
def test_a_key_beyond_any_clip_is_refused(seconds: float) -> None:
    with pytest.raises(SettingsError, match="emotion key: found time"):
        EmotionTrack.from_keys([(seconds, {"joy": 1.0})])
