"""What is published: the wheel's contents, and that building twice gives the same."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="the package `build` is not installed")
pytest.importorskip("hatchling", reason="the build backend is not installed")

from tools import package

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    return package.build(first), package.build(second)


def wheel_of(built: tuple[list[Path], list[Path]]) -> Path:
    return next(path for path in built[0] if path.suffix == ".whl")


def test_two_builds_are_the_same_to_the_byte(built: tuple[list[Path], list[Path]]) -> None:
    assert [package.digest(path) for path in built[0]] == [package.digest(path) for path in built[1]]


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[list[Path], list[Path]]) -> None:
    wheel = wheel_of(built)
    names = package.names_in(wheel)
    assert wheel.stat().st_size < package.MAX_WHEEL
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"facewave"}
    source = ROOT / "src"
    here = {
        path.relative_to(source).as_posix()
        for path in (source / "facewave").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == here
    for needed in ("model.onnx", "head.glb", "demo.wav", "three.LICENSE", "py.typed", "licenses/LICENSE",
                   "licenses/THIRD_PARTY_NOTICES.md", "entry_points.txt"):  # fmt: skip
        assert any(name.endswith(needed) for name in names), needed
    assert not [name for name in names if "/test" in name.lower() or name.endswith((".pyc", ".part"))]


def test_the_wheel_says_what_pyproject_says(built: tuple[list[Path], list[Path]]) -> None:
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        text = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    assert "License-Expression: Apache-2.0\n" in text
    assert "Requires-Python: >=3.11\n" in text
    for extra in package.extras():
        assert f"Provides-Extra: {extra}\n" in text


def test_the_sdist_can_be_tested_and_built_from(built: tuple[list[Path], list[Path]]) -> None:
    names = set(package.names_in(next(path for path in built[0] if path.suffix == ".gz")))
    for needed in ("pyproject.toml", "Makefile", "README.md", "SECURITY.md", "LICENSE", "constraints/run.txt",
                   "src/facewave/__init__.py", "tests/conftest.py", "docs/architecture.md"):  # fmt: skip
        assert needed in names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "out/", "training/data"))]


def test_every_extra_is_tried_or_left_out_on_purpose() -> None:
    assert set(package.HEAVY) <= set(package.extras())
    assert set(package.SMOKE) <= set(package.extras())
