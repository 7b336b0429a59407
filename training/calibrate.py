"""Step 4: fit the calibration on held-out speech.

    python -m training.calibrate training/configs/base.toml

Squared error makes curves too small where the sound is unclear, closures above all. For each head this step chooses,
on the validation speech (recorded speech where there is some, and the corpora that `human.calibrate` names): a gain for
each curve that restores its spread; for closures and labiodentals, gain, offset and how much to trust the phone
classes, so that as many as possible are shown while false ones stay rare. Writes `runs/NAME/calibrated.pt`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter

from facewave.features.log_mel import N_MELS, log_mel
from facewave.providers.embedded.articulation import CLASSES, PARAMETERS, lip_gap, to_blendshapes
from training.network import INERTIA, LOOK_AHEAD_STEPS, Calibrated, Network, settled
from training.prepare import Clip, human, synthetic
from training.score import Judged, closures, judge, labiodentals, scores, shut_steps
from training.settings import Settings, load

FALSE_CLOSURES = 0.02
"""Allowed on held-out speech; the aim on unseen speakers is 3 %."""

FALSE_BITES = 0.03
PARTED = 0.05
"""How far the jaw stays down through all speech. Lips of speakers rest apart on /i t d n/; a network that errs to the
narrow side there would shut them."""

REST = (0.8, 0.98)
"""Probabilities of silence at which the mouth begins to rest, and rests fully."""

MAX_CLIPS = 700
MAX_FLUENT = 30
"""Clips of each corpus of `human.calibrate`."""

EVIDENCE = (0.0, 0.25, 0.5, 0.75, 1.0)
OFFSETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
GAINS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.5)
"""Tried for both gestures, in all combinations."""

_SILENT = CLASSES.index("sil")
_JAW, _CLOSE, _FV = (PARAMETERS.index(name) for name in ("jaw", "close", "fv"))
GESTURE_CLASSES = {_CLOSE: [CLASSES.index("pb"), CLASSES.index("m")], _FV: [CLASSES.index("fv")]}
"""The phone classes that speak for a gesture."""

Heard = tuple[Clip, torch.Tensor, torch.Tensor]
"""A clip, raw articulation (steps, heads, 12) and class probabilities (steps, heads, 24), both already moved back by
the look-ahead so that row i of every head describes (i + 1) / 60 s."""


@torch.no_grad()
def hear(network: Network, clips: Iterator[Clip]) -> Iterator[Heard]:
    """Run the network over whole clips."""
    most = max(LOOK_AHEAD_STEPS)
    for clip in clips:
        # Silence after the end lets the heads finish the last moments of the clip.
        features = log_mel(np.pad(clip.samples, (0, (most + 1) * 267)))
        n = len(features) // 2
        mouth, logits, _ = network(torch.from_numpy(features[: 2 * n].reshape(1, n, 2 * N_MELS)), network.start(1))
        keep = n - most
        index = torch.stack([torch.arange(keep) + ahead for ahead in LOOK_AHEAD_STEPS], dim=1)  # (steps, heads)
        heads = torch.arange(len(LOOK_AHEAD_STEPS))
        yield clip, mouth[0][index, heads], torch.softmax(logits[0][index, heads], dim=-1)


def judged(heard: list[Heard], model: Calibrated, head: int) -> list[Judged]:
    """The curves of one head beside the phones."""
    out = []
    for clip, mouth, phones in heard:
        full = model.calibrated(mouth, phones)[:, head]
        shown = settled(full[None], torch.zeros(1, len(PARAMETERS)))[0].numpy()
        out.append(judge(clip.phones, shown, clip.samples, phones[:, head].argmax(-1).numpy()))
    return out


def fit(model: Calibrated, heard: list[Heard]) -> None:
    """Choose all calibration numbers of `model`."""
    for head in range(len(LOOK_AHEAD_STEPS)):
        _fit_curves(model, heard, head)
        _fit_bites(model, heard, head)
        _fit_closures(model, heard, head)


def _fit_curves(model: Calibrated, heard: list[Heard], head: int) -> None:
    """Bring the spread of each curve some of the way back to that of its target, keeping the mean."""
    model.gain[head], model.offset[head], model.evidence[head] = 1.0, 0.0, 0.0
    model.rest[head] = torch.tensor(REST)
    clips = judged(heard, model, head)
    spoken = [c.class_ids != 0 for c in clips]
    shown = np.concatenate([c.shown[s] for c, s in zip(clips, spoken, strict=True)])
    wanted = np.concatenate([c.wanted[s] for c, s in zip(clips, spoken, strict=True)])
    for k in range(len(PARAMETERS)):
        if k == _JAW:
            model.offset[head, k] = -PARTED
            continue
        # Only half of the way (in decibels): the noise of a curve grows with its gain.
        gain = float(np.clip(np.sqrt(wanted[:, k].std() / (shown[:, k].std() + 1e-6)), 1, 1.2))
        model.gain[head, k] = gain
        model.offset[head, k] = max(0.01, float(shown[:, k].mean() - wanted[:, k].mean() / gain))


def _fit_closures(model: Calibrated, heard: list[Heard], head: int) -> None:
    clips = judged(heard, model, head)  # everything but the closure is settled
    joined = _Joined(heard, clips, model, head)
    best, best_value = (0.0, 0.1, 1.5), -np.inf
    for evidence, offset, gain in product(EVIDENCE, OFFSETS, GAINS):
        curves = joined.with_gesture(_CLOSE, evidence, offset, gain)
        gaps = joined.split(lip_gap(to_blendshapes(curves)))
        found = closures(clips, [shut_steps(gap, c.class_ids) for gap, c in zip(gaps, clips, strict=True)])
        excess = found["closure_false"] - FALSE_CLOSURES
        value = _worth(found["closure_recall"], found["closure_precision"], excess, joined.jitter(curves, _CLOSE))
        if value > best_value:
            best, best_value = (evidence, offset, gain), value
    model.evidence[head, 0], model.offset[head, _CLOSE], model.gain[head, _CLOSE] = best


def _fit_bites(model: Calibrated, heard: list[Heard], head: int) -> None:
    clips = judged(heard, model, head)
    joined = _Joined(heard, clips, model, head)
    best, best_value = (0.0, 0.1, 1.5), -np.inf
    for evidence, offset, gain in product(EVIDENCE, OFFSETS, GAINS):
        curves = joined.with_gesture(_FV, evidence, offset, gain)
        found = labiodentals([replace(c, shown=s) for s, c in zip(joined.split(curves), clips, strict=True)])
        excess = found["labiodental_false"] - FALSE_BITES
        value = _worth(found["labiodental_hit"], 1.0, excess, joined.jitter(curves, _FV))
        if value > best_value:
            best, best_value = (evidence, offset, gain), value
    model.evidence[head, 1], model.offset[head, _FV], model.gain[head, _FV] = best


class _Joined:
    """All clips behind one another, so that a trial of the calibration is a few large array operations."""

    def __init__(self, heard: list[Heard], clips: list[Judged], model: Calibrated, head: int) -> None:
        self._edges = np.cumsum([len(c.shown) for c in clips])[:-1]
        self._shown = np.concatenate([c.shown for c in clips])
        self._wanted = np.concatenate([c.wanted for c in clips])
        self._raw = np.concatenate([mouth[:, head].numpy() for _, mouth, _ in heard])
        self._phones = np.concatenate([phones[:, head].numpy() for _, _, phones in heard])
        low, high = (float(v) for v in model.rest[head])
        self._awake = 1 - np.clip((self._phones[:, _SILENT] - low) / (high - low), 0, 1)

    def with_gesture(self, parameter: int, evidence: float, offset: float, gain: float) -> NDArray[np.float32]:
        """The calibrated curves (steps, 12), but this gesture with these numbers."""
        proof = self._phones[:, GESTURE_CLASSES[parameter]].sum(axis=1)
        out = self._shown.copy()
        wanted = np.clip((self._raw[:, parameter] + evidence * proof - offset) * gain, 0, 1) * self._awake
        out[:, parameter] = np.concatenate([lfilter([1 - INERTIA], [1, -INERTIA], clip) for clip in self.split(wanted)])
        return out

    def jitter(self, curves: NDArray[np.float32], parameter: int) -> float:
        """Mean size of a curve's second difference, against that of its target."""
        shown, wanted = (float(np.abs(np.diff(x[:, parameter], n=2)).sum()) for x in (curves, self._wanted))
        return shown / max(wanted, 1e-9)

    def split(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Back into clips."""
        return np.split(values, self._edges)


def _worth(recall: float, precision: float, excess: float, jitter: float) -> float:
    """Recall and precision count alike; each false percent beyond what is allowed costs five; trembling costs too."""
    worth = np.nan_to_num(recall) + np.nan_to_num(precision) - 5 * max(0.0, float(np.nan_to_num(excess)))
    return float(worth - 0.1 * jitter)


def load_network(settings: Settings) -> tuple[Network, int]:
    """The averaged network of the last checkpoint, and the number of all its updates."""
    path = settings.run / "last.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run python -m training.train {settings.path}")
    checkpoint = torch.load(path, weights_only=True)
    network = Network(settings.model.hidden, settings.model.front)
    network.load_state_dict(checkpoint["average"])
    return network.eval(), int(checkpoint["step"]) + int(checkpoint.get("before", 0))


def main(settings: Settings) -> None:
    network, step = load_network(settings)
    model = Calibrated(network)
    heard: list[Heard] = []
    for name, source in (("recorded", human), ("synthetic", synthetic)):
        # Every n-th clip, so that all corpora and voices take part.
        clips = list(source(settings, "val"))
        chosen = clips[:: max(1, len(clips) // MAX_CLIPS)]
        heard += list(islice(hear(network, iter(chosen)), MAX_CLIPS))
        print(f"calibrate: {len(chosen)} {name} clips", flush=True)
    for corpus in settings.human.calibrate:
        clips = list(human(settings, "train", corpus))
        chosen = clips[:: max(1, len(clips) // MAX_FLUENT)][:MAX_FLUENT]
        heard += list(hear(network, iter(chosen)))
        print(f"calibrate: {len(chosen)} clips of {corpus}", flush=True)
    fit(model, heard)
    for head, ahead in enumerate(LOOK_AHEAD_STEPS):
        found = scores(judged(heard, model, head))
        shown = ", ".join(
            f"{key} {found[key]:.3f}"
            for key in ("closure_recall", "closure_false", "closure_precision", "labiodental_hit", "r_eight")
        )
        print(f"calibrate: {ahead * 1000 // 60} ms head: {shown}", flush=True)
        print(f"  evidence {model.evidence[head].tolist()}, "
              f"offset {[round(v, 3) for v in model.offset[head].tolist()]}, "
              f"gain {[round(v, 2) for v in model.gain[head].tolist()]}")  # fmt: skip
    torch.save({"model": model.state_dict(), "step": step}, settings.run / "calibrated.pt")


if __name__ == "__main__":
    main(load(Path(sys.argv[1])))
