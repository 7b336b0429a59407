from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.errors import ModelFormatError, SettingsError
from facewave.providers.a2f.post.animator_parameters import (
    PARAMETER_TABLES,
    SKIN_PARAMETERS,
    EyesParameters,
    SkinParameters,
    SolverParameters,
    TeethParameters,
    TongueParameters,
    from_config,
    replace_by_api_name,
)
from facewave.providers.a2f.post.eyes import EyesAnimator
from facewave.providers.a2f.post.jaw import jaw_transform
from facewave.providers.a2f.post.skin import SkinAnimator, SkinData, lower_face_mask, smoothing_coefficient
from facewave.providers.a2f.post.tongue import animate_tongue

Array = NDArray[np.float32]

FACE = SkinData(
    np.array([0, 0, 0, 1, 6, 2, 0, 10, 1], np.float32),
    np.array([0, -1, 0, 0, -0.2, 0, 0, 0, 0], np.float32),
    np.array([0, 0, 0, 0, -0.5, 0, 0, -1, 0.2], np.float32),
)
FACE_PARAMETERS = SkinParameters(
    lower_face_smoothing=0.05, upper_face_smoothing=0.02, lower_face_strength=1.3, upper_face_strength=0.9,
    face_mask_level=0.6, face_mask_softness=0.05, skin_strength=1.1, blink_strength=1.5, eyelid_open_offset=0.06,
    lip_open_offset=-0.03, blink_offset=0.1,
)  # fmt: skip
DELTAS = np.array(
    [[0, 1, 0, 0.2, 0, 0.1, 0, 0.5, 0], [0, 2, 0, 0, 0, 0.3, 0.1, 0, 0], [1, 0, 0, 0, 0.4, 0, 0, 0, 1]], np.float32
)
VERTICES = [
    [0, 1.46899724, 0, 1.24199998, 5.95709991, 2.12100005, 0, 10.41406155, 1.01620245],
    [0, 1.66480756, 0, 1.17596316, 5.95709991, 2.18703675, 0.04644694, 10.18182755, 1.01620245],
    [0.19581044, 1.51989067, 0, 1.12202740, 6.08917332, 2.14191747, 0.02926388, 10.03550720, 1.48067176],
]


def run(animator: SkinAnimator, deltas: Array) -> Array:
    return np.stack([animator.animate(delta[None])[0] for delta in deltas])


def test_skin_worked_by_hand() -> None:
    animator = SkinAnimator(FACE, 1 / 30, parameters=FACE_PARAMETERS)
    np.testing.assert_allclose(run(animator, DELTAS), VERTICES, atol=3e-6)


def test_mask_values() -> None:
    np.testing.assert_allclose(lower_face_mask(FACE.neutral, 0.6, 0.05), [0.9999938, 0.5, 0.00033535], atol=1e-6)
    heights = np.zeros((6, 3), np.float32)
    heights[:, 1] = [0, 0.5, 0.59, 0.61, 0.7, 1]
    found = lower_face_mask(heights.ravel(), 0.6, 0.0085)
    np.testing.assert_allclose(found[1:5], [0.99999223, 0.76431261, 0.23568739, 7.774e-6], atol=3e-6)
    assert found[5] < 1e-19
    with pytest.raises(ModelFormatError, match="all vertices at height 2"):
        lower_face_mask(np.array([0, 2, 0, 1, 2, 5], np.float32), 0.6, 0.01)


def test_a_mask_far_narrower_than_the_face_does_not_overflow() -> None:
    heights = np.zeros((3, 3), np.float32)
    heights[:, 1] = [0, 0.5, 1]
    assert lower_face_mask(heights.ravel(), 0.0, 0.001).tolist() == [0.5, 0.0, 0.0]


@pytest.mark.parametrize(
    ("half_life", "step", "expected"),
    [(0.0023, 1 / 30, 0.99995661), (0.006, 1 / 60, 0.85418391), (0.1, 1 / 24, 0.25084645), (0, 1 / 30, 1), (0.2, 0, 0)],
)
def test_smoothing_coefficients(half_life: float, step: float, expected: float) -> None:
    assert smoothing_coefficient(half_life, step) == pytest.approx(expected, abs=1e-7)


def test_smoothing_with_varying_steps() -> None:
    """The filter alone, seen through one vertex that belongs to the lower face entirely."""
    tall = SkinData(np.array([0, 0, 0, 0, 9, 0], np.float32), np.zeros(6, np.float32), np.zeros(6, np.float32))
    parameters = SkinParameters(lower_face_smoothing=0.1, lower_face_strength=1, face_mask_softness=0.001)
    animator = SkinAnimator(tall, 1 / 30, parameters=parameters)
    seen = []
    for step, value in zip([0, 0.05, 0.15, 0.1, 0.325], [1, 2, -1, 0.5, 3], strict=True):
        delta = np.zeros((1, 6), np.float32)
        delta[0, 0] = value
        seen.append(animator.animate(delta, step_s=step)[0, 0])
    np.testing.assert_allclose(seen, [1, 1.0857864376, 0.2614853865, 0.2084077362, 2.4389903766], atol=1e-6)


