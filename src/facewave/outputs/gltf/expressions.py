"""VRM expressions: what of a take they show, and reading them back.

ARKit channels are custom expressions of the same names, which avatars made for face tracking have ("perfect sync"). All
VRM avatars have a few presets; these are made of the channels so:

| preset | of |
| --- | --- |
| `blinkLeft`, `blinkRight` | `eyeBlinkLeft`, `eyeBlinkRight` |
| `aa`, `ih`, `ou`, `ee`, `oh` | the amounts of the five poses in `VOWELS` that together come nearest to the mouth |

`mouthClose` is taken off `jawOpen` first, so that lips that meet over an open jaw are no vowel. Gaze and moods are left
to the avatar's own settings.

Source: VRM consortium, VRMC_vrm_animation-1.0; the poses follow the bundled model's articulation of a, i, u, e and o.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...frames import Animation
from ..avatar import AvatarReport, match_shapes, mesh_match, report
from .curves import Curve, curve, frames_of, new_note, note
from .document import Document

EXTENSION = "VRMC_vrm_animation"

VOWELS: Mapping[str, Mapping[str, float]] = {
    "aa": {"jawOpen": 0.60, "mouthStretch": 0.06},
    "ih": {"jawOpen": 0.15, "mouthStretch": 0.34},
    "ou": {"jawOpen": 0.13, "mouthFunnel": 0.28, "mouthPucker": 0.85},
    "ee": {"jawOpen": 0.42, "mouthStretch": 0.27},
    "oh": {"jawOpen": 0.38, "mouthFunnel": 0.44, "mouthPucker": 0.42},
}
"""Each vowel preset at 1 as ARKit weights; `mouthStretch` is the mean of both sides."""

_FEATURES = ("jawOpen", "mouthFunnel", "mouthPucker", "mouthStretch")
_PRESETS_V0 = {"a": "aa", "i": "ih", "u": "ou", "e": "ee", "o": "oh", "blink_l": "blinkLeft", "blink_r": "blinkRight"}


def presets(animation: Animation) -> dict[str, NDArray[np.float32]]:
    """VRM preset expressions over time, each (frames,) in 0..1."""
    take = {name: animation.channel(name) for name in animation.channels}
    none = np.zeros(len(animation), np.float32)
    found = {
        side: np.clip(take[f"eyeB{side[1:]}"], 0, 1)
        for side in ("blinkLeft", "blinkRight")
        if f"eyeB{side[1:]}" in take
    }
    if "jawOpen" not in take:
        return found
    mouth = np.stack(
        [
            np.clip(take["jawOpen"] - take.get("mouthClose", none), 0, None),
            take.get("mouthFunnel", none),
            take.get("mouthPucker", none),
            (take.get("mouthStretchLeft", none) + take.get("mouthStretchRight", none)) / 2,
        ],
        axis=1,
    )
    return found | dict(zip(VOWELS, _amounts(mouth).T, strict=True))


def _amounts(mouth: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of each vowel, shape (frames, 5): least squares without negative amounts, in all at most 1."""
    poses = np.array([[pose.get(name, 0.0) for name in _FEATURES] for pose in VOWELS.values()])  # (vowels, features)
    gram = poses @ poses.T
    # Taking a little off every amount prefers one vowel to a mixture that looks nearly the same.
    wanted = mouth @ poses.T - 0.01
    amounts = np.zeros_like(wanted)
    gain = np.zeros(len(wanted))
    # The answer is the free optimum of the vowels it uses, so trying every set of vowels finds it.
    for size in range(1, len(poses) + 1):
        for used in map(list, combinations(range(len(poses)), size)):
            free = np.linalg.lstsq(gram[np.ix_(used, used)], wanted[:, used].T, rcond=None)[0].T
            gained = (free * wanted[:, used]).sum(axis=1)
            better = (free >= 0).all(axis=1) & (gained > gain + 1e-9)
            amounts[better] = 0
            amounts[np.ix_(better, used)] = free[better]
            gain[better] = gained[better]
    return np.asarray(amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1), np.float32)


