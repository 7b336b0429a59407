from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from facewave.errors import ModelFormatError, SettingsError
from facewave.providers.a2f.post.animator_parameters import SolverParameters
from facewave.providers.a2f.post.poses import PoseConfig, PoseGram, PoseProjector, PoseSet, evaluate_poses
from facewave.providers.a2f.post.solver import CANCELLED, BlendshapeSolver, Method, SolverSystem

SMALL = PoseSet(
    ("a", "b", "c"),
    np.array([0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4], np.float32),
    np.array([
        [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        [0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 1, 0],
    ], np.float32),
)  # fmt: skip
SMALL_TARGET = SMALL.neutral + np.array([0.5, 0.2, 0, 0, 0.6, 0.8, 0, 0, 0.9, 0.2, 0.4, 0], np.float32)
SMALL_PARAMETERS = SolverParameters(0.5, 0.01, 0.02, 0.003, 6)


def config(count: int, **lists: Any) -> PoseConfig:
    return replace(PoseConfig.default(count), **{name: np.asarray(values) for name, values in lists.items()})


def small_solver(method: Method = "exact", **lists: Any) -> BlendshapeSolver:
    return BlendshapeSolver(SolverSystem.prepare(PoseGram.of(SMALL), config(3, **lists), SMALL_PARAMETERS), method)


def projection(poses: PoseSet = SMALL, target: np.ndarray = SMALL_TARGET) -> np.ndarray:
    return PoseProjector(poses).project(target[None])


def random_poses(seed: int, n_poses: int = 20, n_vertices: int = 40, mask: bool = True) -> PoseSet:
    rng = np.random.default_rng(seed)
    neutral = rng.normal(0, 5, 3 * n_vertices).astype(np.float32)
    deltas = rng.normal(0, 1, (n_poses, 3 * n_vertices)).astype(np.float32)
    chosen = np.sort(rng.choice(n_vertices, 2 * n_vertices // 3, replace=False)).astype(np.int32) if mask else None
    return PoseSet(tuple(f"p{i}" for i in range(n_poses)), neutral, deltas, chosen)


def moving_projections(poses: PoseSet, frames: int, seed: int = 0) -> np.ndarray:
    """Projections of curves that go beyond both bounds, a little different from frame to frame."""
    rng = np.random.default_rng(seed)
    phase, rate = rng.uniform(0, 6, len(poses.names)), rng.uniform(0.05, 0.4, len(poses.names))
    weights = 0.4 + 0.9 * np.sin(phase + rate * np.arange(frames)[:, None])
    return PoseProjector(poses).project(evaluate_poses(poses, weights.astype(np.float32)))


def test_matrix_and_two_frames_worked_by_hand() -> None:
    solver = small_solver(symmetry=[0, 0, -1], multipliers=[1, 1, 2], offsets=[0, 0.1, 0])
    system = solver.system
    assert system.scale == pytest.approx(1)
    expected = [[3.6625, 0.8625, 1.0625], [0.8625, 3.6625, 0.0625], [1.0625, 0.0625, 6.4625]]
    np.testing.assert_allclose(system.matrix, expected, atol=1e-7)
    np.testing.assert_allclose(projection(), [[2, 1, 2.9]], atol=1e-6)
    first = solver.solve(projection())[0]
    np.testing.assert_allclose(first, [0.39429069, 0.27366135, 0.76447558], atol=1e-6)
    np.testing.assert_allclose(solver.previous_weights, [0.39429069, 0.17366135, 0.38223779], atol=1e-6)
    second = solver.solve(projection())[0]
    np.testing.assert_allclose(second, [0.39455691, 0.27373863, 0.76474136], atol=1e-6)


def test_a_cancel_pair_keeps_the_stronger_weight() -> None:
    solver = small_solver(symmetry=[0, 0, -1], cancel=[0, -1, 0], multipliers=[1, 1, 2], offsets=[0, 0.1, 0])
    found = solver.solve(projection())[0]
    np.testing.assert_allclose(found, [0.70582253, 0.17503498, 2e-10], atol=1e-6)
    assert solver.previous_weights[2] == CANCELLED


def test_mask_and_inactive_poses() -> None:
    masked = PoseSet(SMALL.names, SMALL.neutral, SMALL.deltas, np.array([0, 1, 3], np.int32))
    system = SolverSystem.prepare(
        PoseGram.of(masked),
        config(3, active=[1, 0, 1], multipliers=[1, 1, 2], offsets=[0, 0.1, 0]),
        SMALL_PARAMETERS,
        minus_one_pairs=False,
    )
    np.testing.assert_allclose(system.matrix, [[2.4625, 0.0625], [0.0625, 5.4625]], atol=1e-7)
    found = BlendshapeSolver(system).solve(projection(masked))[0]
    np.testing.assert_allclose(found, [0.43753490, 0.1, 0.72225308], atol=1e-6)


def test_zero_multipliers_leave_the_offsets_without_preparing_again() -> None:
    solver = small_solver()
    solver.solve(projection())
    solver.multipliers, solver.offsets = np.zeros(3, np.float32), np.full(3, 0.314159, np.float32)
    assert (solver.solve(projection()) == np.float32(0.314159)).all()


def test_clamp_limits_the_output_only() -> None:
    solver = small_solver(multipliers=[9, 1, 1], offsets=[0, 0, -1])
    loose = solver.solve(projection())
    solver.reset()
    solver.clamp = True
    limited = solver.solve(projection())
    assert loose.max() > 1
    assert loose.min() < 0
    np.testing.assert_array_equal(limited, np.clip(loose, 0, 1))


@pytest.mark.parametrize("cancel", [False, True], ids=["no pairs", "pairs"])
@pytest.mark.parametrize("temporal", [0.0, 0.3, 5.0])
def test_chunks_do_not_matter(cancel: bool, temporal: float) -> None:
    """Frame by frame the free set is carried on; long runs are solved at once. Both find the same minima."""
    poses = random_poses(1)
    pairs = np.full(20, -1)
    pairs[[2, 5, 8, 9]] = 0, 1, 0, 1
    lists = config(20, cancel=pairs if cancel else np.full(20, -1), symmetry=np.r_[7, 7, np.full(18, -1)])
    system = SolverSystem.prepare(PoseGram.of(poses), lists, SolverParameters(0.5, 0.7, 10, temporal, 20))
    assert system.clip is not None
    data = moving_projections(poses, 300) * (1 + 5 * temporal)  # undoes the shrinkage, so that bounds are met
    whole = BlendshapeSolver(system).solve(data)
    assert (whole == 0).any()
    assert (whole == 1).any()
    for chunk in (1, 7, 50):
        solver = BlendshapeSolver(system)
        parts = np.vstack([solver.solve(data[at : at + chunk]) for at in range(0, len(data), chunk)])
        np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_a_clip_that_does_not_settle_is_solved_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    poses = random_poses(8)
    system = SolverSystem.prepare(PoseGram.of(poses), PoseConfig.default(20), SolverParameters(0.5, 0.7, 0, 1, 20))
    data = moving_projections(poses, 40)
    expected = BlendshapeSolver(system).solve(data)
    monkeypatch.setattr("facewave.providers.a2f.post.solver._MOST_SWEEPS", 0)
    np.testing.assert_allclose(BlendshapeSolver(system).solve(data), expected, atol=1e-6)


def test_each_frame_is_the_bounded_minimum_for_its_previous_weights() -> None:
    poses = random_poses(2, n_poses=12)
    system = SolverSystem.prepare(PoseGram.of(poses), PoseConfig.default(12), SolverParameters(0.5, 0.7, 0, 1, 20))
    data = moving_projections(poses, 60)
    weights = BlendshapeSolver(system).solve(data)
    previous = np.zeros(12)
    for projected, found in zip(data, weights, strict=True):
        target = projected + system.previous * previous
        best = lsq_linear(system.matrix, target, (0, 1), method="bvls", tol=1e-14).x
        np.testing.assert_allclose(found, best, atol=1e-6)
        previous = best


def test_reset_clears_the_previous_weights() -> None:
    solver = small_solver()
    first = solver.solve(projection())
    assert not np.array_equal(solver.solve(projection()), first)
    solver.reset()
    np.testing.assert_array_equal(solver.solve(projection()), first)


def test_streams_share_a_system_without_disturbing_each_other() -> None:
    poses = random_poses(3)
    system = SolverSystem.prepare(PoseGram.of(poses), PoseConfig.default(20), SolverParameters(1, 1, 0, 2, 20))
    one, two = moving_projections(poses, 10, seed=1), moving_projections(poses, 10, seed=2)
    alone = BlendshapeSolver(system).solve(one)
    left, right = BlendshapeSolver(system), BlendshapeSolver(system)
    mixed = []
    for frame in range(10):
        mixed.append(left.solve(one[frame : frame + 1])[0])
        right.solve(two[frame : frame + 1])
    np.testing.assert_allclose(mixed, alone, atol=1e-6)


def test_symmetry_draws_a_pair_together() -> None:
    poses = random_poses(4, n_poses=6)
    data = moving_projections(poses, 1)
    gaps = []
    for strength in (0, 10, 1e6):
        lists = config(6, symmetry=[0, 0, 1, 1, 2, 2])
        system = SolverSystem.prepare(PoseGram.of(poses), lists, SolverParameters(0, 1, strength, 0, 20))
        weights = BlendshapeSolver(system).solve(data)[0]
        gaps.append(np.abs(weights[::2] - weights[1::2]).max())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-4


def test_two_poses_without_a_pair_form_one_unless_told_otherwise() -> None:
    """A quirk of the reference: exactly two active poses with the id -1 cancel each other."""
    lists = config(4, cancel=[0, -1, 0, -1], symmetry=[3, 3, 4, 4])
    poses = random_poses(5, n_poses=4)
    quirk = SolverSystem.prepare(PoseGram.of(poses), lists, SolverParameters())
    plain = SolverSystem.prepare(PoseGram.of(poses), lists, SolverParameters(), minus_one_pairs=False)
    assert quirk.cancel_pairs.tolist() == [[1, 3], [0, 2]]
    assert plain.cancel_pairs.tolist() == [[0, 2]]
    assert plain.symmetry_pairs.tolist() == [[0, 1], [2, 3]]


def test_consistent_temporal_smooths_more_and_shrinks_less() -> None:
    poses = random_poses(6, n_poses=8)
    still = evaluate_poses(poses, np.linspace(0.2, 0.7, 8, dtype=np.float32))
    data = np.repeat(PoseProjector(poses).project(still[None]), 300, axis=0)
    parameters = SolverParameters(0, 0.1, 0, 3, 20)
    none = SolverSystem.prepare(PoseGram.of(poses), PoseConfig.default(8), replace(parameters, temporal_reg=0))
    quirk = SolverSystem.prepare(PoseGram.of(poses), PoseConfig.default(8), parameters)
    smooth = SolverSystem.prepare(PoseGram.of(poses), PoseConfig.default(8), parameters, consistent_temporal=True)
    goal, shrunk, reached = (BlendshapeSolver(system).solve(data) for system in (none, quirk, smooth))
    assert smooth.clip is None  # so strong a coupling is solved frame by frame
    assert np.abs(reached[-1] - goal[-1]).max() < 0.05
    assert np.abs(shrunk[-1] - goal[-1]).max() > 2 * np.abs(reached[-1] - goal[-1]).max()
    assert np.abs(reached[0] - goal[0]).max() > np.abs(reached[-1] - goal[-1]).max()


def test_dependent_poses_without_regularisation_are_still_solved() -> None:
    poses = random_poses(7, n_poses=4)
    twin = PoseSet((*poses.names, "twin"), poses.neutral, np.vstack([poses.deltas, poses.deltas[:1]]), poses.mask)
    system = SolverSystem.prepare(PoseGram.of(twin), PoseConfig.default(5), SolverParameters(0, 0, 0, 0))
    assert system.normal is None
    target = evaluate_poses(twin, [0.8, 0.2, 0.4, 0.6, 0])[None]
    weights = BlendshapeSolver(system).solve(PoseProjector(twin).project(target))
    np.testing.assert_allclose(evaluate_poses(twin, weights), target, atol=1e-4)


def test_no_network_frame_that_is_not_finite_is_solved() -> None:
    data = np.repeat(projection(), 3, axis=0)
    data[1, 2] = np.nan
    with pytest.raises(ModelFormatError, match="frame 1 of 3: found a value that is not finite"):
        small_solver().solve(data)


def test_no_frames_give_no_weights() -> None:
    assert small_solver().solve(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"cancel": [0, 0, 0]}, "cancel: found id 0 3 times, expected twice"),
        ({"symmetry": [4, -1, -1]}, "symmetry: found id 4 1 times"),
        ({"offsets": [1, 2]}, "offsets: found 2 entries, expected 3"),
    ],
)
def test_configurations_that_cannot_be(lists: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        config(3, **lists)


def test_configuration_from_a_model_file() -> None:
    params = {
        "numPoses": 2, "bsSolveActivePoses": [1, 0], "bsSolveCancelPoses": [-1, -1], "bsSolveSymmetryPoses": [0, 0],
        "bsWeightMultipliers": [1, 2], "bsWeightOffsets": [0, 0.5],
    }  # fmt: skip
    found = PoseConfig.from_params(params)
    assert found.active.tolist() == [True, False]
    assert found.offsets.dtype == np.float32
    with pytest.raises(ModelFormatError, match="no key bsWeightOffsets"):
        PoseConfig.from_params({key: value for key, value in params.items() if key != "bsWeightOffsets"})
    with pytest.raises(ModelFormatError, match="found 2 entries, expected numPoses = 3"):
        PoseConfig.from_params({**params, "numPoses": 3})


def test_pose_data_that_cannot_be() -> None:
    with pytest.raises(ModelFormatError, match=r"deltas of shape \(2, 12\), expected \(3, 12\)"):
        PoseSet(SMALL.names, SMALL.neutral, SMALL.deltas[:2])
    with pytest.raises(ModelFormatError, match="a mask of 1 vertices from 4 to 4, expected some from 0 to 3"):
        PoseSet(SMALL.names, SMALL.neutral, SMALL.deltas, np.array([4], np.int32))
    with pytest.raises(ModelFormatError, match="found 2 poses, expected 3"):
        SolverSystem.prepare(PoseGram.of(SMALL), PoseConfig.default(2), SMALL_PARAMETERS)
    with pytest.raises(ModelFormatError, match="no active pose"):
        SolverSystem.prepare(PoseGram.of(SMALL), config(3, active=[0, 0, 0]), SMALL_PARAMETERS)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SettingsError, match="found 'fast', expected 'exact', 'bvls' or 'admm'"):
        small_solver("fast")  # type: ignore[arg-type]


def test_admm_equals_the_minimum_inside_the_bounds_only() -> None:
    inside = projection()
    np.testing.assert_allclose(small_solver("admm").solve(inside), small_solver().solve(inside), atol=1e-6)
    outside = inside * 3
    assert np.abs(small_solver("admm").solve(outside) - small_solver().solve(outside)).max() < 1
