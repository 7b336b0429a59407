"""Which shape follows which channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from facewave.blendshapes import CHANNELS, pascal, snake, underscore
from facewave.errors import OutputError
from facewave.outputs.avatar import match_shapes, mesh_match, report

SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    pascal,
    snake,
    underscore,
    lambda name: f"Face_blendShapes.{pascal(name)}",
    lambda name: f"head:{name}",
    lambda name: f"Wolf3D_Head_{underscore(name)}",
]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_every_channel_is_found_in_every_spelling(spell: Callable[[str], str]) -> None:
    assert match_shapes([spell(name) for name in CHANNELS], CHANNELS) == dict(enumerate(CHANNELS))


@pytest.mark.parametrize(
    ("shape", "channel"),
    [
        ("L_eyeBlink", "eyeBlinkLeft"),
        ("right_mouth_smile", "mouthSmileRight"),
        ("LeftEyeBlink", "eyeBlinkLeft"),
        ("eyeBlinkL", "eyeBlinkLeft"),
        ("mouthLeft", "mouthLeft"),
        ("mouth_L", "mouthLeft"),
        ("CC_Base_Body_Jaw_Open", "jawOpen"),
    ],
)
def test_other_spellings(shape: str, channel: str) -> None:
    assert match_shapes([shape], CHANNELS) == {0: channel}


@pytest.mark.parametrize("shape", ["Basis", "viseme_aa", "jawOpen_fix", "jaw", "Left", "", "_", "smile"])
def test_what_is_no_channel_is_left_alone(shape: str) -> None:
    assert match_shapes([shape], CHANNELS) == {}


def test_a_corrective_is_not_taken_for_the_shape_beside_it() -> None:
    assert match_shapes(["fix_jawOpen", "JawOpen", "jawOpen"], CHANNELS) == {2: "jawOpen"}
    assert match_shapes(["fix_jawOpen", "JawOpen"], CHANNELS) == {1: "jawOpen"}


def test_only_channels_of_the_take_count() -> None:
    assert match_shapes(["jawOpen", "tongueUp"], ["jawOpen"]) == {0: "jawOpen"}


def test_the_report_names_what_follows_and_what_does_not() -> None:
    names = ["jawOpen", "Basis", "viseme_aa"]
    told = report("me.glb", [mesh_match("Face", names, match_shapes(names, CHANNELS))], ["jawOpen", "tongueUp"])
    assert told.missing == ("tongueUp",)
    assert told.lines() == [
        "me.glb: 1 of 1 meshes with shapes follow the animation",
        "  Face: 1 of 3 shapes; not: Basis, viseme_aa",
        "  channels without a shape: tongueUp",
    ]


def test_a_model_without_a_matching_shape_is_refused() -> None:
    with pytest.raises(OutputError, match=r"found the shapes A, B, expected ARKit names"):
        report("me.glb", [mesh_match("Face", ["A", "B"], {})], CHANNELS)
