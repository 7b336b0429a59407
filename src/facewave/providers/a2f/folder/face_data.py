"""One identity of a face model: its parameters, read at once, and its large arrays, read when needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelFormatError, ProviderUnavailableError, SettingsError
from ..post.animator_parameters import (
    PARAMETER_TABLES,
    EyesParameters,
    SkinParameters,
    SolverParameters,
    TeethParameters,
    TongueParameters,
    from_config,
)
from ..post.poses import PoseConfig, PoseSet
from ..post.skin import SkinData
from .json_file import JsonObject, read_json
from .npz import ArrayFile

_Group = TypeVar("_Group", SkinParameters, TongueParameters, TeethParameters, EyesParameters, SolverParameters)


@dataclass(frozen=True, slots=True)
class ArrayNames:
    """What the two kinds of face model call the same arrays."""

    neutral_skin: str
    neutral_tongue: str
    basis_skin: str | None = None
    basis_tongue: str | None = None

    @classmethod
    def regression(cls) -> ArrayNames:
        """Neutral poses are the means of the PCA."""
        return cls("shapes_mean_skin", "shapes_mean_tongue", "shapes_matrix_skin", "shapes_matrix_tongue")

    @classmethod
    def diffusion(cls) -> ArrayNames:
        """No PCA: the network puts out vertex displacements."""
        return cls("neutral_skin", "neutral_tongue")


@dataclass(frozen=True, slots=True)
class PoseFiles:
    """The two files of one blend-shape set."""

    config: Path
    data: Path


@dataclass(frozen=True, slots=True, eq=False)
class FaceArrays:
    """Vertex data of one identity; vertices are flat x, y, z in mesh units."""

    skin: SkinData
    tongue: NDArray[np.float32]
    """Shape (3 Vt,): the tongue at rest."""

    jaw: NDArray[np.float32]
    """Shape (3 N,): the jaw points at rest."""

    saccade: NDArray[np.float32]
    """Shape (rows, 2): eye jitter in degrees, 30 rows a second."""

    basis_skin: NDArray[np.float32] | None
    """Shape (K, 3 V), regression only."""

    basis_tongue: NDArray[np.float32] | None
    """Shape (Kt, 3 Vt), regression only."""


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """A blend-shape set and how its weights are solved for."""

    poses: PoseSet
    config: PoseConfig
    parameters: SolverParameters


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """One actor of a face model."""

    name: str
    skin: SkinParameters
    tongue: TongueParameters
    teeth: TeethParameters
    eyes: EyesParameters
    input_strength: float
    """Gain on the audio that the file asks for."""

    data: Path
    """The file of vertex arrays."""

    names: ArrayNames
    poses: dict[str, PoseFiles]
    """`skin` and `tongue` where the model has blend shapes for them."""

    sizes: tuple[int, int, int]
    """Scalars of skin, tongue and jaw that the network's description promises."""

    components: tuple[int, int] | None
    """PCA components of skin and tongue, regression only."""

    def load(self) -> FaceArrays:
        """Read the vertex arrays.

        Raises:
            ModelNotFoundError: No such file.
            ModelFormatError: An array is missing, of the wrong type or size, or not finite.
        """
        skin_size, tongue_size, jaw_size = self.sizes
        with ArrayFile(self.data) as arrays:
            skin = SkinData(
                _sized(arrays, self.names.neutral_skin, skin_size, "the network's skin size"),
                _sized(arrays, "lip_open_pose_delta", skin_size, "the network's skin size"),
                _sized(arrays, "eye_close_pose_delta", skin_size, "the network's skin size"),
            )
            height = skin.neutral[1::3]
            if height.min() == height.max():
                raise ModelFormatError(
                    f"{self.data}: array {self.names.neutral_skin!r}: found all vertices at height {height[0]:g}, "
                    "expected a face with a lower and an upper part"
                )
            tongue = _sized(arrays, self.names.neutral_tongue, tongue_size, "the network's tongue size")
            jaw = _sized(arrays, "neutral_jaw", jaw_size, "the network's jaw size")
            saccade = arrays.floats("saccade_rot_matrix").ravel()
            if not saccade.size or saccade.size % 2:
                raise ModelFormatError(
                    f"{self.data}: array 'saccade_rot_matrix': found {saccade.size} values, expected rows of x and y"
                )
            basis_skin = basis_tongue = None
            if self.names.basis_skin is not None and self.names.basis_tongue is not None:
                assert self.components is not None
                basis_skin = _basis(arrays, self.names.basis_skin, self.components[0], skin_size)
                basis_tongue = _basis(arrays, self.names.basis_tongue, self.components[1], tongue_size)
        return FaceArrays(skin, tongue, jaw, saccade.reshape(-1, 2), basis_skin, basis_tongue)

    def load_poses(self, part: str) -> Poses:
        """Read the blend shapes of `skin` or `tongue`.

        Raises:
            ProviderUnavailableError: The model has none for this part.
            ModelNotFoundError: No such file.
            ModelFormatError: A key or array is not as it must be.
        """
        if part not in self.poses:
            raise ProviderUnavailableError(
                f"model of {self.name}: has no blend shapes for the {part} (key 'blendshapePaths' in its model.json), "
                "so it gives no weights; ask for geometry, or use a folder with bs_skin and bs_tongue files"
            )
        files = self.poses[part]
        poses = _read_poses(files.data, self.sizes[0 if part == "skin" else 1], part)
        config, parameters = _read_pose_config(files, len(poses.names))
        return Poses(poses, config, parameters)

    def files(self) -> list[Path]:
        """Every data file of this identity."""
        return [self.data, *(path for files in self.poses.values() for path in (files.config, files.data))]


