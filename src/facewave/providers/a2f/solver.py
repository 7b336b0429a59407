"""Blend-shape solve: vertex displacements to pose weights.

    PoseSet      meshes of the poses                                  per model
    PoseGram     what remains of them once vertices are not needed    per model, small
    SolverSystem the regularised matrix for one configuration         shared by streams
    BlendshapeSolver  previous weights and free set                   per stream

The system is A w = b with A = D'D + regularisation and b = D'(target - neutral) + temporal term, over the masked
components of the active poses. As NVIDIA's solvers do, bounds are applied to |A w - b|^2 and not to the quadratic form
of A; where bounds are active the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ModelFormatError, SettingsError
from .animator_parameters import SolverParameters
from .bounded import AdmmSolver, BvlsSolver, NormalEquations, PivotingSolver
from .bounded_clip import ClipSolver, Guess

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
class PoseSet:
    """The poses of a face or tongue; vertices are flat x, y, z.

    Raises:
        ModelFormatError: Sizes that disagree, or a mask that names vertices the mesh does not have.
    """

    names: tuple[str, ...]
    """Pose names in the order of every weight vector, without the neutral one."""

    neutral: Array
    """Shape (3 V,), mesh units: the solver's own neutral pose, which need not equal the animator's."""

    deltas: Array
    """Shape (P, 3 V): displacement of each pose from `neutral`."""

    mask: NDArray[np.int32] | None = None
    """Shape (M,): vertices that the solve looks at; None for all. Repeated vertices count repeatedly."""

    def __post_init__(self) -> None:
        neutral = np.ascontiguousarray(self.neutral, np.float32).ravel()
        deltas = np.ascontiguousarray(self.deltas, np.float32)
        deltas = deltas.reshape(len(deltas), -1)
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "neutral", neutral)
        object.__setattr__(self, "deltas", deltas)
        if not len(neutral) or len(neutral) % 3:
            raise ModelFormatError(f"poses: found a neutral pose of {len(neutral)} values, expected 3 for each vertex")
        if deltas.shape != (len(self.names), len(neutral)):
            raise ModelFormatError(
                f"poses: found deltas of shape {deltas.shape}, expected ({len(self.names)}, {len(neutral)})"
                " for the names and the neutral pose"
            )
        if self.mask is not None:
            mask = np.ascontiguousarray(self.mask, np.int32).ravel()
            object.__setattr__(self, "mask", mask)
            if not len(mask) or mask.min() < 0 or mask.max() >= len(neutral) // 3:
                raise ModelFormatError(
                    f"poses: found a mask of {len(mask)} vertices"
                    + (f" from {mask.min()} to {mask.max()}" if len(mask) else "")
                    + f", expected some from 0 to {len(neutral) // 3 - 1}"
                )

    @property
    def components(self) -> NDArray[np.intp] | slice:
        """Index of the masked components (three for each masked vertex, in mask order) into flat vertices."""
        if self.mask is None:
            return slice(None)
        return np.asarray((3 * self.mask.astype(np.intp)[:, None] + np.arange(3)).ravel())


@dataclass(frozen=True, slots=True, eq=False)
class PoseConfig:
    """Which poses are solved, how they are paired, and what is done to the weights; one entry for each pose.

    Raises:
        ModelFormatError: Lengths that differ, or a pair id that does not occur exactly twice.
    """

    active: NDArray[np.bool_]
    """Shape (P,): poses that are solved; the others have the weight `offset`."""

    cancel: NDArray[np.int32]
    """Shape (P,): of two poses with the same id only the stronger is kept; -1 for none."""

    symmetry: NDArray[np.int32]
    """Shape (P,): two poses with the same id are drawn together; -1 for none."""

    multipliers: Array
    """Shape (P,): factor on each solved weight."""

    offsets: Array
    """Shape (P,): added after the factor, also for poses that are not solved."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "active", np.asarray(self.active).astype(bool).ravel())
        for name in ("cancel", "symmetry"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.int32).ravel())
        for name in ("multipliers", "offsets"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float32).ravel())
        count = len(self.active)
        for name in ("cancel", "symmetry", "multipliers", "offsets"):
            if len(getattr(self, name)) != count:
                raise ModelFormatError(
                    f"pose configuration {name}: found {len(getattr(self, name))} entries,"
                    f" expected {count} as in active"
                )
        for name in ("cancel", "symmetry"):
            ids, times = np.unique(getattr(self, name), return_counts=True)
            for pair, found in zip(ids[ids != -1], times[ids != -1], strict=True):
                if found != 2:
                    raise ModelFormatError(f"pose configuration {name}: found id {pair} {found} times, expected twice")

    @classmethod
    def default(cls, n_poses: int) -> PoseConfig:
        """All poses active, no pairs, weights as solved."""
        none = np.full(n_poses, -1, np.int32)
        ones = np.ones(n_poses, np.float32)
        return cls(np.ones(n_poses, bool), none, none, ones, np.zeros(n_poses, np.float32))

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> PoseConfig:
        """From the object `blendshape_params` of a model's solver configuration.

        Raises:
            ModelFormatError: A missing list, or one whose length is not `numPoses`.
        """
        keys = {
            "active": "bsSolveActivePoses",
            "cancel": "bsSolveCancelPoses",
            "symmetry": "bsSolveSymmetryPoses",
            "multipliers": "bsWeightMultipliers",
            "offsets": "bsWeightOffsets",
        }
        for key in ("numPoses", *keys.values()):
            if key not in params:
                raise ModelFormatError(f"pose configuration: found no key {key}, expected it in blendshape_params")
        for key in keys.values():
            if len(params[key]) != params["numPoses"]:
                raise ModelFormatError(
                    f"pose configuration {key}: found {len(params[key])} entries,"
                    f" expected numPoses = {params['numPoses']}"
                )
        return cls(**{name: np.asarray(params[key]) for name, key in keys.items()})


