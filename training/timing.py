"""Check of the labels: do the vowels of every voice lie where the sound is?

    python -m training.timing training/configs/base.toml

Vowels carry most of the energy between 0.3 and 4 kHz. For each voice the vowel labels are slid along that energy; the
shift with the highest correlation is how far the labels run late (positive) or early. A voice off by more than 20 ms
needs an offset in its engine. Also counts how often each class occurs. Writes `timing.json` beside the checkpoints.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from facewave.providers.embedded.transcript.coarticulation import VOWELS, rules
from training.prepare import Clip, human, synthetic
from training.settings import Settings, load

HOP = 32
"""Samples between two points of the energy curve: 2 ms."""

REACH = 50
"""Points searched to either side: 100 ms."""

LIMIT_MS = 20
CLIPS_A_VOICE = 60


def energy(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level between 0.3 and 4 kHz every 2 ms, in decibels above a floor 50 dB below the loudest."""
    band = scipy.signal.sosfiltfilt(_BAND, samples)
    n = len(band) // HOP
    level = 10 * np.log10(np.square(band[: n * HOP]).reshape(n, HOP).mean(axis=1) + 1e-12)
    smooth = np.convolve(level, np.ones(7) / 7, mode="same")
    out: NDArray[np.float64] = np.maximum(smooth, smooth.max() - 50)
    return out


_BAND = scipy.signal.butter(2, (300, 4000), "bandpass", fs=16000, output="sos")


def correlations(clips: Iterable[Clip]) -> NDArray[np.float64]:
    """Mean correlation of vowel labels and energy for shifts of -REACH..REACH points, shape (2 * REACH + 1,)."""
    total, count = np.zeros(2 * REACH + 1), 0
    for clip in clips:
        level = energy(clip.samples)
        vowel = np.zeros(len(level))
        for start_s, end_s, symbol in clip.phones:
            if rules().class_of[symbol] in VOWELS:
                vowel[round(start_s * 500) : round(end_s * 500)] = 1
        if len(level) < 6 * REACH or vowel.std() == 0:
            continue
        middle = vowel[REACH:-REACH]
        for shift in range(-REACH, REACH + 1):
            # Late labels match the energy of an earlier moment.
            total[shift + REACH] += np.corrcoef(middle, level[REACH - shift : len(level) - REACH - shift])[0, 1]
        count += 1
    return total / max(1, count)


def main(settings: Settings) -> None:
    report: dict[str, dict[str, float]] = {}
    for source in (synthetic, human):
        for split in ("train", "val", "test"):
            for voice, clips in groupby(
                source(settings, split), key=lambda c: (c.corpus if source is human else c.voice, c.language)
            ):
                some = [clip for clip, _ in zip(clips, range(CLIPS_A_VOICE), strict=False)]
                curve = correlations(some)
                late_ms = (int(np.argmax(curve)) - REACH) * 2
                name = f"{split} {voice[0]} {voice[1]}"
                report[name] = {"late_ms": late_ms, "r": round(float(curve.max()), 3)}
                print(
                    f"timing {name:45s} late {late_ms:+4d} ms, r {curve.max():.2f}"
                    f"{'  <-- look' if abs(late_ms) > LIMIT_MS else ''}",
                    flush=True,
                )
    settings.run.mkdir(parents=True, exist_ok=True)
    (settings.run / "timing.json").write_text(json.dumps(report, indent=1), "utf8")


if __name__ == "__main__":
    main(load(Path(sys.argv[1])))