def read_identity(
    name: str,
    config: JsonObject,
    data: Path,
    names: ArrayNames,
    poses: dict[str, PoseFiles],
    *,
    skin: int,
    tongue: int,
    jaw: int,
    skin_components: int = 0,
    tongue_components: int = 0,
) -> Identity:
    """Read an identity's parameters from the object `config` of its configuration; sizes are in scalars.

    Raises:
        ModelFormatError: A parameter is missing or outside its range.
    """
    return Identity(
        name,
        _group(SkinParameters, config),
        _group(TongueParameters, config),
        _group(TeethParameters, config),
        _group(EyesParameters, config),
        config.number("input_strength"),
        data,
        names,
        poses,
        (skin, tongue, jaw),
        (skin_components, tongue_components) if names.basis_skin is not None else None,
    )


def _group(group: type[_Group], config: JsonObject) -> _Group:
    try:
        return from_config(group, config.values)
    except SettingsError as error:
        text = str(error)
        for row in PARAMETER_TABLES[group]:  # the file's spelling is what its owner looks for
            text = text.replace(f"parameter {row.name}:", f"key {row.config_key!r}:")
        raise ModelFormatError(f"{config.path}: {text}") from error


def _sized(arrays: ArrayFile, name: str, size: int, reason: str) -> NDArray[np.float32]:
    values = arrays.vertices(name)
    arrays.refuse_size(name, values.size, size, reason)
    return values


def _basis(arrays: ArrayFile, name: str, components: int, size: int) -> NDArray[np.float32]:
    values = arrays.floats(name)
    arrays.refuse_size(name, values.size, components * size, f"{components} components of {size} scalars")
    return values.reshape(components, size)


def _read_poses(path: Path, size: int, part: str) -> PoseSet:
    with ArrayFile(path) as arrays:
        names = arrays.texts("poseNames")
        if not names or names[0] != "neutral":
            raise ModelFormatError(
                f"{path}: array 'poseNames': found {names[0] if names else 'no name'!r} first, expected 'neutral'"
            )
        names = names[1:]
        if not names or len(set(names)) != len(names):
            raise ModelFormatError(f"{path}: array 'poseNames': found {len(names)} poses, expected different names")
        neutral = _sized(arrays, "neutral", size, f"the network's {part} size")
        deltas = np.empty((len(names), size), np.float32)
        for row, name in zip(deltas, names, strict=True):
            row[:] = _sized(arrays, name, size, "as in 'neutral'")
        mask = arrays.integers("frontalMask") if "frontalMask" in arrays else None
        if mask is not None and not mask.size:
            mask = None  # an empty mask means none, as in NVIDIA's SDK
        if mask is not None and (mask.min() < 0 or mask.max() >= size // 3):
            raise ModelFormatError(
                f"{path}: array 'frontalMask': found indices {mask.min()} to {mask.max()}, "
                f"expected vertices 0 to {size // 3 - 1}"
            )
    return PoseSet(tuple(names), neutral, deltas, mask)


def _read_pose_config(files: PoseFiles, n_poses: int) -> tuple[PoseConfig, SolverParameters]:
    params = read_json(files.config).object("blendshape_params")
    if params.integer("numPoses") != n_poses:
        params.refuse("numPoses", f"{n_poses}, the poses of {files.data.name}")
    active = np.array(params.integers("bsSolveActivePoses", n_poses)) != 0
    if not active.any():
        params.refuse("bsSolveActivePoses", "at least one pose to be active")
    config = PoseConfig(
        active,
        _pairs(params, "bsSolveCancelPoses", n_poses),
        _pairs(params, "bsSolveSymmetryPoses", n_poses),
        np.array(params.numbers("bsWeightMultipliers", n_poses), np.float32),
        np.array(params.numbers("bsWeightOffsets", n_poses), np.float32),
    )
    return config, _group(SolverParameters, params)


def _pairs(params: JsonObject, key: str, n_poses: int) -> NDArray[np.int32]:
    ids = params.integers(key, n_poses)
    for pair in set(ids) - {-1}:
        if ids.count(pair) != 2:
            raise ModelFormatError(
                f"{params.path}: key {key!r}: found pair id {pair} {ids.count(pair)} times, expected exactly twice"
            )
    return np.array(ids, np.int32)
