"""Morph-target weights: adding an animation of them to a model, and reading one back."""

from __future__ import annotations

import math
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blendshapes import CHANNELS
from ...errors import AnimationFileError, OutputError
from ...frames import Animation
from ..avatar import AvatarReport, MeshMatch, match_shapes, mesh_match, report
from .curves import Curve, curve, frames_of, new_note, note
from .document import Document, open_document

_ALL = frozenset(CHANNELS)


def animated(animation: Animation, avatar: Path | None) -> tuple[Document, AvatarReport]:
    """The user's model, or the bundled head, with the animation added to what it holds.

    Raises:
        OutputError: The take has no frames, or no morph target is named as a channel.
        AnimationFileError: The model cannot be read.
    """
    if not len(animation):
        raise OutputError("glTF: the animation has no frames, expected at least one")
    document = bundled_head() if avatar is None else open_model(avatar)
    found = _add(document, animation)
    return document, report(document.label, found, animation.channels)


def bundled_head() -> Document:
    """facewave's own head."""
    data = resources.files("facewave").joinpath("studio", "static", "head.glb").read_bytes()
    return open_document("the bundled head", data)


def open_model(path: Path) -> Document:
    """A model of the user's.

    Raises:
        AnimationFileError: It cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnimationFileError(f"{path}: the model cannot be read ({error.strerror})") from error
    return open_document(str(path), data, path.parent)


def shape_names(mesh: dict[str, Any]) -> list[str]:
    """Names of a mesh's morph targets: in its `extras`, or in those of a primitive, where older exporters put them."""
    primitives = mesh.get("primitives")
    for holder in (mesh, *(primitives if isinstance(primitives, list) else ())):
        extras = holder.get("extras") if isinstance(holder, dict) else None
        names = extras.get("targetNames") if isinstance(extras, dict) else None
        if isinstance(names, list):
            return [str(name) for name in names][: n_targets(mesh)]
    return []


def n_targets(mesh: dict[str, Any]) -> int:
    """Number of a mesh's morph targets; every primitive has as many."""
    primitives = mesh.get("primitives")
    first = primitives[0] if isinstance(primitives, list) and primitives else None
    targets = first.get("targets") if isinstance(first, dict) else None
    return len(targets) if isinstance(targets, list) else 0


def _add(document: Document, animation: Animation) -> list[MeshMatch]:
    """One channel for each node whose mesh has matching targets; nodes whose curves are equal share a sampler."""
    matches: dict[int, MeshMatch] = {}
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    known: dict[tuple[Any, ...], int] = {}
    times = None
    for number, node in enumerate(document.objects("nodes")):
        if node.get("mesh") is None:
            continue
        mesh = document.item("meshes", node["mesh"])
        if not n_targets(mesh):
            continue
        names = shape_names(mesh)
        found = match_shapes(names, animation.channels)
        label = str(mesh.get("name") or node.get("name") or f"mesh {node['mesh']}")
        matches[node["mesh"]] = mesh_match(label, names, found)
        if not found:
            continue
        rest = _rest(document, node, mesh)
        key = (tuple(found.items()), tuple(rest))
        if key not in known:
            if times is None:
                times = document.add_floats(_key_times(animation), bounds=True)
            output = document.add_floats(_table(animation, found, rest))
            known[key] = len(samplers)
            samplers.append({"input": times, "interpolation": "LINEAR", "output": output})
        channels.append({"sampler": known[key], "target": {"node": number, "path": "weights"}})
    if channels:
        name = animation.info.audio.stem if animation.info.audio is not None else "speech"
        document.content.setdefault("animations", []).append(
            {"name": name, "channels": channels, "samplers": samplers, "extras": new_note(animation)}
        )
    return list(matches.values())


def _key_times(animation: Animation) -> NDArray[np.float32]:
    times = animation.times.astype(np.float32)
    if (np.diff(times) <= 0).any():
        raise OutputError(
            f"glTF: {animation.duration_s:g} s at {float(animation.frame_rate):g} fps is too long for 32-bit times; "
            "write a lower frame rate or shorter takes"
        )
    return times


def _rest(document: Document, node: dict[str, Any], mesh: dict[str, Any]) -> list[float]:
    """Weights of a mesh at rest, which shapes keep that nothing animates."""
    count = n_targets(mesh)
    weights = node.get("weights", mesh.get("weights", [0.0] * count))
    if (
        not isinstance(weights, list)
        or len(weights) != count
        or not all(isinstance(value, (int, float)) for value in weights)
    ):
        raise document.fail(f"a mesh of {count} morph targets has the weights {str(weights)[:60]}")
    return [float(value) for value in weights]


def _table(animation: Animation, found: dict[int, str], rest: list[float]) -> NDArray[np.float32]:
    table = np.tile(np.array(rest, np.float32), (len(animation), 1))
    for target, channel in found.items():
        table[:, target] = animation.channel(channel)
    return table


def weights_animation(document: Document, keep: Collection[str] = ()) -> Animation | None:
    """The file's animation of named morph targets: the last one facewave wrote, else the one that moves most of them.

    Some programs write an animation for each mesh; those that end when it does are taken for parts of the same take.
    Targets named in `keep` come along under their own names.

    Raises:
        AnimationFileError: Sizes that do not fit, or an animation that cannot be sampled.
    """
    animations = document.objects("animations")
    for entry in reversed([entry for entry in animations if note(entry)]):
        if found := _curves(document, entry, keep):
            return frames_of(document, note(entry), found)
    others = sorted((_curves(document, entry, keep) for entry in animations), key=len, reverse=True)
    if not others or not others[0]:
        return None
    whole = dict(others[0])
    for found in others[1:]:
        if abs(_end(found) - _end(whole)) < 1e-3:
            whole = found | whole
    return frames_of(document, {}, whole)


def _end(found: dict[str, tuple[Curve, int]]) -> float:
    """Seconds of the last key; nothing ends never."""
    return max((float(keys.times[-1]) for keys, _ in found.values()), default=math.inf)


def _curves(document: Document, animation: dict[str, Any], keep: Collection[str]) -> dict[str, tuple[Curve, int]]:
    """Channel -> the curve that moves it and the column in it; of several nodes the first."""
    found: dict[str, tuple[Curve, int]] = {}
    for channel in document.inner(animation, "channels", "an animation"):
        target = channel.get("target")
        if not isinstance(target, dict) or target.get("path") != "weights" or target.get("node") is None:
            continue
        mesh = document.item("meshes", document.item("nodes", target["node"]).get("mesh"))
        names = shape_names(mesh)
        shapes = {column: name for column, name in enumerate(names) if name in keep and name not in found}
        shapes |= {i: name for i, name in match_shapes(names, _ALL - found.keys()).items() if i not in shapes}
        if shapes:
            keys = curve(document, animation, channel.get("sampler"), n_targets(mesh))
            found.update((name, (keys, column)) for column, name in shapes.items())
    return found
