"""Reads a configuration file into checked values; every step of the pipeline takes the same file."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""


class SettingsError(Exception):
    """A configuration file is missing something or has something unknown."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Speech of one synthetic voice in one language."""

    engine: str
    voice: str
    language: str
    minutes: float
    split: str
    """`train`, `val` (choosing the calibration) or `test` (never looked at before the evaluation)."""

    @property
    def name(self) -> str:
        return f"{self.split}-{self.engine}-{self.voice}"


@dataclass(frozen=True, slots=True)
class Human:
    """Recorded speech with phone times."""

    alignments: Path
    """Folder with `alignments.tsv` and `split.tsv`; need not exist."""

    speech: Path
    """Folder with `index.tsv` and the sound files."""

    share: float
    """Part of each batch that is recorded speech, if there is any."""

    leave_out: tuple[str, ...] = ()
    """Corpora not used, for their licence."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """Corpus -> how readily its speech is drawn in training, 0..1; the others have 1."""

    calibrate: tuple[str, ...] = ()
    """Corpora whose training clips take part in the calibration: fluent speech, which validation may lack."""


@dataclass(frozen=True, slots=True)
class Model:
    """Size of the network."""

    hidden: int
    front: int


@dataclass(frozen=True, slots=True)
class Train:
    """How long and how to train."""

    steps: int
    batch: int
    length: int
    """Network steps (1/60 s) in one training sequence."""

    learning_rate: float
    variants: int
    """Altered copies of each training utterance (speed, room, codec), besides the clean one."""

    save_minutes: float = 3.0


@dataclass(frozen=True, slots=True)
class Settings:
    """One configuration file."""

    name: str
    path: Path
    seed: int
    data: Path
    """Folder of everything that can be made again."""

    run: Path
    """Folder of this configuration's checkpoints and reports."""

    shards: tuple[Shard, ...]
    human: Human
    model: Model
    train: Train

    @property
    def digest(self) -> str:
        """First characters of the file's SHA-256, to tell which settings made a model."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]


def load(path: Path) -> Settings:
    """Read a configuration.

    Raises:
        SettingsError: A key is missing, unknown or of the wrong kind.
    """
    table = tomllib.loads(path.read_text("utf8"))
    known = {"seed", "folder", "corpus", "human", "model", "train"}
    if set(table) - known:
        raise SettingsError(
            f"{path}: unknown key {sorted(set(table) - known)[0]!r}; expected some of {', '.join(sorted(known))}"
        )
    try:
        data = Path(os.environ.get("FACEWAVE_TRAINING_DATA") or ROOT / "training" / "data") / table.get("folder", "")
        shards = tuple(_make(Shard, row, path) for row in table["corpus"]["shards"])
        human = dict(table["human"])
        human["alignments"] = ROOT / human["alignments"]
        human["speech"] = Path(os.environ.get("FACEWAVE_SPEECH") or ROOT / human["speech"])
        human["leave_out"] = tuple(human.get("leave_out", ()))
        human["calibrate"] = tuple(human.get("calibrate", ()))
        for corpus, weight in human.get("weights", {}).items():
            if not 0 <= weight <= 1:
                raise SettingsError(f"{path}: human.weights.{corpus}: found {weight}, expected 0 to 1")
        return Settings(
            name=path.stem, path=path, seed=int(table["seed"]), data=data,
            run=data.parent / "runs" / path.stem if table.get("folder") else ROOT / "training" / "runs" / path.stem,
            shards=shards, human=_make(Human, human, path), model=_make(Model, table["model"], path),
            train=_make(Train, table["train"], path),
        )  # fmt: skip
    except KeyError as error:
        raise SettingsError(f"{path}: missing key {error}; compare with configs/tiny.toml") from error


_T = TypeVar("_T")


def _make(kind: type[_T], table: dict[str, Any], path: Path) -> _T:
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    if set(table) - names:
        raise SettingsError(f"{path}: unknown key {sorted(set(table) - names)[0]!r} for {kind.__name__}")
    try:
        return kind(**table)
    except TypeError as error:
        raise SettingsError(f"{path}: {kind.__name__}: {error}") from error
