"""Bounded least squares: minimise |A w - b|^2 with every w between its bounds. Three ways to the answer.

`PivotingSolver` is exact and fast: it keeps the set of free weights, and the matrix that belongs to it, from one
frame to the next. `solve_bvls` follows NVIDIA's CPU path step by step, including where it stops early.
`solve_admm` follows NVIDIA's GPU path, whose four iterations are only approximately the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_WEIGHT_TOLERANCE = 1e-10
"""Weights nearer than this to a bound, or bound weights that would move by less, count as settled."""

_DRIFT_LIMIT = 1e-9
"""Correction of a weight beyond which the pivoted matrix has gathered too much rounding and is made anew."""

_CHANGES_BETWEEN_CHECKS = 64
"""Changes of the free set after which the pivoted matrix is checked; each adds a little rounding."""

_BLOCK_FROM = 5
"""Changes from which one block pivot is faster than single ones (measured with 52 weights)."""

_MANY, _WORTH = 4, 0.1
"""Of more violations than this, only those at least this large beside the largest are settled in a round; with rough
motion this halves the changes (measured with 52 weights)."""

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
    points out of the box for bound ones. For a guess of the free set F, exchanging the roles of w and G w on F
    ("principal pivot transform") gives a matrix T that yields all unknowns in one product: the weights on F and the
    gradient elsewhere. Weights and gradients of the wrong sign change sides, T follows by a rank-k update, until none
    is left. Neighbouring frames have nearly the same free set, so few changes are needed.

    The answer does not depend on the starting set beyond rounding (1e-12), as the minimum is unique.

    Source: Portugal, Judice and Vicente (1994), "A comparison of block pivoting and interior-point algorithms for
    linear least squares problems with nonnegative variables"; the one-at-a-time rule is Murty's.
    """

    def __init__(self, normal: NormalEquations) -> None:
        """Start with every weight free, as the reference does at each frame."""
        self._normal = normal
        self._matrix, self._gram = normal.matrix, normal.gram
        self._slack = _WEIGHT_TOLERANCE * np.diagonal(self._gram)
        self._per_gradient = 1 / np.diagonal(self._gram)  # how far a weight alone would move if freed
        self._outer = np.empty_like(self._gram)
        self.reset()

    def reset(self) -> None:
        """Forget the free set: the next solve starts as the first one did."""
        size = len(self._gram)
        self._table = self._normal.inverse.copy()
        self._changes = 0
        self._free = np.ones(size, bool)
        self._at_upper = np.zeros(size, bool)
        self._bounds: tuple[Vector, Vector] | None = None

    def solve(self, target: Vector, lower: Vector, upper: Vector) -> Vector:
        """The minimum for b = `target`, shape (m,); bounds have shape (n,). Bound weights equal their bound exactly.

        Bounds are taken for unchanged when they are the same arrays as in the last call.
        """
        if self._bounds is None or self._bounds[0] is not lower or self._bounds[1] is not upper:
            self._set_bounds(lower, upper)
        free, bound, least, most = self._free, self._bound, self._least, self._most
        pull = target @ self._matrix
        known = np.where(free, pull, bound)
        pulled = np.where(free, 0.0, pull)
        fewest, patience = len(known) + 1, _PATIENCE
        for _ in range(20 * len(known)):
            found = self._table @ known
            # Free: the weight, which must lie between its bounds. Bound: the gradient, whose sign must point out.
            shown = found - pulled
            wrong = ((shown < least) | (shown > most)).nonzero()[0]
            if not len(wrong):
                return self._settled(found, pull)
            if len(wrong) < fewest:
                fewest, patience = len(wrong), _PATIENCE
            elif patience:
                patience -= 1
            else:
                wrong = wrong[-1:]
            if len(wrong) > _MANY:
                wrong = self._worst(wrong, np.maximum(least - shown, shown - most))
            for at in wrong.tolist():
                if free[at]:
                    top = bool(shown[at] > most[at])
                    free[at], self._at_upper[at] = False, top
                    bound[at] = known[at] = upper[at] if top else lower[at]
                    pulled[at] = pull[at]
                    least[at], most[at] = (-np.inf, self._slack[at]) if top else (-self._slack[at], np.inf)
                else:
                    free[at] = True
                    known[at], pulled[at] = pull[at], 0.0
                    least[at], most[at] = lower[at] - _WEIGHT_TOLERANCE, upper[at] + _WEIGHT_TOLERANCE
            self._exchange(wrong)
        # Rounding on a nearly singular matrix can make the signs wander; the descent method cannot.
        self.reset()
        return solve_bvls(self._matrix, target, lower, upper, tolerance=0.0)

    def _worst(self, wrong: NDArray[np.intp], miss: Vector) -> NDArray[np.intp]:
        """Those of many violations that are not small beside the largest; most small ones vanish with the large."""
        size = (miss * np.where(self._free, 1.0, self._per_gradient))[wrong]
        return np.asarray(wrong[size >= _WORTH * size.max()])

    def _set_bounds(self, lower: Vector, upper: Vector) -> None:
        free, top = self._free, self._at_upper
        self._bounds = lower, upper
        self._bound = np.where(top, upper, lower)
        self._least = np.where(free, lower - _WEIGHT_TOLERANCE, np.where(top, -np.inf, -self._slack))
        self._most = np.where(free, upper + _WEIGHT_TOLERANCE, np.where(top, self._slack, np.inf))

    def _settled(self, found: Vector, pull: Vector) -> Vector:
        free, bounds = self._free, self._bounds
        assert bounds is not None
        weights = np.where(free, found, self._bound)
        if self._changes >= _CHANGES_BETWEEN_CHECKS:
            rest = np.where(free, pull - self._gram @ weights, 0.0)
            correction = np.where(free, self._table @ rest, 0.0)
            weights += correction
            drifted = np.abs(correction).max() > _DRIFT_LIMIT
            self._changes = 0
            if drifted:
                self._rebuild()
                weights = np.where(free, self._table @ np.where(free, pull, self._bound), self._bound)
        return np.minimum(np.maximum(weights, bounds[0]), bounds[1])

    def _exchange(self, which: NDArray[np.intp]) -> None:
        table = self._table
        self._changes += len(which)
        if len(which) >= _BLOCK_FROM:
            _pivot_block(table, which)
            return
        for at in which.tolist():
            pivot = 1.0 / table[at, at]
            row = table[at] * pivot
            column = table[:, at].copy()
            np.multiply(column[:, None], row, out=self._outer)
            np.subtract(table, self._outer, out=table)
            table[at] = -row
            table[:, at] = column * pivot
            table[at, at] = pivot

    def _rebuild(self) -> None:
        self._table = self._gram.copy()
        free = np.flatnonzero(self._free)
        if len(free):
            _pivot_block(self._table, free)


def _pivot_block(table: Matrix, which: NDArray[np.intp]) -> None:
    """Exchange known and unknown of several indices at once, in place."""
    columns = table[:, which]
    inverse = np.linalg.inv(columns[which])
    rows = inverse @ table[which]
    table -= columns @ rows
    table[which] = -rows
    table[:, which] = columns @ inverse
    table[np.ix_(which, which)] = inverse


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