@dataclass(frozen=True, slots=True, eq=False)
class PoseGram:
    """What the solver needs of a pose set once nothing looks at vertices any more."""

    gram: Vector
    """Shape (P, P): products of the masked deltas of all poses, active or not; squared mesh units."""

    box_diagonal: float
    """Diagonal of the bounding box of the whole neutral mesh (the mask does not matter), mesh units."""

    @classmethod
    def of(cls, poses: PoseSet) -> PoseGram:
        """Compute it from the meshes, in float64."""
        masked = poses.deltas[:, poses.components].astype(np.float64)
        vertices = poses.neutral.reshape(-1, 3).astype(np.float64)
        return cls(masked @ masked.T, float(np.linalg.norm(vertices.max(axis=0) - vertices.min(axis=0))))


class PoseProjector:
    """Projects vertices on the poses: the data term of the right-hand side, for every pose, active or not."""

    def __init__(self, poses: PoseSet) -> None:
        """Keeps the masked deltas in float64: 24 bytes for each pose and masked vertex."""
        self._components = poses.components
        self._neutral = poses.neutral[self._components]
        self._deltas = poses.deltas[:, self._components].astype(np.float64)

    def project(self, vertices: Array) -> Vector:
        """Shape (..., P): products of the masked displacements with each pose.

        Args:
            vertices: Shape (..., 3 V): absolute positions, such as the skin animator's.
        """
        displacement = vertices[..., self._components] - self._neutral
        return np.asarray(displacement.astype(np.float64) @ self._deltas.T)


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
        at = 0
        while self._clip is not None and len(data) - at >= _FEWEST_FRAMES:
            block = self._solve_block(self._clip, data[at : at + _BLOCK_FRAMES])
            if block is None:
                break
            weights[at : at + len(block)] = block
            self._previous = block[-1].copy()
            at += len(block)
        for frame in range(at, len(data)):
            target = data[frame] + self.system.previous * self._previous
            self._previous = weights[frame] = self._solve_frame(target)
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


def evaluate_poses(poses: PoseSet, weights: Sequence[float] | Array) -> Array:
    """Vertices of a weighted sum of poses.

    Args:
        poses: The pose set.
        weights: Shape (..., P).

    Returns:
        Shape (..., 3 V): neutral + sum of weight x delta, mesh units.
    """
    return np.asarray(poses.neutral + np.asarray(weights, np.float32) @ poses.deltas, np.float32)
