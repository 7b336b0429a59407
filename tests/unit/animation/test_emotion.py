from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facewave.animation.emotion import UNMAPPED, EmotionPostProcessor, EmotionPostSettings, preferred_of
from facewave.emotions import EMOTIONS, EmotionSettings
from facewave.errors import SettingsError

CORRESPONDENCE = [1, 3, 4, 6, UNMAPPED, 9]
"""angry, disgust, fear, happy, neutral, sad to the ten emotions."""

MAPPED = [1, 3, 4, 6, 9]
UNTOUCHED = [0, 2, 5, 7, 8]
SCORES = np.array([[2, 0, -1, 1, 0.5, -2], [0.2, -0.5, 0.1, 3, 0.8, -1], [-1, 0.3, 0.6, 1.5, 2, 0.4]], np.float32)


def run(settings: EmotionPostSettings, scores: np.ndarray = SCORES, **options: object) -> np.ndarray:
    processor = EmotionPostProcessor(CORRESPONDENCE, settings=settings, **options)  # type: ignore[arg-type]
    return np.vstack([processor.process(row[None]) for row in scores])


def one(**values: float) -> np.ndarray:
    vector = np.zeros(10, np.float32)
    for name, value in values.items():
        vector[EMOTIONS.index(name)] = value
    return vector


def test_detected_emotions_rise_smoothly() -> None:
    found = run(EmotionPostSettings())
    expected = [
        [0.10030942, 0.0135754, 0.00499411, 0.03690177, 0.00183723],
        [0.09887549, 0.01358807, 0.00541203, 0.0455744, 0.00197285],
        [0.09622233, 0.01428293, 0.00687046, 0.05351083, 0.00308113],
    ]
    np.testing.assert_allclose(found[:, MAPPED], expected, atol=1e-7)
    assert not found[:, UNTOUCHED].any()


def test_contrast_and_the_strongest_three() -> None:
    found = run(EmotionPostSettings(emotion_contrast=2, max_emotions=3))
    expected = [
        [0.14922254, 0.00273311, 0, 0.02019507, 0],
        [0.14628157, 0.00267844, 0.00003561, 0.031553, 0],
        [0.14143452, 0.00258916, 0.00054293, 0.04127511, 0.00032495],
    ]
    np.testing.assert_allclose(found[:, MAPPED], expected, atol=1e-7)


PREFERRED = EmotionPostSettings(max_emotions=3, enable_preferred_emotion=True)


def test_a_preferred_emotion_that_nothing_detects_feeds_back() -> None:
    found = run(PREFERRED, preferred=one(amazement=1, joy=0.5))
    np.testing.assert_allclose(found[:, 0], [0.3, 0.3018, 0.3047508], atol=1e-6)
    np.testing.assert_allclose(found[:, 6], [0.16845089, 0.17278722, 0.17675543], atol=1e-6)
    steady = run(PREFERRED, np.zeros((2000, 6), np.float32), preferred=one(amazement=1))[-1]
    assert steady[0] == pytest.approx(0.42857, abs=1e-4)


def test_without_feedback_the_preferred_emotion_has_its_share() -> None:
    steady = run(PREFERRED, np.zeros((2000, 6), np.float32), preferred=one(amazement=1), feedback=False)[-1]
    # strength x share; the blend with the previous detection (zero) takes nothing away from the preferred one
    assert steady[0] == pytest.approx(0.3, abs=1e-4)


def test_the_beginning_emotion_fades() -> None:
    found = run(EmotionPostSettings(), beginning=np.full(10, 0.2))
    np.testing.assert_allclose(found[:, 0], [0.12, 0.11904, 0.11746048], atol=1e-6)
    np.testing.assert_allclose(found[:, 1], [0.18430942, 0.18119551, 0.17579836], atol=1e-6)


def test_silence_is_a_sixth_of_everything() -> None:
    found = run(EmotionPostSettings(), np.zeros((2000, 6), np.float32))
    np.testing.assert_allclose(found[:3, 1], [0.03, 0.0314, 0.03368667], atol=1e-7)
    np.testing.assert_allclose(found[-1, MAPPED], 0.1, atol=1e-5)


