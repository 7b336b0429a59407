"""The yardstick: what each number of the table means, computed from ARKit weights and phone times alone.

Every system gives blend-shape weights at 60 frames a second, frame k at k / 60 s. Eight **curves** are read off them:

- `jaw`: jawOpen. `funnel`: mouthFunnel. `pucker`: mouthPucker.
- `closure`: 1 - gap / open gap, within 0..1. The gap between the inner lips is `facewave.lip_gap`, measured on a public
  ARKit head; the open gap of a clip is the 90th percentile of its gap during speech. Any rig's weights can be scored.
- `labiodental`: mouthRollLower - mouthRollUpper, never below 0: the lower lip goes under the teeth, the upper does not.
- `spread`: sum of the means of mouthStretch, mouthSmile and mouthDimple. `lower_down`, `upper_up`: means of both sides.

**Truth** are the same curves of the articulation rules driven by the phone times (`coarticulation.py`), which let the
lips lead the sound as measured lips do. A perfect score therefore means "as the rules move", not "as this person
moved"; the row `truth` shows what the scorer gives the rules themselves. Speech is every frame in which a phone
sounds.

- `r`: Pearson correlation with the truth, frames of all clips together, mean of the eight curves, during speech. A
  curve that never moves has r = 0. `r_jaw`, `r_closure`, `r_pucker`, `r_spread`: single curves.
- `lag_ms`: the shift that gives the best r, within 150 ms; positive: the system is late. `r_best`: r at that shift.
- `closure_recall`: share of p, b, m that close: the gap falls to a quarter of the open gap within the phone or up to
  30 ms before it. Neighbours (m b) count as one. A mouth that opens less than 0.02 all clip long is always closed.
- `false_closure`: share of frames in the middle half of open vowels of 80 ms or more in which the lips are closed;
  frames less than 60 ms before or 40 ms after a p, b or m are left out, because there lips may be closing already.
- `closure_precision`: of all stretches of closed frames that lie within speech, the share that touches a p, b or m
  (50 ms either side). Stretches on sounds spoken with nearly closed lips (`NARROW`) count neither way.
- `labiodental_hit`: share of f, v whose labiodental curve reaches `LABIODENTAL_HIT` within the phone or 30 ms before.
- `labiodental_false`: share of other consonants (not p, b, m, none of f, v within 60 ms) in which it does.
- `rounding_auc`: chance that a rounded vowel has more funnel + pucker at its middle than an unrounded one. 0.5 is luck.
- `jaw_auc`: the same for jawOpen, the most open vowels (`WIDE`) against close ones. Both: vowels of 50 ms or more.
- `viseme_accuracy`: five classes (closed, labiodental, rounded, open, narrow) told apart from five numbers a phone
  (least gap, jaw, labiodental, funnel + pucker, spread) by a linear discriminant fitted on every other clip and
  tested on the rest, both ways round; mean recall of the classes, 0.2 is luck. Each system gets its own fit, so gains
  do not matter.
- `rest`: 95th percentile of the largest jaw or mouth weight in silence, from 0.2 s after the last phone (at the start
  of a clip: from the first frame) to 0.3 s before the next, where lips begin to get ready.
- `jitter`: root mean square of the second difference over the standard deviation, of jaw, gap, funnel and pucker,
  divided by the same of the truth. 1 is as smooth as the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewave.blendshapes import INDEX
from facewave.providers.embedded.articulation import lip_gap
from facewave.providers.embedded.transcript.pronounce import SIL, Phone

FPS = 60
CURVES = ("jaw", "closure", "labiodental", "funnel", "pucker", "spread", "lower_down", "upper_up")
CLOSED_SHARE = 0.25
LEAST_OPEN_GAP = 0.02
LABIODENTAL_HIT = 0.25
LEAD_S = 0.03
PRECISION_REACH_S = 0.05
LARGEST_LAG = 9
"""Frames: 150 ms."""

BILABIAL = frozenset("pbmɓ")
LABIODENTAL = frozenset("fvɱʋ")
NARROW = frozenset("fvɱʋβɸwʍɥuʊyʏʉszʃʒɕʑʂʐ")
OPEN = frozenset("aɑæɐʌɛɔ")
WIDE = frozenset("aɑæɐɒ")
CLOSE_VOWELS = frozenset("iɪuʊyʏʉɨɯ")
ROUNDED = frozenset("uʊoɔyʏøœʉɵ")
UNROUNDED = frozenset("iɪeɛæaɑɐɨɯ")
VISEMES = (BILABIAL, LABIODENTAL, ROUNDED | frozenset("wɥʍ"), frozenset("aɑæɐʌɛ"), frozenset("iɪejszɨ"))
VOWELS = OPEN | CLOSE_VOWELS | ROUNDED | UNROUNDED | frozenset("əɜɘɚɤɒ")

_MOUTH = [i for name, i in INDEX.items() if name.startswith(("jaw", "mouth"))]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One clip as one system moves it, beside the truth."""

    phones: Sequence[Phone]
    weights: NDArray[np.float32]
    """Shape (frames, 52 or 68), 60 per second."""

    truth: NDArray[np.float32]
    """Same form, from the rules."""


