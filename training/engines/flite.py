"""CMU Flite: small American English voices whose `-psdur` names every phone and the second at which it ends."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from facewave.providers.embedded.transcript.pronounce import Phone, arpabet_to_ipa

from .base import EngineError, Spoken, contiguous, read_16k


def speak(voice: str, language: str, texts: Sequence[str], rng: np.random.Generator) -> Iterator[Spoken]:
    """Speak each text with a flite voice (`kal16`, `awb`, `rms`, `slt`), at a random rate.

    Raises:
        EngineError: flite is not installed, or failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        for text in texts:
            stretch = float(rng.uniform(0.78, 1.3))
            command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}", "-psdur",
                       "-t", text, "-o", str(path)]  # fmt: skip
            try:
                printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            except FileNotFoundError as error:
                raise EngineError("flite is not installed; on Debian: apt-get install flite") from error
            except subprocess.CalledProcessError as error:
                raise EngineError(f"flite -voice {voice} failed: {error.stderr.strip()}") from error
            samples = read_16k(path)
            yield Spoken(text, samples, contiguous(_phones(printed), len(samples) / 16000))


def _phones(printed: str) -> list[Phone]:
    """Read `pau:0.176 dh:0.329 ...`, each with the time at which it ends."""
    phones: list[Phone] = []
    start_s = 0.0
    for item in printed.split():
        name, _, end = item.rpartition(":")
        phones += arpabet_to_ipa(start_s, float(end), name)
        start_s = float(end)
    return phones
