"""Step 2: turn speech and phone times into features and targets.

    python -m training.prepare training/configs/base.toml

Writes `prepared/SPLIT-SOURCE-CORPUS.npz` (`train-human-an4`, `val-synthetic-synthetic`, ...), each with a `.json`
that says how much it holds. Training sets also get altered copies of each clip, and silence or room noise around
every clip, which the targets call rest."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from facewave.features.log_mel import N_MELS, log_mel
from facewave.providers.embedded.articulation import PARAMETERS
from facewave.providers.embedded.transcript.coarticulation import classes, curves
from facewave.providers.embedded.transcript.pronounce import Phone
from training.augment import varied
from training.corpus import load_shard
from training.human import INDEX, LEFT_OUT, Utterance, read_index
from training.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance with its phones, from whatever source."""

    id: str
    voice: str
    language: str
    corpus: str
    samples: NDArray[np.float32]
    """16 kHz."""

    phones: list[Phone]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All clips of a set, one behind the other."""

    features: NDArray[np.float16]
    """Shape (steps, 128): two log-mel frames a step."""

    targets: NDArray[np.uint8]
    """Shape (steps, 12): articulation times 255."""

    classes: NDArray[np.uint8]
    """Shape (steps,)."""

    starts: NDArray[np.int64]
    """Shape (clips + 1,): first step of each clip, and the end."""

    weights: NDArray[np.float32]
    """Shape (clips,), 0..1: how readily each is drawn in training."""


def corpora(settings: Settings, split: str, source: str) -> list[str]:
    """Names of the corpora of a source that have clips in a split."""
    if source == "synthetic":
        return ["synthetic"]
    path = settings.human.alignments / "split.tsv"
    if not path.exists():
        return []
    return sorted({row["corpus"] for row in _rows(path) if row["split"] == split} - set(settings.human.leave_out))


def synthetic(settings: Settings, split: str, corpus: str = "synthetic") -> Iterator[Clip]:
    """The synthetic clips of a split."""
    for shard in settings.shards:
        if shard.split == split:
            for number, (_, samples, phones) in enumerate(
                load_shard(settings.data / "synthetic" / f"{shard.name}.npz")
            ):
                voice = f"{shard.engine}-{shard.voice}"
                yield Clip(f"{shard.name}-{number}", voice, shard.language, "synthetic",
                           samples.astype(np.float32) / np.float32(32768), phones)  # fmt: skip


def human(settings: Settings, split: str, corpus: str | None = None) -> Iterator[Clip]:
    """The recorded clips of a split, of one corpus or of all; none if there are no alignments."""
    folder, speech = settings.human.alignments, settings.human.speech
    if not (folder / "alignments.tsv").exists() or not (speech / INDEX).exists():
        return
    timed: dict[str, list[Phone]] = {}
    for row in _rows(folder / "alignments.tsv"):
        timed.setdefault(row["id"], []).append((float(row["start_s"]), float(row["end_s"]), row["phone"]))
    chosen = {row["id"]: row for row in _rows(folder / "split.tsv") if row["split"] == split}
    by_file: dict[str, list[Utterance]] = {}
    for one in read_index(speech, LEFT_OUT):
        wanted = corpus in (None, one.corpus) and one.corpus not in settings.human.leave_out
        if wanted and one.id in chosen and one.id in timed:
            by_file.setdefault(one.file, []).append(one)
    for file, members in by_file.items():
        audio = soundfile.read(speech / file, dtype="float32")[0]
        for one in members:
            first, last = round(one.start_s * 16000), round(one.end_s * 16000)
            yield Clip(one.id, one.speaker, one.language, one.corpus, audio[first:last], timed[one.id])


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def padded(clip: Clip, rng: np.random.Generator, seconds: tuple[float, float] = (0.05, 0.6)) -> Clip:
    """The clip with a moment of quiet before and after it, most often with faint noise in it."""
    before, after = (int(s * 16000) for s in rng.uniform(*seconds, 2))
    samples = np.pad(clip.samples, (before, after))
    if rng.random() < 0.7:
        level = float(np.sqrt(np.mean(np.square(clip.samples)))) * 10 ** float(rng.uniform(-3, -1.5))
        samples = samples + (rng.standard_normal(len(samples)) * level).astype(np.float32)
    shift = before / 16000
    phones = [(start_s + shift, end_s + shift, symbol) for start_s, end_s, symbol in clip.phones]
    if phones and phones[0][2] == "sil":
        phones[0] = (0.0, phones[0][1], "sil")
    else:
        phones.insert(0, (0.0, shift, "sil"))
    end_s = len(samples) / 16000
    if phones[-1][2] == "sil":
        phones[-1] = (phones[-1][0], end_s, "sil")
    else:
        phones.append((phones[-1][1], end_s, "sil"))
    return replace(clip, samples=samples, phones=phones)


def steps_of(clip: Clip) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Features (steps, 128), targets (steps, 12) and classes (steps,) of a clip."""
    features = log_mel(clip.samples)
    n = len(features) // 2
    stacked = features[: 2 * n].reshape(n, 2 * N_MELS)
    return stacked, curves(clip.phones, n, clip.samples), classes(clip.phones, n)


