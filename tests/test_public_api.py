"""The public names: listed, sorted, documented, and lazy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import facewave


def test_every_public_name_exists_and_says_what_it_is() -> None:
    assert facewave.__all__ == sorted(facewave.__all__)
    for name in facewave.__all__:
        value = getattr(facewave, name)
        if callable(value):
            assert value.__doc__, name
    with pytest.raises(AttributeError, match="no_such_name"):
        facewave.no_such_name  # noqa: B018


def test_the_list_for_type_checkers_is_the_list_at_run_time() -> None:
    source = Path(facewave.__file__).read_text(encoding="utf-8")
    block = source.split("if TYPE_CHECKING:")[1].split("__version__")[0]
    assert sorted(line.split(" as ")[1] for line in block.splitlines() if " as " in line) == facewave.__all__


def test_importing_facewave_loads_nothing_heavy() -> None:
    program = "import sys, facewave, facewave.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numpy", "onnxruntime", "soundfile", "soxr", "grpc", "rich", "yaml"}
    assert not heavy & set(loaded)
