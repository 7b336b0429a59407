from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.errors import ModelFormatError
from facewave.providers.a2f.post.animator_parameters import SkinParameters, SolverParameters, TongueParameters
from facewave.providers.a2f.post.collapsed import (
    CollapsedSkin,
    CollapsedTongue,
    SkinProjection,
    SkinSolveStream,
    TongueProjection,
    TongueSolveStream,
)
from facewave.providers.a2f.post.poses import PoseConfig, PoseGram, PoseProjector, PoseSet
from facewave.providers.a2f.post.skin import SkinAnimator, SkinData, pca_deltas
from facewave.providers.a2f.post.solver import BlendshapeSolver, SolverSystem
from facewave.providers.a2f.post.tongue import animate_tongue

Array = NDArray[np.float32]

LIMIT = 1e-4
"""Weights of the two paths: the vertex path carries positions in single precision."""

STEP = 1 / 30
SMOOTH = SkinParameters(
    lower_face_smoothing=0.05, upper_face_smoothing=0.02, lower_face_strength=1.4, upper_face_strength=0.9,
    face_mask_softness=0.08, skin_strength=1.1, eyelid_open_offset=0.3, lip_open_offset=-0.1, blink_offset=0.2,
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    data: SkinData
    basis: Array
    poses: PoseSet
    system: SolverSystem
    coefficients: Array


def model(seed: int = 0, masked: bool = True, frames: int = 50) -> Model:
    rng = np.random.default_rng(seed)
    vertices, count = 120, 14
    neutral = rng.normal(0, 8, 3 * vertices).astype(np.float32)
    deltas = rng.normal(0, 1, (count, 3 * vertices)).astype(np.float32)
    basis = (rng.normal(0, 0.3, (9, count)) @ deltas + rng.normal(0, 0.1, (9, 3 * vertices))).astype(np.float32)
    data = SkinData(neutral, 0.4 * deltas[3], deltas[0] + deltas[1])
    mask = rng.permutation(vertices)[:80].astype(np.int32) if masked else None  # any order
    own_neutral = neutral + rng.normal(0, 0.05, len(neutral)).astype(np.float32)
    poses = PoseSet(tuple(f"p{index}" for index in range(count)), own_neutral, deltas, mask)
    plain = PoseConfig.default(count)
    active = np.ones(count, bool)
    active[[2, 11]] = False
    symmetry, cancel = plain.symmetry.copy(), plain.cancel.copy()
    symmetry[[4, 5]], cancel[[6, 7]] = 0, 0
    config = PoseConfig(active, cancel, symmetry, plain.multipliers * 1.5, plain.offsets + np.float32(0.05))
    system = SolverSystem.prepare(PoseGram.of(poses), config, SolverParameters(0.5, 0.5, 10, 0.3, 60))
    turns = np.cumsum(rng.normal(0, 0.4, (frames, 9)), axis=0)
    return Model(data, basis, poses, system, turns.astype(np.float32))


def by_vertices(face: Model, parameters: SkinParameters) -> Array:
    animator = SkinAnimator(face.data, STEP, parameters=parameters)
    vertices = np.vstack([animator.animate(delta[None]) for delta in pca_deltas(face.coefficients, face.basis)])
    return BlendshapeSolver(face.system).solve(PoseProjector(face.poses).project(vertices))


def collapse(face: Model, parameters: SkinParameters) -> CollapsedSkin:
    return CollapsedSkin.of_pca(
        face.basis, face.data, face.poses, parameters.face_mask_level, parameters.face_mask_softness
    )


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("parameters", [SkinParameters(), SMOOTH], ids=["default", "smooth"])
def test_collapsed_weights_equal_those_by_vertices(masked: bool, parameters: SkinParameters) -> None:
    face = model(masked=masked)
    expected = by_vertices(face, parameters)
    assert np.ptp(expected, axis=0).max() > 0.5
    stream = SkinSolveStream(collapse(face, parameters), face.system, STEP, parameters)
    np.testing.assert_allclose(stream.solve(face.coefficients), expected, atol=LIMIT)
    projection = SkinProjection.of(face.data, face.poses, parameters.face_mask_level, parameters.face_mask_softness)
    stream = SkinSolveStream(projection.collapsed, face.system, STEP, parameters)
    deltas = pca_deltas(face.coefficients, face.basis)
    np.testing.assert_allclose(stream.solve(projection.project(deltas)), expected, atol=LIMIT)


@pytest.mark.parametrize("chunk", [1, 7, 20])
def test_chunks_do_not_matter(chunk: int) -> None:
    face = model()
    collapsed = collapse(face, SMOOTH)
    whole = SkinSolveStream(collapsed, face.system, STEP, SMOOTH).solve(face.coefficients)
    stream = SkinSolveStream(collapsed, face.system, STEP, SMOOTH)
    parts = [stream.solve(face.coefficients[at : at + chunk]) for at in range(0, len(whole), chunk)]
    np.testing.assert_allclose(np.vstack(parts), whole, atol=1e-6)


def test_the_small_matrices_prepare_the_same_system() -> None:
    face = model()
    found = SolverSystem.prepare(collapse(face, SMOOTH).pose_gram, face.system.config, face.system.parameters)
    np.testing.assert_array_equal(found.matrix, face.system.matrix)


def test_reset_starts_filter_and_solver_afresh() -> None:
    face = model()
    stream = SkinSolveStream(collapse(face, SMOOTH), face.system, STEP, SMOOTH)
    first = stream.solve(face.coefficients)
    again = stream.solve(face.coefficients)
    assert np.abs(again[0] - first[0]).max() > 1e-3
    stream.reset()
    np.testing.assert_array_equal(stream.solve(face.coefficients), first)


def test_the_mask_may_change_in_the_middle() -> None:
    """Coefficients are filtered before the mask, as vertices are."""
    face = model()
    other = replace(SMOOTH, face_mask_level=0.3, upper_face_strength=1.5)
    half = len(face.coefficients) // 2
    animator = SkinAnimator(face.data, STEP, parameters=SMOOTH)
    rows = []
    for frame, delta in enumerate(pca_deltas(face.coefficients, face.basis)):
        if frame == half:
            animator.set_parameters(other)
        rows.append(animator.animate(delta[None]))
    expected = BlendshapeSolver(face.system).solve(PoseProjector(face.poses).project(np.vstack(rows)))
    stream = SkinSolveStream(collapse(face, SMOOTH), face.system, STEP, SMOOTH)
    first = stream.solve(face.coefficients[:half])
    stream.set_parameters(other, collapse(face, other))
    np.testing.assert_allclose(np.vstack([first, stream.solve(face.coefficients[half:])]), expected, atol=LIMIT)


def test_without_a_step_nothing_is_smoothed() -> None:
    face = model()
    collapsed = collapse(face, SMOOTH)
    unsmoothed = replace(SMOOTH, lower_face_smoothing=0, upper_face_smoothing=0)
    expected = SkinSolveStream(collapsed, face.system, STEP, unsmoothed).solve(face.coefficients)
    np.testing.assert_array_equal(
        SkinSolveStream(collapsed, face.system, 0.0, SMOOTH).solve(face.coefficients), expected
    )


@pytest.mark.parametrize("projected", [False, True])
def test_the_tongue(projected: bool) -> None:
    face = model(masked=False)
    parameters = TongueParameters(1.3, 0.2, -0.3)
    vertices = animate_tongue(face.data.neutral, pca_deltas(face.coefficients, face.basis), parameters)
    expected = BlendshapeSolver(face.system).solve(PoseProjector(face.poses).project(vertices))
    if projected:
        projection = TongueProjection.of(face.data.neutral, face.poses)
        collapsed, inputs = projection.collapsed, projection.project(pca_deltas(face.coefficients, face.basis))
    else:
        collapsed = CollapsedTongue.of_pca(face.basis, face.data.neutral, face.poses)
        inputs = face.coefficients
    stream = TongueSolveStream(collapsed, face.system, parameters)
    np.testing.assert_allclose(stream.solve(inputs), expected, atol=LIMIT)
    stream.reset()
    stream.set_parameters(TongueParameters(0))
    assert np.abs(stream.solve(inputs) - expected).max() > 0.01


def test_displacements_that_would_underflow_count_as_none() -> None:
    face = model()
    tiny = PoseSet(face.poses.names, face.poses.neutral, face.poses.deltas * np.float32(1e-30), face.poses.mask)
    projection = SkinProjection.of(face.data, tiny, 0.6, 0.01)
    assert projection.lower_poses.size
    assert not projection.lower_poses.any()
    assert not projection.upper_poses.any()


def test_each_side_of_the_border_is_projected_once() -> None:
    face = model()
    sharp = SkinProjection.of(face.data, face.poses, 0.6, 0.01)
    counted = len(sharp.components)
    assert len(sharp.lower_poses) + len(sharp.upper_poses) < 2 * counted
    everywhere = SkinProjection.of(face.data, face.poses, 0.6, 1.0)
    assert len(everywhere.lower_poses) == len(everywhere.upper_poses) == counted
    none = SkinProjection.of(face.data, face.poses, -9.0, 0.01)
    assert len(none.lower_poses) == 0
    deltas = pca_deltas(face.coefficients, face.basis)
    posed = face.poses.deltas[:, none.components] @ deltas[:, none.components].T
    np.testing.assert_allclose(none.project(deltas)[:, len(posed) :], posed.T, rtol=1e-5, atol=1e-4)


def test_inputs_that_do_not_fit() -> None:
    face = model()
    stream = SkinSolveStream(collapse(face, SMOOTH), face.system, STEP)
    with pytest.raises(ModelFormatError, match=r"found shape \(3, 5\), expected \(frames, 9\)"):
        stream.solve(np.zeros((3, 5), np.float32))
    with pytest.raises(ModelFormatError, match="not finite"):
        stream.solve(np.full((2, 9), np.inf, np.float32))
    with pytest.raises(ModelFormatError, match="skin: found 100 vertices in the network's deltas and 120 in the pose"):
        CollapsedSkin.of_pca(face.basis[:, :300], face.data, face.poses, 0.6, 0.01)
    with pytest.raises(ModelFormatError, match="tongue: found 100 vertices in the animator's neutral pose and 120"):
        TongueProjection.of(face.data.neutral[:300], face.poses)
    assert stream.solve(np.zeros((0, 9), np.float32)).shape == (0, 14)
