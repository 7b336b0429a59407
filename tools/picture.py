"""Draw README's picture: the bundled speech, its phones, and the curves the bundled model makes of it.

python tools/picture.py      # writes docs/images/demo.png; needs matplotlib (extra `train`)
"""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib as mpl
import numpy as np

import facewave
from facewave.audio.files import read_audio
from facewave.providers.embedded.articulation import lip_gap

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "src" / "facewave" / "data"
CLOSING = {"p", "b", "m"}
CURVES = (("jawOpen", "#1f6feb"), ("mouthPucker", "#8250df"))


def main() -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    clip = read_audio(DATA / "demo.wav")
    take = facewave.animate(clip)
    with (DATA / "demo_phones.tsv").open(encoding="utf-8", newline="") as file:
        phones = list(csv.DictReader(file, delimiter="\t"))
    figure, (sound, curves) = plt.subplots(
        2, 1, figsize=(10, 4), sharex=True, height_ratios=(1, 2), layout="constrained"
    )
    seconds = np.arange(len(clip.samples)) / clip.sample_rate
    sound.fill_between(seconds, -np.abs(clip.samples[:, 0]), np.abs(clip.samples[:, 0]), color="#8c959f", linewidth=0)
    sound.set_yticks([])
    sound.set_ylabel("speech")
    for name, colour in CURVES:
        curves.plot(take.times, take.channel(name), color=colour, label=name, linewidth=1.3)
    curves.fill_between(take.times, 0, lip_gap(take.weights), color="#d0d7de", label="opening of the lips", linewidth=0)
    for phone in phones:
        start, end, ipa = float(phone["start_s"]), float(phone["end_s"]), phone["ipa"]
        if ipa in CLOSING:
            curves.axvspan(start, end, color="#d1242f", alpha=0.12, linewidth=0)
            curves.text((start + end) / 2, 0.81, ipa, ha="center", va="bottom", fontsize=8, color="#d1242f")
    curves.set(ylim=(0, 0.8), xlim=(0, take.duration_s), xlabel="seconds", ylabel="weight")
    curves.legend(loc="upper right", ncols=len(CURVES) + 1, frameon=False, fontsize=8)
    for axis in (sound, curves):
        axis.spines[["top", "right"]].set_visible(False)
    (ROOT / "docs" / "images").mkdir(parents=True, exist_ok=True)
    figure.savefig(ROOT / "docs" / "images" / "demo.png", dpi=110)


if __name__ == "__main__":
    main()
