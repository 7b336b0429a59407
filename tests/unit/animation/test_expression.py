from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.animation.asymmetry import Asymmetry
from facewave.animation.expression import DYNAMICS, POSES, Expression, combined
from facewave.blendshapes import ARKIT, INDEX
from facewave.emotions import EMOTIONS, emotion_vector

FPS = Fraction(60)


def face(emotion: str, strength: float = 1.0, closure: float = 0.0, speech: float = 0.0) -> NDArray[np.float32]:
    weights = np.full((1, 68), speech, np.float32)
    pose = emotion_vector({emotion: strength})[None] @ POSES
    return np.asarray(combined(weights, pose, np.array([closure], np.float32))[0])


def track(frames: int, emotion: str, first: int, last: int) -> NDArray[np.float32]:
    """An emotion that is switched on and off."""
    out = np.zeros((frames, len(EMOTIONS)), np.float32)
    out[first:last, EMOTIONS.index(emotion)] = 1
    return out


def lived(emotion: NDArray[np.float32], *, seed: int = 0, vary: bool = False, fps: int = 60) -> NDArray[np.float32]:
    still = np.zeros((len(emotion), 68), np.float32)
    return Expression(Fraction(fps), seed, vary=vary)(still, emotion, np.zeros(len(emotion), np.float32))


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_emotion_has_a_pose_of_its_own_within_range(emotion: str) -> None:
    full = face(emotion)
    assert full.max() > 0.1
    assert full.min() >= 0
    assert full.max() <= 1
    assert (face(emotion, 0.5) <= full + 1e-6).all()
    others = np.delete(POSES, EMOTIONS.index(emotion), axis=0)
    assert np.abs(others - POSES[EMOTIONS.index(emotion)]).max(axis=1).min() > 0.1


def test_what_each_pose_is_known_by() -> None:
    assert face("joy")[INDEX["mouthSmileLeft"]] > 0.5
    assert face("anger")[INDEX["browDownLeft"]] > 0.5
    assert face("amazement")[INDEX["browOuterUpRight"]] > 0.5
    assert face("disgust")[INDEX["noseSneerLeft"]] > 0.5
    assert face("cheekiness")[INDEX["mouthSmileLeft"]] > face("cheekiness")[INDEX["mouthSmileRight"]]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_pose_does_not_open_closed_lips(emotion: str) -> None:
    closed = face(emotion, closure=1.0)
    for channel in ("jawOpen", "mouthLowerDownRight", "mouthFunnel"):
        assert closed[INDEX[channel]] == 0
    assert closed[INDEX["mouthUpperUpLeft"]] <= 0.06
    assert closed[INDEX["noseSneerLeft"]] == pytest.approx(face(emotion)[INDEX["noseSneerLeft"]] / 2)


def test_a_bite_leaves_the_upper_lip_alone() -> None:
    pose = emotion_vector({"disgust": 1, "outofbreath": 1})[None] @ POSES
    none, full = np.zeros(1, np.float32), np.ones(1, np.float32)
    free = combined(np.zeros((1, 68), np.float32), pose.copy(), none)[0]
    bitten = combined(np.zeros((1, 68), np.float32), pose.copy(), none, full)[0]
    assert bitten[INDEX["mouthUpperUpLeft"]] == free[INDEX["mouthUpperUpLeft"]] > 0
    assert bitten[INDEX["mouthLowerDownLeft"]] == 0 < free[INDEX["mouthLowerDownLeft"]]


def test_speech_and_pose_add_up_to_no_more_than_one() -> None:
    assert face("joy", speech=0.9).max() <= 1
    assert face("joy", speech=0.1)[INDEX["mouthSmileLeft"]] == pytest.approx(0.1 + face("joy")[INDEX["mouthSmileLeft"]])
    assert np.array_equal(face("joy", strength=0.0, speech=0.3), np.full(68, 0.3, np.float32))


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_an_emotion_comes_and_goes_at_its_own_pace(emotion: str) -> None:
    channel = int(POSES[EMOTIONS.index(emotion)][: INDEX["mouthClose"]].argmax())
    channel = channel if channel != INDEX["jawOpen"] else INDEX["browInnerUp"]
    curve = lived(track(1500, emotion, 60, 900))[:, channel] / POSES[EMOTIONS.index(emotion), channel]
    dynamics = DYNAMICS[emotion]
    assert not curve[:60].any()
    assert curve[59 + round(dynamics.onset_s * 60)] == pytest.approx(1 - 1 / np.e, abs=0.07)
    assert curve[890] == pytest.approx(1, abs=1e-3)
    assert curve[899 + round(dynamics.decay_s * 60)] == pytest.approx(1 / np.e, abs=0.03)
    assert dynamics.decay_s > dynamics.onset_s


