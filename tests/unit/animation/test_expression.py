from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.animation.expression import POSES, add_expression
from facewave.blendshapes import INDEX
from facewave.emotions import EMOTIONS, emotion_vector


def face(emotion: str, strength: float = 1.0, closure: float = 0.0, speech: float = 0.0) -> NDArray[np.float32]:
    weights = np.full((1, 68), speech, np.float32)
    feeling = emotion_vector({emotion: strength})[None]
    return np.asarray(add_expression(weights, feeling, np.array([closure], np.float32))[0])


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
    for channel in ("jawOpen", "mouthUpperUpLeft", "mouthLowerDownRight", "mouthStretchLeft", "mouthFunnel"):
        assert closed[INDEX[channel]] == 0


def test_speech_and_pose_together_stay_within_one() -> None:
    assert face("joy", speech=0.9).max() <= 1
    assert np.array_equal(face("joy", strength=0.0, speech=0.3), np.full(68, 0.3, np.float32))