def test_the_first_frame_after_a_reset_is_not_smoothed() -> None:
    animator = SkinAnimator(FACE, 1 / 30, parameters=FACE_PARAMETERS)
    run(animator, DELTAS[1:])
    animator.reset()
    np.testing.assert_array_equal(run(animator, DELTAS), run(SkinAnimator(FACE, 1 / 30, 1, FACE_PARAMETERS), DELTAS))


def test_tracks_are_independent_and_inactive_ones_stand_still() -> None:
    animator = SkinAnimator(FACE, 1 / 30, n_tracks=2, parameters=FACE_PARAMETERS)
    out = np.full((2, 9), 7, np.float32)
    animator.animate(DELTAS[:2], out=out, active=np.array([True, False]))
    assert (out[1] == 7).all()
    for delta in DELTAS[1:]:
        animator.animate(np.stack([delta, DELTAS[0]]), out=out, active=np.array([True, False]))
    np.testing.assert_allclose(out[0], VERTICES[2], atol=3e-6)
    animator.animate(np.stack([DELTAS[0], DELTAS[0]]), out=out, active=np.array([False, True]))
    np.testing.assert_allclose(out, np.array([VERTICES[2], VERTICES[0]], float), atol=3e-6)


def test_a_step_of_zero_has_the_two_meanings_of_the_reference() -> None:
    held = SkinAnimator(FACE, 1 / 30, parameters=FACE_PARAMETERS)
    first = held.animate(DELTAS[:1])
    np.testing.assert_array_equal(held.animate(DELTAS[1:2], step_s=0.0), first)
    passed = SkinAnimator(FACE, 0.0, parameters=FACE_PARAMETERS)
    passed.animate(DELTAS[:1])
    alone = SkinAnimator(FACE, 1 / 30, parameters=FACE_PARAMETERS).animate(DELTAS[1:2])
    np.testing.assert_array_equal(passed.animate(DELTAS[1:2]), alone)


def test_changing_the_mask_keeps_the_filter() -> None:
    """Both regions filter the whole mesh, so a vertex may change region in the middle of a movement."""
    low = SkinParameters(lower_face_smoothing=0.05, upper_face_smoothing=0.05, lower_face_strength=1, face_mask_level=0)
    high = SkinParameters(
        lower_face_smoothing=0.05, upper_face_smoothing=0.05, lower_face_strength=1, face_mask_level=1
    )
    steady, changing = SkinAnimator(FACE, 1 / 30, parameters=low), SkinAnimator(FACE, 1 / 30, parameters=low)
    for delta in DELTAS:
        expected, found = steady.animate(delta[None]), changing.animate(delta[None])
        changing.set_parameters(high)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_skin_data_that_cannot_be() -> None:
    with pytest.raises(ModelFormatError, match="found 4 values, expected 3 for each vertex"):
        SkinData(np.zeros(4, np.float32), np.zeros(4, np.float32), np.zeros(4, np.float32))
    with pytest.raises(ModelFormatError, match="skin lip_open_delta: found 3 values, expected 6"):
        SkinData(np.zeros(6, np.float32), np.zeros(3, np.float32), np.zeros(6, np.float32))


def test_tongue_worked_by_hand() -> None:
    deltas = np.array([0.1, 0.2, 0.3, -0.1, -0.2, -0.3], np.float32)
    found = animate_tongue(np.arange(6, dtype=np.float32), deltas, TongueParameters())
    np.testing.assert_allclose(found, [0.15, 1.5, 2.58, 2.85, 3.9, 4.68], atol=1e-6)


JAW = np.array([-2, 0, 1, 2, 0, 1, 0, 0, 4, -1, -1, 2, 1, -1, 2], np.float32)


def moved(points: Array, rotation: NDArray[np.float64], shift: NDArray[np.float64]) -> Array:
    return np.asarray(points.reshape(-1, 3) @ rotation.T + shift, np.float32).ravel()


@pytest.mark.parametrize("seed", range(8))
def test_a_rigid_motion_of_the_jaw_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    orthogonal, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation, shift = orthogonal * np.sign(np.linalg.det(orthogonal)), rng.normal(size=3)
    points = rng.normal(0, 3, 15).astype(np.float32)
    flat = jaw_transform(points, moved(points, rotation, shift) - points, TeethParameters())
    matrix = flat.reshape(4, 4).T
    np.testing.assert_allclose(matrix[:3, :3], rotation, atol=1e-5)
    np.testing.assert_allclose(matrix[:3, 3], shift, atol=1e-5)
    assert matrix[3].tolist() == [0, 0, 0, 1]


def test_strength_and_offsets_act_on_the_jaw_points() -> None:
    angle = np.radians(10)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    delta = moved(JAW, rotation, np.array([0, -0.3, 0.1])) - JAW
    found = jaw_transform(JAW, delta, TeethParameters(1.3, -0.1, 0.25))
    expected = [1, 0, 0, 0, 0, 0.97449392, 0.22441708, 0, 0, -0.22441697, 0.97449344, 0, 0, -0.49495375, 0.3909831, 1]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    still = jaw_transform(JAW, delta, TeethParameters(0, 0.5, -0.2))
    expected = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0.5, -0.2, 1]
    np.testing.assert_allclose(still, expected, atol=1e-6)