def document_of(animation: Animation, avatar: Document | None) -> tuple[Document, AvatarReport | None]:
    """A VRMA file: one node an expression, whose x is the weight.

    For an avatar, only expressions it has, in its own spelling, and no preset beside the ARKit expressions that do the
    same: both together would open the mouth twice.

    Raises:
        OutputError: The avatar has none of the expressions.
    """
    made = presets(animation)
    told = None
    if avatar is None:
        custom = {name: animation.channel(name) for name in animation.channels}
    else:
        names = expression_names(avatar)
        found = match_shapes(names, animation.channels)
        custom = {names[i]: animation.channel(channel) for i, channel in found.items()}
        done = set(found.values())
        made = {
            name: values
            for name, values in made.items()
            if name in names and not done & ({"jawOpen"} if name in VOWELS else {f"eyeB{name[1:]}"})
        }
        ways = found | {names.index(name): f"preset {name}" for name in made}
        told = report(avatar.label, [mesh_match("expressions", names, dict(sorted(ways.items())))], animation.channels)
    return _document(animation, made, custom), told


def _document(
    animation: Animation, preset: dict[str, NDArray[np.float32]], custom: dict[str, NDArray[np.float32]]
) -> Document:
    content: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "facewave"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "expressions", "children": []}],
    }
    document = Document("VRMA", content, None, [])
    times = document.add_floats(animation.times.astype(np.float32), bounds=True)
    samplers, channels = [], []
    nodes: dict[str, dict[str, dict[str, int]]] = {"preset": {}, "custom": {}}
    for kind, values in (("preset", preset), ("custom", custom)):
        for name, weights in values.items():
            rows = np.zeros((len(animation), 3), np.float32)
            rows[:, 0] = weights
            samplers.append({"input": times, "output": document.add_floats(rows, "VEC3")})
            content["nodes"].append({"name": name})
            number = len(content["nodes"]) - 1
            content["nodes"][0]["children"].append(number)
            nodes[kind][name] = {"node": number}
            channels.append({"sampler": len(samplers) - 1, "target": {"node": number, "path": "translation"}})
    name = animation.info.audio.stem if animation.info.audio is not None else "speech"
    content["animations"] = [{"name": name, "channels": channels, "samplers": samplers, "extras": new_note(animation)}]
    kinds = {kind: found for kind, found in nodes.items() if found}
    content["extensions"] = {EXTENSION: {"specVersion": "1.0", "expressions": kinds}}
    return document


def expression_names(avatar: Document) -> list[str]:
    """Names of a VRM model's expressions; presets of VRM 0 under their names of VRM 1."""
    extensions = avatar.content.get("extensions")
    extensions = extensions if isinstance(extensions, dict) else {}
    newer, older = extensions.get("VRMC_vrm"), extensions.get("VRM")
    names: list[str] = []
    if isinstance(newer, dict) and isinstance(newer.get("expressions"), dict):
        for kind in ("preset", "custom"):
            held = newer["expressions"].get(kind)
            names += list(held) if isinstance(held, dict) else []
    elif isinstance(older, dict) and isinstance(older.get("blendShapeMaster"), dict):
        for group in avatar.inner(older["blendShapeMaster"], "blendShapeGroups", "the VRM's expressions"):
            preset = str(group.get("presetName", "")).lower()
            names.append(_PRESETS_V0.get(preset, str(group.get("name", ""))))
    else:
        raise avatar.fail("not a VRM model; .vrma goes onto .vrm models, .glb onto others")
    return list(dict.fromkeys(names))


def expressions_animation(document: Document, keep: Collection[str] = ()) -> Animation | None:
    """The custom expressions with ARKit names of a VRMA's first animation; None where it animates none.

    Raises:
        AnimationFileError: Sizes that do not fit, or an animation that cannot be sampled.
    """
    held: Any = document.content["extensions"][EXTENSION]
    for key in ("expressions", "custom"):
        held = held.get(key) if isinstance(held, dict) else None
    nodes = {
        name: entry.get("node")
        for name, entry in (held.items() if isinstance(held, dict) else ())
        if isinstance(entry, dict) and type(entry.get("node")) is int
    }
    names = list(nodes)
    wanted = {nodes[names[i]]: channel for i, channel in match_shapes(names).items()}
    wanted |= {nodes[name]: name for name in names if name in keep}
    for entry in document.objects("animations")[:1]:
        found: dict[str, tuple[Curve, int]] = {}
        for channel in document.inner(entry, "channels", "an animation"):
            target = channel.get("target")
            if (
                not isinstance(target, dict)
                or target.get("path") != "translation"
                or type(target.get("node")) is not int
            ):
                continue
            name = wanted.get(target["node"])
            if name is not None and name not in found:
                found[name] = (curve(document, entry, channel.get("sampler"), 3), 0)
        if found:
            return frames_of(document, note(entry), found)
    return None
