"""From network output straight to the solver's right-hand side, without a vertex on the way.

Everything between a network's output and the right-hand side b is affine, and the smoothing filter, having one
coefficient for the whole mesh, commutes with any fixed matrix. So with the masked pose deltas D (P x 3M), the PCA basis
S and the lower-face mask m,

    b = D (neutral - solver's neutral)
      + lower strength x D diag(m)     [S; eye close; lip open] (filtered coefficients, lower)
      + upper strength x D diag(1 - m) [S; eye close; lip open] (filtered coefficients, upper)

and the two products with D are small matrices (P x (K + 2)) that are computed once. A diffusion network has no
coefficients but gives vertex deltas; these are first projected with D diag(m) and D diag(1 - m), and the 2 P results
take the place of the coefficients.

The small matrices are the only thing a stream of weights needs of the meshes; `CollapsedCache` keeps them on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelFormatError
from .animator_parameters import SkinParameters, TongueParameters
from .poses import PoseGram, PoseSet
from .skin import SkinData, lower_face_mask, smoothing_coefficient
from .solver import BlendshapeSolver, Method, SolverSystem, check_finite

Array = NDArray[np.float32]
Vector = NDArray[np.float64]

_TINY = 1e-25
"""Mesh units: displacements below this are none."""

_NO_SHARE = 1e-9
"""Share of the lower or upper face in a vertex that is none: a hundredth of what rounding leaves of it."""


@dataclass(frozen=True, slots=True, eq=False)
class CollapsedSkin:
    """Skin coefficients to right-hand side, for one mask level and softness."""

    lower: Vector
    """Shape (P, K + 2): effect of each coefficient, of the eye-close and of the lip-open pose in the lower face."""

    upper: Vector
    """Shape (P, K + 2): the same in the upper face."""

    constant: Vector
    """Shape (P,): effect of the animator's neutral pose where it differs from the solver's."""

    gram: Vector
    """Shape (P, P), and with `box_diagonal` the `PoseGram` of the poses."""

    box_diagonal: float

    KIND: ClassVar[str] = "skin"

    @classmethod
    def of_pca(
        cls, basis: Array, data: SkinData, poses: PoseSet, mask_level: float, mask_softness: float
    ) -> CollapsedSkin:
        """For a regression model; `basis` has shape (K, 3 V).

        Raises:
            ModelFormatError: Meshes of different sizes.
        """
        _check_sizes("skin", poses, data.neutral, basis)
        components = poses.components
        mask = np.repeat(lower_face_mask(data.neutral, mask_level, mask_softness), 3)[components].astype(np.float64)
        posed = poses.deltas[:, components].astype(np.float64)  # (P, 3 M)
        fixed = np.stack([data.eye_close_delta[components], data.lip_open_delta[components]])
        lower, upper = posed * mask, posed * (1 - mask)
        gram = PoseGram.of(poses)
        return cls(
            lower=np.hstack([_product(lower, basis, components), lower @ fixed.T]),
            upper=np.hstack([_product(upper, basis, components), upper @ fixed.T]),
            constant=posed @ (data.neutral[components].astype(np.float64) - poses.neutral[components]),
            gram=gram.gram,
            box_diagonal=gram.box_diagonal,
        )

    @property
    def pose_gram(self) -> PoseGram:
        """For `SolverSystem.prepare`."""
        return PoseGram(self.gram, self.box_diagonal)

    @property
    def n_coefficients(self) -> int:
        """K: length of the coefficient vectors."""
        return int(self.lower.shape[1]) - 2


@dataclass(frozen=True, slots=True, eq=False)
class CollapsedTongue:
    """Tongue coefficients to right-hand side."""

    matrix: Vector
    """Shape (P, K): effect of each coefficient."""

    constant: Vector
    """Shape (P,): effect of the animator's neutral pose where it differs from the solver's."""

    height: Vector
    """Shape (P,): effect of moving the tongue up by one mesh unit."""

    depth: Vector
    """Shape (P,): effect of moving the tongue forward by one mesh unit."""

    gram: Vector
    """Shape (P, P), and with `box_diagonal` the `PoseGram` of the poses."""

    box_diagonal: float

    KIND: ClassVar[str] = "tongue"

    @classmethod
    def of_pca(cls, basis: Array, neutral: Array, poses: PoseSet) -> CollapsedTongue:
        """For a regression model; `basis` has shape (K, 3 V), `neutral` is the animator's, shape (3 V,).

        Raises:
            ModelFormatError: Meshes of different sizes.
        """
        _check_sizes("tongue", poses, neutral, basis)
        posed = poses.deltas[:, poses.components].astype(np.float64)
        return cls._with(_product(posed, basis, poses.components), neutral, poses)

    @classmethod
    def _with(cls, matrix: Vector, neutral: Array, poses: PoseSet) -> CollapsedTongue:
        components = poses.components
        posed = poses.deltas[:, components].astype(np.float64)
        gram = PoseGram.of(poses)
        return cls(
            matrix=matrix,
            constant=posed @ (neutral[components].astype(np.float64) - poses.neutral[components]),
            height=posed[:, 1::3].sum(axis=1),
            depth=posed[:, 2::3].sum(axis=1),
            gram=gram.gram,
            box_diagonal=gram.box_diagonal,
        )

    @property
    def pose_gram(self) -> PoseGram:
        """For `SolverSystem.prepare`."""
        return PoseGram(self.gram, self.box_diagonal)

    @property
    def n_coefficients(self) -> int:
        """K: length of the coefficient vectors."""
        return int(self.matrix.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class SkinProjection:
    """Vertex deltas of a diffusion network to the coefficients of `collapsed`, for one mask level and softness."""

    lower_poses: Array
    """Shape (L, P): pose deltas weighted with the lower-face mask, for the first L of `components`."""

    upper_poses: Array
    """Shape (U, P): pose deltas weighted with the rest of the mask, for the last U of `components`."""

    components: NDArray[np.intp]
    """Shape (3 M,): components of the flat vertices that count; the lower face first, its border counts twice."""

    collapsed: CollapsedSkin
    """Takes the 2 P coefficients."""

    KIND: ClassVar[str] = "skin-projection"

    @classmethod
    def of(cls, data: SkinData, poses: PoseSet, mask_level: float, mask_softness: float) -> SkinProjection:
        """Prepare the projection.

        Raises:
            ModelFormatError: Meshes of different sizes.
        """
        none = np.zeros((0, len(poses.neutral)), np.float32)
        fixed = CollapsedSkin.of_pca(none, data, poses, mask_level, mask_softness)
        count = len(poses.names)
        one, zero = np.eye(count), np.zeros((count, count))
        collapsed = CollapsedSkin(
            lower=np.hstack([one, zero, fixed.lower]),
            upper=np.hstack([zero, one, fixed.upper]),
            constant=fixed.constant,
            gram=fixed.gram,
            box_diagonal=fixed.box_diagonal,
        )
        components = _component_indices(poses)
        mask = np.repeat(lower_face_mask(data.neutral, mask_level, mask_softness), 3)[components]
        below, above = mask > _NO_SHARE, 1 - mask > _NO_SHARE
        # Most of the face is on one side of the border alone, and needs only that side's product.
        order = np.argsort(np.where(below, above, 2), kind="stable")
        first, last = int(below.sum()), int(above.sum())
        components, mask = components[order], mask[order]
        posed = poses.deltas[:, components].T
        lower = posed[:first] * mask[:first, None]
        upper = posed[len(posed) - last :] * (1 - mask[len(posed) - last :, None])
        return cls(_without_subnormals(lower), _without_subnormals(upper), components, collapsed)

    def project(self, deltas: Array) -> Array:
        """Shape (frames, 2 P): coefficients of vertex deltas of shape (frames, 3 V)."""
        masked = _masked(deltas, self.components)
        lower, upper = self.lower_poses, self.upper_poses
        return np.hstack([masked[:, : len(lower)] @ lower, masked[:, masked.shape[1] - len(upper) :] @ upper])


@dataclass(frozen=True, slots=True, eq=False)
class TongueProjection:
    """Vertex deltas of a diffusion network's tongue to the coefficients of `collapsed`."""

    poses: Array
    """Shape (3 M, P): pose deltas."""

    components: NDArray[np.intp]
    """Shape (3 M,): components of the flat vertices that count."""

    collapsed: CollapsedTongue
    """Takes the P coefficients."""

    KIND: ClassVar[str] = "tongue-projection"

    @classmethod
    def of(cls, neutral: Array, poses: PoseSet) -> TongueProjection:
        """Prepare the projection; `neutral` is the animator's, shape (3 V,).

        Raises:
            ModelFormatError: Meshes of different sizes.
        """
        _check_sizes("tongue", poses, neutral, neutral[None])
        components = _component_indices(poses)
        collapsed = CollapsedTongue._with(np.eye(len(poses.names)), neutral, poses)
        return cls(_without_subnormals(poses.deltas[:, components].T), components, collapsed)

    def project(self, deltas: Array) -> Array:
        """Shape (frames, P): coefficients of vertex deltas of shape (frames, 3 V)."""
        return np.asarray(_masked(deltas, self.components) @ self.poses, np.float32)


