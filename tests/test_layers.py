"""Each layer imports only from the layers before it: the table of docs/architecture.md, kept."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "facewave"

VALUES = {
    "errors", "timing", "blendshapes", "rig_names", "emotions", "parameters", "streams", "frames", "visemes",
}  # fmt: skip
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "timing": {"errors"},
    "blendshapes": {"errors"},
    "rig_names": {"blendshapes"},
    "emotions": {"errors", "timing"},
    "parameters": {"errors"},
    "visemes": set(),
    "streams": {"errors", "blendshapes", "emotions", "parameters"},
    "frames": {"errors", "timing", "blendshapes", "outputs"},  # The one door: Animation.load and .save.
    "channel_maps": VALUES,
    "documents": {"errors"},
    "archives": set(),
    "emotion_files": VALUES | {"documents"},
    "settings": VALUES | {"documents"},
    "audio": VALUES,
    "features": VALUES,
    "animation": VALUES,
    "inference": VALUES | {"settings", "documents"},
    "wire": VALUES | {"audio"},
    "providers": VALUES | {"settings", "audio", "features", "inference", "animation", "wire", "documents", "archives"},
    "outputs": VALUES | {"audio", "wire", "archives"},
    "pipeline": VALUES | {"settings", "audio", "animation", "providers", "outputs"},
    "runtime": VALUES | {"settings", "audio", "providers", "outputs"},
    "integrations": VALUES | {"runtime"},
}
"""Layer -> layers it may import. Layers not listed (server, studio, doctor, cli) may import all that are."""

HEAVY = {
    "pxr": {"outputs/usd/core.py"},
    "onnxruntime": {"inference/onnx.py"},
    "soxr": {"audio/resample.py"},
    "soundfile": {"audio/files.py"},
}
"""Third-party packages and the only modules that import them."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_proto" not in path.parts)


def layer_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names inside the package, as `audio.clip`, and third-party names with a leading `!`."""
    package = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)]
            name = ".".join((*base, *(node.module.split(".") if node.module else ())))
            for alias in node.names:
                yield f"{name}.{alias.name}" if name else alias.name
        elif isinstance(node, ast.ImportFrom):
            yield f"!{node.module}"
        elif isinstance(node, ast.Import):
            yield from (f"!{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_what_lies_before_it(path: Path) -> None:
    layer = layer_of(path)
    assert "!facewave" not in {name.split(".")[0] for name in imports_of(path)}, "relative imports inside the package"
    if layer not in ALLOWED:
        return
    for name in imports_of(path):
        target = name.split(".")[0]
        if not name.startswith("!") and target != layer:
            assert target in ALLOWED[layer], f"{layer} must not import {name}"


@pytest.mark.parametrize(
    ("folder", "shared"), [("providers", {"base"}), ("outputs", {"base", "avatar", "csv", "gltf", "html", "usd"})]
)
def test_neighbours_do_not_know_each_other(folder: str, shared: set[str]) -> None:
    for path in (PACKAGE / folder).rglob("*.py"):
        own = path.relative_to(PACKAGE / folder).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == folder and len(parts) > 2:
                assert parts[1] in shared | {own}, f"{path.name} must not import its neighbour {name}"


@pytest.mark.parametrize("package", sorted(HEAVY))
def test_a_heavy_package_appears_in_one_place(package: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules()
        if any(name.split(".")[0] == f"!{package}" for name in imports_of(path))
    }
    assert users <= HEAVY[package]


def test_the_table_in_the_docs_is_the_one_kept_here() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    documented = {
        layer: set(re.findall(r"`(\w+)`", may)) | (VALUES if "values" in may else set())
        for layers, may in rows
        for layer in re.findall(r"`(\w+)`", layers)
    }
    assert documented == ALLOWED
