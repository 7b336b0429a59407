"""Blend-shape solve: vertex displacements to pose weights.

    PoseSet           meshes of the poses                                  per model
    PoseGram          what remains of them once vertices are not needed    per model, small
    SolverSystem      the regularised matrix for one configuration         shared by streams
    BlendshapeSolver  previous weights and free set                        per stream

The system is A w = b with A = D'D + regularisation and b = D'(target - neutral) + temporal term, over the masked
components of the active poses. As NVIDIA's solvers do, bounds are applied to |A w - b|^2 and not to the quadratic form
of A; where bounds are active the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....errors import ModelFormatError, SettingsError
from .animator_parameters import SolverParameters
from .bounded import AdmmSolver, BvlsSolver, NormalEquations, PivotingSolver
from .bounded_clip import ClipSolver, Guess
from .poses import PoseConfig, PoseGram

Array = NDArray[np.float32]
Vector = NDArray[np.float64]

Method = Literal["exact", "bvls", "admm"]

CANCELLED = 1e-10
"""Upper bound of the weaker weight of a cancel pair, as in NVIDIA's SDK."""

_L1, _L2, _TEMPORAL, _SYMMETRY = 0.25, 10.0, 100.0, 10.0
"""Fixed factors of the strengths in A; the temporal one is absent from b."""

_BLOCK_FRAMES = 256
"""Frames solved together; their arrays stay in the cache."""

_FEWEST_FRAMES = 16
"""Fewer are solved one by one."""

_MOST_COUPLED = 0.02
"""Pull of the previous weights, relative to what holds them, up to which a clip is solved as a whole: each sweep over
the clip then leaves at most this share of the error. NVIDIA's factors give 0.01 at most."""

_SETTLED = 1e-5
"""Change of a frame's weights up to which the next frame stands: it would change by a fiftieth of that at most."""

_MOST_SWEEPS = 12

_WORST_CONDITION = 1e7
"""Condition of A beyond which its square leaves too few digits, so that poses count as linearly dependent."""


@dataclass(frozen=True, slots=True, eq=False)
class SolverSystem:
    """The prepared system for one pose set, configuration and set of strengths; shared by streams."""

    parameters: SolverParameters
    config: PoseConfig
    active: NDArray[np.intp]
    """Shape (n,): indices of the active poses, ascending."""

    matrix: Vector
    """Shape (n, n): the regularised normal matrix A."""

    scale: float
    """Squared ratio of the mesh's size to the size the strengths were tuned for."""

    previous: float
    """Factor of the previous weights in b."""

    cancel_pairs: NDArray[np.intp]
    """Shape (pairs, 2): positions among the active poses."""

    symmetry_pairs: NDArray[np.intp]
    """Shape (pairs, 2): positions among the active poses."""

    normal: NormalEquations | None
    """What exact solvers need; None when poses are linearly dependent and nothing regularises them."""

    clip: ClipSolver | None
    """Solves many frames at once; None where frames must go one by one."""

    @classmethod
    def prepare(
        cls,
        gram: PoseGram,
        config: PoseConfig,
        parameters: SolverParameters,
        *,
        minus_one_pairs: bool = True,
        consistent_temporal: bool = False,
    ) -> SolverSystem:
        """Build A.

        Args:
            gram: Of the pose set.
            config: As many entries as the set has poses.
            parameters: Strengths.
            minus_one_pairs: NVIDIA's SDK takes the id -1, which stands for "no pair", for a pair when exactly two
                active poses carry it. False leaves them alone.
            consistent_temporal: NVIDIA's SDK weighs the previous weights in b with a hundredth of the factor in A, so
                the temporal strength shrinks weights more than it smooths them. True uses the same factor in both.

        Raises:
            ModelFormatError: A configuration for another number of poses, or with no active pose.
        """
        if len(config.active) != len(gram.gram):
            raise ModelFormatError(
                f"pose configuration: found {len(config.active)} poses, expected {len(gram.gram)} as in the pose data"
            )
        active = np.flatnonzero(config.active)
        if not len(active):
            raise ModelFormatError("pose configuration: found no active pose, expected at least one")
        scale = (gram.box_diagonal / parameters.template_bb_size) ** 2
        count = len(active)
        cancel = _pairs(config.cancel[active], minus_one_pairs)
        symmetry = _pairs(config.symmetry[active], minus_one_pairs)
        signs = np.zeros((len(symmetry), count))
        signs[np.arange(len(symmetry)), symmetry[:, 0]] = 1
        signs[np.arange(len(symmetry)), symmetry[:, 1]] = -1
        diagonal = scale * (_L2 * parameters.l2_reg + _TEMPORAL * parameters.temporal_reg)
        matrix = gram.gram[np.ix_(active, active)] + _L1 * scale * parameters.l1_reg**2 + diagonal * np.eye(count)
        matrix += _SYMMETRY * scale * parameters.symmetry_reg * (signs.T @ signs)
        previous = parameters.temporal_reg * scale * (_TEMPORAL if consistent_temporal else 1.0)
        eigenvalues = np.linalg.eigvalsh(matrix)
        regular = eigenvalues[0] * _WORST_CONDITION > eigenvalues[-1]
        normal = NormalEquations.of(matrix) if regular else None
        clip = ClipSolver(normal) if normal and previous <= _MOST_COUPLED * eigenvalues[0] else None
        return cls(parameters, config, active, matrix, scale, previous, cancel, symmetry, normal, clip)


