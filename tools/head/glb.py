"""Write glTF 2.0 binary files: meshes with vertex colours and named morph targets held as sparse accessors."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT, USHORT, UBYTE = 5126, 5123, 5121
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963


@dataclass
class Part:
    """One mesh of the head."""

    name: str
    points: NDArray[np.float64]
    """Shape (vertices, 3), metres."""

    normals: NDArray[np.float64]
    triangles: NDArray[np.int64]
    colours: NDArray[np.float64]
    """Shape (vertices, 3), linear RGB 0..1."""

    material: str
    alpha: NDArray[np.float64] | None = None
    """Shape (vertices,): opacity, or for skin how dry it is; 1 where absent."""

    uv: NDArray[np.float64] | None = None
    """Shape (vertices, 2), where the material has a picture."""

    targets: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    """Shape name -> displacement of points (metres) and of normals, both (vertices, 3)."""

    def thinned(self, kept: NDArray[np.int64], triangles: NDArray[np.int64]) -> Part:
        """The same part with only the vertices `kept`, joined by triangles numbered among them."""
        targets = {shape: (motion[kept], turn[kept]) for shape, (motion, turn) in self.targets.items()}
        alpha = None if self.alpha is None else self.alpha[kept]
        uv = None if self.uv is None else self.uv[kept]
        return Part(
            self.name,
            self.points[kept],
            self.normals[kept],
            triangles,
            self.colours[kept],
            self.material,
            alpha,
            uv,
            targets,
        )


class _Buffer:
    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, array: NDArray[Any], target: int | None = None) -> int:
        while len(self.data) % 4:
            self.data.append(0)
        raw = array.tobytes()
        entry: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)}
        if target:
            entry["target"] = target
        self.views.append(entry)
        self.data += raw
        return len(self.views) - 1

    def accessor(self, **entry: Any) -> int:
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def dense(self, array: NDArray[Any], kind: str, component: int, target: int, **more: Any) -> int:
        return self.accessor(
            bufferView=self.view(array, target), componentType=component, count=len(array), type=kind, **more
        )

    def sparse(self, array: NDArray[np.float64], least: float, bounds: bool) -> int:
        """A (n, 3) float accessor that stores only rows longer than `least`."""
        moved = np.flatnonzero(np.linalg.norm(array, axis=1) > least)
        if not len(moved):
            moved = np.array([0])
        values = array[moved].astype(np.float32)
        entry: dict[str, Any] = {"componentType": FLOAT, "count": len(array), "type": "VEC3"}
        if bounds:
            full = np.zeros((1, 3), np.float32)
            both = np.vstack([values, full]) if len(moved) < len(array) else values
            entry["min"] = [float(x) for x in both.min(axis=0)]
            entry["max"] = [float(x) for x in both.max(axis=0)]
        entry["sparse"] = {
            "count": len(moved),
            "indices": {"bufferView": self.view(moved.astype(np.uint16)), "componentType": USHORT},
            "values": {"bufferView": self.view(values)},
        }
        return self.accessor(**entry)


def write_glb(
    path: Path,
    parts: list[Part],
    materials: dict[str, dict[str, Any]],
    picture: bytes,
    extras: dict[str, Any],
    least_motion_m: float,
    least_turn: float,
) -> int:
    """Write the parts below one root node called `head`; returns the size in bytes.

    `picture` is a PNG file, texture 0 of the materials.
    `least_motion_m` and `least_turn` are the displacement and the change of a normal below which a vertex is left out
    of a shape.
    """
    buffer = _Buffer()
    names = list(materials)
    meshes: list[dict[str, Any]] = []
    for part in parts:
        points = part.points.astype(np.float32)
        colours = np.ones((len(points), 4), np.uint8) * 255
        colours[:, :3] = np.clip(np.round(part.colours * 255), 0, 255)
        if part.alpha is not None:
            colours[:, 3] = np.clip(np.round(part.alpha * 255), 0, 255)
        attributes = {
            "POSITION": buffer.dense(
                points, "VEC3", FLOAT, ARRAY_BUFFER,
                min=[float(x) for x in points.min(axis=0)], max=[float(x) for x in points.max(axis=0)],
            ),
            "NORMAL": buffer.dense(part.normals.astype(np.float32), "VEC3", FLOAT, ARRAY_BUFFER),
            "COLOR_0": buffer.dense(colours, "VEC4", UBYTE, ARRAY_BUFFER, normalized=True),
        }  # fmt: skip
        if part.uv is not None:
            attributes["TEXCOORD_0"] = buffer.dense(part.uv.astype(np.float32), "VEC2", FLOAT, ARRAY_BUFFER)
        primitive: dict[str, Any] = {
            "attributes": attributes,
            "indices": buffer.dense(part.triangles.astype(np.uint16).ravel(), "SCALAR", USHORT, ELEMENT_BUFFER),
            "material": names.index(part.material),
        }
        mesh: dict[str, Any] = {"name": part.name, "primitives": [primitive]}
        if part.targets:
            primitive["targets"] = [
                {
                    "POSITION": buffer.sparse(motion, least_motion_m, bounds=True),
                    "NORMAL": buffer.sparse(turn, least_turn, bounds=False),
                }
                for motion, turn in part.targets.values()
            ]
            mesh["weights"] = [0.0] * len(part.targets)
            mesh["extras"] = {"targetNames": list(part.targets)}
        meshes.append(mesh)
    count = len(parts)
    image = buffer.view(np.frombuffer(picture, np.uint8))
    document = {
        "asset": {
            "version": "2.0",
            "generator": "facewave tools/head",
            "copyright": "facewave contributors, Apache-2.0",
        },
        "scene": 0,
        "scenes": [{"nodes": [count], "name": "head"}],
        "nodes": [{"name": part.name, "mesh": i} for i, part in enumerate(parts)]
        + [{"name": "head", "children": list(range(count)), "extras": extras}],
        "meshes": meshes,
        "materials": [{"name": name, **material} for name, material in materials.items()],
        "images": [{"bufferView": image, "mimeType": "image/png"}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "textures": [{"source": 0, "sampler": 0}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": (len(buffer.data) + 3) // 4 * 4}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    data = bytes(buffer.data) + b"\0" * (-len(buffer.data) % 4)
    whole = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(data))
    whole += struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(whole)
    os.replace(partial, path)
    return len(whole)
