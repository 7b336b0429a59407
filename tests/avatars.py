"""Small models as other programs make them, and the readers of tests/peers, where they are installed."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facewave.blendshapes import CHANNELS
from facewave.frames import Animation, StreamInfo

PEERS = Path(__file__).parent / "peers"

FACE_SHAPES = ("Basis2", "Head.jawOpen", "eyeBlink_L", "EyeBlinkRight", "mouth_smile_left", "jawOpen_fix", "viseme_aa")
"""Names of the avatar's face; channels mean all but the first and the last two."""


def a_take(frames: int = 90, fps: Fraction = Fraction(60), channels: tuple[str, ...] = CHANNELS) -> Animation:
    random = np.random.default_rng(3)
    weights = random.random((frames, len(channels)), np.float32)
    return Animation(StreamInfo(fps, channels, Path("takes") / "hello there.wav"), weights)


def peer(package: str) -> Path:
    """The installed package, or a skip that says how to get it."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (PEERS / "node_modules" / package).is_dir():
        pytest.skip(f"{package} is not installed; run `npm ci` in tests/peers")
    return PEERS / "node_modules" / package


def validator_issues(*paths: Path) -> list[tuple[str, str, str]]:
    """What Khronos's validator finds in files: severity 0 error, 1 warning; hints and infos are left out."""
    peer("gltf-validator")
    command = ["node", str(PEERS / "validate.mjs"), *map(str, paths)]
    reports = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(reports) == len(paths)
    return [
        (message["code"], message["message"], message.get("pointer", ""))
        for report in reports
        for message in report["issues"]["messages"]
        if message["severity"] < 2
    ]


def glb_parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk of a GLB, read with nothing of facewave."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    content: dict[str, Any] = json.loads(data[20 : 20 + size])
    at = 20 + size
    binary_size, kind = struct.unpack_from("<I4s", data, at)
    assert kind == b"BIN\0"
    return content, data[at + 8 : at + 8 + binary_size]


def glb(content: dict[str, Any], binary: bytes, *others: bytes) -> bytes:
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    body += b"".join(others)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def avatar_parts() -> tuple[dict[str, Any], bytes]:
    """A model with two primitives a mesh, a mesh under two nodes, sparse targets, animations and an extension."""
    data = bytearray()
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []

    def view(array: np.ndarray[Any, Any], target: int | None = None) -> int:
        data.extend(b"\0" * (-len(data) % 4))
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
        if target:
            views[-1]["target"] = target
        data.extend(array.tobytes())
        return len(views) - 1

    def accessor(array: np.ndarray[Any, Any], kind: str, target: int | None = None, component: int = 5126) -> int:
        rows = array.reshape(len(array), -1)
        accessors.append(
            {"bufferView": view(array, target), "componentType": component, "count": len(array), "type": kind}
        )
        if component == 5126:
            accessors[-1] |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        return len(accessors) - 1

    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    positions = accessor(triangle, "VEC3", 34962)
    indices = accessor(np.arange(3, dtype=np.uint16), "SCALAR", 34963, 5123)
    moves = accessor(triangle * 0.5, "VEC3", 34962)
    sparse = {
        "count": 1,
        "indices": {"bufferView": view(np.array([2], np.uint16)), "componentType": 5123},
        "values": {"bufferView": view(np.array([[0, 0, 1]], np.float32))},
    }
    accessors.append(
        {"componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [0, 0, 1], "sparse": sparse}
    )
    few = len(accessors) - 1
    times = accessor(np.array([0, 1], np.float32), "SCALAR")
    turn = accessor(np.array([[0, 0, 0, 1], [0, 1, 0, 0]], np.float32), "VEC4")
    smile = accessor(np.tile(np.linspace(0, 1, 2, dtype=np.float32)[:, None], (1, len(FACE_SHAPES))).ravel(), "SCALAR")
    del accessors[smile]["min"], accessors[smile]["max"]

    def primitive(count: int) -> dict[str, Any]:
        targets = [{"POSITION": few if i % 2 else moves} for i in range(count)]
        return {"attributes": {"POSITION": positions}, "indices": indices, "targets": targets}

    content = {
        "accessors": accessors,
        "asset": {"version": "2.0", "generator": "another program"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0, 1, 2, 3, 4]}],
        "nodes": [
            {"name": "Face", "mesh": 0, "extras": {"keep": "me"}},
            {"name": "Twin", "mesh": 0, "translation": [2, 0, 0]},
            {"name": "Teeth", "mesh": 1},
            {"name": "Hat", "mesh": 2},
            {"name": "Camera", "camera": 0},
        ],
        "cameras": [{"type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.01}}],
        "materials": [{"name": "plain", "extensions": {"KHR_materials_unlit": {}}}],
        "meshes": [
            {
                "name": "FaceMesh",
                "primitives": [primitive(len(FACE_SHAPES)), {**primitive(len(FACE_SHAPES)), "material": 0}],
                "weights": [0.25] + [0.0] * (len(FACE_SHAPES) - 1),
                "extras": {"targetNames": list(FACE_SHAPES), "more": [1, 2]},
            },
            {"name": "TeethMesh", "primitives": [{**primitive(1), "extras": {"targetNames": ["JAW-OPEN"]}}]},
            {"name": "HatMesh", "primitives": [primitive(2)]},
        ],
        "animations": [
            {
                "name": "nod",
                "channels": [{"sampler": 0, "target": {"node": 0, "path": "rotation"}}],
                "samplers": [{"input": times, "output": turn}],
            },
            {
                "name": "smile",
                "channels": [{"sampler": 0, "target": {"node": 0, "path": "weights"}}],
                "samplers": [{"input": times, "output": smile}],
            },
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(data)}],
        "extras": {"studio": "theirs"},
    }
    return content, bytes(data)
