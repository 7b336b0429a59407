"""Reads sets of golden vectors: a manifest and one npz file per stage.

A set is found through `FACEWAVE_GOLDEN` (the folder of its manifest.json), `FACEWAVE_SHARED` (its `golden` folder) or
`../shared/golden` beside the repository. Nothing here knows a stage or a case by name, so any set in the same format
can take the place of another.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """One case of a stage: arrays by name and by role, and its parameters."""

    stage: str
    name: str
    description: str
    arrays: Mapping[str, Array]
    roles: Mapping[str, str]
    """Array name to "input", "intermediate" or "output"."""
    parameters: Mapping[str, Any]
    tolerance: str
    """The stage's tolerance as the manifest words it."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Numeric limits by array name, when the manifest carries them (`tolerances` of a stage or a case)."""

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def of_role(self, role: str) -> dict[str, Array]:
        """The arrays of one role."""
        return {name: array for name, array in self.arrays.items() if self.roles[name] == role}

    def __str__(self) -> str:
        return f"{self.stage}/{self.name}"


def golden_folder() -> Path | None:
    """The folder of the set in use, or None when there is none on this machine.

    Raises:
        FileNotFoundError: `FACEWAVE_GOLDEN` names a folder without a manifest; another set would hide that.
    """
    if value := os.environ.get("FACEWAVE_GOLDEN"):
        if not (Path(value) / "manifest.json").is_file():
            raise FileNotFoundError(f"FACEWAVE_GOLDEN={value}: found no manifest.json there, expected golden vectors")
        return Path(value)
    if value := os.environ.get("FACEWAVE_SHARED"):
        candidates = [Path(value) / "golden"]
    else:
        candidates = [parent.parent / "shared" / "golden" for parent in _checkouts()]
    for folder in candidates:
        if (folder / "manifest.json").is_file():
            return folder
    return None


def _checkouts() -> Iterator[Path]:
    """This checkout and, when it is a linked git work tree, the main one it belongs to."""
    yield _REPOSITORY
    marker = _REPOSITORY / ".git"
    if marker.is_file() and (found := re.match(r"gitdir: (.+)", marker.read_text())):
        git_dir = Path(found.group(1).strip())
        if git_dir.parent.name == "worktrees":
            yield git_dir.parents[2]


@cache
def manifest() -> Mapping[str, Any] | None:
    """The set's manifest, or None when no set was found."""
    folder = golden_folder()
    if folder is None:
        return None
    loaded: Mapping[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return loaded


def stage_names() -> list[str]:
    """All stages of the set in use; empty without a set."""
    found = manifest()
    return list(found["stages"]) if found else []


@cache
def load_stage(stage: str) -> tuple[Case, ...]:
    """The cases of a stage, in manifest order; empty when the stage or the whole set is missing."""
    found = manifest()
    folder = golden_folder()
    if found is None or folder is None or stage not in found["stages"]:
        return ()
    entry = found["stages"][stage]
    with np.load(folder / entry["file"], allow_pickle=False) as archive:
        return tuple(_case(stage, name, entry, raw, archive) for name, raw in entry["cases"].items())


def _case(
    stage: str, name: str, entry: Mapping[str, Any], raw: Mapping[str, Any], archive: Mapping[str, Array]
) -> Case:
    arrays = raw.get("arrays", {})
    return Case(
        stage=stage,
        name=name,
        description=raw.get("description", ""),
        arrays={key: archive[spec["key"]] for key, spec in arrays.items()},
        roles={key: spec["role"] for key, spec in arrays.items()},
        parameters=raw.get("parameters", {}),
        tolerance=entry.get("tolerance", ""),
        limits={**entry.get("tolerances", {}), **raw.get("tolerances", {})},
    )
