"""What the bundled hint of emotion makes of clips whose mood is known: a confusion matrix.

    python -m benchmarks.feeling

The clips lie in `audio/` of the folder that FACEWAVE_SHARED names (or `shared` beside the repository): four acted ones,
and reading and talk that nobody acted, which counts as neutral. Far too few for a score, enough to see what it is not.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewave.audio.files import read_audio
from facewave.features.prosody import STEP_HZ, prosody
from facewave.providers.embedded.feeling import SCORES, VoiceFeeling

ROOT = Path(__file__).resolve().parent.parent
SETTLED_S = 1.5
"""Left out at the start: nothing is said before a second of voice has been heard."""

LABELS = {
    "anger": ("nvidia_Claire_anger.wav",),
    "joy": ("nvidia_Claire_joy_mandarin.wav",),
    "sadness": ("nvidia_Mark_sadness.wav",),
    "outofbreath": ("nvidia_Mark_outofbreath.wav",),
    "neutral": (
        "librispeech_61-70968-0000.flac", "librispeech_198-209-0000.ogg", "librivox_sense_0870.wav",
        "ljspeech_LJ050-0131_48k_stereo.wav", "fleurs_ar.wav", "fleurs_de.wav", "fleurs_fr.wav", "fleurs_hi.wav",
        "fleurs_pt.wav", "nst_sv_u0016003.wav", "mls_es_13697_11991_000000.opus", "common_voice_ja_24511055.mp3",
        "cold_corpus_24bit.wav", "mfa_um.flac", "mfa_cutoff.flac", "ami_ES2011a_headset_40-46s.wav",
    ),
}  # fmt: skip
"""Mood -> clips."""


def folder() -> Path:
    shared = os.environ.get("FACEWAVE_SHARED")
    return (Path(shared) if shared else ROOT.parent / "shared") / "audio"


def heard(path: Path) -> NDArray[np.float64]:
    """Mean probability of each of `SCORES` over a clip."""
    scores = VoiceFeeling()(prosody(read_audio(path).mono_16k())).astype(np.float64)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(shares[int(SETTLED_S * STEP_HZ) :].mean(axis=0))


def main() -> None:
    if not folder().is_dir():
        sys.exit(f"{folder()}: no such folder; set FACEWAVE_SHARED to a folder that holds audio/")
    feelings = [name for name in SCORES if name != "neutral"]
    print("mood of the clip | clips | strongest is neutral | strongest besides neutral | its mean probability")
    for label, names in LABELS.items():
        found = [heard(folder() / name) for name in names if (folder() / name).is_file()]
        if not found:
            print(f"{label} | none found")
            continue
        neutral = sum(SCORES[int(row.argmax())] == "neutral" for row in found)
        besides = [max(feelings, key=lambda name, row=row: row[SCORES.index(name)]) for row in found]  # type: ignore[misc]
        counted = ", ".join(f"{name} {besides.count(name)}" for name in feelings if name in besides)
        strength = np.mean([row[SCORES.index(name)] for row, name in zip(found, besides, strict=True)])
        print(f"{label} | {len(found)} | {neutral} | {counted} | {strength:.2f}")


if __name__ == "__main__":
    main()
