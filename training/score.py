"""Measures of how well a mouth follows known phones. Each function says exactly what it counts.

All take the curves as the viewer gets them: calibrated articulation in [0, 1], one row every 1/60 s, row i describing
time (i + 1) / 60 s of the clip. Phone windows are widened by 40 ms before and 20 ms after, as lips run ahead of sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewave.providers.embedded.articulation import CLASSES, PARAMETERS, lip_gap, to_blendshapes
from facewave.providers.embedded.transcript.coarticulation import STEP_HZ, VOWELS, classes, curves, rules
from facewave.providers.embedded.transcript.pronounce import SIL, Phone

EIGHT = ("jaw", "close", "fv", "funnel", "pucker", "spread", "lowdn", "upup")
"""The curves that can be seen from outside."""

CLOSED_SHARE = 0.25
"""Lips count as closed when their gap is at most this part of the clip's open gap."""

OPEN_PERCENTILE = 90
BEFORE_S, AFTER_S = 0.04, 0.02
LONG_S = 0.08
"""A shorter vowel beside a /p b m/ may have no moment in which the lips are apart."""

BITE = 0.5
"""A labiodental counts as shown when its curve reaches this."""

MAX_LAG = 12
"""Steps to either side (200 ms)."""

_SILENT = CLASSES.index(SIL)
_COLUMNS = [PARAMETERS.index(name) for name in EIGHT]
_FV = PARAMETERS.index("fv")
_JAW, _PUCKER, _FUNNEL = (PARAMETERS.index(name) for name in ("jaw", "pucker", "funnel"))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One clip: what was shown, and what the phones ask for."""

    phones: list[Phone]
    shown: NDArray[np.float32]
    """Shape (steps, 12)."""

    wanted: NDArray[np.float32]
    """Shape (steps, 12): the rules, with their lead."""

    class_ids: NDArray[np.uint8]
    """Shape (steps,): the phone sounding."""

    guessed: NDArray[np.int64] | None = None
    """Shape (steps,): the network's most probable class."""


def judge(phones: list[Phone], shown: NDArray[np.float32], samples: NDArray[np.float32],
          guessed: NDArray[np.int64] | None = None) -> Judged:  # fmt: skip
    """Put a clip's curves beside its phones."""
    n = len(shown)
    return Judged(phones, shown, curves(phones, n, samples), classes(phones, n), guessed)


def scores(clips: Sequence[Judged]) -> dict[str, float]:
    """All measures over a set of clips; nan where a set has nothing to measure."""
    gaps = [lip_gap(to_blendshapes(c.shown)) for c in clips]
    shut = [shut_steps(gap, c.class_ids) for gap, c in zip(gaps, clips, strict=True)]
    out = closures(clips, shut)
    out |= labiodentals(clips)
    spoken = [c.class_ids != _SILENT for c in clips]
    shown = np.concatenate([c.shown[s] for c, s in zip(clips, spoken, strict=True)])
    wanted = np.concatenate([c.wanted[s] for c, s in zip(clips, spoken, strict=True)])
    each = {name: _r(shown[:, k], wanted[:, k]) for name, k in zip(EIGHT, _COLUMNS, strict=True)}
    known = [value for value in each.values() if not np.isnan(value)]
    out["r_eight"] = float(np.mean(known)) if known else float("nan")
    out |= {f"r_{name}": value for name, value in each.items()}
    out |= _vowels(clips)
    out["lag_ms"] = _lag_ms(clips)
    out["rest_p95"] = _rest(clips)
    out["jitter"] = float(_jerk(c.shown for c in clips) / max(1e-9, _jerk(c.wanted for c in clips)))
    if all(c.guessed is not None for c in clips):
        out["class_accuracy"] = _balanced(clips)
    return out


