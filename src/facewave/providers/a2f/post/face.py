"""From network output to frames: weights by the collapsed path, or vertices and weights where geometry is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ....blendshapes import CHANNELS, canonical, reorder
from ....frames import Geometry
from ..folder.bundle import FaceBundle, OutputSizes
from ..folder.face_data import FaceArrays, Identity, Poses
from ..options import ModelOptions
from .animator_parameters import SkinParameters, TongueParameters, replace_by_api_name
from .collapsed import (
    CollapsedSkin,
    CollapsedTongue,
    SkinProjection,
    SkinSolveStream,
    TongueProjection,
    TongueSolveStream,
)
from .collapsed_cache import CollapsedCache, content_key
from .eyes import EyesAnimator
from .jaw import jaw_transform
from .poses import PoseGram, PoseProjector
from .skin import SkinAnimator, pca_deltas
from .solver import BlendshapeSolver, SolverSystem
from .tongue import animate_tongue

Array = NDArray[np.float32]


class FaceStream(Protocol):
    """Post-processing of one stream; frames go through in order."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the weights."""
        ...

    def frames(self, rows: Array) -> tuple[Array, list[Geometry] | None]:
        """Weights, shape (frames, channels), and geometry where it is made, from network rows (frames, n)."""
        ...

    def reset(self, time_s: float = 0.0) -> None:
        """Let the next frame be the first of a stream that starts at `time_s`, which only the saccades look at."""
        ...


class Channels:
    """Names of a model's weights, and their place among the channels of every animation."""

    def __init__(self, skin: tuple[str, ...], tongue: tuple[str, ...]) -> None:
        known = tuple(canonical(name) for name in (*skin, *tongue))
        named = tuple(name for name in known if name is not None)
        # A rig with names of its own keeps them; the usual ones are put in the usual order.
        usual = len(named) == len(known) and len(set(named)) == len(named)
        self._source = named if usual else (*skin, *tongue)
        self.names = CHANNELS if usual else self._source
        """Names in the order of `ordered`."""

    def ordered(self, skin: Array, tongue: Array) -> Array:
        """Solved weights of both parts in the order of `names`; channels the model lacks are 0."""
        weights = np.hstack([skin, tongue])
        return weights if self.names == self._source else reorder(weights, self._source, self.names)


class FaceModel:
    """What the streams of one identity share. Meshes are read when needed and not kept for weights alone."""

    def __init__(
        self, bundle: FaceBundle, identity: Identity, options: ModelOptions, cache: CollapsedCache | None = None
    ) -> None:
        self._bundle = bundle
        self._identity = identity
        self._options = options
        self._cache = cache or CollapsedCache(None)
        self._collapsed: dict[tuple[float, float], _Collapsed] = {}
        self._meshes: _Meshes | None = None

    def memory(self) -> int:
        """Bytes of the arrays held for streams, meshes or small matrices."""
        return sum(_bytes_of(held) for held in (self._meshes, *self._collapsed.values()))

    def open(
        self, parameters: Mapping[str, float], step_s: float, *, geometry: bool, preview: bool = False
    ) -> FaceStream:
        """Post-processing for a stream.

        Args:
            parameters: Face parameters by name; one that is absent keeps the identity's own value.
            step_s: Seconds between frames.
            geometry: Whether vertices are wanted; weights alone are much cheaper.
            preview: For single frames out of order: nothing is smoothed and no frame depends on another, so weights
                differ a little from those of the same frame in its stream.

        Raises:
            SettingsError: A parameter outside its range.
            ProviderUnavailableError: Weights are wanted and the model has no blend shapes for the skin.
            ModelError: A file is missing or damaged.
        """
        skin = replace_by_api_name(self._identity.skin, parameters)
        if preview:
            skin = replace(skin, lower_face_smoothing=0.0, upper_face_smoothing=0.0)
        tongue = replace_by_api_name(self._identity.tongue, parameters)
        if geometry:
            if self._meshes is None:
                self._meshes = _Meshes.load(self._identity, self._options)
            return GeometryStream(
                self._meshes, self._identity, self._bundle.sizes, skin, tongue, step_s, self._options, preview=preview
            )
        key = (skin.face_mask_level, skin.face_mask_softness)
        if key not in self._collapsed:
            if len(self._collapsed) >= _KEPT_MASKS:
                self._collapsed.pop(next(iter(self._collapsed)))
            self._collapsed[key] = _collapse(self._identity, *key, self._cache, self._options)
        return WeightStream(
            self._collapsed[key], self._bundle.sizes, skin, tongue, step_s, self._options, preview=preview
        )


_KEPT_MASKS = 4
"""Sets of small matrices kept for streams with mask parameters of their own."""


