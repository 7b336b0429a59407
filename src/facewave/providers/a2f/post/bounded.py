"""Bounded least squares: minimise |A w - b|^2 with every w between its bounds. Three ways to the answer.

`PivotingSolver` is exact and fast: an iteration that goes on from the last frame tells which weights are free.
`solve_bvls` follows NVIDIA's CPU path step by step, including where it stops early. `AdmmSolver` follows NVIDIA's GPU
path, whose four iterations are only approximately the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_WEIGHT_TOLERANCE = 1e-10
"""Weights nearer than this to a bound, or bound weights that would move by less, count as settled."""

_PENALTY = 0.36
"""Penalty of the iteration relative to the diagonal of G: measured, fewest wrong guesses with 52 poses."""

_RELAXATION = 1.85

_MOST_ITERATIONS, _BETWEEN_LOOKS = 40, 4
"""The iteration ends when the free set is that of the last look (measured with 52 poses)."""

_PATIENCE = 4
"""Rounds without fewer violations before the changes are made one at a time, which always ends."""


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """What exact solvers share: A, G = A'A and its inverse, each (n, n). A must have full column rank."""

    matrix: Matrix
    gram: Matrix
    inverse: Matrix

    @classmethod
    def of(cls, matrix: Matrix) -> NormalEquations:
        """Compute them from A, shape (m, n).

        Raises:
            numpy.linalg.LinAlgError: A is singular.
        """
        exact = np.asarray(matrix, np.float64)
        gram = exact.T @ exact
        return cls(exact, gram, np.asarray(np.linalg.inv(gram), np.float64))


