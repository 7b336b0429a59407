"""The target names of a rig: from a glTF or VRM file, a list, or the header of a CSV."""

from __future__ import annotations

import csv
import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SettingsError

_GLB_MAGIC, _JSON_CHUNK = b"glTF", 0x4E4F534A
_NO_SHAPE = re.compile(
    r"(timecode|time|frame|blend_?shape_?count|(head|lefteye|righteye)(yaw|pitch|roll))", re.IGNORECASE
)
"""Columns of animation files that are not shapes."""


def read_targets(path: Path) -> tuple[str, ...]:
    """Names in the order of the file, each once.

    Args:
        path: `.glb`, `.gltf` or `.vrm`: the expressions of a VRM avatar, else the morph targets of every mesh; `.csv`:
            the header; anything else: text with one name a line, `#` begins a comment.

    Raises:
        SettingsError: Missing, of another form, or without any name; says what to do.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"rig {path}: cannot be read ({error.strerror})") from error
    if data.startswith(_GLB_MAGIC) or path.suffix.lower() in (".glb", ".vrm", ".gltf"):
        document = _json(path, _glb_json(path, data) if data.startswith(_GLB_MAGIC) else data)
        names = _expressions(document) or _morph_targets(path, document)
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"rig {path}: found neither glTF nor text, expected .glb, .gltf, .vrm, .csv or a list of names"
            ) from error
        names = _header(text) if path.suffix.lower() == ".csv" else _listed(text)
    names = list(dict.fromkeys(names))
    if not names:
        raise SettingsError(f"rig {path}: found no target names, expected at least one")
    return tuple(names)


def _glb_json(path: Path, data: bytes) -> bytes:
    """The first chunk of a binary glTF file.

    Source: glTF 2.0 specification, section 4.4, GLB file format.
    """
    if len(data) < 20:
        raise SettingsError(f"rig {path}: found {len(data)} bytes, expected a whole glTF file")
    version, _, length, kind = struct.unpack_from("<4I", data, 4)
    if version != 2 or kind != _JSON_CHUNK or 20 + length > len(data):
        raise SettingsError(f"rig {path}: found a damaged or old glTF file (version {version}), expected glTF 2.0")
    return data[20 : 20 + length]


def _json(path: Path, data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise SettingsError(f"rig {path}: its glTF description is not valid JSON ({error})") from error
    if not isinstance(document, Mapping):
        raise SettingsError(f"rig {path}: its glTF description is no JSON object")
    return document


def _expressions(document: Mapping[str, Any]) -> list[str]:
    """Names by which players drive a VRM avatar; none for other files."""
    extensions = document.get("extensions") or {}
    newer = (extensions.get("VRMC_vrm") or {}).get("expressions") or {}
    names = [name for kind in ("preset", "custom") for name in newer.get(kind) or {}]
    for group in ((extensions.get("VRM") or {}).get("blendShapeMaster") or {}).get("blendShapeGroups") or []:
        preset = str(group.get("presetName") or "unknown")
        names.append(preset if preset != "unknown" else str(group.get("name") or ""))
    return [name for name in names if name]


def _morph_targets(path: Path, document: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    nameless = 0
    for mesh in document.get("meshes") or []:
        primitives = mesh.get("primitives") or []
        count = max((len(primitive.get("targets") or ()) for primitive in primitives), default=0)
        # The names' usual place; some exporters put them into the primitive.
        places = (mesh, *primitives)
        named: list[Any] = next(
            (found for place in places if (found := (place.get("extras") or {}).get("targetNames"))), []
        )
        names += [str(name) for name in named]
        nameless += count if not named else 0
    if nameless and not names:
        raise SettingsError(
            f"rig {path}: found {nameless} morph targets without names, expected extras.targetNames; export again with "
            "shape names, or give a text file with one name a line"
        )
    return names


def _header(text: str) -> list[str]:
    first = next(csv.reader(text.splitlines()), [])
    return [name.strip() for name in first if name.strip() and not _NO_SHAPE.fullmatch(name.strip())]


def _listed(text: str) -> list[str]:
    return [name for line in text.splitlines() if (name := line.partition("#")[0].strip().strip(",\"'"))]
