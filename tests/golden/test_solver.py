"""Golden stages blendshape_solve, bvls and end_to_end."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.providers.a2f.post.animator_parameters import SkinParameters, SolverParameters
from facewave.providers.a2f.post.bounded import NormalEquations, PivotingSolver, solve_bvls
from facewave.providers.a2f.post.collapsed import CollapsedSkin, SkinProjection, SkinSolveStream
from facewave.providers.a2f.post.poses import PoseConfig, PoseGram, PoseProjector, PoseSet, evaluate_poses
from facewave.providers.a2f.post.skin import SkinAnimator, pca_deltas
from facewave.providers.a2f.post.solver import BlendshapeSolver, Method, SolverSystem
from tests.golden.conftest import Within
from tests.golden.test_animators import group_of, skin_data, skin_limit
from tests.golden.vectors import Array, Case

WEIGHT_LIMIT = 2e-4
"""The reference's active-set method works in float32 and stops when a round brings little."""

ADMM_LIMIT = 3e-4
NORMAL_MATRIX_LIMIT, ATB_LIMIT = 1e-5, 1e-6
"""Relative to the largest entry: float32 sums over a few hundred products."""

COLLAPSED_LIMIT = 1e-4
"""Weights of the collapsed path against those of the vertex path."""


def pose_set(case: Case) -> PoseSet:
    names = tuple(f"pose{index}" for index in range(len(case["delta_poses"])))
    return PoseSet(names, case["neutral"], case["delta_poses"], case.arrays.get("mask"))


def solver_parameters(row: Array) -> SolverParameters:
    l1, l2, symmetry, temporal, size, tolerance = (float(value) for value in row)
    return SolverParameters(l1, l2, symmetry, temporal, size, tolerance)


def systems(case: Case) -> list[SolverSystem]:
    """One system for each configuration; multipliers and offsets may be listed per frame instead."""
    gram = PoseGram.of(pose_set(case))
    per_config = not is_live(case)
    neutral = PoseConfig.default(len(case["delta_poses"]))
    return [
        SolverSystem.prepare(
            gram,
            PoseConfig(
                case["active"][index],
                case["cancel"][index],
                case["symmetry"][index],
                case["multipliers"][index] if per_config else neutral.multipliers,
                case["offsets"][index] if per_config else neutral.offsets,
            ),
            solver_parameters(row),
        )
        for index, row in enumerate(case["params"])
    ]


def solve_frames(case: Case, method: Method) -> Array:
    prepared = systems(case)
    frames = len(case["targets"])
    config = case["config_index"] if "config_index" in case else np.zeros(frames, int)
    projections = PoseProjector(pose_set(case)).project(case["targets"])
    live = is_live(case)
    solver = BlendshapeSolver(prepared[config[0]], method)
    weights = np.empty_like(case["weights"])
    for frame in range(frames):
        if solver.system is not prepared[config[frame]]:
            solver.prepare(prepared[config[frame]])
        if "reset_before" in case and case["reset_before"][frame]:
            solver.reset()
        if live:
            solver.multipliers, solver.offsets = case["multipliers"][frame], case["offsets"][frame]
        weights[frame] = solver.solve(projections[frame : frame + 1])[0]
        if (
            method != "admm" and stops_early(case)[frame]
        ):  # the reference went on from where it stopped; so does the next frame here
            solver.previous_weights = solved_weights(case, solver, frame, case["weights"][frame])
    return weights


def stops_early(case: Case) -> NDArray[np.bool_]:
    """Shape (frames,): frames whose stored weights are not the minimum, through rounding in the reference."""
    early = np.zeros(len(case["targets"]), bool)
    if case["params"][:, 5].max() <= 1e-6:  # otherwise stopping early is asked for, and followed
        early[list(case.parameters.get("reference_stops_early_frames", []))] = True
    return early


