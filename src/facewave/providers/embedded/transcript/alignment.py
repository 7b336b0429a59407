"""What an alignment of words with a recording is, and how its silences are made right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....timing import SAMPLE_RATE
from .pronounce import SIL, Phone

BLOCK_S = 0.01
"""Loudness is judged in blocks of this length."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Timed phones of one recording, with signs of how far to trust them."""

    phones: list[Phone]
    """In order, without gaps, from 0 to the end of the recording; times in seconds."""

    score: float
    """Mean log score for each frame of speech; higher is better, comparable within one aligner and corpus."""

    rushed: float
    """Share of phones squeezed to the shortest length the aligner allows; a wrong transcript rushes many."""


STOPS = frozenset(["p", "b", "t", "d", "k", "ɡ"])
STOP_CLOSURE_S = 0.08
"""Silence a stop may keep before its burst: the lips or tongue are closed there, though nothing is heard."""

ONSET_S = 0.03
"""The same for other sounds, which start softly."""

RELEASE_S = 0.06
"""Quiet a last phone may keep."""

LONG_PAUSE_S = 0.1
"""A pause this long lets the mouth rest; the phones around it must not have swallowed a part of it."""


def finish(phones: list[Phone], samples: NDArray[np.float32]) -> list[Phone]:
    """Close gaps, give back silence that first and last phones swallowed, and join neighbouring silences."""
    duration_s = len(samples) / SAMPLE_RATE
    phones = trim_swallowed_silence(with_silences(phones, duration_s), samples)
    return with_silences(phones, duration_s)


def with_silences(phones: Sequence[Phone], duration_s: float) -> list[Phone]:
    """The same phones without gaps from 0 to the end: gaps become silence, neighbouring silences one."""
    filled: list[Phone] = []
    time = 0.0

    def add(start: float, end: float, symbol: str) -> None:
        if end - start < 1e-6:
            return
        if symbol == SIL and filled and filled[-1][2] == SIL:
            start = filled.pop()[0]
        filled.append((start, end, symbol))

    for start, end, symbol in phones:
        if start > time:
            add(time, start, SIL)
        add(max(start, time), end, symbol)
        time = end
    if time < duration_s:
        add(time, duration_s, SIL)
    return filled


def trim_swallowed_silence(phones: list[Phone], samples: NDArray[np.float32]) -> list[Phone]:
    """Move the edges of phones that touch a long pause or an end of the clip to where sound starts and stops.

    An aligner likes to count the quiet before a word as the closure of its first stop. Sound is a 10 ms block at least
    8 dB, or a sixth of the clip's range, above its quiet tenth.
    """
    hop = round(BLOCK_S * SAMPLE_RATE)
    blocks = len(samples) // hop
    if blocks < 3 or len(phones) < 1:
        return phones
    level = 10 * np.log10((samples[: blocks * hop].reshape(blocks, hop).astype(np.float64) ** 2).mean(1) + 1e-9)
    quiet, loud = np.percentile(level, [10, 95])
    sounding = level > quiet + max(8.0, (loud - quiet) / 6)
    trimmed: list[Phone] = []
    for i, (start, end, symbol) in enumerate(phones):
        if symbol != SIL:
            before = phones[i - 1] if i else None
            after = phones[i + 1] if i + 1 < len(phones) else None
            inside = np.flatnonzero(sounding[int(start / BLOCK_S) : max(int(end / BLOCK_S), int(start / BLOCK_S) + 1)])
            # A phone that is quiet throughout tells nothing about its edges, except a stop, whose burst may be weak.
            if len(inside):
                if before is None or (before[2] == SIL and (before[1] - before[0] >= LONG_PAUSE_S or i == 1)):
                    onset = (int(start / BLOCK_S) + inside[0]) * BLOCK_S
                    start = max(start, onset - (STOP_CLOSURE_S if symbol in STOPS else ONSET_S))
                if after is None or (after[2] == SIL and (after[1] - after[0] >= LONG_PAUSE_S or i == len(phones) - 2)):
                    stop = (int(start / BLOCK_S) + 1) * BLOCK_S
                    last = (int(phones[i][0] / BLOCK_S) + inside[-1] + 1) * BLOCK_S
                    end = min(end, max(last + RELEASE_S, stop))
            elif symbol in STOPS and (before is None or before[2] == SIL):
                start = max(start, end - STOP_CLOSURE_S)
        trimmed.append((start, end, symbol))
    return trimmed
