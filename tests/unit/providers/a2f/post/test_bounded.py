from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from facewave.providers.a2f.post.bounded import AdmmSolver, BvlsSolver, NormalEquations, PivotingSolver, solve_bvls
from facewave.providers.a2f.post.bounded_clip import ClipSolver

Vector = NDArray[np.float64]


def problem(seed: int, size: int, regular: float = 0.5) -> Vector:
    """A normal matrix like those of blend shapes: positive, neighbours alike."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(size=(size, 3 * size)) + 0.7 * rng.normal(size=(1, 3 * size))
    return np.asarray(poses @ poses.T / size + regular * np.eye(size))


def targets(seed: int, matrix: Vector, count: int) -> Vector:
    """Right-hand sides whose unbounded answers leave the box on both sides."""
    rng = np.random.default_rng(seed + 1000)
    return np.asarray((rng.normal(0.5, 0.8, size=(count, len(matrix)))) @ matrix.T)


def oracle(matrix: Vector, target: Vector, lower: Vector, upper: Vector) -> Vector:
    return np.asarray(lsq_linear(matrix, target, (lower, upper), method="bvls", tol=1e-14, max_iter=2000).x)


@pytest.mark.parametrize("size", [1, 2, 5, 16, 43])
@pytest.mark.parametrize("seed", range(4))
def test_all_exact_methods_agree_with_scipy(size: int, seed: int) -> None:
    matrix = problem(seed, size)
    right = targets(seed, matrix, 12)
    lower, upper = np.zeros(size), np.ones(size)
    normal = NormalEquations.of(matrix)
    expected = np.array([oracle(matrix, b, lower, upper) for b in right])
    assert ((expected == 0).any() and (expected == 1).any()) or size < 5

    stream = PivotingSolver(normal)
    np.testing.assert_allclose([stream.solve(b, lower, upper) for b in right], expected, atol=1e-9)
    stepwise = BvlsSolver(matrix, tolerance=0.0)
    np.testing.assert_allclose([stepwise.solve(b, lower, upper) for b in right], expected, atol=1e-9)
    clip = ClipSolver(normal)
    pull, top = right @ matrix, np.ones_like(right)
    np.testing.assert_allclose(clip.solve(clip.first_guess(pull, top), pull, top), expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_pivoting_with_any_bounds_and_a_tall_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(20, 9))
    solver = PivotingSolver(NormalEquations.of(matrix))
    for _ in range(20):  # bounds differ from call to call
        lower = rng.normal(size=9)
        upper = lower + rng.choice([0.0, 1e-10, 0.3, 5.0], size=9)
        target = 3 * rng.normal(size=20)
        found = solver.solve(target, lower, upper)
        assert (found >= lower).all()
        assert (found <= upper).all()
        cost = np.sum((matrix @ found - target) ** 2)
        best = np.sum((matrix @ oracle(matrix, target, lower, np.maximum(upper, lower + 1e-13)) - target) ** 2)
        assert cost <= best * (1 + 1e-9) + 1e-9


def test_bound_weights_equal_their_bounds_exactly() -> None:
    matrix = problem(3, 20)
    solver = PivotingSolver(NormalEquations.of(matrix))
    lower, upper = np.zeros(20), np.ones(20)
    for target in targets(3, matrix, 30):
        weights = solver.solve(target, lower, upper)
        gradient = matrix.T @ (matrix @ weights - target)
        inside = (weights > 0) & (weights < 1)
        scale = np.abs(matrix.T @ target).max()
        assert np.abs(gradient[inside]).max(initial=0) < 1e-9 * scale
        assert (gradient[weights == 0] > -1e-9 * scale).all()
        assert (gradient[weights == 1] < 1e-9 * scale).all()
        assert ((weights == 0) | (weights == 1)).any()


def test_a_long_stream_does_not_drift() -> None:
    matrix = problem(5, 24, regular=0.01)
    solver = PivotingSolver(NormalEquations.of(matrix))
    lower, upper = np.zeros(24), np.ones(24)
    right = targets(5, matrix, 3000)
    for target in right[:-1]:
        solver.solve(target, lower, upper)
    fresh = PivotingSolver(NormalEquations.of(matrix))
    np.testing.assert_allclose(
        solver.solve(right[-1], lower, upper), fresh.solve(right[-1], lower, upper), atol=1e-9, rtol=0
    )


def test_reset_makes_the_next_solve_the_first() -> None:
    matrix = problem(7, 16)
    lower, upper = np.zeros(16), np.ones(16)
    right = targets(7, matrix, 10)
    solver = PivotingSolver(NormalEquations.of(matrix))
    first = solver.solve(right[0], lower, upper)
    for target in right:
        solver.solve(target, lower, upper)
    solver.reset()
    assert np.array_equal(solver.solve(right[0], lower, upper), first)


@pytest.mark.parametrize("seed", range(6))
def test_the_reference_method_is_feasible_and_no_worse_than_its_start(seed: int) -> None:
    """Whatever the tolerance: a loose one may stop early but never leaves the box, a tight one never costs more."""
    matrix = problem(seed, 18, regular=0.05)
    lower, upper = np.zeros(18), np.ones(18)
    for target in targets(seed, matrix, 5):
        costs = []
        for tolerance in (1e6, 1e-2, 1e-10):
            weights = solve_bvls(matrix, target, lower, upper, tolerance)
            assert ((weights >= 0) & (weights <= 1)).all()
            costs.append(np.sum((matrix @ weights - target) ** 2))
        assert costs[0] >= costs[1] * (1 - 1e-12) >= costs[2] * (1 - 1e-9)


@pytest.mark.parametrize(
    ("matrix", "target", "exact", "admm"),
    [
        ([[4, 2], [2, 3]], [4, -1], [0.7, 0], [1, 0]),
        ([[6, 4, 0], [4, 5, 1], [0, 1, 3]], [3, -2, 4], [0.11904762, 0, 0.95238095], [0.07033359, 0, 1]),
        ([[2, 1, 0], [1, 3, 1], [0, 1, 2]], [1, 2, 1], [0.25, 0.5, 0.25], [0.25, 0.5, 0.25]),
    ],
)
def test_known_answers(matrix: list[list[float]], target: list[float], exact: list[float], admm: list[float]) -> None:
    """Bounds hold for |A w - b|^2: bounding the quadratic form of A would give [1, 0] for the first."""
    system, right = np.array(matrix, float), np.array(target, float)
    lower, upper = np.zeros(len(right)), np.ones(len(right))
    pivoting = PivotingSolver(NormalEquations.of(system))
    np.testing.assert_allclose(pivoting.solve(right, lower, upper), exact, atol=1e-8)
    np.testing.assert_allclose(solve_bvls(system, right, lower, upper), exact, atol=1e-8)
    np.testing.assert_allclose(AdmmSolver(system).solve(right, lower, upper), admm, atol=1e-6)


def test_clip_frames_may_have_different_bounds() -> None:
    matrix = problem(9, 12)
    right = targets(9, matrix, 40)
    upper = np.ones_like(right)
    upper[::2, 3] = 1e-10
    clip = ClipSolver(NormalEquations.of(matrix))
    pull = right @ matrix
    found = clip.solve(clip.first_guess(pull, upper), pull, upper)
    expected = [oracle(matrix, b, np.zeros(12), top) for b, top in zip(right, upper, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_wrong_guess_is_corrected() -> None:
    matrix = problem(11, 15)
    right = targets(11, matrix, 20)
    clip = ClipSolver(NormalEquations.of(matrix))
    pull, upper = right @ matrix, np.ones_like(right)
    guess = clip.first_guess(pull, upper)
    expected = clip.solve(guess, pull, upper)
    guess.free[:] = False
    guess.at_upper[:] = True
    np.testing.assert_allclose(clip.solve(guess, pull, upper), expected, atol=1e-9)
