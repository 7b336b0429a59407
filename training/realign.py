"""Aligns recordings a second time, with the phone head of our own network instead of an English recogniser.

    python -m training.realign --speech DIR --out training/data/human --model MODEL.onnx

Takes the phones of `alignments.tsv` and where they paused, and lets the network say when each one sounds. How the two
compare, voice by voice, is in `training/README.md`. The earlier table is kept as
`alignments.first.tsv`; an utterance keeps its first alignment where the network's is less plausible.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewave.errors import TranscriptError
from facewave.inference.onnx import load_network
from facewave.providers.embedded.transcript.head import HeadAligner
from facewave.providers.embedded.transcript.pronounce import SIL, Phone
from training.align_check import read_alignments
from training.human import Recordings, read_index, replace

WORST_SCORE = -2.2
"""Mean log probability of a frame below which the first alignment is kept; 24 classes by chance give -3.2."""

LARGEST_MOVE_S = 0.15
"""A second alignment whose median start lies further from the first than this is not believed."""


def words_between_pauses(phones: Sequence[Phone]) -> list[list[str]]:
    """The symbols of an alignment, parted where it paused."""
    words: list[list[str]] = [[]]
    for _, _, symbol in phones:
        if symbol != SIL:
            words[-1].append(symbol)
        elif words[-1]:
            words.append([])
    return [word for word in words if word]


def second(aligner: HeadAligner, samples: NDArray[np.float32], first: list[Phone]) -> tuple[list[Phone], str]:
    """The second alignment, or the first and why it was kept."""
    try:
        found = aligner.align(samples, words_between_pauses(first))
    except TranscriptError as error:
        return first, str(error)
    if found.score < WORST_SCORE:
        return first, f"score {found.score:.2f}"
    moves = [
        abs(new[0] - old[0])
        for new, old in zip(
            [phone for phone in found.phones if phone[2] != SIL],
            [phone for phone in first if phone[2] != SIL],
            strict=True,
        )
    ]
    if np.median(moves) > LARGEST_MOVE_S:
        return first, f"starts moved by {np.median(moves):.2f} s"
    return found.phones, ""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="folder with index.tsv")
    parser.add_argument("--out", type=Path, default=Path("training/data/human"), help="folder with alignments.tsv")
    parser.add_argument("--model", type=Path, required=True, help="network with a phone head")
    parser.add_argument("--language", nargs="*", default=[], help="only these languages; the others keep the first")
    options = parser.parse_args(arguments)
    table, kept = options.out / "alignments.tsv", options.out / "alignments.first.tsv"
    firsts = read_alignments(kept if kept.is_file() else table)
    if not kept.is_file():
        replace(kept, table.read_text(encoding="utf-8"))
    aligner, recordings = HeadAligner(load_network(options.model)), Recordings(options.speech)
    utterances = [one for one in read_index(options.speech, ["aishell1"]) if one.id in firsts]
    lines = ["id\tstart_s\tend_s\tphone"]
    unchanged = done = 0
    for i, one in enumerate(utterances, start=1):
        phones = firsts[one.id]
        if not options.language or one.language in options.language:
            phones, reason = second(aligner, recordings.read(one), phones)
            unchanged += bool(reason)
            done += 1
        lines += [f"{one.id}\t{start:.3f}\t{end:.3f}\t{symbol}" for start, end, symbol in phones]
        if i % 50 == 0 or i == len(utterances):
            print(f"\r{i}/{len(utterances)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    replace(table, "\n".join(lines) + "\n")
    print(f"{done - unchanged} utterances aligned again, {unchanged} kept their first alignment")


if __name__ == "__main__":
    main()
