"""A take as a UsdSkel animation: on the bundled head, or as a layer over a stage of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AnimationFileError, OutputError
from ...frames import Animation
from ..avatar import AvatarReport, MeshMatch, match_shapes, mesh_match, report
from ..gltf.weights import bundled_head, shape_names
from .core import exported, note, pxr, set_time

_NAME = "facewaveSpeech"


def write(animation: Animation, file: IO[bytes], extension: str, avatar: Path | None) -> AvatarReport | None:
    """Write the head with the take, or a layer that puts the take on the stage `avatar`.

    Raises:
        OutputError: No frames, usd-core is not installed, or no blend shape of the stage is named as a channel.
        AnimationFileError: The stage cannot be opened.
    """
    if not len(animation):
        raise OutputError("USD: the animation has no frames, expected at least one")
    if avatar is None:
        file.write(exported(_head(animation), extension))
        return None
    # The file lies beside the one it will be renamed to, so paths relative to it stay right.
    folder = Path(file.name).resolve().parent if isinstance(getattr(file, "name", None), str) else None
    layer, told = _over(animation, avatar, folder)
    file.write(exported(layer, extension))
    return told


def _head(animation: Animation) -> Any:
    """A layer of the bundled head, its shapes and the take."""
    usd = pxr()
    layer = usd.Sdf.Layer.CreateAnonymous()
    stage = usd.Usd.Stage.Open(layer)
    set_time(stage, animation.frame_rate, len(animation))
    note(layer, animation.info)
    usd.UsdGeom.SetStageUpAxis(stage, usd.UsdGeom.Tokens.y)
    usd.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = usd.UsdSkel.Root.Define(stage, "/Head")
    stage.SetDefaultPrim(root.GetPrim())
    skeleton = usd.UsdSkel.Skeleton.Define(stage, "/Head/Skeleton")
    # Shapes need no joints, but many readers ask for one.
    skeleton.CreateJointsAttr(["head"])
    for attribute in (skeleton.CreateBindTransformsAttr, skeleton.CreateRestTransformsAttr):
        attribute(usd.Vt.Matrix4dArray(1, usd.Gf.Matrix4d(1)))
    document = bundled_head()
    for node in document.objects("nodes"):
        if node.get("mesh") is not None:
            _mesh(usd, stage, document, document.item("meshes", node["mesh"]), skeleton)
    _animate(usd, stage, skeleton, f"/Head/{_NAME}", list(animation.channels), animation.weights)
    return layer


def _mesh(usd: Any, stage: Any, document: Any, entry: dict[str, Any], skeleton: Any) -> None:
    """One mesh of the head with its blend shapes below it."""
    primitive = entry["primitives"][0]
    points = document.array(primitive["attributes"]["POSITION"])
    mesh = usd.UsdGeom.Mesh.Define(stage, f"/Head/{usd.Tf.MakeValidIdentifier(entry['name'])}")
    mesh.CreatePointsAttr(_vectors(usd, points))
    mesh.CreateExtentAttr(_vectors(usd, np.stack([points.min(axis=0), points.max(axis=0)])))
    mesh.CreateNormalsAttr(_vectors(usd, document.array(primitive["attributes"]["NORMAL"])))
    mesh.SetNormalsInterpolation(usd.UsdGeom.Tokens.vertex)
    indices = document.array(primitive["indices"]).astype(np.int32).ravel()
    mesh.CreateFaceVertexIndicesAttr(usd.Vt.IntArray.FromNumpy(indices))
    mesh.CreateFaceVertexCountsAttr(usd.Vt.IntArray.FromNumpy(np.full(len(indices) // 3, 3, np.int32)))
    mesh.CreateSubdivisionSchemeAttr(usd.UsdGeom.Tokens.none)
    colours = document.array(primitive["attributes"]["COLOR_0"])[:, :3]
    mesh.CreateDisplayColorPrimvar(usd.UsdGeom.Tokens.vertex).Set(_vectors(usd, colours))
    binding = usd.UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateJointIndicesPrimvar(True, 1).Set([0])
    binding.CreateJointWeightsPrimvar(True, 1).Set([1.0])
    names = shape_names(entry)
    paths = []
    for name, target in zip(names, primitive.get("targets", ()), strict=True):
        offsets, turns = document.array(target["POSITION"]), document.array(target["NORMAL"])
        moved = np.flatnonzero((offsets != 0).any(axis=1) | (turns != 0).any(axis=1))
        shape = usd.UsdSkel.BlendShape.Define(stage, mesh.GetPath().AppendChild(name))
        shape.CreateOffsetsAttr(_vectors(usd, offsets[moved]))
        shape.CreateNormalOffsetsAttr(_vectors(usd, turns[moved]))
        shape.CreatePointIndicesAttr(usd.Vt.IntArray.FromNumpy(moved.astype(np.int32)))
        paths.append(shape.GetPath())
    if names:
        binding.CreateBlendShapesAttr(names)
        binding.CreateBlendShapeTargetsRel().SetTargets(paths)


def _animate(usd: Any, stage: Any, skeleton: Any, path: str, names: list[str], weights: NDArray[np.float32]) -> None:
    """Define the animation and bind it to the skeleton, which every mesh asks for its weights."""
    speech = usd.UsdSkel.Animation.Define(stage, path)
    speech.CreateBlendShapesAttr(names)
    attribute = speech.CreateBlendShapeWeightsAttr()
    for frame, row in enumerate(weights):
        attribute.Set(usd.Vt.FloatArray.FromNumpy(np.ascontiguousarray(row)), frame)
    binding = usd.UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([speech.GetPath()])


def _over(animation: Animation, avatar: Path, folder: Path | None) -> tuple[Any, AvatarReport]:
    """A layer to lie above the user's file, with an animation for each skeleton whose meshes match."""
    usd = pxr()
    theirs = _open(usd, avatar)
    layer = usd.Sdf.Layer.CreateAnonymous()
    layer.subLayerPaths = [avatar.resolve().as_posix()]
    stage = usd.Usd.Stage.Open(layer)
    set_time(stage, animation.frame_rate, len(animation))
    if theirs.HasAuthoredTimeCodeRange():
        # Theirs is scaled to our rate; what it plays longer than the take stays to be seen.
        end = theirs.GetEndTimeCode() * float(animation.frame_rate) / theirs.GetTimeCodesPerSecond()
        stage.SetEndTimeCode(max(stage.GetEndTimeCode(), end))
    note(layer, animation.info)
    usd.UsdGeom.SetStageUpAxis(stage, usd.UsdGeom.GetStageUpAxis(theirs))
    usd.UsdGeom.SetStageMetersPerUnit(stage, usd.UsdGeom.GetStageMetersPerUnit(theirs))
    if theirs.GetDefaultPrim():
        layer.defaultPrim = theirs.GetRootLayer().defaultPrim
    matches: list[MeshMatch] = []
    skeletons: dict[str, dict[str, str]] = {}
    for prim in stage.Traverse():
        if not prim.IsA(usd.UsdGeom.Mesh) or not prim.HasAPI(usd.UsdSkel.BindingAPI):
            continue
        binding = usd.UsdSkel.BindingAPI(prim)
        names = [str(name) for name in binding.GetBlendShapesAttr().Get() or ()]
        skeleton = binding.GetInheritedSkeleton()
        found = match_shapes(names, animation.channels) if skeleton else {}
        if names:
            matches.append(mesh_match(str(prim.GetPath()), names, found))
        if found:
            moved = skeletons.setdefault(str(skeleton.GetPath()), {})
            moved.update((names[i], channel) for i, channel in found.items())
    told = report(str(avatar), matches, animation.channels)
    for path, moved in skeletons.items():
        _add_to(usd, stage, path, moved, animation)
    # A copy, because the stage would look for the model from where no file is.
    placed = usd.Sdf.Layer.CreateAnonymous()
    placed.TransferContent(layer)
    placed.subLayerPaths = [_relative(avatar, folder)]
    return placed, told


