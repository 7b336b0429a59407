from __future__ import annotations

import numpy as np
import pytest

from facewave.blendshapes import (
    ARKIT,
    CHANNELS,
    INDEX,
    LOWER_FACE,
    MIRRORED_PAIRS,
    TONGUE,
    UPPER_FACE,
    canonical,
    lip_closure,
    mirrored,
    pascal,
    reorder,
    require,
    snake,
    underscore,
)
from facewave.errors import SettingsError


def test_sizes_and_wire_positions() -> None:
    assert (len(ARKIT), len(TONGUE), len(set(CHANNELS))) == (52, 16, 68)
    known = {"eyeBlinkLeft": 0, "jawOpen": 17, "mouthClose": 18, "browInnerUp": 43, "tongueOut": 51, "tongueNarrow": 67}
    assert {name: INDEX[name] for name in known} == known


@pytest.mark.parametrize("spelling", [str, str.lower, str.upper, pascal, snake, underscore, lambda n: f"head_bs.{n}"])
def test_every_spelling_leads_back(spelling: object) -> None:
    for name in CHANNELS:
        assert canonical(spelling(name)) == name  # type: ignore[operator]


@pytest.mark.parametrize(
    ("foreign", "name"),
    [("eyeBlink_L", "eyeBlinkLeft"), ("mouth_smile_r", "mouthSmileRight"), ("browDownL", "browDownLeft")],
)
def test_short_sides(foreign: str, name: str) -> None:
    assert canonical(foreign) == name


def test_unknown_names_are_not_guessed() -> None:
    assert canonical("mouthOpen") is None
    with pytest.raises(SettingsError, match=r"jawOpn.*jawOpen"):
        require("jawOpn")


def test_pairs_are_mirror_images() -> None:
    assert len(MIRRORED_PAIRS) == 20 + 3
    for left, right in MIRRORED_PAIRS:
        assert mirrored(left) == right
        assert mirrored(right) == left
    assert mirrored("jawOpen") == "jawOpen"


def test_upper_and_lower_face_cover_all_but_the_tongue() -> None:
    assert sorted(UPPER_FACE + LOWER_FACE + ("tongueOut",)) == sorted(ARKIT)


def test_reorder_is_by_name() -> None:
    weights = np.array([[1, 2, 3]], np.float32)
    assert reorder(weights, ["a", "b", "c"], ["c", "x", "a"]).tolist() == [[3, 0, 1]]


def test_lip_closure_is_the_share_of_the_jaw_that_mouth_close_undoes() -> None:
    weights = np.array([[0.4, 0.4], [0.4, 0.1], [0.4, 0.0], [0.0, 0.0], [0.2, 0.5], [0.001, 0.0005]], np.float32)
    closure = lip_closure(weights, ("jawOpen", "mouthClose"))
    np.testing.assert_allclose(closure, [1, 0.25, 0, 0, 1, 0.05], atol=1e-6)
    assert lip_closure(weights[:, :1], ("jawOpen",)).tolist() == [0] * 6