def _pairs(ids: NDArray[np.int32], minus_one: bool) -> NDArray[np.intp]:
    """Shape (pairs, 2), by ascending id: positions of ids that occur exactly twice."""
    found = [np.flatnonzero(ids == pair) for pair in np.unique(ids) if minus_one or pair != -1]
    return np.array([places for places in found if len(places) == 2], np.intp).reshape(-1, 2)


class _Bounded(Protocol):
    def solve(self, target: Vector, lower: Vector, upper: Vector) -> Vector: ...
    def reset(self) -> None: ...


class BlendshapeSolver:
    """One stream of weights. Frames must be solved in order; they are coupled by the temporal term.

    Methods: "exact" finds the minimum and is the fastest. "bvls" goes the way of NVIDIA's CPU solver, which ends at
    the same minimum except where it stops early; it is taken whenever `tolerance` is larger than 1e-6, because only
    then does stopping early mean something. "admm" is the four-iteration solver of NVIDIA's GPU path and service:
    weights may be off by tenths where bounds are active.
    """

    def __init__(self, system: SolverSystem, method: Method = "exact", clamp: bool = False) -> None:
        """Start with previous weights of zero; `clamp` limits weights to 0..1 after multiplier and offset."""
        self.clamp = clamp
        """Whether weights are limited to 0..1 after multiplier and offset."""
        self._method: Method = method
        self.prepare(system)

    def prepare(self, system: SolverSystem) -> None:
        """Change to another system and take over its multipliers and offsets; clears the previous weights."""
        self.system = system
        self.multipliers = system.config.multipliers
        """Shape (P,); may be replaced at any time, as may `offsets`."""
        self.offsets = system.config.offsets
        self._bounded = _bounded_solver(system, self._method)
        self._clip = system.clip if isinstance(self._bounded, PivotingSolver) else None
        self._lower = np.zeros(len(system.active))
        self._upper = np.ones(len(system.active))
        self.reset()

    def reset(self) -> None:
        """Clear the previous weights."""
        self._previous = np.zeros(len(self.system.active))
        self._bounded.reset()

    @property
    def previous_weights(self) -> Vector:
        """Shape (n,): the active poses' weights of the last frame, before multipliers and offsets; may be set."""
        return self._previous

    @previous_weights.setter
    def previous_weights(self, weights: Vector) -> None:
        self._previous = np.array(weights, np.float64)

    def solve(self, projections: ArrayLike) -> Array:
        """Weights of the next frames.

        Args:
            projections: Shape (frames, P): products of each frame's displacement with every pose.

        Returns:
            Shape (frames, P): multiplier x weight + offset; of inactive poses the offset. Not clamped by default.

        Raises:
            ModelFormatError: A projection that is not finite, as when a network's output is not.
        """
        data = np.asarray(projections, np.float64)[:, self.system.active]
        check_finite("blend-shape solve", data)
        solved = np.zeros((len(data), len(self.multipliers)))
        solved[:, self.system.active] = self._solve_frames(data)
        weights = solved * self.multipliers + self.offsets
        return np.asarray(np.clip(weights, 0, 1) if self.clamp else weights, np.float32)

    def _solve_frames(self, data: Vector) -> Vector:
        weights = np.empty_like(data)
        for at in range(0, len(data), _BLOCK_FRAMES):
            part = data[at : at + _BLOCK_FRAMES]
            block = self._solve_block(self._clip, part) if self._clip and len(part) >= _FEWEST_FRAMES else None
            weights[at : at + len(part)] = self._solve_one_by_one(part) if block is None else block
            self._previous = weights[at + len(part) - 1].copy()
        return weights

    def _solve_one_by_one(self, data: Vector) -> Vector:
        weights, previous = np.empty_like(data), self._previous
        for frame, projection in enumerate(data):
            previous = weights[frame] = self._solve_frame(projection + self.system.previous * previous)
        return weights

    def _solve_block(self, clip: ClipSolver, data: Vector) -> Vector | None:
        """All frames of a block at once; None if they do not settle, as when a cancel pair is nearly a tie.

        Each frame is first solved with a guess of the previous frame's weights, and again as long as these turn out
        to differ from it. As the coupling is weak, two or three sweeps over fewer and fewer frames are enough.
        """
        coupling, pull = self.system.previous, data @ clip.matrix
        pull[0] += coupling * (self._previous @ clip.matrix)
        upper = np.ones_like(data)
        guess = clip.first_guess(pull, upper)
        weights = guess.point.astype(np.float64)
        assumed = np.zeros_like(data)  # previous weights with which each frame was last solved
        frames = np.arange(len(data))
        try:
            for _ in range(_MOST_SWEEPS):
                assumed[frames[frames > 0]] = weights[frames[frames > 0] - 1]
                target = pull[frames] + coupling * (assumed[frames] @ clip.matrix)
                part = guess.of(frames)
                weights[frames] = clip.solve(part, target, upper[frames])
                guess.take_sets(part, frames)
                if len(self.system.cancel_pairs):
                    self._cancel(clip, weights, frames, part, target)
                if not coupling:
                    return weights
                off = np.abs(weights[:-1] - assumed[1:]).max(axis=1) > _SETTLED
                frames = np.flatnonzero(off) + 1
                if not len(frames):
                    return weights
        except np.linalg.LinAlgError:
            pass
        return None

    def _cancel(
        self, clip: ClipSolver, weights: Vector, frames: NDArray[np.intp], guess: Guess, target: Vector
    ) -> None:
        """Solve again, in place, those of the frames in which a loser of a cancel pair has a weight."""
        upper = np.ones_like(target)
        np.put_along_axis(upper, _losers(weights[frames], self.system.cancel_pairs), CANCELLED, axis=1)
        again = np.flatnonzero((weights[frames] > upper).any(axis=1))
        if len(again):
            part = clip.next_guess(guess.of(again), target[again], upper[again])
            weights[frames[again]] = clip.solve(part, target[again], upper[again])

    def _solve_frame(self, target: Vector) -> Vector:
        weights = self._bounded.solve(target, self._lower, self._upper)
        pairs = self.system.cancel_pairs
        if not len(pairs):
            return weights
        upper = self._upper.copy()
        upper[_losers(weights, pairs)] = CANCELLED
        if self._method == "exact" and (weights <= upper).all():
            return weights
        return self._bounded.solve(target, self._lower, upper)