@dataclass(frozen=True, slots=True, eq=False)
class _Moved:
    """What the scores are computed from, for one clip."""

    phones: Sequence[Phone]
    speech: NDArray[np.bool_]
    curves: NDArray[np.float32]
    gap: NDArray[np.float32]
    closed: NDArray[np.bool_]
    weights: NDArray[np.float32]


def score(clips: Sequence[Scored]) -> dict[str, float]:
    """All numbers of the docstring above; NaN where the clips hold nothing to measure one on.

    Raises:
        ValueError: Weights and truth of a clip differ in length.
    """
    systems, truths = [], []
    for i, clip in enumerate(clips):
        if len(clip.weights) != len(clip.truth):
            raise ValueError(f"clip {i}: found {len(clip.weights)} frames, expected {len(clip.truth)} like the truth")
        systems.append(_move(clip.phones, clip.weights))
        truths.append(_move(clip.phones, clip.truth))
    return {
        **_correlations(systems, truths),
        **_closures(systems),
        **_labiodentals(systems),
        "rounding_auc": _rounding_auc(systems),
        "jaw_auc": _jaw_auc(systems),
        "viseme_accuracy": _viseme_accuracy(systems),
        "rest": _rest(systems),
        "jitter": _share(_jitter(systems), _jitter(truths)),
        "bilabials": float(sum(len(_bilabials(one.phones)) for one in systems)),
        "seconds": sum(len(one.gap) for one in systems) / FPS,
    }