def _add_to(usd: Any, stage: Any, path: str, moved: dict[str, str], animation: Animation) -> None:
    """Animate one skeleton; what its animation so far does to joints and to other shapes stays."""
    skeleton = usd.UsdSkel.Skeleton.Get(stage, path)
    before = usd.UsdSkel.BindingAPI(skeleton.GetPrim()).GetInheritedAnimationSource()
    names = list(moved)
    weights = np.stack([animation.channel(channel) for channel in moved.values()], axis=1)
    speech = stage.DefinePrim(f"{path}/{_NAME}", "SkelAnimation")
    if before:
        old = usd.UsdSkel.Animation(before)
        others = [str(name) for name in old.GetBlendShapesAttr().Get() or ()]
        rows = [list(old.GetBlendShapeWeightsAttr().Get(frame) or ()) for frame in range(len(animation))]
        kept = [i for i, name in enumerate(others) if name not in moved]
        if kept and all(len(row) == len(others) for row in rows):
            names += [others[i] for i in kept]
            weights = np.concatenate([weights, np.array(rows, np.float32)[:, kept]], axis=1)
        speech.GetReferences().AddInternalReference(before.GetPath())
    _animate(usd, stage, skeleton, f"{path}/{_NAME}", names, weights)


def _open(usd: Any, path: Path) -> Any:
    if not path.is_file():
        raise AnimationFileError(f"{path}: the stage cannot be read (no such file)")
    try:
        return usd.Usd.Stage.Open(str(path.resolve()))
    except usd.Tf.ErrorException as error:
        why = getattr(error.args[0], "commentary", "") if error.args else ""
        raise AnimationFileError(
            f"{path}: not a USD stage that can be opened ({(why or str(error)).strip()})"
        ) from error


def _relative(path: Path, folder: Path | None) -> str:
    """How a layer in `folder` refers to a file; absolute where there is no way between them."""
    absolute = path.resolve()
    if folder is None:
        return absolute.as_posix()
    try:
        relative = Path(os.path.relpath(absolute, folder)).as_posix()
    except ValueError:  # Two drives of one machine.
        return absolute.as_posix()
    return relative if relative.startswith("../") else f"./{relative}"


def _vectors(usd: Any, rows: NDArray[Any]) -> Any:
    return usd.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(rows, np.float32))