def prepare(clips: Iterator[Clip], variants: int, seed: int, label: str) -> tuple[Prepared, float] | None:
    """Features and targets of clips, each with `variants` altered copies, and the seconds before alteration;
    None if there are no clips."""
    rng = np.random.default_rng(seed)
    seconds = 0.0
    features, targets, ids, lengths = [], [], [], []
    for number, clip in enumerate(clips):
        seconds += len(clip.samples) / 16000
        versions = [clip]
        for _ in range(variants):
            samples, stretch = varied(clip.samples, rng)
            versions.append(
                replace(clip, samples=samples, phones=[(a * stretch, b * stretch, s) for a, b, s in clip.phones])
            )
        for version in versions:
            x, y, c = steps_of(padded(version, rng))
            features.append(x.astype(np.float16))
            targets.append(np.round(y * 255).astype(np.uint8))
            ids.append(c)
            lengths.append(len(x))
        if number % 500 == 499:
            print(f"prepare {label}: {number + 1} clips", flush=True)
    if not lengths:
        return None
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    weights = np.ones(len(lengths), np.float32)
    return Prepared(np.concatenate(features), np.concatenate(targets), np.concatenate(ids), starts, weights), seconds


def save(path: Path, prepared: Prepared) -> None:
    """Write a set, complete or not at all."""
    temporary = path.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        features=prepared.features,
        targets=prepared.targets,
        classes=prepared.classes,
        starts=prepared.starts,
    )
    temporary.replace(path)


def load_sets(settings: Settings, split: str, source: str) -> Prepared | None:
    """All corpora of a source (`synthetic` or `human`) as one set; None if there are none."""
    parts = []
    for path in sorted((settings.data / "prepared").glob(f"{split}-{source}-*.npz")):
        with np.load(path) as file:
            if file["targets"].shape[1:] != (len(PARAMETERS),):
                raise ValueError(
                    f"{path}: made for another list of parameters; delete it and run training.prepare again"
                )
            weight = settings.human.weights.get(path.stem.removeprefix(f"{split}-{source}-"), 1.0)
            weights = np.full(len(file["starts"]) - 1, weight, np.float32)
            parts.append(Prepared(file["features"], file["targets"], file["classes"], file["starts"], weights))
    if not parts:
        return None
    before = np.cumsum([0] + [int(part.starts[-1]) for part in parts])
    starts = [part.starts[:-1] + offset for part, offset in zip(parts, before[:-1], strict=True)]
    return Prepared(
        np.concatenate([part.features for part in parts]), np.concatenate([part.targets for part in parts]),
        np.concatenate([part.classes for part in parts]), np.concatenate([*starts, before[-1:]]).astype(np.int64),
        np.concatenate([part.weights for part in parts]),
    )  # fmt: skip


def main(settings: Settings) -> None:
    folder = settings.data / "prepared"
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("val", "train"):
        variants = settings.train.variants if split == "train" else 0
        for source, clips in (("synthetic", synthetic), ("human", human)):
            # Clips of a corpus follow one another; those already made are skipped without reading their sound again.
            for corpus in corpora(settings, split, source):
                path = folder / f"{split}-{source}-{corpus}.npz"
                if path.exists():
                    continue
                made = prepare(clips(settings, split, corpus), variants, settings.seed, path.stem)
                if made is None:
                    continue
                prepared, seconds = made
                save(path, prepared)
                summary = {"corpus": corpus, "clips": len(prepared.starts) - 1, "seconds": round(seconds)}
                path.with_suffix(".json").write_text(json.dumps(summary), "utf8")
                print(f"prepare {path.stem}: {prepared.starts[-1] / 60 / 3600:.2f} h with copies", flush=True)


if __name__ == "__main__":
    main(load(Path(sys.argv[1])))