def curves_of(weights: NDArray[np.float32], speech: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The eight curves, shape (frames, 8), order of `CURVES`."""

    def mean(name: str) -> NDArray[np.float32]:
        return (weights[:, INDEX[name + "Left"]] + weights[:, INDEX[name + "Right"]]) / np.float32(2)

    gap = lip_gap(weights)
    return np.stack(
        [
            weights[:, INDEX["jawOpen"]],
            np.clip(1 - gap / max(open_gap(gap, speech), LEAST_OPEN_GAP), 0, 1),
            np.maximum(weights[:, INDEX["mouthRollLower"]] - weights[:, INDEX["mouthRollUpper"]], 0),
            weights[:, INDEX["mouthFunnel"]],
            weights[:, INDEX["mouthPucker"]],
            mean("mouthStretch") + mean("mouthSmile") + mean("mouthDimple"),
            mean("mouthLowerDown"),
            mean("mouthUpperUp"),
        ],
        axis=1,
    ).astype(np.float32)


def open_gap(gap: NDArray[np.float32], speech: NDArray[np.bool_]) -> float:
    """90th percentile of the gap during speech, 0 without speech."""
    return float(np.percentile(gap[speech], 90)) if speech.any() else 0.0


def speech_frames(phones: Sequence[Phone], n: int) -> NDArray[np.bool_]:
    """Whether a phone sounds at each frame, shape (n,)."""
    speech = np.zeros(n, bool)
    for start, end, symbol in phones:
        if symbol != SIL:
            speech[_span(start, end, n)] = True
    return speech


def _span(start_s: float, end_s: float, n: int) -> slice:
    """Frames from the first at or after the start to the last before the end, at least one."""
    first = min(max(int(np.ceil(start_s * FPS - 1e-6)), 0), n - 1)
    return slice(first, max(min(int(np.ceil(end_s * FPS - 1e-6)), n), first + 1))


def _middle(start_s: float, end_s: float, n: int) -> slice:
    quarter = (end_s - start_s) / 4
    return _span(start_s + quarter, end_s - quarter, n)


def _move(phones: Sequence[Phone], weights: NDArray[np.float32]) -> _Moved:
    speech = speech_frames(phones, len(weights))
    gap = lip_gap(weights)
    limit = open_gap(gap, speech)
    closed = np.ones(len(gap), bool) if limit < LEAST_OPEN_GAP else gap <= CLOSED_SHARE * limit
    return _Moved(phones, speech, curves_of(weights, speech), gap, closed, weights)


def _correlations(systems: Sequence[_Moved], truths: Sequence[_Moved]) -> dict[str, float]:
    truth = np.concatenate([one.curves[one.speech] for one in truths]) if truths else np.zeros((0, len(CURVES)))
    # A curve the rules leave still, or silence alone, has nothing to follow.
    moving = truth.std(axis=0) > 1e-6 if len(truth) else np.zeros(len(CURVES), bool)
    if not moving.any():
        return dict.fromkeys(("r", "r_best", "lag_ms", *(f"r_{name}" for name in CURVES)), float("nan"))
    by_lag = {}
    for lag in range(-LARGEST_LAG, LARGEST_LAG + 1):
        shifted = []
        for one in systems:
            at = np.clip(np.arange(len(one.curves)) + lag, 0, len(one.curves) - 1)
            shifted.append(one.curves[at][one.speech])
        by_lag[lag] = _pearson(np.concatenate(shifted), truth)
    means = {lag: float(r[moving].mean()) for lag, r in by_lag.items()}
    best = max(means, key=lambda lag: means[lag])
    peak, height = float(best), means[best]
    if abs(best) < LARGEST_LAG:
        left, right = means[best - 1], means[best + 1]
        bend = left - 2 * height + right
        if bend < 0:
            # The top of the parabola through the three highest points lies between frames.
            peak += 0.5 * (left - right) / bend
            height -= 0.125 * (left - right) ** 2 / bend
    now = by_lag[0]
    single = {f"r_{name}": float(now[CURVES.index(name)]) for name in CURVES}
    return {"r": means[0], "r_best": height, "lag_ms": peak * 1000 / FPS, **single}


def _pearson(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    a64 -= a64.mean(axis=0)
    b64 -= b64.mean(axis=0)
    scale = np.sqrt((a64**2).sum(axis=0) * (b64**2).sum(axis=0))
    r: NDArray[np.float64] = np.where(scale > 1e-9, (a64 * b64).sum(axis=0) / np.maximum(scale, 1e-9), 0.0)
    return r


def _bilabials(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """Start and end of every run of p, b, m."""
    runs: list[tuple[float, float]] = []
    for start, end, symbol in phones:
        if symbol in BILABIAL:
            if runs and start - runs[-1][1] < 1e-3:
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((start, end))
    return runs


def _closures(systems: Sequence[_Moved]) -> dict[str, float]:
    hits = events = right = counted = 0
    false = vowel_frames = 0
    for one in systems:
        n = len(one.gap)
        bilabials = _bilabials(one.phones)
        for start, end in bilabials:
            hits += bool(one.closed[_span(start - LEAD_S, end, n)].any())
            events += 1
        at = np.arange(n) / FPS
        apart = np.ones(n, bool)
        for start, end in bilabials:
            apart &= (at < start - 0.06) | (at > end + 0.04)
        for start, end, symbol in one.phones:
            if symbol in OPEN and end - start >= 0.08:
                middle = _middle(start, end, n)
                frames = one.closed[middle][apart[middle]]
                false += int(frames.sum())
                vowel_frames += len(frames)
        for first, stop in _runs(one.closed):
            begin_s, end_s = first / FPS, stop / FPS
            # A stretch that reaches into a pause is the mouth coming to rest.
            if not one.speech[first:stop].all() or first == 0 or stop == n:
                continue
            if any(a - PRECISION_REACH_S < end_s and begin_s < b + PRECISION_REACH_S for a, b in bilabials):
                right += 1
                counted += 1
            elif not any(a < end_s and begin_s < b and symbol in NARROW for a, b, symbol in one.phones):
                counted += 1
    return {
        "closure_recall": _share(hits, events),
        "false_closure": _share(false, vowel_frames),
        "closure_precision": _share(right, counted),
    }


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _labiodentals(systems: Sequence[_Moved]) -> dict[str, float]:
    hits = events = false = others = 0
    column = CURVES.index("labiodental")
    for one in systems:
        n = len(one.gap)
        places = [(start, end) for start, end, symbol in one.phones if symbol in LABIODENTAL]
        for start, end in places:
            hits += bool(one.curves[_span(start - LEAD_S, end, n), column].max() >= LABIODENTAL_HIT)
            events += 1
        for start, end, symbol in one.phones:
            if symbol == SIL or symbol in VOWELS or symbol in BILABIAL or symbol in LABIODENTAL:
                continue
            if not any(a - 0.06 < end and start < b + 0.06 for a, b in places):
                false += bool(one.curves[_middle(start, end, n), column].max() >= LABIODENTAL_HIT)
                others += 1
    return {"labiodental_hit": _share(hits, events), "labiodental_false": _share(false, others)}


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive is larger than a negative, ties counting half (Mann-Whitney); NaN if either is missing."""
    if not len(positive) or not len(negative):
        return float("nan")
    values = np.concatenate([positive, negative])
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n = len(positive)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(negative)))


