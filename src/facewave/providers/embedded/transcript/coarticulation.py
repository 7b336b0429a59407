"""How a mouth moves through a row of timed phones: the curves the network learns to hear.

Each phone pulls twelve articulatory parameters towards its targets (`tables/phones.tsv`) with a strength that
depends on its class (`tables/dominance.tsv`) and fades before and after it (`tables/timing.tsv`); the
curve is the weighted mean of all pulls, so neighbours colour each other. Lips that meet, and the lip that meets the
teeth, do not average: those two gestures are laid over the rest, reach their full value, and close the jaw and the
lips with them.

Source: Cohen and Massaro (1993), Modeling coarticulation in synthetic visual speech.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..articulation import CLASSES, PARAMETERS
from .pronounce import SIL, Phone

STEP_HZ = 60
"""Curves are sampled at (i + 1) / 60 s: step i of the network has heard the sound up to there."""

LEAD_S = 0.02
"""Lips are in place before their sound is heard, by some 30 ms on measured speakers; part of it is in the
anticipation."""

SHORT_PAUSE_S, SHORT_PAUSE_PULL = 0.15, 0.1
"""In a pause shorter than this the mouth hardly moves towards rest."""

CLOSED_JAW, CLOSED_LIPS = 0.55, 0.9
"""Parts of jaw and lip opening that a full closure takes away."""

DB_GAIN, DB_LIMITS = 0.035, (0.65, 1.35)
"""A vowel one decibel louder than the clip's typical vowel opens this much further."""

SMOOTHING_S = 0.01
"""Standard deviation of the Gaussian that rounds the corners."""