def test_a_stream_begins_in_its_emotion_and_the_frame_rate_does_not_matter() -> None:
    joy = track(120, "joy", 0, 120)
    np.testing.assert_allclose(lived(joy)[0], POSES[EMOTIONS.index("joy")], atol=1e-6)
    slow, fast = lived(track(90, "joy", 15, 90), fps=30), lived(track(360, "joy", 60, 360), fps=120)
    smile = INDEX["mouthSmileLeft"]
    np.testing.assert_allclose(slow[20:, smile], fast[83::4, smile][: len(slow) - 20], atol=0.02)


def test_variation_is_small_slow_seeded_and_none_without() -> None:
    joy = track(3600, "joy", 0, 3600)
    still, moving = lived(joy), lived(joy, vary=True)
    cheek, smile = INDEX["cheekSquintLeft"], INDEX["mouthSmileLeft"]
    assert np.ptp(still, axis=0).max() < 1e-6
    assert 0.01 < moving[:, cheek].std() / still[0, cheek] < DYNAMICS["joy"].variation
    assert moving[:, smile].std() < 0.03
    assert np.abs(np.diff(moving, axis=0)).max() < 0.01
    assert np.array_equal(moving, lived(joy, vary=True))
    assert not np.array_equal(moving, lived(joy, vary=True, seed=1))


def test_pieces_of_any_size_equal_the_whole() -> None:
    random = np.random.default_rng(0)
    weights = random.random((500, 68)).astype(np.float32) * 0.5
    emotion = np.repeat(random.random((10, 10)).astype(np.float32), 50, axis=0)
    closure, silence = random.random((2, 500)).astype(np.float32)
    whole = Expression(FPS, 3)(weights, emotion, closure, closure[::-1], silence)
    whole = Asymmetry(FPS, 3)(whole)
    expression, asymmetry, pieces, at = Expression(FPS, 3), Asymmetry(FPS, 3), [], 0
    for size in (0, 1, 7, 100, 3, 389):
        part = slice(at, at + size)
        pieces.append(
            asymmetry(expression(weights[part], emotion[part], closure[part], closure[::-1][part], silence[part]))
        )
        at += size
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


def test_the_mouth_hangs_open_in_pauses_and_leaves_speech_its_jaw() -> None:
    amazed, n = track(240, "amazement", 0, 240), np.zeros(240, np.float32)
    silence = n.copy()
    silence[:60] = silence[150:] = 1
    jaw = Expression(FPS, vary=False)(np.zeros((240, 68), np.float32), amazed, n, n, silence)[:, INDEX["jawOpen"]]
    pose = POSES[EMOTIONS.index("amazement"), INDEX["jawOpen"]]
    assert jaw[59] == pytest.approx(pose, abs=1e-3)
    assert jaw[100] < 0.3 * pose
    assert jaw[239] > 0.8 * pose


def test_sides_differ_a_little_and_their_mean_stays() -> None:
    weights = np.random.default_rng(1).random((3600, 68)).astype(np.float32) * 0.8
    out = Asymmetry(FPS, 5)(weights)
    for name in ARKIT:
        if not name.endswith("Left") or name in ("jawLeft", "mouthLeft"):
            continue
        left, right = INDEX[name], INDEX[name.replace("Left", "Right")]
        np.testing.assert_allclose((out[:, left] + out[:, right]) / 2,
                                   (weights[:, left] + weights[:, right]) / 2, atol=0.09)  # fmt: skip
        if name.startswith(("eyeBlink", "eyeLook")):
            assert np.array_equal(out[:, left], weights[:, left])
        else:
            share = out[:, left] / weights[:, left]
            assert 0.001 < np.abs(share - 1).mean() < 0.2
    same = np.full((600, 68), 0.4, np.float32)
    lopsided = Asymmetry(FPS, 5)(same)
    np.testing.assert_allclose(
        lopsided[:, INDEX["mouthSmileLeft"]] + lopsided[:, INDEX["mouthSmileRight"]], 0.8, atol=1e-6
    )
    assert np.array_equal(lopsided[:, [INDEX["jawLeft"], INDEX["mouthRight"], INDEX["jawOpen"]]], same[:, :3])
    assert not np.array_equal(lopsided, Asymmetry(FPS, 6)(same))
    assert lopsided.max() <= 1
