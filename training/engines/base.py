"""What every engine returns, and reading of the files they write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from facewave.providers.embedded.transcript.pronounce import Phone

SAMPLE_RATE = 16000


class EngineError(Exception):
    """A synthesiser is missing or said something unknown."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance with its phone times."""

    text: str
    samples: NDArray[np.float32]
    """Shape (n,), mono, 16 kHz."""

    phones: list[Phone]
    """In order and without gaps, seconds from the first sample."""


def to_16k(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Resample to 16 kHz; nothing happens if it is that already."""
    if rate == SAMPLE_RATE:
        return samples
    resampled: NDArray[np.float32] = soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")
    return resampled


def read_16k(path: Path) -> NDArray[np.float32]:
    """A mono sound file, shape (n,), 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32")
    return to_16k(samples, rate)


def contiguous(phones: list[Phone], duration_s: float) -> list[Phone]:
    """Close the phones up to one another and to both ends of the clip, dropping those of no length."""
    kept: list[Phone] = []
    at = 0.0
    for start_s, end_s, symbol in phones:
        end_s = min(max(end_s, at), duration_s)
        if end_s - max(at, start_s) > 1e-3:
            kept.append((at, end_s, symbol))
            at = end_s
    if kept and kept[-1][1] < duration_s:
        start_s, _, symbol = kept[-1]
        if symbol == "sil":
            kept[-1] = (start_s, duration_s, symbol)
        else:
            kept.append((at, duration_s, "sil"))
    return kept
