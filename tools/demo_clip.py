"""Makes the bundled demo clip and its phone times with the synthesiser flite.

Run from the repository's root with flite installed: `python tools/demo_clip.py`. It writes `demo.wav` (16 kHz, mono,
16-bit) and `demo_phones.tsv` (start_s, end_s, ipa) into `src/facewave/data`. The voice is `slt` of CMU ARCTIC, whose
licence allows any use, and flite states the exact time of every phone it speaks, so the clip can check lip sync.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from facewave.providers.embedded.transcript.pronounce import SIL, Phone, arpabet_to_ipa

VOICE = "slt"
SAMPLE_RATE = 16000
SENTENCES = (
    "My mother bought a warm blue pot for father.",
    "We all saw five very happy baby lambs.",
    "Wow! Move over, Bob, and wave.",
)
"""Many p, b, m, f, v and w, open vowels, and a pause after each sentence."""

PAUSE_S = 0.35
"""Silence put between two sentences, on top of what flite leaves at each end."""

PEAK = 0.7
DATA = Path(__file__).resolve().parent.parent / "src" / "facewave" / "data"


def speak(text: str, voice: str = VOICE) -> tuple[NDArray[np.float64], list[Phone]]:
    """Synthesise one sentence.

    Returns:
        Samples at 16 kHz, mono, shape (n,), and the phones in order, their times exact.

    Raises:
        RuntimeError: flite is not installed or spoke at another rate.
    """
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(wav)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except FileNotFoundError as error:
            raise RuntimeError("flite is not installed; on Debian: apt-get install flite") from error
        samples, rate = sf.read(wav, dtype="float64")
    if rate != SAMPLE_RATE:
        raise RuntimeError(f"flite voice {voice} spoke at {rate} Hz, expected {SAMPLE_RATE} Hz; choose another voice")
    phones: list[Phone] = []
    offset = start = 0.0
    for name, end_text in re.findall(r"(\S+):([\d.]+)", done.stdout):
        # flite counts each part of a longer text from zero again.
        if offset + float(end_text) < start:
            offset = start
        end = offset + float(end_text)
        phones += arpabet_to_ipa(start, end, name)
        start = end
    return samples, phones


def compose() -> tuple[NDArray[np.float64], list[Phone]]:
    """The whole clip: every sentence, with pauses between."""
    parts: list[NDArray[np.float64]] = []
    phones: list[Phone] = []
    start = 0.0
    for sentence in SENTENCES:
        if parts:
            parts.append(np.zeros(round(PAUSE_S * SAMPLE_RATE)))
            phones.append((start, start + PAUSE_S, SIL))
            start += PAUSE_S
        samples, spoken = speak(sentence)
        parts.append(samples)
        phones += [(start + a, start + b, symbol) for a, b, symbol in spoken]
        start += len(samples) / SAMPLE_RATE
    samples = np.concatenate(parts)
    return samples * (PEAK / np.abs(samples).max()), merge_silences(phones, len(samples) / SAMPLE_RATE)


def merge_silences(phones: list[Phone], duration_s: float) -> list[Phone]:
    """Join neighbouring silences, and let the last phone end with the clip."""
    merged: list[Phone] = []
    for start, end, symbol in phones:
        if merged and merged[-1][2] == symbol == SIL:
            start = merged.pop()[0]
        merged.append((start, end, symbol))
    merged[-1] = (merged[-1][0], duration_s, merged[-1][2])
    return merged


def main() -> None:
    samples, phones = compose()
    DATA.mkdir(parents=True, exist_ok=True)
    sf.write(DATA / "demo.wav", samples, SAMPLE_RATE, subtype="PCM_16")
    lines = ["start_s\tend_s\tipa", *(f"{a:.3f}\t{b:.3f}\t{symbol}" for a, b, symbol in phones)]
    (DATA / "demo_phones.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{DATA / 'demo.wav'}: {len(samples) / SAMPLE_RATE:.2f} s, {len(phones)} phones")


if __name__ == "__main__":
    main()
