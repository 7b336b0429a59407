"""Golden stages param_ranges, pca, skin, skin_multitrack, tongue, teeth and eyes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from facewave.errors import SettingsError
from facewave.providers.a2f.post.animator_parameters import (
    PARAMETER_TABLES,
    EyesParameters,
    SkinParameters,
    SolverParameters,
    TeethParameters,
    TongueParameters,
)
from facewave.providers.a2f.post.eyes import EyesAnimator
from facewave.providers.a2f.post.jaw import jaw_transform
from facewave.providers.a2f.post.skin import SkinAnimator, SkinData, pca_deltas
from facewave.providers.a2f.post.tongue import animate_tongue
from tests.golden.conftest import Within
from tests.golden.vectors import Case

GROUPS: dict[str, type] = {
    "skin": SkinParameters,
    "tongue": TongueParameters,
    "teeth": TeethParameters,
    "eyes": EyesParameters,
    "blendshape_solver": SolverParameters,
}


def group_of(kind: type, row: np.ndarray) -> Any:
    """Parameters of a group from one row in the order of the group's table."""
    names = [parameter.name for parameter in PARAMETER_TABLES[kind]]
    assert len(row) == len(names)
    return kind(**dict(zip(names, (float(value) for value in row), strict=True)))


def skin_data(case: Case) -> SkinData:
    return SkinData(case["neutral"], case["lip_open_delta"], case["eye_close_delta"])


def skin_limit(case: Case) -> float:
    """The reference works in float32: its rounding follows the size of the coordinates."""
    return 3e-7 * float(np.abs(case["neutral"]).max()) + 2e-6


@pytest.mark.golden("param_ranges")
def test_param_ranges(case: Case, within: Within) -> None:
    kind = GROUPS[case.name]
    rows = PARAMETER_TABLES[kind]
    assert [row.api_name for row in rows] == list(case.parameters["names"])
    found = np.array([(row.default, row.minimum, row.maximum) for row in rows], np.float32)
    within("table", found, case["table"], 0)
    defaults = kind()
    for row, (default, minimum, maximum) in zip(rows, case["table"].tolist(), strict=True):
        assert np.float32(getattr(defaults, row.name)) == np.float32(default)
        for legal in (minimum, maximum):
            assert getattr(kind(**{row.name: legal}), row.name) == legal
        beyond = [math.nan, math.inf, -math.inf, float(np.nextafter(np.float32(minimum), np.float32(-np.inf)))]
        if maximum < np.finfo(np.float32).max:
            beyond.append(float(np.nextafter(np.float32(maximum), np.float32(np.inf))))
        for illegal in beyond:
            with pytest.raises(SettingsError, match=row.name):
                kind(**{row.name: illegal})


@pytest.mark.golden("pca")
def test_pca(case: Case, within: Within) -> None:
    found = pca_deltas(case["coefs"], case["shapes_matrix"])
    for name in ("deltas", "deltas_multitrack"):
        within(name, found, case[name], 1e-5 * np.abs(case[name]).max())


@pytest.mark.golden("skin")
def test_skin(case: Case, within: Within) -> None:
    animator = SkinAnimator(skin_data(case), step_s=1 / 30)
    found, masks = np.empty_like(case["vertices"]), {}
    for frame, delta in enumerate(case["deltas"]):
        animator.set_parameters(group_of(SkinParameters, case["params"][frame]))
        if case["reset_before"][frame]:
            animator.reset()
        found[frame] = animator.animate(delta[None], step_s=float(case["dt"][frame]))[0]
        masks[frame] = animator.lower_face_mask()
    within("vertices", found, case["vertices"], skin_limit(case))
    within("lower_face_mask", np.stack([masks[int(f)] for f in case["mask_frames"]]), case["lower_face_mask"], 3e-6)


@pytest.mark.golden("skin_multitrack")
def test_skin_multitrack(case: Case, within: Within) -> None:
    n_tracks = case["deltas"].shape[1]
    animator = SkinAnimator(skin_data(case), step_s=case.parameters["dt"], n_tracks=n_tracks)
    found = np.zeros_like(case["vertices"])
    rows = np.zeros_like(found[0])
    for frame, deltas in enumerate(case["deltas"]):
        for track in range(n_tracks):
            animator.set_parameters(group_of(SkinParameters, case["params"][frame, track]), track)
            if case["reset_before"][frame, track]:
                animator.reset(track)
        found[frame] = animator.animate(deltas, out=rows, active=case["active"][frame].astype(bool))
    within("vertices", found, case["vertices"], skin_limit(case))


@pytest.mark.golden("tongue")
def test_tongue(case: Case, within: Within) -> None:
    found = np.stack(
        [
            animate_tongue(case["neutral"], delta, group_of(TongueParameters, row))
            for delta, row in zip(case["deltas"], case["params"], strict=True)
        ]
    )
    for name in ("vertices", "vertices_multitrack"):
        within(name, found, case[name], 1e-6 * np.abs(case[name]).max())


@pytest.mark.golden("teeth")
def test_teeth(case: Case, within: Within) -> None:
    found = np.stack(
        [
            jaw_transform(case["neutral_jaw"], delta, group_of(TeethParameters, row))
            for delta, row in zip(case["jaw_deltas"], case["params"], strict=True)
        ]
    )
    within("transform", found, case["transform"], 5e-5)
    within("transform_multitrack", found, case["transform_multitrack"], 3e-4)


@pytest.mark.golden("eyes")
def test_eyes(case: Case, within: Within) -> None:
    if "active" in case:
        _several_tracks(case, within)
    else:
        _one_track(case, within)


def _one_track(case: Case, within: Within) -> None:
    animator = EyesAnimator(case["saccade"], step_s=1 / 30)
    found = np.empty((len(case["eye_result"]), 6), np.float32)
    rows, live, certain = [], [], []
    for frame, angles in enumerate(case["eye_result"]):
        parameters = group_of(EyesParameters, case["params"][frame])
        animator.set_parameters(parameters)
        if case["reset_before"][frame]:
            animator.reset()
        live.append(animator.live_time())
        place = parameters.saccade_seed + live[-1]
        certain.append("frame_index" in case or abs(place - round(place)) > 1e-3 or place == round(place))
        if "frame_index" in case:
            index = int(case["frame_index"][frame])
            rows.append((int(parameters.saccade_seed) + index) % len(case["saccade"]))
            found[frame] = animator.animate(angles[None], frame_index=index)[0]
        else:
            rows.append(animator.row())
            found[frame] = animator.animate(angles[None], step_s=float(case["dt"][frame]))[0]
    keep = np.array(certain)
    within("right", found[:, :3], case["right"], 5e-6, keep=keep[:, None])
    within("left", found[:, 3:], case["left"], 5e-6, keep=keep[:, None])
    within("row_index", rows, case["row_index"], 0, keep=keep)
    if "live_time" in case:
        within("live_time", live, case["live_time"], 5e-6)


def _several_tracks(case: Case, within: Within) -> None:
    n_tracks = case["active"].shape[1]
    animator = EyesAnimator(case["saccade"], step_s=case.parameters["dt"], n_tracks=n_tracks)
    found = np.zeros_like(case["rotations"])
    rows = np.zeros_like(found[0])
    for frame, angles in enumerate(case["eye_result"]):
        for track in range(n_tracks):
            animator.set_parameters(group_of(EyesParameters, case["params"][frame, track]), track)
            if case["reset_before"][frame, track]:
                animator.reset(track)
        found[frame] = animator.animate(angles, out=rows, active=case["active"][frame].astype(bool))
    within("rotations", found, case["rotations"], 5e-6)
