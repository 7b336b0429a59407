"""The map from twelve parameters to blend shapes: what every mouth must satisfy, and how some mouths must look."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facewave.blendshapes import CHANNELS, INDEX, UPPER_FACE, mirrored
from facewave.providers.embedded.articulation import (
    CLASSES,
    LINEAR,
    LIP_GAP,
    PARAMETERS,
    VISEME_OF,
    lip_gap,
    to_blendshapes,
    to_visemes,
)
from facewave.visemes import VISEMES


def mouth(**values: float) -> NDArray[np.float32]:
    return np.array([[values.get(name, 0.0) for name in PARAMETERS]], dtype=np.float32)


def channel(weights: NDArray[np.float32], name: str) -> float:
    return float(weights[0, INDEX[name]])


OPEN = {"jaw": 0.58, "lowdn": 0.36, "upup": 0.16, "spread": 0.12}


def test_rest_is_all_zero() -> None:
    assert not to_blendshapes(mouth()).any()


def test_shape_and_type() -> None:
    weights = to_blendshapes(np.zeros((5, len(PARAMETERS)), np.float32))
    assert weights.shape == (5, len(CHANNELS))
    assert weights.dtype == np.float32
    assert to_blendshapes(np.zeros((0, len(PARAMETERS)), np.float32)).shape == (0, len(CHANNELS))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-0.5, 1.5, width=32), min_size=12, max_size=12))
def test_every_mouth_is_in_range_symmetric_and_keeps_the_corrective(values: list[float]) -> None:
    weights = to_blendshapes(np.array([values], dtype=np.float32))
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert channel(weights, "mouthClose") <= channel(weights, "jawOpen")
    for name in CHANNELS:
        if mirrored(name) != name:
            assert channel(weights, name) == channel(weights, mirrored(name)), name
    assert not any(channel(weights, name) for name in UPPER_FACE)


@pytest.mark.parametrize("jaw", [0.0, 0.07, 0.2, 0.58, 1.0])
def test_a_full_closure_shuts_the_lips_whatever_the_jaw_does(jaw: float) -> None:
    opened = lip_gap(to_blendshapes(mouth(**OPEN)))[0]
    shut = lip_gap(to_blendshapes(mouth(**(OPEN | {"jaw": jaw}), close=1.0)))[0]
    assert shut <= 0.25 * opened


def test_a_closure_also_shows_on_rigs_without_its_corrective() -> None:
    before, after = to_blendshapes(mouth(**OPEN)), to_blendshapes(mouth(**OPEN, close=1.0))
    assert channel(after, "jawOpen") < 0.7 * channel(before, "jawOpen")
    for name in ("mouthPressLeft", "mouthRollLower", "mouthRollUpper"):
        assert channel(after, name) > channel(before, name) + 0.2, name


def test_closing_never_opens_the_lips() -> None:
    gaps = [lip_gap(to_blendshapes(mouth(**OPEN, close=c)))[0] for c in np.linspace(0, 1, 21)]
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(gaps))


def test_a_labiodental_tucks_the_lower_lip_and_leaves_the_upper_up() -> None:
    weights = to_blendshapes(mouth(jaw=0.09, fv=1.0, upup=0.25, lowdn=0.3))
    assert channel(weights, "mouthRollLower") >= 0.5
    assert channel(weights, "mouthUpperUpLeft") > 0.2
    assert channel(weights, "mouthLowerDownLeft") == pytest.approx(0)


def test_each_parameter_moves_something() -> None:
    for name in PARAMETERS:
        # A closure corrects an open jaw, so it is tried on one.
        base = {"jaw": 0.3} if name == "close" else {}
        moved = to_blendshapes(mouth(**(base | {name: 1.0}))) - to_blendshapes(mouth(**base))
        assert np.abs(moved).max() > 0.2, name


def test_gap_counts_each_channel_by_its_slope() -> None:
    weights = np.zeros((1, len(CHANNELS)), np.float32)
    weights[0, INDEX["jawOpen"]] = 0.5
    weights[0, INDEX["mouthLowerDownLeft"]] = 0.4
    weights[0, INDEX["mouthClose"]] = 0.1
    assert lip_gap(weights)[0] == pytest.approx(0.5 + 0.04 - 0.1286)
    weights[0, INDEX["mouthClose"]] = 0.9
    assert lip_gap(weights)[0] == 0
    assert lip_gap(weights[:, :52])[0] == 0  # the tongue is not needed


def test_tables_name_known_things() -> None:
    assert all(name in INDEX for name, _, _ in LINEAR)
    assert all(name in INDEX for name in LIP_GAP)
    assert set(VISEME_OF) == set(CLASSES)
    assert len(CLASSES) == 24


def test_every_class_shows_as_one_viseme_and_every_viseme_is_shown() -> None:
    visemes = to_visemes(np.eye(len(CLASSES), dtype=np.float32))
    assert [VISEMES[i] for i in visemes.argmax(axis=1)] == [VISEME_OF[name] for name in CLASSES]
    assert visemes.sum(axis=1).tolist() == [1.0] * len(CLASSES)
    assert visemes.any(axis=0).all()
