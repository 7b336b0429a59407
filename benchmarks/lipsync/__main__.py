"""Runs the lip-sync benchmark and prints its tables.

    python -m benchmarks.lipsync [--quick] [--out DIR] [--model FILE] [--peers]

Recorded speech is used where it is found: the folder named by the environment variable FACEWAVE_SHARED, or `shared`
beside the repository, holds `speech/index.tsv`, and `training/data/human` its alignments. Definitions of all columns:
`scores.py`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facewave.errors import FacewaveError, TranscriptError
from facewave.streams import Transcript

from . import peers
from .clips import Clip, human_clips, synthetic_clips
from .report import Rows, draw, table, write, write_json
from .scores import FPS, Scored, score
from .systems import Facewave, Weights, disturbances, exchanged, frame_count, loudness, truth

ROOT = Path(__file__).resolve().parent.parent.parent
GROUPS = {
    "human": "Recorded speech, speakers no training saw",
    "held-out": "Synthetic voices and languages no training saw",
    "known": "Synthetic voices training used, other sentences",
}
PEER_SECONDS = 60.0
"""At most this much English of each kind goes through the peers; Rhubarb takes about as long as the audio."""

ROBUST_SECONDS = 60.0
SHORT = ("lag_ms", "r", "r_jaw", "closure_recall", "false_closure", "closure_precision", "labiodental_hit",
         "rounding_auc", "jaw_auc", "rest", "jitter")  # fmt: skip


class Bench:
    """The clips, the truth of each, and what was found so far."""

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips
        self.truths = [truth(clip) for clip in clips]
        self.results: dict[str, object] = {}
        self.texts: list[str] = []

    def score(self, chosen: Sequence[int], weights: Sequence[Weights]) -> dict[str, float]:
        return score(
            [Scored(self.clips[i].phones, one, self.truths[i]) for i, one in zip(chosen, weights, strict=True)]
        )

    def show(self, title: str, key: str, rows: Rows, keys: Sequence[str] = ()) -> None:
        """Print a table and keep it for the files."""
        text = table(title, rows, keys)
        print(text, flush=True)
        self.texts.append(text)
        self.results[key] = dict(rows)

    def group(self, name: str) -> list[int]:
        return [i for i, clip in enumerate(self.clips) if clip.group == name]


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def speech_folder() -> Path:
    shared = os.environ.get("FACEWAVE_SHARED")
    return (Path(shared) if shared else ROOT.parent / "shared") / "speech"


def gather(out: Path, aligned: Path, quick: bool) -> list[Clip]:
    clips = synthetic_clips(out / "clips", quick, say)
    try:
        clips += human_clips(speech_folder(), aligned, quick)
    except FileNotFoundError as error:
        say(f"no recorded speech: {error}")
    if not clips:
        raise SystemExit(
            "nothing to score: install flite or espeak-ng (on Debian: apt-get install flite espeak-ng festival)"
        )
    return clips


def main_tables(bench: Bench, systems: dict[str, Facewave]) -> dict[str, list[Weights]]:
    """A table for each group: every look-ahead, the ceiling, the floors."""
    moved: dict[str, list[Weights]] = {}
    for name, system in systems.items():
        say(f"{name}: {len(bench.clips)} clips")
        moved[name] = [system.weights(clip.samples) for clip in bench.clips]
    first = next(iter(moved.values()))
    quiet = [loudness(clip.samples) for clip in bench.clips]
    for group, title in GROUPS.items():
        chosen = bench.group(group)
        if not chosen:
            continue
        own = [first[i] for i in chosen]
        rows: list[tuple[str, dict[str, float]]] = []
        for name, system in systems.items():
            values = bench.score(chosen, [moved[name][i] for i in chosen])
            rows.append((name, {**values, "cpu": system.cpu_s / max(system.audio_s, 1e-9)}))
        rows.append(("rules (ceiling)", bench.score(chosen, [bench.truths[i] for i in chosen])))
        rows.append(("loudness (floor)", bench.score(chosen, [quiet[i] for i in chosen])))
        rows.append(("another clip (floor)", bench.score(chosen, exchanged(own))))
        seconds = sum(len(bench.truths[i]) for i in chosen) / FPS
        count = int(rows[0][1]["bilabials"])
        bench.show(f"{title} ({len(chosen)} clips, {seconds:.0f} s, {count} p b m)", group, rows)
    return moved


def by_language(bench: Bench, weights: list[Weights]) -> None:
    groups: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(bench.clips):
        groups[f"{clip.language} {clip.group}"].append(i)
    rows = [(name, bench.score(chosen, [weights[i] for i in chosen])) for name, chosen in sorted(groups.items())]
    bench.show("facewave, 100 ms, by language", "languages", rows, SHORT)
    groups.clear()
    for i, clip in enumerate(bench.clips):
        groups[f"{clip.voice} ({clip.group})"].append(i)
    rows = [(name, bench.score(chosen, [weights[i] for i in chosen])) for name, chosen in sorted(groups.items())]
    bench.show("facewave, 100 ms, by voice", "voices", rows, SHORT)


def robustness(bench: Bench, system: Facewave, quick: bool) -> None:
    """The same clips made worse; human clips where there are any."""
    for group in ("human", "held-out"):
        chosen = spread(bench, bench.group(group), ROBUST_SECONDS * (0.3 if quick else 1.0))
        if not chosen:
            continue
        rows = [("clean", bench.score(chosen, [system.weights(bench.clips[i].samples) for i in chosen]))]
        for name, disturb in disturbances().items():
            random = np.random.default_rng(7)
            rows.append(
                (name, bench.score(chosen, [system.weights(disturb(bench.clips[i].samples, random)) for i in chosen]))
            )
        bench.show(f"facewave, 100 ms, disturbed: {group}", f"robustness {group}", rows, SHORT)


def spread(bench: Bench, chosen: list[int], seconds: float) -> list[int]:
    """An even choice of clips that lasts about so long."""
    total = sum(len(bench.truths[i]) for i in chosen) / FPS
    step = max(round(total / seconds), 1) if seconds else 1
    return chosen[::step]


def streaming(bench: Bench, system: Facewave) -> None:
    """Largest difference between a clip in one piece and in small ones, and what the face does in silence."""
    chosen = [max(bench.group(group), key=lambda i: len(bench.truths[i])) for group in GROUPS if bench.group(group)]
    worst = 0.0
    for i in chosen:
        samples = bench.clips[i].samples
        whole = system.weights(samples)
        for chunk in (160, 533, 4096):
            pieces = system.weights(samples, chunk)
            worst = max(worst, float(np.abs(whole - pieces).max()) if len(pieces) == len(whole) else float("inf"))
    random = np.random.default_rng(3)
    quiet = {
        "digital silence": np.zeros(5 * 16000, np.float32),
        "noise at -60 dBFS": (random.normal(size=5 * 16000) * 1e-3).astype(np.float32),
        "noise at -40 dBFS": (random.normal(size=5 * 16000) * 1e-2).astype(np.float32),
    }
    at_rest = {}
    for name, samples in quiet.items():
        phones = [(0.0, 5.0, "sil")]
        weights = system.weights(samples)
        at_rest[name] = score([Scored(phones, weights, np.zeros_like(weights))])["rest"]
    lines = ["### Streaming and silence", ""]
    lines.append(f"Pieces of 160, 533 and 4096 samples against one: largest difference of any weight {worst:.1e}.")
    lines += [
        f"Five seconds of {name}: 95th percentile of the largest mouth weight {value:.3f}."
        for name, value in at_rest.items()
    ]
    text = "\n".join([*lines, ""])
    print(text, flush=True)
    bench.texts.append(text)
    bench.results["streaming"] = {"largest_difference": worst, "rest": at_rest}


def told(system: Facewave, clips: list[Clip]) -> list[Weights] | None:
    """The clips with their words told; None where that cannot be done."""
    try:
        return [system.weights(clip.samples, words=Transcript(clip.text)) for clip in clips]
    except TranscriptError as error:
        say(f"words not told: {error}")
        return None


def peer_tables(bench: Bench, system: Facewave, moved: dict[str, list[Weights]], quick: bool) -> dict[str, Rows]:
    """English clips of both kinds through every peer that is installed, beside facewave and the floors."""
    tables: dict[str, Rows] = {}
    share = 0.3 if quick else 1.0
    calibration = [clip for clip in bench.clips if clip.voice == "flite slt"]
    for kind, title in (("human", "recorded"), ("synthetic", "synthetic")):
        english = [
            i
            for i, clip in enumerate(bench.clips)
            if clip.language == "en" and (clip.group == "human") == (kind == "human")
        ]
        # The voice a peer was calibrated on is left out.
        english = [i for i in english if bench.clips[i].voice != "flite slt"]
        chosen = spread(bench, english, PEER_SECONDS * share) if english else []
        if not chosen:
            continue
        rows: list[tuple[str, dict[str, float]]] = []
        for name, weights in moved.items():
            rows.append((name, bench.score(chosen, [weights[i] for i in chosen])))
        rows.append(("rules (ceiling)", bench.score(chosen, [bench.truths[i] for i in chosen])))
        clips = [bench.clips[i] for i in chosen]
        if (words := told(system, clips)) is not None:
            rows.append(("facewave, words told", bench.score(chosen, words)))
        rows.append(("loudness (floor)", bench.score(chosen, [loudness(clip.samples) for clip in clips])))
        for peer in peers.PEERS:
            if reason := peers.why_not(peer):
                say(f"{peer.name} left out: {reason}")
                continue
            try:
                weights, cpu = peers.run(peer, clips, [clip.text for clip in clips], calibration, say)
            except RuntimeError as error:
                say(str(error))
                continue
            rows.append((peer.name, {**bench.score(chosen, weights), "cpu": cpu}))
        seconds = sum(frame_count(clip.samples) for clip in clips) / FPS
        bench.show(
            f"Beside other systems: {title} English ({len(chosen)} clips, {seconds:.0f} s)", f"peers {kind}", rows
        )
        tables[f"{title} English"] = rows
    return tables


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lipsync", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the clips, under two minutes")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "lipsync")
    parser.add_argument("--model", type=Path, default=None, help="another network than the bundled one")
    parser.add_argument(
        "--aligned", type=Path, default=ROOT / "training" / "data" / "human", help="alignments of recorded speech"
    )
    parser.add_argument(
        "--peers", action=argparse.BooleanOptionalAction, default=None,
        help="run the other systems that are installed (default: yes, but not with --quick)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    started = time.monotonic()
    bench = Bench(gather(options.out, options.aligned, options.quick))
    try:
        systems = {f"facewave {ms} ms": Facewave(ms, options.model) for ms in (100, 50)}
    except FacewaveError as error:
        raise SystemExit(f"no network to score: {error}") from error
    main_system = next(iter(systems.values()))
    moved = main_tables(bench, systems)
    weights = next(iter(moved.values()))
    by_language(bench, weights)
    robustness(bench, main_system, options.quick)
    streaming(bench, main_system)
    with_peers = not options.quick if options.peers is None else options.peers
    tables = peer_tables(bench, main_system, moved, options.quick) if with_peers else {}
    if not tables:
        tables = {GROUPS[key]: list(rows.items()) for key in GROUPS if isinstance(rows := bench.results.get(key), dict)}
    longest = sorted((len(bench.truths[i]), i) for i in bench.group("human") or range(len(bench.clips)))
    examples = [i for n, i in longest if n <= 6 * FPS][-2:]
    try:
        draw(options.out / "lipsync.png", tables, [(bench.clips[i], weights[i], bench.truths[i]) for i in examples])
    except ModuleNotFoundError as error:
        say(f"no picture: {error.name} is not installed; it is part of the extra `train`")
    write(options.out / "lipsync.md", "\n".join(bench.texts))
    write_json(options.out / "lipsync.json", bench.results)
    say(f"done in {time.monotonic() - started:.0f} s; {options.out / 'lipsync.md'}, .json and .png written")


if __name__ == "__main__":
    main()