@dataclass(frozen=True, slots=True, eq=False)
class _Systems:
    """The solver's system of one part, and the one for single frames, which has no term of the previous frame."""

    stream: SolverSystem
    preview: SolverSystem


@dataclass(frozen=True, slots=True, eq=False)
class _Collapsed:
    """Small matrices for one mask."""

    channels: Channels
    skin: CollapsedSkin
    skin_systems: _Systems
    skin_projection: SkinProjection | None
    tongue: CollapsedTongue | None
    tongue_systems: _Systems | None
    tongue_projection: TongueProjection | None


class WeightStream:
    """Weights without vertices."""

    def __init__(
        self,
        collapsed: _Collapsed,
        sizes: OutputSizes,
        skin: SkinParameters,
        tongue: TongueParameters,
        step_s: float,
        options: ModelOptions,
        *,
        preview: bool,
    ) -> None:
        self._collapsed = collapsed
        self._sizes = sizes
        system = _chosen(collapsed.skin_systems, preview)
        self._skin = SkinSolveStream(collapsed.skin, system, step_s, skin, method=options.solver)
        self._tongue: TongueSolveStream | None = None
        if collapsed.tongue is not None and collapsed.tongue_systems is not None:
            system = _chosen(collapsed.tongue_systems, preview)
            self._tongue = TongueSolveStream(collapsed.tongue, system, tongue, method=options.solver)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the weights."""
        return self._collapsed.channels.names

    def frames(self, rows: Array) -> tuple[Array, list[Geometry] | None]:
        """Weights of the next frames; no geometry."""
        skin, tongue, _, _ = self._sizes.split(rows)
        if self._collapsed.skin_projection is not None:
            skin = self._collapsed.skin_projection.project(skin)
        weights = self._skin.solve(skin)
        tongue_weights = np.zeros((len(rows), 0), np.float32)
        if self._tongue is not None:
            if self._collapsed.tongue_projection is not None:
                tongue = self._collapsed.tongue_projection.project(tongue)
            tongue_weights = self._tongue.solve(tongue)
        return self._collapsed.channels.ordered(weights, tongue_weights), None

    def reset(self, time_s: float = 0.0) -> None:
        """Let the next frame be the first."""
        self._skin.reset()
        if self._tongue is not None:
            self._tongue.reset()


@dataclass(frozen=True, slots=True, eq=False)
class _PartSolve:
    """One part's poses on the vertex path."""

    projector: PoseProjector
    systems: _Systems


@dataclass(frozen=True, slots=True, eq=False)
class _Meshes:
    """Everything the vertex path reads."""

    arrays: FaceArrays
    channels: Channels
    skin: _PartSolve | None
    tongue: _PartSolve | None

    @classmethod
    def load(cls, identity: Identity, options: ModelOptions) -> _Meshes:
        names: dict[str, tuple[str, ...]] = {"skin": (), "tongue": ()}
        solves: dict[str, _PartSolve] = {}
        for part in identity.poses:
            poses = identity.load_poses(part)
            names[part] = poses.poses.names
            systems = _systems(PoseGram.of(poses.poses), poses, options)
            solves[part] = _PartSolve(PoseProjector(poses.poses), systems)
        channels = Channels(names["skin"], names["tongue"])
        return cls(identity.load(), channels, solves.get("skin"), solves.get("tongue"))