_OVERSAMPLE = 2
_FOLDER = Path(__file__).parent / "tables"
VOWELS = frozenset(CLASSES.index(name) for name in ("a", "e", "i", "o", "u", "y", "er"))
"""Classes of the vowels."""
_JAW, _CLOSE, _FV, _LOWDN, _UPUP = (PARAMETERS.index(name) for name in ("jaw", "close", "fv", "lowdn", "upup"))


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The three tables as arrays."""

    class_of: dict[str, int]
    """IPA symbol to index in `CLASSES`."""

    target: dict[str, NDArray[np.float64]]
    """IPA symbol to its twelve targets."""

    dominance: NDArray[np.float64]
    """Shape (24, 12): strength of each class on each parameter."""

    before_s: NDArray[np.float64]
    """Shape (12,): time constant with which a pull rises ahead of its phone, seconds."""

    after_s: NDArray[np.float64]
    """Shape (12,): time constant with which it fades after it, seconds."""


@cache
def rules() -> Rules:
    """Load the tables beside this file."""

    def table(name: str) -> list[dict[str, str]]:
        with (_FOLDER / name).open(encoding="utf8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    class_of: dict[str, int] = {}
    target: dict[str, NDArray[np.float64]] = {}
    for row in table("phones.tsv"):
        for symbol in row["symbols"].split():
            class_of[symbol] = CLASSES.index(row["class"])
            target[symbol] = np.array([float(row[name]) for name in PARAMETERS])
    strengths = {row["class"]: [float(row[name]) for name in PARAMETERS] for row in table("dominance.tsv")}
    timing = {row["parameter"]: row for row in table("timing.tsv")}
    return Rules(
        class_of,
        target,
        np.array([strengths[name] for name in CLASSES]),
        np.array([float(timing[name]["anticipation_ms"]) / 1000 for name in PARAMETERS]),
        np.array([float(timing[name]["carry_over_ms"]) / 1000 for name in PARAMETERS]),
    )


def classes(phones: Sequence[Phone], n_steps: int) -> NDArray[np.uint8]:
    """Index in `CLASSES` of the phone sounding at each step, shape (n_steps,); silence outside all phones."""
    known = rules().class_of
    times = (np.arange(n_steps) + 1) / STEP_HZ
    if not phones:
        return np.full(n_steps, known[SIL], dtype=np.uint8)
    starts = np.array([start_s for start_s, _, _ in phones])
    at = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, None)
    ids = np.array([known[symbol] for _, _, symbol in phones], dtype=np.uint8)[at]
    ends = np.array([end_s for _, end_s, _ in phones])[at]
    return np.where((times < starts[0]) | (times >= ends), known[SIL], ids).astype(np.uint8)


def curves(
    phones: Sequence[Phone], n_steps: int, samples: NDArray[np.float32] | None = None, lead_s: float = LEAD_S
) -> NDArray[np.float32]:
    """The twelve parameters at every step.

    Args:
        phones: Timed IPA symbols, in order.
        n_steps: Steps of 1/60 s.
        samples: The sound itself, 16 kHz; with it louder vowels open wider.
        lead_s: How far the mouth runs ahead of the sound.

    Returns:
        Shape (n_steps, 12), order of `PARAMETERS`, in [0, 1].

    Raises:
        KeyError: A symbol that `tables/phones.tsv` lacks.
    """
    table = rules()
    if not phones:
        return np.zeros((n_steps, len(PARAMETERS)), dtype=np.float32)
    times = (np.arange(n_steps * _OVERSAMPLE) + 1) / (STEP_HZ * _OVERSAMPLE) + lead_s
    starts = np.array([start_s for start_s, _, _ in phones])
    ends = np.array([end_s for _, end_s, _ in phones])
    ids = np.array([table.class_of[symbol] for _, _, symbol in phones])
    target = np.stack([table.target[symbol] for _, _, symbol in phones])  # (phones, 12)
    if samples is not None:
        target[:, (_JAW, _LOWDN, _UPUP)] *= _loudness(phones, ids, samples)[:, None]
    strength = table.dominance[ids].copy()  # (phones, 12)
    short = (ids == table.class_of[SIL]) & (ends - starts < SHORT_PAUSE_S)
    short[0] = short[-1] = False  # the ends of a clip are never a pause within speech
    strength[short] = SHORT_PAUSE_PULL

    early = np.maximum(0, starts - times[:, None])  # (times, phones)
    late = np.maximum(0, times[:, None] - ends)
    out = np.empty((len(times), len(PARAMETERS)))
    for p in range(len(PARAMETERS)):
        fade = np.exp(-early / table.before_s[p] - late / table.after_s[p])
        if p in (_CLOSE, _FV):
            out[:, p] = (fade * target[:, p]).max(axis=1)
        else:
            pull = fade * strength[:, p]
            out[:, p] = (pull @ target[:, p]) / (pull.sum(axis=1) + 1e-9)
    met = np.maximum(out[:, _CLOSE], 0)
    out[:, _JAW] *= 1 - CLOSED_JAW * met
    out[:, (_LOWDN, _UPUP)] *= (1 - CLOSED_LIPS * met)[:, None]
    out[:, _LOWDN] *= 1 - CLOSED_LIPS * out[:, _FV]
    smooth = _smoothed(np.clip(out, 0, 1))
    return smooth[_OVERSAMPLE - 1 :: _OVERSAMPLE].astype(np.float32)


def _loudness(phones: Sequence[Phone], ids: NDArray[np.int64], samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Factor on the opening of each vowel from its level against the clip's median vowel, shape (phones,)."""
    factor = np.ones(len(phones))
    vowels = [i for i, c in enumerate(ids) if c in VOWELS]
    if not vowels:
        return factor
    total = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
    at = np.array([[round(phones[i][0] * 16000), round(phones[i][1] * 16000)] for i in vowels]).clip(0, len(samples))
    power = (total[at[:, 1]] - total[at[:, 0]]) / np.maximum(1, at[:, 1] - at[:, 0])
    level_db = 10 * np.log10(power + 1e-10)
    factor[vowels] = np.clip(1 + DB_GAIN * (level_db - np.median(level_db)), *DB_LIMITS)
    return factor


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    sigma = SMOOTHING_S * STEP_HZ * _OVERSAMPLE
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    kernel /= kernel.sum()
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.apply_along_axis(lambda column: np.convolve(column, kernel, mode="valid"), 0, padded)
