"""Each face parameter moves what its name says, in the direction its name says."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.animation.face import FaceControl
from facewave.blendshapes import INDEX
from facewave.parameters import FACE_PARAMETERS

FPS = Fraction(60)


def shaped(parameters: dict[str, float], closure: float = 0.0) -> NDArray[np.float32]:
    return FaceControl(parameters, FPS)(np.full((1, 68), 0.5, np.float32), np.array([closure], np.float32))


def at(parameters: dict[str, float], channel: str, closure: float = 0.0) -> float:
    return float(shaped(parameters, closure)[0, INDEX[channel]])


def test_defaults_change_nothing() -> None:
    defaults = {row.name: row.default for row in FACE_PARAMETERS if not row.name.endswith("Smoothing")}
    np.testing.assert_allclose(shaped(defaults), 0.5, atol=1e-6)
    assert (shaped({}) == 0.5).all()


@pytest.mark.parametrize(
    ("parameter", "value", "channel", "expected"),
    [
        ("skinStrength", 2.0, "jawOpen", 1.0),
        ("skinStrength", 2.0, "browInnerUp", 1.0),
        ("skinStrength", 0.0, "tongueUp", 0.5),
        ("upperFaceStrength", 0.0, "browInnerUp", 0.0),
        ("upperFaceStrength", 0.0, "jawOpen", 0.5),
        ("lowerFaceStrength", 2.0, "jawOpen", 1.0),
        ("lowerFaceStrength", 2.0, "eyeSquintLeft", 0.5),
        ("eyelidOpenOffset", 0.5, "eyeWideLeft", 1.0),
        ("eyelidOpenOffset", -0.25, "eyeBlinkRight", 0.75),
        ("blinkStrength", 0.5, "eyeBlinkLeft", 0.25),
        ("blinkStrength", 0.5, "eyeWideLeft", 0.5),
        ("blinkOffset", 0.25, "eyeBlinkLeft", 0.75),
        ("lipOpenOffset", 0.2, "mouthLowerDownLeft", 0.7),
        ("lipOpenOffset", -0.1, "mouthPressLeft", 0.7),
        ("tongueStrength", 2.6, "tongueTipUp", 1.0),
        ("tongueStrength", 0.0, "jawOpen", 0.5),
        ("tongueHeightOffset", 1.5, "tongueUp", 1.0),
        ("tongueHeightOffset", -1.5, "tongueDown", 1.0),
        ("tongueDepthOffset", 1.5, "tongueStretch", 1.0),
        ("tongueDepthOffset", -1.5, "tongueIn", 1.0),
        ("tongueDepthOffset", 1.5, "tongueOut", 0.8),
        ("tongueDepthOffset", -1.5, "tongueOut", 0.5),
    ],
)
def test_direction(parameter: str, value: float, channel: str, expected: float) -> None:
    assert at({parameter: value}, channel) == pytest.approx(expected, abs=1e-4)


def test_parted_lips_give_way_to_a_closure() -> None:
    assert at({"lipOpenOffset": 0.2}, "jawOpen", closure=1.0) == pytest.approx(0.5)


def test_the_border_moves_with_its_level_and_blurs_with_its_softness() -> None:
    assert at({"upperFaceStrength": 0, "faceMaskLevel": 0.3}, "noseSneerLeft") == pytest.approx(0, abs=1e-3)
    assert at({"upperFaceStrength": 0, "faceMaskLevel": 0.7}, "noseSneerLeft") == pytest.approx(0.5, abs=1e-3)
    soft = at({"upperFaceStrength": 0, "faceMaskSoftness": 0.5}, "jawOpen")
    assert 0.2 < soft < 0.45


@pytest.mark.parametrize(("parameter", "moves", "keeps"), [
    ("lowerFaceSmoothing", "jawOpen", "browInnerUp"), ("upperFaceSmoothing", "browInnerUp", "jawOpen"),
])  # fmt: skip
def test_smoothing_slows_its_half_of_the_face(parameter: str, moves: str, keeps: str) -> None:
    step = np.zeros((5, 68), np.float32)
    step[1:] = 1
    out = FaceControl({parameter: 0.1}, FPS)(step, np.zeros(5, np.float32))
    assert out[1, INDEX[moves]] < 0.3
    assert out[1, INDEX[keeps]] == pytest.approx(1, abs=1e-3)