def check_finite(what: str, data: Vector) -> None:
    """Refuse data, shape (frames, n), that is not finite: it would stay in every later frame.

    Raises:
        ModelFormatError: Names the first such frame.
    """
    finite = np.isfinite(data)
    if not finite.all():
        frame = int(np.argmin(finite.all(axis=1)))
        raise ModelFormatError(
            f"{what}, frame {frame} of {len(data)}: found a value that is not finite, expected finite network output;"
            " check the model and its input"
        )


def _losers(weights: Vector, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Shape (..., pairs): of each cancel pair the position of the smaller weight, of equal ones the second."""
    first, second = pairs[:, 0], pairs[:, 1]
    return np.where(weights[..., first] >= weights[..., second], second, first)


def _bounded_solver(system: SolverSystem, method: Method) -> _Bounded:
    if method == "admm":
        return AdmmSolver(system.matrix)
    if method not in ("exact", "bvls"):
        raise SettingsError(f"blend-shape solver method: found {method!r}, expected 'exact', 'bvls' or 'admm'")
    tolerance = system.parameters.tolerance
    if tolerance > 1e-6 or method == "bvls":
        return BvlsSolver(system.matrix, tolerance)
    return BvlsSolver(system.matrix, 0.0) if system.normal is None else PivotingSolver(system.normal)
