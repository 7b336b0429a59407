"""Draw the articulation rules beside the network on the head, at telling sounds of the bundled speech.

python -m tools.rules_picture     # writes docs/images/rules_and_network.png; needs playwright, Chromium, matplotlib

The upper row shows what the rules (`training/rules.py`) make of the clip's true phone times, which is what the network
learns from; the lower row what the network heard in the sound alone. Idle life and emotion are off in both.
"""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

import facewave
from facewave.audio.files import read_audio
from facewave.blendshapes import CHANNELS, INDEX
from facewave.providers.embedded.articulation import lip_gap, to_blendshapes
from facewave.providers.embedded.transcript import coarticulation as rules
from facewave.providers.embedded.transcript.pronounce import Phone
from tools.head.contact_sheet import cell, render

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "src" / "facewave" / "data"
OUT = ROOT / "docs" / "images" / "rules_and_network.png"
SOUNDS: tuple[tuple[int, str, str], ...] = (
    (4, "m", "mother"), (8, "b", "bought"), (19, "p", "pot"), (25, "f", "father"), (12, "w", "warm"),
    (26, "ɑ", "father"), (63, "u", "move"), (52, "i", "baby"),
)  # fmt: skip
"""Row of `demo_phones.tsv`, its IPA symbol and the word it stands in."""

MARKED_BY = {"f": "mouthRollLower", "w": "mouthPucker", "u": "mouthPucker"}
"""The channel that tells these sounds; lips that meet and open vowels are told by the gap between the lips."""

SIZE = 190
VIEW = "lower"


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Both animations of the clip, and its phones."""

    phones: list[Phone]
    times: NDArray[np.float64]
    truth: NDArray[np.float32]
    """Shape (frames, 68), from the rules."""

    heard: NDArray[np.float32]
    """The same from the network."""


def compare() -> Compared:
    """Animate the bundled clip both ways, at the network's own 60 frames a second."""
    clip = read_audio(DATA / "demo.wav")
    with (DATA / "demo_phones.tsv").open(encoding="utf-8", newline="") as file:
        phones = [
            (float(row["start_s"]), float(row["end_s"]), row["ipa"]) for row in csv.DictReader(file, delimiter="\t")
        ]
    settings = facewave.StreamSettings(idle=False, emotion=facewave.EmotionSettings(strength=0.0))
    take = facewave.animate(clip, settings=settings)
    # Rules are sampled at the ends of steps, frames at their starts: frame k + 1 belongs to step k.
    curves = rules.curves(phones, len(take), clip.samples[:, 0])
    truth = np.vstack([np.zeros((1, len(CHANNELS)), np.float32), to_blendshapes(curves)[:-1]])
    return Compared(phones, np.asarray(take.times), truth, take.weights)


def instant(compared: Compared, number: int, symbol: str) -> int:
    """The frame at which the rules show this phone most clearly: within it, or shortly before."""
    start, end, ipa = compared.phones[number]
    if ipa != symbol:
        raise ValueError(f"demo_phones.tsv: row {number} is {ipa!r}, expected {symbol!r}; correct SOUNDS")
    inside = np.flatnonzero((compared.times >= start - 0.02) & (compared.times <= end))
    there = compared.truth[inside]
    if symbol in MARKED_BY:
        return int(inside[there[:, INDEX[MARKED_BY[symbol]]].argmax()])
    gap = lip_gap(there)
    if symbol not in "mbp":
        return int(inside[gap.argmax()])
    closed = inside[gap <= gap.min() + 1e-3]
    return int(closed[len(closed) // 2])


def shown(weights: NDArray[np.float32]) -> dict[str, float]:
    return {name: float(w) for name, w in zip(CHANNELS, weights, strict=True) if w > 1e-3}


def main() -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    compared = compare()
    frames = [instant(compared, number, symbol) for number, symbol, _ in SOUNDS]
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        cells = [cell("", shown(rows[k]), VIEW) for rows in (compared.truth, compared.heard) for k in frames]
        render(cells, sheet, SIZE, len(SOUNDS), captions=False)
        faces = plt.imread(sheet)
    figure = plt.figure(figsize=(12.4, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(3.05, 2))
    above.imshow(faces, aspect="equal")
    step = SIZE + 2
    for i, (_, symbol, word) in enumerate(SOUNDS):
        above.text((i + 0.5) * step, -8, f"/{symbol}/ {word}", ha="center", va="bottom", fontsize=10)
    for row, name in enumerate(("rules\n(true phones)", "network\n(sound alone)")):
        above.text(-10, (row + 0.5) * step, name, ha="right", va="center", fontsize=10)
    above.axis("off")
    below.plot(compared.times, lip_gap(compared.truth), color="#8c959f", label="rules", linewidth=1.6)
    below.plot(compared.times, lip_gap(compared.heard), color="#1f6feb", label="network", linewidth=1.3)
    for (_, symbol, _), k in zip(SOUNDS, frames, strict=True):
        below.axvline(compared.times[k], color="#d1242f", linewidth=0.8, alpha=0.6)
        below.text(compared.times[k], 1.0, f" {symbol}", transform=below.get_xaxis_transform(), va="bottom",
                   ha="center", fontsize=9, color="#d1242f")  # fmt: skip
    below.set(xlim=(0, compared.times[-1]), ylim=(0, 0.62), xlabel="seconds", ylabel="opening of the lips")
    below.legend(loc="upper right", frameon=False, ncols=2, fontsize=9)
    below.spines[["top", "right"]].set_visible(False)
    figure.savefig(OUT, dpi=92)
    apart = np.abs(lip_gap(compared.truth) - lip_gap(compared.heard)).mean()
    print(f"{OUT}: mean difference of the lips' opening {apart:.3f}, of jawOpen at full weight 1")


if __name__ == "__main__":
    main()