class PivotingSolver:
    """Exact solver for a stream of right-hand sides with one matrix.

    Minimising |A w - b|^2 means that the gradient G w - h, with G = A'A and h = A'b, is zero for free weights and
    points out of the box for bound ones. Some iterations of the alternating direction method, which start where the
    last frame ended, tell nearly always which weights are free. What they tell is made exact: free weights are solved
    for, and weights and gradients of the wrong sign change sides until none is left.

    The answer does not depend on the start beyond rounding (1e-12), as the minimum is unique.

    Source: Boyd et al. (2011) for the iteration; Portugal, Judice and Vicente (1994), "A comparison of block pivoting
    and interior-point algorithms for linear least squares problems with nonnegative variables" for the exchange; the
    one-at-a-time rule is Murty's.
    """

    def __init__(self, normal: NormalEquations) -> None:
        """Start at the unbounded minimum."""
        self._matrix, self._gram, self._inverse = normal.matrix, normal.gram, normal.inverse
        size = len(self._gram)
        penalty = _PENALTY * np.diagonal(self._gram)
        step = np.linalg.inv(self._gram + np.diag(penalty))
        self._from_pull = _RELAXATION * step
        # One product takes point and shadow to the next shadow. Only a guess is wanted: float32 halves the time.
        towards, one = _RELAXATION * penalty[:, None] * step, np.eye(size)
        self._next = np.vstack([2 * towards - _RELAXATION * one, one - towards]).astype(np.float32)
        self._per_gradient = 1 / penalty
        self._both, self._made = np.empty(2 * size, np.float32), np.empty(size, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the last frame: the next solve starts as the first one did."""
        self._shadow: Vector | None = None

    def solve(self, target: Vector, lower: Vector, upper: Vector) -> Vector:
        """The minimum for b = `target`, shape (m,); bounds have shape (n,). Bound weights equal their bound exactly."""
        pull = target @ self._matrix
        free, top = self._guess(pull, lower, upper)
        gram, fewest, patience = self._gram, len(pull) + 1, _PATIENCE
        try:
            for _ in range(20 * len(pull)):
                weights = np.where(top, upper, lower)
                weights[free] = 0.0
                at = free.nonzero()[0]
                if len(at):
                    rest = pull - gram @ weights
                    weights[at] = np.linalg.solve(gram[at[:, None], at], rest[at])
                # A free weight, or a bound one moved along its gradient: in the box exactly if it should be free.
                shadow = weights - (gram @ weights - pull) * self._per_gradient
                below = shadow < upper
                inside = below & (shadow > lower)
                wrong = (inside != free) | (below == top)
                if wrong.any():
                    wrong &= _miss(shadow, lower, upper, free, top) > _WEIGHT_TOLERANCE
                number = int(np.count_nonzero(wrong))
                if not number:
                    self._shadow = shadow
                    return np.minimum(np.maximum(weights, lower), upper)
                if number < fewest:
                    fewest, patience = number, _PATIENCE
                elif patience:
                    patience -= 1
                else:
                    wrong[wrong.nonzero()[0][:-1]] = False
                    inside |= wrong & ~free
                free, top = np.where(wrong, inside, free), np.where(wrong, ~below, top)
        except np.linalg.LinAlgError:
            pass
        # Rounding on a nearly singular matrix can make the signs wander; the descent method cannot.
        self.reset()
        return solve_bvls(self._matrix, target, lower, upper, tolerance=0.0)

    def _guess(self, pull: Vector, lower: Vector, upper: Vector) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which weights are free, and which of the others, and perhaps of the free ones, are at the upper bound."""
        both, made = self._both, self._made
        point, shadow = both[: len(pull)], both[len(pull) :]
        shadow[:] = pull @ self._inverse if self._shadow is None else self._shadow
        fixed = (pull @ self._from_pull).astype(np.float32)
        least, most = lower.astype(np.float32), upper.astype(np.float32)
        told = b""
        for done in range(1, _MOST_ITERATIONS + 1):
            np.minimum(shadow, most, out=point)
            np.maximum(point, least, out=point)
            np.dot(both, self._next, out=made)
            np.add(made, fixed, out=shadow)
            if done % _BETWEEN_LOOKS == 0:
                before, told = told, ((shadow > least) & (shadow < most)).tobytes()
                if told == before:
                    break
        below = shadow < most
        return below & (shadow > least), ~below


def _miss(shadow: Vector, lower: Vector, upper: Vector, free: NDArray[np.bool_], top: NDArray[np.bool_]) -> Vector:
    """How far each weight is on the wrong side of its bound; negative where it is on the right one."""
    bound = np.where(top, upper - shadow, shadow - lower)
    return np.where(free, np.maximum(lower - shadow, shadow - upper), bound)


def solve_bvls(matrix: Matrix, target: Vector, lower: Vector, upper: Vector, tolerance: float = 1e-10) -> Vector:
    """Bounded least squares as NVIDIA's CPU solver goes about it, from all weights free.

    First every violated bound is fixed until none is violated; then bound weights whose gradient points inwards are
    freed one by one. It stops early, perhaps before the minimum, when no gradient exceeds `tolerance`, when the
    largest gradient changes by less than 1e-6, when the cost rises, or after as many rounds as there are weights. A
    `tolerance` of 0 or less goes on to the minimum instead.

    Args:
        matrix: A, shape (m, n).
        target: b, shape (m,).
        lower: Shape (n,).
        upper: Shape (n,), nowhere below `lower`.
        tolerance: Gradient size that counts as none.

    Returns:
        w, shape (n,); bound weights equal their bound exactly.

    Source: the method of NVIDIA's Audio2Face-3D SDK (bvls.cpp), after Stark and Parker (1995).
    """
    to_the_end = tolerance <= 0
    size = matrix.shape[1]
    weights = _bound_violators(matrix, target, lower, upper)
    gradient, cost = _gradient_and_cost(matrix, target, weights)
    largest = _optimality(weights, gradient, lower, upper)
    slack = 1e-12 * float(np.abs(matrix.T @ target).max(initial=0.0)) if to_the_end else 0.0
    for _ in range(30 * size if to_the_end else size):
        if largest < tolerance:
            break
        inward = np.where(weights == lower, -gradient, np.where(weights == upper, gradient, -np.inf))
        inward[lower == upper] = -np.inf
        release = int(np.argmax(inward))
        if inward[release] <= slack:
            break
        weights = _descend(matrix, target, lower, upper, weights, release)
        old_cost, old_largest = cost, largest
        gradient, cost = _gradient_and_cost(matrix, target, weights)
        if cost > old_cost and not to_the_end:
            break
        largest = _optimality(weights, gradient, lower, upper)
        if abs(old_largest - largest) < 1e-6 and not to_the_end:
            break
    return weights


def _bound_violators(matrix: Matrix, target: Vector, lower: Vector, upper: Vector) -> Vector:
    free = np.ones(matrix.shape[1], bool)
    weights = np.zeros(matrix.shape[1])
    while True:
        weights = _least_squares(matrix, target, weights, free)
        low, high = free & (weights < lower), free & (weights > upper)
        if not (low | high).any():
            return weights
        weights[low], weights[high] = lower[low], upper[high]
        free &= ~(low | high)


def _descend(matrix: Matrix, target: Vector, lower: Vector, upper: Vector, weights: Vector, release: int) -> Vector:
    """Free one weight and walk to the minimum of the free ones, fixing those that meet a bound on the way."""
    weights = weights.copy()
    free = (weights != lower) & (weights != upper)
    free[release] = True
    while True:
        goal = _least_squares(matrix, target, weights, free)
        step, blocking = 1.0, -1
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(
                goal < lower,
                (weights - lower) / (weights - goal),
                np.where(goal > upper, (upper - weights) / (goal - weights), np.inf),
            )
        share[~free | (weights == goal)] = np.inf
        if share.min(initial=np.inf) < 1.0:
            blocking = int(np.argmin(share))
            step = float(share[blocking])
        weights = weights + step * (goal - weights)
        if blocking < 0:
            return weights
        weights[blocking] = lower[blocking] if goal[blocking] < lower[blocking] else upper[blocking]
        free = (weights != lower) & (weights != upper)


def _least_squares(matrix: Matrix, target: Vector, weights: Vector, free: NDArray[np.bool_]) -> Vector:
    """Least squares over the free weights with the others held; minimum norm where it is not unique."""
    result = weights.copy()
    count = int(free.sum())
    if count:
        rest = target - matrix[:, ~free] @ weights[~free]
        result[free] = np.linalg.lstsq(matrix[:, free], rest, rcond=count * float(np.finfo(np.float32).eps))[0]
    return result


def _gradient_and_cost(matrix: Matrix, target: Vector, weights: Vector) -> tuple[Vector, float]:
    rest = matrix @ weights - target
    return matrix.T @ rest, 0.5 * float(rest @ rest)


def _optimality(weights: Vector, gradient: Vector, lower: Vector, upper: Vector) -> float:
    size = np.where(weights == lower, -gradient, np.where(weights == upper, gradient, np.abs(gradient)))
    return float(size.max(initial=-np.inf))


class AdmmSolver:
    """NVIDIA's GPU solver: four iterations of the alternating direction method of multipliers.

    Where bounds are active its weights differ from the minimum, by up to tenths for single weights.

    Source: NVIDIA's Audio2Face-3D SDK (admm.cu), after Boyd et al. (2011).
    """

    ITERATIONS = 4
    RELAXATION = 1.9

    def __init__(self, matrix: Matrix) -> None:
        """`matrix` is A, square and regular, shape (n, n)."""
        self._matrix = np.asarray(matrix, np.float64)
        gram = self._matrix.T @ self._matrix
        self._inverse = np.linalg.inv(self._matrix)
        self._penalty = (0.25 * np.sqrt(np.diagonal(gram))) ** 2
        self._step = np.linalg.inv(gram + np.diag(self._penalty))

    def reset(self) -> None:
        """Nothing is kept between solves."""

    def solve(self, target: Vector, lower: Vector, upper: Vector) -> Vector:
        """The point after four iterations for b = `target`, shape (n,)."""
        pull = self._matrix.T @ target
        inside = np.clip(self._inverse @ target, lower, upper)
        dual = np.zeros_like(inside)
        for _ in range(self.ITERATIONS):
            unbounded = self._step @ (self._penalty * (inside - dual) + pull)
            inside = np.clip(dual + unbounded, lower, upper)
            dual = dual + self.RELAXATION * (unbounded - inside)
        return inside


class BvlsSolver:
    """`solve_bvls` for a stream of right-hand sides; nothing is kept between them."""

    def __init__(self, matrix: Matrix, tolerance: float = 1e-10) -> None:
        """`matrix` is A, shape (m, n); `tolerance` as for `solve_bvls`."""
        self._matrix = np.asarray(matrix, np.float64)
        self._tolerance = tolerance

    def reset(self) -> None:
        """Nothing is kept between solves."""

    def solve(self, target: Vector, lower: Vector, upper: Vector) -> Vector:
        """The weights for b = `target`, shape (m,)."""
        return solve_bvls(self._matrix, target, lower, upper, self._tolerance)