@pytest.mark.golden("blendshape_solve")
def test_weights(case: Case, within: Within) -> None:
    found = solve_frames(case, "exact")
    within("weights", found, case["weights"], WEIGHT_LIMIT, keep=~stops_early(case)[:, None])
    within("weights_admm", solve_frames(case, "admm"), case["weights_admm"], ADMM_LIMIT)
    if "evaluate_pose_mid" in case:
        middle = case["evaluate_pose_mid"]
        posed = evaluate_poses(pose_set(case), case["weights"][len(found) // 2])
        within("evaluate_pose_mid", posed, middle, 1e-6 * np.abs(middle).max())


@pytest.mark.golden("blendshape_solve")
def test_reference_method(case: Case, within: Within) -> None:
    keep = ~stops_early(case)[:, None]
    within("weights (method bvls)", solve_frames(case, "bvls"), case["weights"], WEIGHT_LIMIT, keep=keep)


@pytest.mark.golden("blendshape_solve")
def test_whole_clips(case: Case, within: Within) -> None:
    """Frames that may be solved in one call are, which takes another way to the same weights."""
    frames = len(case["targets"])
    prepared, early = systems(case), stops_early(case)
    config = case["config_index"] if "config_index" in case else np.zeros(frames, int)
    reset = case["reset_before"].astype(bool) if "reset_before" in case else np.zeros(frames, bool)
    begins = reset | np.r_[True, config[1:] != config[:-1]]
    begins[1:] |= early[:-1]
    if is_live(case):
        changed = (np.diff(case["multipliers"], axis=0) != 0) | (np.diff(case["offsets"], axis=0) != 0)
        begins[1:] |= changed.any(axis=1)
    found = solve_frames(case, "exact")
    projections = PoseProjector(pose_set(case)).project(case["targets"])
    starts = np.flatnonzero(begins).tolist()
    for start, stop in zip(starts, [*starts[1:], frames], strict=True):
        solver = BlendshapeSolver(prepared[config[start]])
        if is_live(case):
            solver.multipliers, solver.offsets = case["multipliers"][start], case["offsets"][start]
        if start and not reset[start] and config[start] == config[start - 1]:
            last = (case["weights"] if early[start - 1] else found)[start - 1]
            solver.previous_weights = solved_weights(case, solver, start - 1, last)
        found[start:stop] = solver.solve(projections[start:stop])
    within("weights (whole clips)", found, case["weights"], WEIGHT_LIMIT, keep=~early[:, None])


def is_live(case: Case) -> bool:
    """Whether multipliers and offsets are listed per frame instead of per configuration."""
    return len(case["multipliers"]) != len(case["params"])


def solved_weights(case: Case, solver: BlendshapeSolver, frame: int, weights: Array) -> NDArray[np.float64]:
    """The active poses' weights of a frame before its multipliers and offsets."""
    live = is_live(case)
    gains = case["multipliers"][frame] if live else solver.multipliers
    offsets = case["offsets"][frame] if live else solver.offsets
    active = solver.system.active
    stored = (weights - offsets)[active].astype(np.float64)
    return np.divide(stored, gains[active], out=np.zeros_like(stored), where=gains[active] != 0)


@pytest.mark.golden("blendshape_solve")
def test_preparation(case: Case, within: Within) -> None:
    if "normal_matrix" not in case:
        pytest.skip(f"case {case.name} lists no intermediates")
    prepared = systems(case)
    within("scale", [system.scale for system in prepared], case["scale"], 1e-5 * case["scale"])
    within("n_active", [len(system.active) for system in prepared], case["n_active"], 0)
    for system, matrix in zip(prepared, case["normal_matrix"], strict=True):
        count = len(system.active)
        limit = NORMAL_MATRIX_LIMIT * np.abs(matrix).max()
        within("normal_matrix", system.matrix, matrix[:count, :count], limit)
    projections = PoseProjector(pose_set(case)).project(case["targets"])
    for frame, expected in enumerate(case["atb"]):
        active = prepared[case["config_index"][frame]].active
        within("atb", projections[frame, active], expected[: len(active)], ATB_LIMIT * np.abs(expected).max())


@pytest.mark.golden("bvls")
def test_bounded_least_squares(case: Case, within: Within) -> None:
    matrix, lower, upper = (case[name].astype(np.float64) for name in ("A", "lower", "upper"))
    solver = PivotingSolver(NormalEquations.of(matrix))
    targets = case["b"].astype(np.float64)
    within("x", [solver.solve(b, lower, upper) for b in targets], case["x"], 2e-4)
    tolerance = float(case.parameters["tolerance"])
    stepped = [solve_bvls(matrix, b, lower, upper, tolerance) for b in targets]
    within("x (method bvls)", stepped, case["x"], 2e-4)


@pytest.mark.golden("end_to_end")
def test_vertex_path(case: Case, within: Within) -> None:
    vertices = vertex_path(case)
    within("vertices", vertices, case["vertices"], skin_limit(case))
    weights = BlendshapeSolver(chain_system(case)).solve(PoseProjector(pose_set(case)).project(vertices))
    within("weights", weights, case["weights"], WEIGHT_LIMIT)


@pytest.mark.golden("end_to_end")
@pytest.mark.parametrize("from_deltas", [False, True], ids=["coefficients", "projected"])
def test_collapsed_path(case: Case, within: Within, from_deltas: bool) -> None:
    """The collapsed path gives the stored weights, and those of the vertex path more closely still."""
    data, poses = skin_data(case), pose_set(case)
    deltas = pca_deltas(case["coefs"], case["shapes_matrix"])
    weights = np.empty_like(case["weights"])
    stream: SkinSolveStream | None = None
    mask: tuple[float, float] | None = None
    step, inputs = 0.0, case["coefs"]
    for frame in range(len(deltas)):
        parameters = group_of(SkinParameters, case["skin_params"][frame])
        if mask != (parameters.face_mask_level, parameters.face_mask_softness):
            if mask is not None and from_deltas:
                pytest.skip("the mask changes during the case, which projected deltas do not allow without a reset")
            mask = (parameters.face_mask_level, parameters.face_mask_softness)
            if from_deltas:
                projection = SkinProjection.of(data, poses, *mask)
                collapsed, inputs = projection.collapsed, projection.project(deltas)
            else:
                collapsed = CollapsedSkin.of_pca(case["shapes_matrix"], data, poses, *mask)
        if stream is None:
            step = float(case["dt"][frame])
            stream = SkinSolveStream(collapsed, chain_system(case), step, parameters)
        elif float(case["dt"][frame]) != step:
            pytest.skip("the frame rate changes during the case, which no stream does")
        stream.set_parameters(parameters, collapsed)
        if case["skin_reset_before"][frame]:
            stream.reset(solver=False)
        weights[frame] = stream.solve(inputs[frame : frame + 1])[0]
    within("weights (collapsed)", weights, case["weights"], WEIGHT_LIMIT)
    by_vertices = BlendshapeSolver(chain_system(case)).solve(PoseProjector(poses).project(vertex_path(case)))
    within("collapsed, vertex path", weights, by_vertices, COLLAPSED_LIMIT)


def vertex_path(case: Case) -> Array:
    animator = SkinAnimator(skin_data(case), step_s=1 / 30)
    vertices = np.empty_like(case["vertices"])
    for frame, delta in enumerate(pca_deltas(case["coefs"], case["shapes_matrix"])):
        animator.set_parameters(group_of(SkinParameters, case["skin_params"][frame]))
        if case["skin_reset_before"][frame]:
            animator.reset()
        vertices[frame] = animator.animate(delta[None], step_s=float(case["dt"][frame]))[0]
    return vertices


def chain_system(case: Case) -> SolverSystem:
    neutral = PoseConfig.default(len(case["delta_poses"]))
    config = PoseConfig(case["active"], case["cancel"], case["symmetry"], neutral.multipliers, neutral.offsets)
    return SolverSystem.prepare(PoseGram.of(pose_set(case)), config, solver_parameters(case["solver_params"]))
