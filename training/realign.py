"""Aligns recordings a second time, with the phone head of our own network instead of an English recogniser.

    python -m training.realign --speech DIR --out training/data/human --model MODEL.onnx

Takes the phones of `alignments.tsv` and where they paused, and lets the network say when each one sounds. That helps
most in languages for which the first alignment had to borrow English sounds. The earlier table is kept as
`alignments.first.tsv`; an utterance keeps its first alignment where the network's is less plausible.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from facewave.features.log_mel import log_mel
from training.align import SAMPLE_RATE, Alignment, AlignmentError, viterbi, with_silences
from training.align_check import read_alignments
from training.human import Recordings, read_index, replace
from training.pronounce import SIL, Phone
from training.rules import rules

STEP_HZ = 60
SOFTEN = 0.1
"""Mixed into every frame's probabilities as an even share, so that one frame the network is sure about cannot veto."""

PAUSE_PENALTY = -2.0
WORST_SCORE = -2.2
"""Mean log probability of a frame below which the first alignment is kept; 24 classes by chance give -3.2."""

LARGEST_MOVE_S = 0.15
"""A second alignment whose median start lies further from the first than this is not believed."""


class HeadAligner:
    """Forced alignment by the class probabilities of the embedded network, in any language."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        heads = self._session.get_modelmeta().custom_metadata_map["look_ahead_samples"]
        self._look_ahead = [int(text) for text in heads.strip("[]").split(",")]

    def log_probs(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log probability of each class at k / 60 s, shape (frames, 24), from the head that hears furthest ahead."""
        head = int(np.argmax(self._look_ahead))
        lead = self._look_ahead[head] * STEP_HZ // SAMPLE_RATE - 1
        n = -(-len(samples) * STEP_HZ // SAMPLE_RATE)
        steps = n + lead
        padded = np.pad(samples, (0, max(-(-steps * SAMPLE_RATE // STEP_HZ) + 1 - len(samples), 0)))
        features = log_mel(padded)[: 2 * steps].reshape(1, steps, -1)
        state_in = next(one for one in self._session.get_inputs() if one.name == "state")
        state = np.zeros([size if isinstance(size, int) else 1 for size in state_in.shape], np.float32)
        (scores,) = self._session.run(["phones"], {"features": features, "state": state})
        shares = scores[0, lead:, head].astype(np.float64)  # the network ends in a softmax
        return np.asarray(np.log((1 - SOFTEN) * shares + SOFTEN / shares.shape[1]), np.float32)

    def align(self, samples: NDArray[np.float32], words: Sequence[Sequence[str]]) -> Alignment:
        """Time the phones of words given as IPA symbols; silence may lie before, between and after words.

        Raises:
            AlignmentError: More phones than the recording can hold.
        """
        class_of = rules().class_of
        symbols = [symbol for word in words for symbol in word]
        log_probs = self.log_probs(samples)
        stretches, score = viterbi(
            log_probs,
            [[class_of[symbol] for symbol in word] for word in words],
            class_of[SIL],
            skip_penalty=PAUSE_PENALTY,
        )
        duration_s = len(samples) / SAMPLE_RATE
        phones: list[Phone] = []
        short = 0
        for first, stop, _, where in stretches:
            # Frame k is the instant k / 60 s, so a change lies half a frame before the first that shows it.
            start = max((first - 0.5) / STEP_HZ, 0.0)
            end = duration_s if stop == len(log_probs) else (stop - 0.5) / STEP_HZ
            phones.append((start, end, SIL if where < 0 else symbols[where]))
            short += where >= 0 and stop - first <= 2
        return Alignment(with_silences(phones, duration_s), score, short / max(len(symbols), 1))


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
    except AlignmentError as error:
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
    aligner, recordings = HeadAligner(options.model), Recordings(options.speech)
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