def closures(clips: Sequence[Judged], shut: Sequence[NDArray[np.bool_]]) -> dict[str, float]:
    """How often the lips meet, and whether they should.

    Recall: /p b m/ with a shut step in their window. False: open vowels of at least `LONG_S` shut at their middle.
    Precision: of the runs of shut steps within speech that touch no /f v/ (where lips rightly almost meet), those that
    touch the window of a /p b m/.
    """
    recall = _rate(
        s[_window(p, len(s))].any() for c, s in zip(clips, shut, strict=True) for p in c.phones if _is(p, "pb", "m")
    )
    false = _rate(
        s[_middle(p, len(s))] for c, s in zip(clips, shut, strict=True) for p in c.phones if _open(p) and _long(p)
    )
    hits: list[bool] = []
    for c, s in zip(clips, shut, strict=True):
        meant, near = np.zeros(len(s), dtype=bool), np.zeros(len(s), dtype=bool)
        for p in c.phones:
            if _is(p, "pb", "m"):
                meant[_window(p, len(s))] = True
            elif _is(p, "fv"):
                near[_window(p, len(s))] = True
        inside = s & _within_speech(c.class_ids)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], inside.astype(np.int8), [0]))))
        runs = [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        hits += [bool(meant[r].any()) for r in runs if meant[r].any() or not near[r].any()]
    return {"closure_recall": recall, "closure_false": false, "closure_precision": _rate(hits)}


def labiodentals(clips: Sequence[Judged]) -> dict[str, float]:
    """Share of /f v/ in whose window the labiodental curve reaches `BITE`, and of other phones in whose middle half
    it does."""
    return {
        "labiodental_hit": _rate(
            c.shown[_window(p, len(c.shown)), _FV].max() >= BITE for c in clips for p in c.phones if _is(p, "fv")
        ),
        "labiodental_false": _rate(
            c.shown[_core(p, len(c.shown)), _FV].max() >= BITE
            for c in clips
            for p in c.phones
            if p[2] != SIL and not _is(p, "fv")
        ),
    }


def shut_steps(gap: NDArray[np.float32], class_ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Steps at which the lips count as closed, shape (steps,)."""
    spoken = class_ids != _SILENT
    wide = np.percentile(gap[spoken], OPEN_PERCENTILE) if spoken.any() else 1.0
    return np.asarray(gap <= CLOSED_SHARE * wide)


def _within_speech(class_ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Steps of speech, without the first and last 100 ms next to a pause: the mouth comes from rest, or goes there."""
    quiet = class_ids == _SILENT
    near = quiet.copy()
    for shift in range(1, 7):
        near[shift:] |= quiet[:-shift]
        near[:-shift] |= quiet[shift:]
    return np.asarray(~near)


def _is(phone: Phone, *names: str) -> bool:
    return CLASSES[rules().class_of[phone[2]]] in names and phone[2] not in "βɸ"


def _open(phone: Phone) -> bool:
    return rules().class_of[phone[2]] in VOWELS and rules().target[phone[2]][_JAW] >= 0.38


def _long(phone: Phone) -> bool:
    return phone[1] - phone[0] >= LONG_S


def _middle(phone: Phone, n: int) -> int:
    return min(max(round((phone[0] + phone[1]) / 2 * STEP_HZ) - 1, 0), n - 1)


def _window(phone: Phone, n: int) -> slice:
    first = int(np.floor((phone[0] - BEFORE_S) * STEP_HZ))
    last = int(np.ceil((phone[1] + AFTER_S) * STEP_HZ))
    return _slice(first, last, n)


def _core(phone: Phone, n: int) -> slice:
    quarter = (phone[1] - phone[0]) / 4
    return _slice(round((phone[0] + quarter) * STEP_HZ), round((phone[1] - quarter) * STEP_HZ), n)


def _slice(first: int, last: int, n: int) -> slice:
    first = min(max(first, 0), n - 1)
    return slice(first, min(max(last, first + 1), n))


def _rate(hits: object) -> float:
    values = [bool(h) for h in hits]  # type: ignore[attr-defined]
    return float(np.mean(values)) if values else float("nan")


def _r(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 and b.std() > 1e-6 else float("nan")


def _vowels(clips: Sequence[Judged]) -> dict[str, float]:
    """Areas under the curve: jaw of open (target >= .4) against close vowels (<= .2), and pucker + funnel of rounded
    (their targets sum to >= .6) against unrounded ones (<= .1), in the middle of vowels of at least 50 ms."""
    rows = [
        (rules().target[p[2]], c.shown[_core(p, len(c.shown))].mean(axis=0))
        for c in clips for p in c.phones if rules().class_of[p[2]] in VOWELS and p[1] - p[0] >= 0.05
    ]  # fmt: skip
    if not rows:
        return {"auc_jaw": float("nan"), "auc_rounding": float("nan")}
    target = np.stack([t for t, _ in rows])
    shown = np.stack([s for _, s in rows])
    round_target = target[:, _PUCKER] + target[:, _FUNNEL]
    return {
        "auc_jaw": _auc(shown[:, _JAW], target[:, _JAW] >= 0.4, target[:, _JAW] <= 0.2),
        "auc_rounding": _auc(shown[:, _PUCKER] + shown[:, _FUNNEL], round_target >= 0.6, round_target <= 0.1),
    }


def _auc(values: NDArray[np.float32], positive: NDArray[np.bool_], negative: NDArray[np.bool_]) -> float:
    above, below = values[positive], values[negative]
    if not len(above) or not len(below):
        return float("nan")
    order = np.searchsorted(np.sort(below), above, side="left") + np.searchsorted(np.sort(below), above, side="right")
    return float(order.mean() / 2 / len(below))


def _lag_ms(clips: Sequence[Judged]) -> float:
    """How far the shown lip gap runs behind the gap the phones ask for without any lead; negative is ahead."""
    total = np.zeros(2 * MAX_LAG + 1)
    for c in clips:
        if len(c.shown) < 4 * MAX_LAG:
            continue
        shown = lip_gap(to_blendshapes(c.shown))
        wanted = lip_gap(to_blendshapes(curves(c.phones, len(c.shown), lead_s=0.0)))
        middle = wanted[MAX_LAG:-MAX_LAG]
        for lag in range(-MAX_LAG, MAX_LAG + 1):
            r = _r(middle, shown[MAX_LAG + lag : len(shown) - MAX_LAG + lag])
            total[lag + MAX_LAG] += 0 if np.isnan(r) else r * len(middle)
    best = int(np.argmax(total))
    if 0 < best < 2 * MAX_LAG:
        a, b, c2 = total[best - 1 : best + 2]
        return float((best - MAX_LAG + 0.5 * (a - c2) / (a - 2 * b + c2 - 1e-12)) * 1000 / STEP_HZ)
    return float("nan")


def _rest(clips: Sequence[Judged]) -> float:
    """95th percentile, over steps deep in a pause (300 ms from either end of it), of the largest visible
    curve."""
    values = []
    for c in clips:
        for start_s, end_s, symbol in c.phones:
            first, last = round((start_s + 0.3) * STEP_HZ), round((end_s - 0.3) * STEP_HZ)
            if symbol == SIL and last > first:
                values.append(c.shown[first:last][:, _COLUMNS].max(axis=1))
    return float(np.percentile(np.concatenate(values), 95)) if values else float("nan")


def _jerk(curves_of: object) -> float:
    """Mean size of the second difference of the eight curves."""
    sums = [np.abs(np.diff(x[:, _COLUMNS], n=2, axis=0)).sum() for x in curves_of]  # type: ignore[attr-defined]
    return float(np.sum(sums))


def _balanced(clips: Sequence[Judged]) -> float:
    """Mean over classes of the share of steps recognised."""
    true = np.concatenate([c.class_ids for c in clips])
    guess = np.concatenate([c.guessed for c in clips if c.guessed is not None])
    return float(np.mean([(guess[true == k] == k).mean() for k in np.unique(true)]))