class SkinSolveStream:
    """One stream of skin weights: filter, right-hand side, solve."""

    def __init__(
        self,
        collapsed: CollapsedSkin,
        system: SolverSystem,
        step_s: float,
        parameters: SkinParameters | None = None,
        *,
        method: Method = "exact",
        clamp: bool = False,
    ) -> None:
        """Start at rest; `step_s` is the frame duration in seconds, the rest as for `BlendshapeSolver`."""
        self.solver = BlendshapeSolver(system, method, clamp)
        """The solver with its previous weights."""
        self._step = step_s
        self._started = False
        self._state = np.zeros((2, 2, 0))
        self.set_parameters(parameters or SkinParameters(), collapsed)

    def set_parameters(self, parameters: SkinParameters, collapsed: CollapsedSkin | None = None) -> None:
        """Change parameters from the next frame on; the filter's state stays.

        Another mask level or softness needs the `collapsed` made for it. With projected vertex deltas the filter
        must then be reset, because its state holds projections made with the old mask.
        """
        if collapsed is not None:
            self.collapsed = collapsed
            self._both = np.hstack([collapsed.lower, collapsed.upper])
            if self._state.shape[2] != collapsed.lower.shape[1]:
                self._state = np.zeros((2, 2, collapsed.lower.shape[1]))  # (stage, region, K + 2)
                self._started = False
        self.parameters = parameters
        strengths = np.repeat(
            (parameters.lower_face_strength, parameters.upper_face_strength), self.collapsed.lower.shape[1]
        )
        self._map = np.ascontiguousarray((self._both * strengths).T)  # (2 (K + 2), P)
        self._fixed = np.array([parameters.eye_close, parameters.lip_open_offset])
        # Of the SDK's two rules for a step of 0 the streaming one: no smoothing.
        self._coefficients = np.array(
            [
                [smoothing_coefficient(half_life, self._step) if self._step > 0 else 1.0]
                for half_life in (parameters.lower_face_smoothing, parameters.upper_face_smoothing)
            ]
        )

    def reset(self, solver: bool = True) -> None:
        """Let the filter start afresh with the next frame and, unless `solver` is False, clear previous weights."""
        self._started = False
        if solver:
            self.solver.reset()

    def solve(self, coefficients: Array) -> Array:
        """Weights of the next frames.

        Args:
            coefficients: Shape (frames, K).

        Returns:
            Shape (frames, P).

        Raises:
            ModelFormatError: Coefficients of another length, or not finite.
        """
        return self.solver.solve(self.right_hand_sides(coefficients))

    def right_hand_sides(self, coefficients: Array) -> Vector:
        """Shape (frames, P): the data term of b for the next frames; advances the filter."""
        data = np.asarray(coefficients, np.float64)
        if data.ndim != 2 or data.shape[1] != self.collapsed.n_coefficients:
            raise ModelFormatError(
                f"skin coefficients: found shape {data.shape}, expected (frames, {self.collapsed.n_coefficients})"
            )
        check_finite("skin coefficients", data)
        inputs = np.empty((len(data), data.shape[1] + 2))
        np.multiply(data, self.parameters.skin_strength, out=inputs[:, :-2])
        inputs[:, -2:] = self._fixed
        filtered = self._filter(inputs)
        return np.asarray(filtered @ self._map + self.collapsed.constant)

    def _filter(self, inputs: Vector) -> Vector:
        """Shape (frames, 2 (K + 2)): smoothed for the lower face, then for the upper."""
        filtered = np.empty((len(inputs), 2, inputs.shape[1]))
        if len(inputs) and not self._started:
            self._state[:] = inputs[0]
            self._started = True
        first, second = self._state
        change = np.empty_like(first)
        for frame, target in enumerate(inputs):
            np.subtract(target, first, out=change)
            change *= self._coefficients
            first += change
            np.subtract(first, second, out=change)
            change *= self._coefficients
            second += change
            filtered[frame] = second
        return filtered.reshape(len(inputs), 2 * inputs.shape[1])