def test_the_jaw_never_turns_inside_out() -> None:
    deltas = np.random.default_rng(0).normal(0, 5, (200, 15)).astype(np.float32)
    matrices = jaw_transform(JAW, deltas, TeethParameters()).reshape(-1, 4, 4)
    np.testing.assert_allclose(np.linalg.det(matrices[:, :3, :3]), 1, atol=1e-5)


SACCADE = np.array([(0.1, 0.2), (0.3, -0.4), (-0.5, 0.6), (0.7, 0.8)], np.float32)


def test_saccades_play_at_thirty_rows_a_second() -> None:
    animator = EyesAnimator(SACCADE, 1 / 60, parameters=EyesParameters(1, 0.9, 0, -2, 0, 2, 3))
    angles = np.array([[1, 2, 3, 4]], np.float32)
    found, clock = [], []
    for _ in range(6):
        found.append(animator.animate(angles)[0])
        clock.append(animator.live_time())
    rows = [[1.63, 0.72, 0, 3.63, 6.72, 0], [1.09, 0.18, 0, 3.09, 6.18, 0], [1.27, -0.36, 0, 3.27, 5.64, 0]]
    np.testing.assert_allclose(found, np.repeat(rows, 2, axis=0), atol=1e-5)
    assert clock == [0.5, 1, 1.5, 2, 2.5, 3]


def test_eyes_with_no_strength_rest_at_their_offsets() -> None:
    animator = EyesAnimator(SACCADE, 1 / 30, parameters=EyesParameters(0, 0, 1, 2, 3, 4))
    assert animator.animate(np.ones((1, 4), np.float32)).tolist() == [[1, 2, 0, 3, 4, 0]]


def test_the_saccade_clock_seeks_wraps_and_resets() -> None:
    animator = EyesAnimator(SACCADE, 1 / 30, n_tracks=2)
    animator.seek(7 / 30, track=1)
    assert [animator.row(0), animator.row(1)] == [0, 3]
    angles = np.zeros((2, 4), np.float32)
    animator.animate(angles, active=np.array([False, True]))
    assert [animator.row(0), animator.row(1)] == [0, 0]
    animator.animate(angles)
    animator.reset(track=0)
    assert [animator.row(0), animator.row(1)] == [0, 1]


def test_a_saccade_table_without_rows_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="found 3 values, expected two for each row"):
        EyesAnimator(np.zeros(3, np.float32), 1 / 30)


@pytest.mark.parametrize("kind", PARAMETER_TABLES)
def test_defaults_and_tables_agree(kind: type) -> None:
    group = kind()
    for row in PARAMETER_TABLES[kind]:
        assert getattr(group, row.name) == row.default
        assert row.minimum <= row.default <= row.maximum
        assert row.meaning


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lower_face_smoothing", 1.0, "lower_face_smoothing: found 1, expected 0 to 0.1 s"),
        ("upper_face_smoothing", float("inf"), "found inf"),
        ("upper_face_strength", -1, "expected 0 to 2"),
        ("blink_offset", 1.3, "expected 0 to 1 eye-close pose"),
        ("lip_open_offset", float("nan"), "found nan"),
        ("skin_strength", "2", "found '2', expected a number"),
        ("skin_strength", True, "found True, expected a number"),
    ],
)
def test_illegal_values_are_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        SkinParameters(**{name: value})  # type: ignore[arg-type]


def test_a_limit_in_single_precision_is_legal() -> None:
    assert SkinParameters(lower_face_smoothing=float(np.float32(0.1))).lower_face_smoothing > 0.1


def test_groups_from_a_model_configuration() -> None:
    config = {row.config_key: row.default for row in SKIN_PARAMETERS if row.config_key} | {"skin_strength": 1.25}
    assert from_config(SkinParameters, config).skin_strength == 1.25
    assert from_config(SkinParameters, config).blink_offset == 0
    with pytest.raises(SettingsError, match="found no such key"):
        from_config(SkinParameters, {key: value for key, value in config.items() if key != "lip_open_offset"})
    strengths = {"strengthL1regularization": 1, "strengthL2regularization": 2, "strengthSymmetry": 3,
                 "strengthTemporalSmoothing": 4}  # fmt: skip
    assert from_config(SolverParameters, strengths) == SolverParameters(1, 2, 3, 4, 54.7)
    assert from_config(SolverParameters, {**strengths, "templateBBSize": 8}).template_bb_size == 8


def test_changes_by_api_name_touch_their_own_group_only() -> None:
    changed = replace_by_api_name(TongueParameters(), {"tongueStrength": 2, "skinStrength": 0.5})
    assert changed == TongueParameters(tongue_strength=2)
    with pytest.raises(SettingsError, match="tongue_height_offset"):
        replace_by_api_name(TongueParameters(), {"tongueHeightOffset": 4})
