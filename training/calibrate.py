"""Step 4: fit the calibration on held-out speech.

    python -m training.calibrate training/configs/base.toml

Squared error makes curves too small where the sound is unclear, closures above all. For each head this step chooses, on
the validation speech (recorded speech where there is some): a gain for each curve that restores its spread; for closures
and labiodentals, gain, offset and how much to trust the phone classes, so that as many as possible are shown while false
ones stay rare. Writes `runs/NAME/calibrated.pt`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facewave.features.log_mel import N_MELS, log_mel
from facewave.providers.embedded.articulation import PARAMETERS, lip_gap, to_blendshapes
from training.network import LOOK_AHEAD_STEPS, Calibrated, Network
from training.prepare import Clip, human, synthetic
from training.score import EIGHT, Judged, _shut, closures, judge, scores
from training.settings import Settings, load

FALSE_CLOSURES = 0.02
"""Allowed on held-out speech; the aim on unseen speakers is 3 %."""

FALSE_BITES = 0.03
MAX_CLIPS = 700
_CLOSE, _FV = PARAMETERS.index("close"), PARAMETERS.index("fv")

Heard = tuple[Clip, torch.Tensor, torch.Tensor]
"""A clip, raw articulation (steps, heads, 12) and class probabilities (steps, heads, 24), both already moved back by the
look-ahead so that row i of every head describes (i + 1) / 60 s."""


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
        shown = model.calibrated(mouth, phones)[:, head].numpy()
        out.append(judge(clip.phones, shown, clip.samples, phones[:, head].argmax(-1).numpy()))
    return out


def fit(model: Calibrated, heard: list[Heard]) -> None:
    """Choose all calibration numbers of `model`."""
    for head in range(len(LOOK_AHEAD_STEPS)):
        _fit_curves(model, heard, head)
        _fit_bites(model, heard, head)
        _fit_closures(model, heard, head)


def _fit_curves(model: Calibrated, heard: list[Heard], head: int) -> None:
    """Bring the spread of each curve most of the way back to that of its target, keeping the mean."""
    model.gain[head], model.offset[head], model.evidence[head] = 1.0, 0.0, 0.0
    clips = judged(heard, model, head)
    spoken = [c.class_ids != 0 for c in clips]
    shown = np.concatenate([c.shown[s] for c, s in zip(clips, spoken, strict=True)])
    wanted = np.concatenate([c.wanted[s] for c, s in zip(clips, spoken, strict=True)])
    for k in range(len(PARAMETERS)):
        gain = float(np.clip((wanted[:, k].std() / (shown[:, k].std() + 1e-6)) ** 0.7, 1, 1.4))
        model.gain[head, k] = gain
        model.offset[head, k] = max(0.01, float(shown[:, k].mean() - wanted[:, k].mean() / gain))


def _fit_closures(model: Calibrated, heard: list[Heard], head: int) -> None:
    clips = judged(heard, model, head)  # everything but the closure is settled
    raw = [(mouth[:, head, _CLOSE].numpy(), phones[:, head]) for _, mouth, phones in heard]
    awake = [_awake(model, phones, head) for _, phones in raw]
    closing = [phones[:, [1, 2]].sum(-1).numpy() for _, phones in raw]
    best, best_value = (0.0, 0.1, 1.5), -np.inf
    for evidence, offset, gain in product((0.0, 0.25, 0.5, 0.8), (0.05, 0.1, 0.15, 0.2, 0.3, 0.4), (1.0, 1.25, 1.5, 2.0, 2.5)):
        shut = []
        for c, (mouth, _), wake, p in zip(clips, raw, awake, closing, strict=True):
            shown = c.shown.copy()
            shown[:, _CLOSE] = np.clip((mouth + evidence * p - offset) * gain, 0, 1) * wake
            shut.append(_shut(lip_gap(to_blendshapes(shown)), c.class_ids))
        found = closures(clips, shut)
        value = _worth(found["closure_recall"], found["closure_precision"], found["closure_false"] - FALSE_CLOSURES)
        if value > best_value:
            best, best_value = (evidence, offset, gain), value
    model.evidence[head, 0], model.offset[head, _CLOSE], model.gain[head, _CLOSE] = best


def _fit_bites(model: Calibrated, heard: list[Heard], head: int) -> None:
    clips = judged(heard, model, head)
    raw = [(mouth[:, head, _FV].numpy(), phones[:, head, 3].numpy(), _awake(model, phones[:, head], head)) for _, mouth, phones in heard]
    best, best_value = (0.0, 0.1, 1.5), -np.inf
    for evidence, offset, gain in product((0.0, 0.25, 0.5, 0.8), (0.05, 0.1, 0.2, 0.3), (1.0, 1.5, 2.0, 2.5)):
        moved = []
        for c, (mouth, p, wake) in zip(clips, raw, strict=True):
            shown = c.shown.copy()
            shown[:, _FV] = np.clip((mouth + evidence * p - offset) * gain, 0, 1) * wake
            moved.append(Judged(c.phones, shown, c.wanted, c.class_ids))
        hit, false = bites(moved)
        value = _worth(hit, 1.0, false - FALSE_BITES)
        if value > best_value:
            best, best_value = (evidence, offset, gain), value
    model.evidence[head, 1], model.offset[head, _FV], model.gain[head, _FV] = best


def bites(clips: list[Judged]) -> tuple[float, float]:
    """Labiodentals shown, and shown where there is none."""
    found = scores(clips)
    return found["labiodental_hit"], found["labiodental_false"]


def _worth(recall: float, precision: float, excess: float) -> float:
    """Recall counts most; every false percent beyond what is allowed costs five of recall."""
    return float(np.nan_to_num(recall) + 0.4 * np.nan_to_num(precision) - 5 * max(0.0, float(np.nan_to_num(excess))))


def _awake(model: Calibrated, phones: torch.Tensor, head: int) -> NDArray[np.float32]:
    low, high = (float(v) for v in model.rest[head])
    awake: NDArray[np.float32] = 1 - np.clip((phones[:, 0].numpy() - low) / (high - low), 0, 1)
    return awake


def load_network(settings: Settings) -> tuple[Network, int]:
    """The averaged network of the last checkpoint, and its number of updates."""
    path = settings.run / "last.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run python -m training.train {settings.path}")
    checkpoint = torch.load(path, weights_only=True)
    network = Network(settings.model.hidden, settings.model.front)
    network.load_state_dict(checkpoint["average"])
    return network.eval(), int(checkpoint["step"])


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
    fit(model, heard)
    for head, ahead in enumerate(LOOK_AHEAD_STEPS):
        found = scores(judged(heard, model, head))
        shown = ", ".join(f"{key} {found[key]:.3f}" for key in ("closure_recall", "closure_false", "closure_precision", "labiodental_hit", "r_eight"))
        print(f"calibrate: {ahead * 1000 // 60} ms head: {shown}", flush=True)
        print(f"  evidence {model.evidence[head].tolist()}, offset {[round(v, 3) for v in model.offset[head].tolist()]}, "
              f"gain {[round(v, 2) for v in model.gain[head].tolist()]}")  # fmt: skip
    assert set(EIGHT) <= set(PARAMETERS)
    torch.save({"model": model.state_dict(), "step": step}, settings.run / "calibrated.pt")


if __name__ == "__main__":
    main(load(Path(sys.argv[1])))