class TongueSolveStream:
    """One stream of tongue weights: right-hand side, solve."""

    def __init__(
        self,
        collapsed: CollapsedTongue,
        system: SolverSystem,
        parameters: TongueParameters | None = None,
        *,
        method: Method = "exact",
        clamp: bool = False,
    ) -> None:
        """Start at rest; arguments as for `BlendshapeSolver`."""
        self.collapsed = collapsed
        self.solver = BlendshapeSolver(system, method, clamp)
        """The solver with its previous weights."""
        self.parameters = parameters or TongueParameters()

    def set_parameters(self, parameters: TongueParameters) -> None:
        """Change parameters from the next frame on."""
        self.parameters = parameters

    def reset(self) -> None:
        """Clear the previous weights."""
        self.solver.reset()

    def solve(self, coefficients: Array) -> Array:
        """Weights of the next frames, shape (frames, P), from coefficients of shape (frames, K).

        Raises:
            ModelFormatError: Coefficients of another length, or not finite.
        """
        return self.solver.solve(self.right_hand_sides(coefficients))

    def right_hand_sides(self, coefficients: Array) -> Vector:
        """Shape (frames, P): the data term of b."""
        data, collapsed, parameters = np.asarray(coefficients, np.float64), self.collapsed, self.parameters
        if data.ndim != 2 or data.shape[1] != collapsed.n_coefficients:
            raise ModelFormatError(
                f"tongue coefficients: found shape {data.shape}, expected (frames, {collapsed.n_coefficients})"
            )
        check_finite("tongue coefficients", data)
        moved = parameters.tongue_height_offset * collapsed.height + parameters.tongue_depth_offset * collapsed.depth
        return np.asarray(
            parameters.tongue_strength * (data @ collapsed.matrix.T) + (collapsed.constant + moved), np.float64
        )