def _rounding_auc(systems: Sequence[_Moved]) -> float:
    columns = [CURVES.index("funnel"), CURVES.index("pucker")]
    return _phone_auc(systems, ROUNDED, UNROUNDED, columns)


def _jaw_auc(systems: Sequence[_Moved]) -> float:
    return _phone_auc(systems, WIDE, CLOSE_VOWELS, [CURVES.index("jaw")])


def _phone_auc(systems: Sequence[_Moved], high: frozenset[str], low: frozenset[str], columns: list[int]) -> float:
    values: tuple[list[float], list[float]] = ([], [])
    for one in systems:
        for start, end, symbol in one.phones:
            if (symbol in high or symbol in low) and end - start >= 0.05:
                middle = one.curves[_middle(start, end, len(one.gap))][:, columns].sum(axis=1).mean()
                values[symbol in low].append(float(middle))
    return auc(*values)


def _viseme_accuracy(systems: Sequence[_Moved]) -> float:
    rows, labels, folds = [], [], []
    for i, one in enumerate(systems):
        n = len(one.gap)
        for start, end, symbol in one.phones:
            label = next((k for k, members in enumerate(VISEMES) if symbol in members), None)
            if label is None:
                continue
            around, middle = one.curves[_span(start - LEAD_S, end, n)], one.curves[_middle(start, end, n)]
            rows.append(
                [
                    around[:, 1].max(),
                    middle[:, 0].mean(),
                    around[:, 2].max(),
                    middle[:, 3:5].sum(axis=1).mean(),
                    middle[:, 5].mean(),
                ]
            )
            labels.append(label)
            folds.append(i % 2)
    if not rows:
        return float("nan")
    x, y, fold = np.array(rows), np.array(labels), np.array(folds)
    recalls: list[list[float]] = [[] for _ in VISEMES]
    for part in (0, 1):
        train, test = fold != part, fold == part
        if not train.any() or not test.any():
            return float("nan")
        found = _discriminant(x[train], y[train], x[test])
        for label in range(len(VISEMES)):
            members = y[test] == label
            if members.any():
                recalls[label].append(float((found[members] == label).mean()))
    return float(np.mean([np.mean(values) for values in recalls if values]))


def _discriminant(x: NDArray[np.float64], y: NDArray[np.int64], new: NDArray[np.float64]) -> NDArray[np.int64]:
    """Linear discriminant with equal priors and a shared, slightly regularised covariance."""
    labels = np.unique(y)
    means = np.stack([x[y == label].mean(axis=0) for label in labels])
    within = x - means[np.searchsorted(labels, y)]
    covariance = within.T @ within / len(x)
    covariance += np.eye(x.shape[1]) * (1e-3 * np.trace(covariance) / x.shape[1] + 1e-9)
    weights = np.linalg.solve(covariance, means.T)  # (5, labels)
    offsets = 0.5 * np.einsum("kl,lk->l", weights, means)
    return np.asarray(labels[(new @ weights - offsets).argmax(axis=1)])


def _rest(systems: Sequence[_Moved]) -> float:
    values = [np.zeros(0)]
    for one in systems:
        n = len(one.gap)
        for i, (start, end, symbol) in enumerate(one.phones):
            if symbol != SIL:
                continue
            first_s = start + 0.2 if i else 0.0
            last_s = end - 0.3 if i + 1 < len(one.phones) else end
            if last_s - first_s >= 1 / FPS and first_s * FPS < n - 1:
                values.append(one.weights[_span(first_s, last_s, n)][:, _MOUTH].max(axis=1))
    joined = np.concatenate(values)
    return float(np.percentile(joined, 95)) if len(joined) else float("nan")


def _jitter(systems: Sequence[_Moved]) -> float:
    bends, spreads = [], []
    for one in systems:
        if not one.speech[1:-1].any():
            continue
        columns = np.column_stack([one.curves[:, (0, 3, 4)], one.gap])
        inside = one.speech[1:-1]
        bends.append(np.diff(columns, 2, axis=0)[inside])
        spreads.append(columns[1:-1][inside])
    if not bends:
        return 0.0
    bend = np.sqrt((np.concatenate(bends) ** 2).mean(axis=0))
    spread = np.concatenate(spreads).std(axis=0)
    moving = spread > 1e-6
    return float((bend[moving] / spread[moving]).mean()) if moving.any() else 0.0
