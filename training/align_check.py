"""Measures the aligned phones of a folder against another aligner's.

    python -m training.align_check --out training/data/human --reference alignments_librispeech.tsv

The reference has the columns id, tier, start_s, end_s, label; rows whose tier is `phone` carry ARPAbet. Phones are
matched by name within each utterance, the error is ours minus theirs.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from facewave.providers.embedded.transcript.pronounce import SIL, Phone, arpabet_to_ipa

CLOSE_S = (0.01, 0.02, 0.03, 0.05, 0.1)
SAME = {"ʌ": "ə"}
"""PocketSphinx's dictionary does not tell these apart."""


def read_reference(path: Path) -> dict[str, list[Phone]]:
    """Phones by utterance, silences left out."""
    found: dict[str, list[Phone]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["tier"] == "phone":
                phones = arpabet_to_ipa(float(row["start_s"]), float(row["end_s"]), row["label"])
                found[row["id"]] += [phone for phone in phones if phone[2] != SIL]
    return found


def read_alignments(path: Path) -> dict[str, list[Phone]]:
    """`alignments.tsv` as phones by utterance, silences included."""
    found: dict[str, list[Phone]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            found[row["id"]].append((float(row["start_s"]), float(row["end_s"]), row["phone"]))
    return found


def start_errors(ours: list[Phone], theirs: list[Phone]) -> list[tuple[str, float]]:
    """Symbol and start error in seconds of each phone both sides have."""
    ours = [phone for phone in ours if phone[2] != SIL]
    our_names, their_names = ([SAME.get(phone[2], phone[2]) for phone in side] for side in (ours, theirs))
    matcher = SequenceMatcher(None, our_names, their_names, autojunk=False)
    return [
        (ours[a + k][2], ours[a + k][0] - theirs[b + k][0])
        for a, b, n in matcher.get_matching_blocks()
        for k in range(n)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("training/data/human"), help="folder with alignments.tsv")
    parser.add_argument("--reference", type=Path, required=True)
    options = parser.parse_args()
    reference = read_reference(options.reference)
    ours = read_alignments(options.out / "alignments.tsv")
    errors = [error for key in reference if key in ours for error in start_errors(ours[key], reference[key])]
    total = sum(len(reference[key]) for key in reference if key in ours)
    if not errors:
        raise SystemExit(f"no utterance of {options.reference} is among those of {options.out}")
    values = np.array([error for _, error in errors])
    near = values[np.abs(values) < CLOSE_S[-1]]
    print(
        f"{len(values)} of {total} phones matched; bias {near.mean() * 1000:+.1f} ms; "
        f"mean error {np.abs(values).mean() * 1000:.1f} ms"
    )
    for limit in CLOSE_S:
        print(f"within {limit * 1000:4.0f} ms: {(np.abs(values) <= limit + 1e-6).mean():.1%}")
    for symbol in ("p", "b", "m", "f", "v", "w"):
        some = np.array([error for name, error in errors if name == symbol])
        if len(some):
            print(
                f"{symbol}: {len(some)} phones, bias {some.mean() * 1000:+.1f} ms, "
                f"{(np.abs(some) <= 0.02).mean():.1%} within 20 ms"
            )


if __name__ == "__main__":
    main()
