"""How alive the face of `Embedded` is: statistics over an hour of recorded speech, beside those of people.

    python -m benchmarks.liveliness [--minutes 60] [--seed 0] [--emotion joy=1] [--out FILE.json]

Speech comes from `speech/index.tsv` in the folder that FACEWAVE_SHARED names (or `shared` beside the repository):
sentences of one speaker after the other, five minutes a stream, with pauses between them as in monologue. Where the
table gives no source, no measured range was at hand and the bounds are our own idea of what looks natural.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

import facewave
from facewave.animation.idle import EYE_RANGE_DEG
from facewave.blendshapes import MIRRORED_PAIRS
from facewave.frames import Animation
from facewave.timing import SAMPLE_RATE

ROOT = Path(__file__).resolve().parent.parent
STREAM_S, SHORTEST_S = 300.0, 30.0
FPS = 60
LEAST_WORDS, LEAST_S = 4, 1.5
PAUSE_S, PAUSE_SPREAD, PAUSE_LIMITS_S = 0.55, 0.6, (0.15, 2.5)
"""Median, spread (log) and limits of the pauses between sentences."""


@dataclass(frozen=True, slots=True)
class Range:
    """What people do."""

    low: float
    high: float
    source: str


HUMAN: dict[str, Range] = {
    "blinks a minute": Range(10.5, 32.5, "in conversation: Doughty 2001; 17 at rest: Bentivoglio et al. 1997"),
    "blink duration, ms (median)": Range(100, 300, "100 to 400: Schiffman 2001; 208 a short one: Homke et al. 2018"),
    "blink duration, ms (95 %)": Range(150, 400, "the same"),
    "blink rate in and by pauses against elsewhere": Range(1.1, 5.0, "more at breaks: Nakano and Kitazawa 2010"),
    "gaze shifts a minute": Range(20, 90, "30 large ones while talking: Lee et al. 2002"),
    "fixation, s (median)": Range(0.3, 3.0, "faces looked at for 2.2 s together: Rogers et al. 2018"),
    "gaze shift, degrees (median)": Range(1, 10, "most below 15: Bahill et al. 1975"),
    "time looking away (> 5 degrees)": Range(0.1, 0.6, "0.4 to 0.6 of speaking time: Argyle and Ingham 1972"),
    "brow raises a minute": Range(3, 20, ""),
    "brow raise, s (median)": Range(0.3, 1.2, ""),
    "head yaw, degrees SD": Range(1, 6, ""),
    "head pitch, degrees SD": Range(1, 6, ""),
    "head roll, degrees SD": Range(0.5, 4, ""),
    "head speed while speaking, degrees/s (mean)": Range(1, 15, ""),
    "head speed, speaking against pausing": Range(1.1, 5, "more when speaking: Hadar et al. 1983"),
    "left-right correlation (median pair)": Range(0.85, 0.995, ""),
    "left-right difference, share (median pair)": Range(0.02, 0.2, ""),
}
"""Ranges of people by row of the table."""


def speech_folder() -> Path:
    shared = os.environ.get("FACEWAVE_SHARED")
    return (Path(shared) if shared else ROOT.parent / "shared") / "speech"


def streams(folder: Path, minutes: float, seed: int) -> Iterator[NDArray[np.float32]]:
    """Samples of one stream after the other, each of one speaker, with pauses."""
    random = np.random.default_rng(seed)
    speakers: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (folder / "index.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            long_enough = float(row["end_s"]) - float(row["start_s"]) >= LEAST_S
            if long_enough and len(row["transcript"].split()) >= LEAST_WORDS:
                speakers[f"{row['corpus']} {row['speaker']}"].append(row)
    wanted = minutes * 60
    many = {name: rows for name, rows in speakers.items() if len(rows) >= 8}
    order = list(random.permutation(sorted(many)))
    taken: dict[str, int] = defaultdict(int)
    while wanted > SHORTEST_S and order:
        name = order.pop(0)
        rows = many[name][taken[name] :]
        samples, used = _joined(folder, rows, min(STREAM_S, wanted), random)
        taken[name] += used
        if used < len(rows):
            order.append(name)
        if len(samples) > SHORTEST_S * SAMPLE_RATE / 2:
            wanted -= len(samples) / SAMPLE_RATE
            yield samples


def _joined(
    folder: Path, rows: Sequence[dict[str, str]], seconds: float, random: np.random.Generator
) -> tuple[NDArray[np.float32], int]:
    parts: list[NDArray[np.float32]] = []
    files: dict[str, NDArray[np.float32]] = {}
    total = used = 0
    for row in rows:
        if total >= seconds * SAMPLE_RATE:
            break
        if row["file"] not in files:
            files[row["file"]] = soundfile.read(folder / row["file"], dtype="float32")[0]
        first, last = (round(float(row[key]) * SAMPLE_RATE) for key in ("start_s", "end_s"))
        pause_s = np.clip(random.lognormal(np.log(PAUSE_S), PAUSE_SPREAD), *PAUSE_LIMITS_S)
        parts += [files[row["file"]][first:last], np.zeros(int(pause_s * SAMPLE_RATE), np.float32)]
        total += len(parts[-1]) + len(parts[-2])
        used += 1
    return np.concatenate(parts) if parts else np.zeros(0, np.float32), used


@dataclass(slots=True)
class Seen:
    """What was counted in all streams."""

    minutes: float
    values: dict[str, list[float]]

    def add(self, name: str, values: Sequence[float] | NDArray[Any]) -> None:
        self.values.setdefault(name, []).extend(float(value) for value in values)


def observe(take: Animation, spoken: NDArray[np.bool_], seen: Seen) -> None:
    """Count what one stream shows; `spoken` says for each frame whether somebody speaks."""
    seen.minutes += len(take) / FPS / 60
    _blinks(take, spoken, seen)
    _gaze(take, seen)
    _brows(take, seen)
    if take.head is not None:
        _head(take.head, spoken, seen)
    for left, right in MIRRORED_PAIRS:
        if not left.startswith("eyeLook"):
            _pair(left.removesuffix("Left"), take.channel(left), take.channel(right), seen)


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, stop) of each run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _low(values: NDArray[Any], seconds: float) -> NDArray[Any]:
    """The lowest value around each frame: what a quick motion rises from."""
    half = int(seconds * FPS / 2)
    padded = np.pad(values, half, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1).min(axis=1))


def _blinks(take: Animation, spoken: NDArray[np.bool_], seen: Seen) -> None:
    lids = (take.channel("eyeBlinkLeft") + take.channel("eyeBlinkRight")) / 2
    lifted = lids - _low(lids, 1.0)
    near_pause = ~spoken
    for shift in range(1, int(0.3 * FPS)):
        near_pause[shift:] |= ~spoken[:-shift]
        near_pause[:-shift] |= ~spoken[shift:]
    found = [(a, b) for a, b in runs(lifted > 0.1) if lifted[a:b].max() > 0.5]
    seen.add("blink", [(b - a) * 1000 / FPS for a, b in found])
    seen.add("blink at pause", [near_pause[a] for a, _ in found])
    seen.add("near pause", [float(near_pause.mean())])


def _gaze(take: Animation, seen: Seen) -> None:
    still = np.zeros(len(take), np.float32)

    def angle(more: Sequence[str], less: Sequence[str]) -> NDArray[np.float32]:
        moved = sum((take.channel(name) for name in more), -sum((take.channel(name) for name in less), still))
        return np.asarray(EYE_RANGE_DEG / 2 * moved, np.float32)

    right = angle(("eyeLookOutRight", "eyeLookInLeft"), ("eyeLookInRight", "eyeLookOutLeft"))
    up = angle(("eyeLookUpLeft", "eyeLookUpRight"), ("eyeLookDownLeft", "eyeLookDownRight"))
    speed = np.hypot(np.diff(right), np.diff(up)) * FPS
    shifts = [(a, b, float(np.hypot(right[b] - right[a], up[b] - up[a]))) for a, b in runs(speed > 20)]
    shifts = [shift for shift in shifts if shift[2] >= 0.5]
    seen.add("gaze shift", [size for _, _, size in shifts])
    seen.add("fixation", [(b - a) / FPS for (_, a, _), (b, _, _) in pairwise(shifts)])
    seen.add("away", [float(np.mean(np.hypot(right, up) > 5))])


def _brows(take: Animation, seen: Seen) -> None:
    brows = (take.channel("browOuterUpLeft") + take.channel("browOuterUpRight")) / 2
    lifted = brows - _low(brows, 2.0)
    found = [(a, b) for a, b in runs(lifted > 0.03) if lifted[a:b].max() > 0.08]
    seen.add("brow", [(b - a) / FPS for a, b in found])


def _head(head: NDArray[np.float32], spoken: NDArray[np.bool_], seen: Seen) -> None:
    for name, values in zip(("yaw", "pitch", "roll"), head.T, strict=True):
        seen.add(name, [float(values.std())])
    speed = np.linalg.norm(np.diff(head, axis=0), axis=1) * FPS
    seen.add("speed spoken", [speed[spoken[1:]].mean()])
    seen.add("speed paused", [speed[~spoken[1:]].mean()] if (~spoken[1:]).any() else [])


def _pair(name: str, left: NDArray[np.float32], right: NDArray[np.float32], seen: Seen) -> None:
    if min(left.std(), right.std()) > 0.005:
        seen.add(f"r {name}", [np.corrcoef(left, right)[0, 1]])
        moved = np.maximum(left, right) > 0.05
        if moved.any():
            seen.add(f"d {name}", [float((np.abs(left - right)[moved] / (left + right)[moved]).mean())])


def table(seen: Seen) -> dict[str, float]:
    """The rows of `HUMAN`."""

    def of(name: str, percentile: float = 50) -> float:
        return float(np.percentile(seen.values[name], percentile)) if seen.values.get(name) else float("nan")

    def mean(name: str) -> float:
        return float(np.mean(seen.values[name])) if seen.values.get(name) else float("nan")

    def count(name: str) -> float:
        return len(seen.values.get(name, ())) / seen.minutes

    pairs = {kind: [mean(name) for name in seen.values if name.startswith(kind + " ")] for kind in ("r", "d")}
    return {
        "blinks a minute": count("blink"),
        "blink duration, ms (median)": of("blink"),
        "blink duration, ms (95 %)": of("blink", 95),
        "blink rate in and by pauses against elsewhere": _odds(mean("blink at pause"), mean("near pause")),
        "gaze shifts a minute": count("gaze shift"),
        "fixation, s (median)": of("fixation"),
        "gaze shift, degrees (median)": of("gaze shift"),
        "time looking away (> 5 degrees)": mean("away"),
        "brow raises a minute": count("brow"),
        "brow raise, s (median)": of("brow"),
        "head yaw, degrees SD": mean("yaw"),
        "head pitch, degrees SD": mean("pitch"),
        "head roll, degrees SD": mean("roll"),
        "head speed while speaking, degrees/s (mean)": mean("speed spoken"),
        "head speed, speaking against pausing": mean("speed spoken") / mean("speed paused"),
        "left-right correlation (median pair)": float(np.median(pairs["r"])) if pairs["r"] else float("nan"),
        "left-right difference, share (median pair)": float(np.median(pairs["d"])) if pairs["d"] else float("nan"),
    }


def _odds(events: float, times: float) -> float:
    """Rate of events inside a share of the time, against the rate outside."""
    return events / times / ((1 - events) / (1 - times)) if 0 < times < 1 and events < 1 else float("nan")


def spoken_frames(samples: NDArray[np.float32], frames: int) -> NDArray[np.bool_]:
    """Whether each frame lies in speech: its level within 28 dB of the loud parts, gaps under 0.2 s filled."""
    edges = np.arange(frames + 1) * SAMPLE_RATE // FPS
    padded = np.pad(samples, (0, max(0, int(edges[-1]) - len(samples))))
    power = np.add.reduceat(np.square(padded[: edges[-1]], dtype=np.float64), edges[:-1]) / np.diff(edges)
    level = 10 * np.log10(power + 1e-12)
    spoken: NDArray[np.bool_] = level > np.percentile(level, 95) - 28
    for start, stop in runs(~spoken):
        if stop - start < 0.2 * FPS:
            spoken[start:stop] = True
    return spoken


def measure(minutes: float, seed: int, emotion: dict[str, float]) -> Seen:
    """Animate the speech and count; progress on stderr."""
    seen = Seen(0.0, {})
    feeling = facewave.EmotionSettings(strength=1.0, override_strength=1.0, overrides=emotion) if emotion else None
    began = time.perf_counter()
    for number, samples in enumerate(streams(speech_folder(), minutes, seed)):
        settings = facewave.StreamSettings(seed=seed + number, emotion=feeling or facewave.EmotionSettings())
        take = facewave.animate(samples, settings=settings, fps=FPS)
        observe(take, spoken_frames(samples, len(take)), seen)
        print(
            f"{seen.minutes:5.1f} of {minutes:g} min, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True
        )
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes of speech")
    parser.add_argument("--seed", type=int, default=0, help="which speech, and when the face blinks and glances")
    parser.add_argument("--emotion", action="append", default=[], metavar="NAME=0..1", help="a given emotion")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "liveliness.json")
    options = parser.parse_args()
    if not (speech_folder() / "index.tsv").is_file():
        sys.exit(f"{speech_folder()}: no index.tsv there; set FACEWAVE_SHARED to a folder that holds speech/index.tsv")
    emotion = {name: float(value) for name, _, value in (pair.partition("=") for pair in options.emotion)}
    seen = measure(options.minutes, options.seed, emotion)
    rows = table(seen)
    print(f"{seen.minutes:.1f} minutes of speech, Embedded, seed {options.seed}")
    for name, value in rows.items():
        human = HUMAN[name]
        inside = "" if human.low <= value <= human.high else "  OUT OF RANGE"
        print(f"{name:46} {value:8.3g}   {human.low:g} to {human.high:g}   {human.source or 'our own bounds'}{inside}")
    document = {
        "minutes": seen.minutes,
        "rows": {name: {"value": rows[name], "low": row.low, "high": row.high, "source": row.source}
                 for name, row in HUMAN.items()},
        "pairs": {name: float(np.mean(values)) for name, values in sorted(seen.values.items())
                  if name.startswith(("r ", "d "))},
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = options.out.with_suffix(".part")
    temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
    temporary.replace(options.out)


if __name__ == "__main__":
    main()
