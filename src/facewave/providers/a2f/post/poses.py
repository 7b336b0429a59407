"""The poses of a face or tongue: meshes, configuration, and what remains of them once vertices are not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelFormatError

Array = NDArray[np.float32]
Vector = NDArray[np.float64]


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


def evaluate_poses(poses: PoseSet, weights: Sequence[float] | Array) -> Array:
    """Vertices of a weighted sum of poses.

    Args:
        poses: The pose set.
        weights: Shape (..., P).

    Returns:
        Shape (..., 3 V): neutral + sum of weight x delta, mesh units.
    """
    return np.asarray(poses.neutral + np.asarray(weights, np.float32) @ poses.deltas, np.float32)