@pytest.mark.parametrize("count", range(7))
def test_at_most_so_many_emotions(count: int) -> None:
    found = run(EmotionPostSettings(max_emotions=count, live_blend_coef=0), SCORES[:1])[0]
    # neutral is dropped first, and its zero is among those that are not kept
    assert np.count_nonzero(found) == min(count, 5)


def test_an_emotion_that_is_not_given_is_left_as_detected() -> None:
    settings = EmotionSettings(overrides={"joy": 0.5, "grief": 0.0}, override_strength=1.0, max_detected=6)
    post = EmotionPostSettings.of(settings, Fraction(30))
    found = run(post, preferred=preferred_of(settings))
    free = run(EmotionPostSettings.of(EmotionSettings(max_detected=6), 30))
    np.testing.assert_allclose(found[:, 6], 0.3, atol=1e-6)
    assert not found[:, 5].any()
    np.testing.assert_allclose(found[:, [1, 3, 4, 9]], free[:, [1, 3, 4, 9]], atol=1e-7)


def test_settings_are_translated() -> None:
    settings = EmotionSettings(0.5, 2, 4, 0.6, 0.7, {"joy": 1})
    expected = EmotionPostSettings(2, 4, 0.6, True, 0.7, 0.5, 1 / 60, 0.5)
    assert EmotionPostSettings.of(settings, 60) == expected
    assert not EmotionPostSettings.of(EmotionSettings(), 60).enable_preferred_emotion


def test_settings_from_a_model_configuration() -> None:
    config = {
        "emotion_contrast": 1.0, "max_emotions": 6, "live_blend_coef": 0.7, "enable_preferred_emotion": False,
        "preferred_emotion_strength": 0.5, "transition_smoothing": 0.4, "fixed_dt": 0.033, "emotion_strength": 0.6,
    }  # fmt: skip
    assert EmotionPostSettings.from_config(config).fixed_dt == 0.033
    assert EmotionPostSettings.from_config(config, 25) == EmotionPostSettings(live_transition_time=0.4, fixed_dt=0.04)
    with pytest.raises(SettingsError, match="no key transition_smoothing"):
        EmotionPostSettings.from_config({key: config[key] for key in config if key != "transition_smoothing"})


def test_reset_makes_the_next_frame_the_first() -> None:
    processor = EmotionPostProcessor(CORRESPONDENCE, beginning=np.full(10, 0.2))
    first = [processor.process(row[None]) for row in SCORES]
    processor.reset()
    np.testing.assert_array_equal([processor.process(row[None]) for row in SCORES], first)


def test_tracks_are_independent_and_inactive_ones_stand_still() -> None:
    processor = EmotionPostProcessor(CORRESPONDENCE, n_tracks=2)
    out = np.full((2, 10), 9, np.float32)
    for row in SCORES:
        processor.process(np.stack([row, SCORES[0]]), out=out, active=np.array([True, False]))
    assert (out[1] == 9).all()
    processor.process(np.stack([SCORES[0]] * 2), out=out, active=np.array([False, True]))
    alone = run(EmotionPostSettings())
    np.testing.assert_array_equal(out, [alone[2], alone[0]])


def test_results_handed_out_are_not_changed_by_later_frames() -> None:
    processor = EmotionPostProcessor(CORRESPONDENCE, beginning=np.full(10, 0.2))
    first = processor.process(SCORES[:1])
    kept = first.copy()
    processor.process(SCORES[1:2])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"live_blend_coef": 1.1}, "live_blend_coef: found 1.1, expected 0 to 1"),
        ({"max_emotions": -1}, "max_emotions: found -1, expected 0 or more"),
        ({"max_emotions": 2.5}, "expected a whole number"),
        ({"fixed_dt": float("nan")}, "fixed_dt: found nan"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        EmotionPostSettings(**values)  # type: ignore[arg-type]


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(SettingsError, match="found index 10, expected -1 or 0 to 9"):
        EmotionPostProcessor([1, 10])
    with pytest.raises(SettingsError, match="beginning emotion: found 3 values, expected 10"):
        EmotionPostProcessor([1, 2], beginning=[1, 2, 3])