class GeometryStream:
    """Vertices, jaw and eyes of every frame, and the weights solved from the vertices."""

    def __init__(
        self,
        meshes: _Meshes,
        identity: Identity,
        sizes: OutputSizes,
        skin: SkinParameters,
        tongue: TongueParameters,
        step_s: float,
        options: ModelOptions,
        *,
        preview: bool,
    ) -> None:
        arrays = meshes.arrays
        self._meshes = meshes
        self._sizes = sizes
        self._teeth = identity.teeth
        self._tongue_parameters = tongue
        self._skin = SkinAnimator(arrays.skin, step_s, parameters=skin)
        self._eyes = EyesAnimator(arrays.saccade, step_s, parameters=identity.eyes)
        self._solvers = [
            None if part is None else BlendshapeSolver(_chosen(part.systems, preview), options.solver)
            for part in (meshes.skin, meshes.tongue)
        ]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the weights; those of parts without blend shapes stay at 0."""
        return self._meshes.channels.names

    def frames(self, rows: Array) -> tuple[Array, list[Geometry] | None]:
        """Weights and geometry of the next frames."""
        arrays = self._meshes.arrays
        skin, tongue, jaw, eyes = self._sizes.split(rows)
        if arrays.basis_skin is not None and arrays.basis_tongue is not None:
            skin, tongue = pca_deltas(skin, arrays.basis_skin), pca_deltas(tongue, arrays.basis_tongue)
        vertices = np.empty((len(rows), len(arrays.skin.neutral)), np.float32)
        rotations = np.empty((len(rows), 6), np.float32)
        for frame in range(len(rows)):
            self._skin.animate(skin[frame : frame + 1], out=vertices[frame : frame + 1])
            self._eyes.animate(eyes[frame : frame + 1], out=rotations[frame : frame + 1])
        tongue_vertices = animate_tongue(arrays.tongue, tongue, self._tongue_parameters)
        # Column-major in NVIDIA's API, rows of a matrix for column vectors here.
        jaws = jaw_transform(arrays.jaw, jaw, self._teeth).reshape(-1, 4, 4).transpose(0, 2, 1)
        geometry = [
            Geometry(v.reshape(-1, 3), t.reshape(-1, 3), np.ascontiguousarray(j), e.reshape(2, 3))
            for v, t, j, e in zip(vertices, tongue_vertices, jaws, rotations, strict=True)
        ]
        weights = [
            np.zeros((len(rows), 0), np.float32)
            if solver is None or part is None
            else solver.solve(part.projector.project(found))
            for solver, part, found in zip(
                self._solvers,
                (self._meshes.skin, self._meshes.tongue),
                (vertices, tongue_vertices),
                strict=True,
            )
        ]
        return self._meshes.channels.ordered(*weights), geometry

    def reset(self, time_s: float = 0.0) -> None:
        """Let the next frame be the first."""
        self._skin.reset()
        self._eyes.seek(time_s)
        for solver in self._solvers:
            if solver is not None:
                solver.reset()


def _collapse(
    identity: Identity, level: float, softness: float, cache: CollapsedCache, options: ModelOptions
) -> _Collapsed:
    """Small matrices of one identity, from the cache or from its meshes."""
    skin_poses = identity.load_poses("skin")
    tongue_poses = identity.load_poses("tongue") if "tongue" in identity.poses else None
    tongue_names = () if tongue_poses is None else tongue_poses.poses.names
    channels = Channels(skin_poses.poses.names, tongue_names)
    projection: SkinProjection | None = None
    tongue_projection: TongueProjection | None = None
    if identity.components is None:
        arrays = identity.load()
        projection = SkinProjection.of(arrays.skin, skin_poses.poses, level, softness)
        if tongue_poses is not None:
            tongue_projection = TongueProjection.of(arrays.tongue, tongue_poses.poses)
        skin = projection.collapsed
        tongue = None if tongue_projection is None else tongue_projection.collapsed
    else:
        loaded: list[FaceArrays] = []

        def arrays_once() -> FaceArrays:
            if not loaded:
                loaded.append(identity.load())
            return loaded[0]

        def build_skin() -> CollapsedSkin:
            arrays = arrays_once()
            assert arrays.basis_skin is not None
            return CollapsedSkin.of_pca(arrays.basis_skin, arrays.skin, skin_poses.poses, level, softness)

        key = content_key(identity.data, identity.poses["skin"].data, level, softness)
        skin = cache.get(CollapsedSkin, key, build_skin)
        tongue = None
        if tongue_poses is not None:
            poses = tongue_poses.poses

            def build_tongue() -> CollapsedTongue:
                arrays = arrays_once()
                assert arrays.basis_tongue is not None
                return CollapsedTongue.of_pca(arrays.basis_tongue, arrays.tongue, poses)

            key = content_key(identity.data, identity.poses["tongue"].data)
            tongue = cache.get(CollapsedTongue, key, build_tongue)
    return _Collapsed(
        channels,
        skin,
        _systems(skin.pose_gram, skin_poses, options),
        projection,
        tongue,
        None if tongue is None or tongue_poses is None else _systems(tongue.pose_gram, tongue_poses, options),
        tongue_projection,
    )


def _bytes_of(held: object) -> int:
    """Bytes of the arrays of a value and of the values inside it."""
    if isinstance(held, np.ndarray):
        return held.nbytes
    names: tuple[str, ...] = (*getattr(held, "__slots__", ()), *getattr(held, "__dict__", ()))
    return sum((_bytes_of(getattr(held, name, None)) for name in names), 0)


def _systems(gram: PoseGram, poses: Poses, options: ModelOptions) -> _Systems:
    still = replace(poses.parameters, temporal_reg=0.0)
    systems = [
        SolverSystem.prepare(
            gram,
            poses.config,
            parameters,
            minus_one_pairs=not options.ignore_unpaired,
            consistent_temporal=options.consistent_temporal,
        )
        for parameters in (poses.parameters, still)
    ]
    return _Systems(*systems)


def _chosen(systems: _Systems, preview: bool) -> SolverSystem:
    return systems.preview if preview else systems.stream
