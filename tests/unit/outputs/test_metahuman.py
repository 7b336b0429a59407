"""MetaHuman curves: names, weights, and closures that show without mouthClose."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest

from facewave.blendshapes import ARKIT, CHANNELS
from facewave.frames import Animation, StreamInfo
from facewave.outputs import metahuman


def face(**weights: float) -> dict[str, float]:
    """The curves that one frame becomes."""
    row = np.array([[weights.get(name, 0.0) for name in CHANNELS]], np.float32)
    names, values = metahuman.curves(Animation(StreamInfo(Fraction(60)), row))
    return {name: value for name, value in zip(names, values[0].tolist(), strict=True) if value}


def table(animation: Animation) -> list[list[str]]:
    """Lines as Unreal's importer takes them apart: blanks go, commas divide."""
    file = io.BytesIO()
    metahuman.write(animation, file)
    return [line.replace(" ", "").split(",") for line in file.getvalue().decode().splitlines()]


def test_the_file_is_what_the_importer_reads() -> None:
    random = np.random.default_rng(0)
    animation = Animation(StreamInfo(Fraction(30), ARKIT), random.random((4, 52), np.float32))
    header, *rows = table(animation)
    assert header == ["curve_name", "frame_number", "value"]
    assert all(len(row) == 3 and row[0].startswith("CTRL_expressions_") for row in rows)
    assert sorted({int(row[1]) for row in rows}) == [0, 1, 2, 3]
    assert len({row[0] for row in rows}) * 4 == len(rows), "every curve has a value in every frame"
    assert all(0 <= float(row[2]) <= 1 for row in rows)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("eyeLookInLeft", {"eyeLookRightL": 0.5}),
        ("eyeLookOutRight", {"eyeLookRightR": 0.5}),
        ("mouthSmileRight", {"mouthCornerPullR": 0.5}),
        ("mouthPressLeft", {"mouthPressUL": 0.5, "mouthPressDL": 0.5}),
        ("browOuterUpLeft", {"browRaiseInL": 0.5, "browRaiseOuterL": 0.5}),
        ("tongueOut", {"tongueOut": 0.3845, "tongueDown": 0.413, "tongueWide": 0.314, "tongueRollDown": 0.1235}),
        ("tongueTipUp", {"tongueTipUp": 0.5}),
        ("jawForward", {"jawFwd": 0.4995}),
    ],
)
def test_channels_move_their_curves(channel: str, expected: dict[str, float]) -> None:
    assert face(**{channel: 0.5}) == pytest.approx(expected, abs=1e-6)


def test_every_channel_but_two_moves_a_curve() -> None:
    silent = [name for name in CHANNELS if not face(**{name: 1.0})]
    assert silent == ["tongueStretch"]
    assert set(face(mouthClose=1.0)) == {
        f"mouth{name}{part}" for name in ("LipsTogether", "Press") for part in ("UL", "UR", "DL", "DR")
    }


def test_a_closure_shows_in_jaw_lips_and_press() -> None:
    opened, shut, half = face(jawOpen=0.4), face(jawOpen=0.4, mouthClose=0.4), face(jawOpen=0.4, mouthClose=0.2)
    assert opened == pytest.approx({"jawOpen": 0.4})
    assert shut["jawOpen"] < half["jawOpen"] < opened["jawOpen"]
    for part in ("UL", "UR", "DL", "DR"):
        assert shut[f"mouthLipsTogether{part}"] == pytest.approx(1)
        assert half[f"mouthLipsTogether{part}"] == pytest.approx(0.5)
        assert shut[f"mouthPress{part}"] > half[f"mouthPress{part}"] > 0.1
    pressed = face(jawOpen=0.4, mouthClose=0.4, mouthPressLeft=0.9)
    assert pressed["mouthPressUL"] == pytest.approx(0.9), "a stronger press of the face's own stays"


def test_sums_stay_in_range() -> None:
    assert face(mouthFunnel=0.8, mouthPucker=0.8)["mouthFunnelUL"] == 1.0
    assert "jawLeft" not in face(jawLeft=-0.3)