def _product(posed: Vector, basis: Array, components: NDArray[np.intp] | slice) -> Vector:
    """posed (P, 3 M) times the masked basis, shape (P, K), in float64 without a float64 copy of a large basis."""
    result = np.empty((len(posed), len(basis)))
    for start in range(0, len(basis), 32):
        rows = basis[start : start + 32, components].astype(np.float64)
        result[:, start : start + len(rows)] = posed @ rows.T
    return result


def _masked(deltas: Array, components: NDArray[np.intp]) -> Array:
    """Shape (frames, 3 M): some components of vertex deltas of shape (frames, 3 V)."""
    if len(components) == deltas.shape[-1] and (np.diff(components) == 1).all():
        return deltas
    masked = np.empty((len(deltas), len(components)), np.float32)
    for frame, row in enumerate(deltas):  # one row stays in the processor's cache
        np.take(row, components, out=masked[frame], mode="clip")
    return masked


def _without_subnormals(values: Array) -> Array:
    """Tiny values as 0: products far from the mask's border would underflow, which makes matrix products five times
    slower."""
    return np.ascontiguousarray(np.where(np.abs(values) < _TINY, np.float32(0), values))


def _component_indices(poses: PoseSet) -> NDArray[np.intp]:
    return np.arange(len(poses.neutral))[poses.components]


def _check_sizes(part: str, poses: PoseSet, neutral: Array, basis: Array) -> None:
    for name, size in (("animator's neutral pose", len(neutral)), ("network's deltas", basis.shape[1])):
        if size != len(poses.neutral):
            raise ModelFormatError(
                f"{part}: found {size // 3} vertices in the {name} and {len(poses.neutral) // 3} in the pose data,"
                " expected the same mesh in both"
            )
