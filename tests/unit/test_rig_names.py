"""Names of other rigs: what they mean, and what is reported where they mean nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from facewave.blendshapes import ARKIT, CHANNELS, pascal, snake, underscore
from facewave.rig_names import match_names


def _side_first(name: str) -> str:
    for side in ("Left", "Right"):
        if name.endswith(side):
            return f"{side[0]}_{name.removesuffix(side)}"
    return name


@pytest.mark.parametrize(
    "spelling",
    [
        str, pascal, underscore, snake, _side_first,
        lambda name: f"Head_blendShapes.{pascal(name)}",
        lambda name: f"CC_{underscore(name)}",
        lambda name: f"body|bs_{snake(name)}_geo",
        lambda name: snake(name).replace("_", " ").upper(),
    ],
    ids=["camel", "pascal", "underscore", "snake", "side-first", "dotted", "prefixed", "padded", "upper"],
)  # fmt: skip
def test_every_channel_is_found_in_every_spelling(spelling: Callable[[str], str]) -> None:
    found = match_names([spelling(name) for name in CHANNELS])
    assert [dict(row) for row in found.rows.values()] == [{name: 1.0} for name in CHANNELS]
    assert not found.unmatched
    assert not found.missing
    assert not found.doubled


def test_a_shape_of_both_sides_follows_the_mean_and_half_a_shape_the_whole() -> None:
    found = match_names(["mouthSmile", "browInnerUp_L", "BrowInnerUpRight"])
    assert found.rows["mouthSmile"] == {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
    assert found.rows["browInnerUp_L"] == found.rows["BrowInnerUpRight"] == {"browInnerUp": 1.0}
    assert not found.doubled


def test_no_motion_is_shown_twice() -> None:
    found = match_names(["L_jawOpen", "jawOpen", "mouthSmile", "mouthSmileLeft", "mouthSmile_R", "browInnerUp_L",
                         "browInnerUp"])  # fmt: skip
    assert found.doubled == {"mouthSmile": "mouthSmileLeft", "L_jawOpen": "jawOpen", "browInnerUp_L": "browInnerUp"}
    assert list(found.rows) == ["jawOpen", "mouthSmileLeft", "mouthSmile_R", "browInnerUp"]


def test_what_is_not_understood_is_named_with_what_it_may_be() -> None:
    found = match_names([*ARKIT[:-1], "hairSway", "tonguOut", "hairSway"])
    assert found.unmatched == ("hairSway", "tonguOut")
    assert found.nearest == {"tonguOut": "tongueOut"}
    assert found.missing[0] == "tongueOut"
    assert len(found.missing) == 17


def test_words_of_the_rig_are_dropped_only_where_many_targets_share_them() -> None:
    assert match_names(["Angry_MouthFrown_L", "jawOpen", "mouthClose"]).unmatched == ("Angry_MouthFrown_L",)
    assert match_names([]).rows == {}
