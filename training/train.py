"""Step 3: train the network.

    python -m training.train training/configs/base.toml
    python -m torch.distributed.run --nproc-per-node 2 -m training.train training/configs/base.toml

The second form shares each batch among processes of one thread, which takes about three quarters of the time on two
cores. Either goes on from `runs/NAME/last.pt` if it is there; weights of a smaller network, and those that
`restore.py` took from a finished model, are trained as from the start. Ctrl-C saves and stops. The weights that count
are their running mean over the last thousand or so updates (`average` in the checkpoint).
"""

from __future__ import annotations

import math
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray

from facewave.providers.embedded.articulation import CLASSES, PARAMETERS
from training.network import LOOK_AHEAD_STEPS, N_INPUTS, Network, grown
from training.noise import FeatureNoise
from training.prepare import Prepared, load_sets
from training.settings import Settings, load

THREADS = 2
"""Of a process that trains alone."""

VELOCITY_WEIGHT, ACCELERATION_WEIGHT = 0.6, 0.2
"""Of the error of a curve's first and second difference, in units of their spread: without them lips tremble."""

HEAD_WEIGHT = (0.35, 1.0)
"""Of the heads: most people use the last, and what the layers spend on one they cannot spend on the other."""

LEAD_STEPS = 0.6
"""The network is asked for the mouth this much earlier than its rules (10 ms), because the inertia of what is shown
(`network.py`) comes after it, and because where it is unsure it comes late."""

CLASS_WEIGHT = 0.15
GESTURE_WEIGHT = {"close": 2.0, "fv": 2.0}
"""The two gestures that people notice count this much more than a curve."""

RARE_WEIGHT = 3.0
"""Extra weight of a closure or labiodental curve where it is fully there; such steps are rare."""

SPEECH_CLASS_WEIGHT = {"fv": 2.0, "pb": 1.5, "m": 1.5, "th": 1.5}
CARRY_ON = 0.7
"""Part of the sequences that begin with the state another one ended in, as in a stream that has run for long; the
others begin a clip."""

MIDWAY, MIDWAY_STEPS = 0.5, 60
"""Part of those that begin up to so many steps into it, because a stream may open in the middle of a word: a network
that only ever began in quiet takes the first moments of any stream for quiet."""

WARM_UP = 200
CLIP = 1.0


class Batches:
    """Random sequences from the training sets; `share` of each batch is recorded speech."""

    def __init__(self, sets: list[tuple[Prepared, float]], batch: int, length: int, seed: int) -> None:
        total = sum(share for _, share in sets)
        rows = [round(batch * share / total) for _, share in sets]
        rows[0] += batch - sum(rows)
        self._sets = [(prepared, n) for (prepared, _), n in zip(sets, rows, strict=True)]
        self._length = length
        self._rng = np.random.default_rng(seed)

    def draw(self, fresh: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features (batch, length, 128), targets (batch, length, 12), classes (batch, length).

        Args:
            fresh: Shape (batch,): rows that begin where a stream may, at or soon after the start of a clip.
        """
        source = [prepared for prepared, n in self._sets for _ in range(n)]
        rows = [self._row(prepared, bool(new)) for prepared, new in zip(source, fresh, strict=True)]
        features, targets, classes = (np.stack(part) for part in zip(*rows, strict=True))
        return (
            torch.from_numpy(features.astype(np.float32)),
            torch.from_numpy(targets.astype(np.float32) / 255),
            torch.from_numpy(classes.astype(np.int64)),
        )

    def _row(self, prepared: Prepared, fresh: bool) -> tuple[NDArray[Any], ...]:
        """Clips drawn by length, joined until the row is full; the first from a random place unless `fresh`."""
        spans: list[tuple[int, int]] = []
        need = self._length
        while need:
            at = int(self._rng.integers(prepared.starts[-1]))
            clip = int(np.searchsorted(prepared.starts, at, side="right")) - 1
            if self._rng.random() >= prepared.weights[clip]:
                continue
            first, last = int(prepared.starts[clip]), int(prepared.starts[clip + 1])
            if not spans and fresh and self._rng.random() < MIDWAY:
                first += int(self._rng.integers(min(last - first, MIDWAY_STEPS)))
            elif not spans and not fresh and last - first > need:
                first = min(at, last - need)
            last = min(last, first + need)
            spans.append((first, last))
            need -= last - first
        return tuple(
            np.concatenate([part[a:b] for a, b in spans])
            for part in (prepared.features, prepared.targets, prepared.classes)
        )


class Loss:
    """Squared error of curves and of their changes, each in units of its spread, and the cross-entropy of classes."""

    def __init__(self, targets: NDArray[np.uint8]) -> None:
        values = targets[:: max(1, len(targets) // 400_000)].astype(np.float32) / 255
        weight = torch.tensor([GESTURE_WEIGHT.get(name, 1.0) for name in PARAMETERS])
        self._value = weight / torch.from_numpy(values.var(axis=0) + 1e-4)
        steps = np.diff(targets[:400_000].astype(np.float32) / 255, axis=0)
        self._velocity = weight * VELOCITY_WEIGHT / torch.from_numpy(steps.var(axis=0) + 1e-5)
        self._acceleration = weight * ACCELERATION_WEIGHT / torch.from_numpy(np.diff(steps, axis=0).var(axis=0) + 1e-5)
        self._rare = torch.tensor([RARE_WEIGHT if name in GESTURE_WEIGHT else 0.0 for name in PARAMETERS])
        self._classes = torch.tensor([SPEECH_CLASS_WEIGHT.get(name, 1.0) for name in CLASSES])

    def __call__(
        self, mouth: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor, classes: torch.Tensor
    ) -> torch.Tensor:
        total = mouth.new_zeros(())
        for head, (ahead, weight) in enumerate(zip(LOOK_AHEAD_STEPS, HEAD_WEIGHT, strict=True)):
            now, next_ = targets[:, :-ahead], targets[:, 1 : 1 - ahead]
            y, x = torch.lerp(now, next_, LEAD_STEPS), mouth[:, ahead:, head]
            error = x - y
            velocity = error[:, 1:] - error[:, :-1]
            total = total + weight * (
                ((1 + self._rare * y) * self._value * error.square()).mean()
                + (self._velocity * velocity.square()).mean()
                + (self._acceleration * (velocity[:, 1:] - velocity[:, :-1]).square()).mean()
                + CLASS_WEIGHT
                * torch.nn.functional.cross_entropy(
                    logits[:, ahead:, head].flatten(0, 1), classes[:, :-ahead].flatten(), weight=self._classes
                )
            )
        return total / sum(HEAD_WEIGHT)


def learning_rate(step: int, settings: Settings) -> float:
    """A short rise, then half a cosine down to a hundredth."""
    peak = settings.train.learning_rate
    if step < WARM_UP:
        return peak * (step + 1) / WARM_UP
    part = min(1.0, (step - WARM_UP) / max(1, settings.train.steps - WARM_UP))
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def training_sets(settings: Settings) -> list[tuple[Prepared, float]]:
    """Synthetic and, where present, recorded speech, with their shares of a batch."""
    made = load_sets(settings, "train", "synthetic")
    if made is None:
        raise FileNotFoundError(
            f"{settings.data}/prepared has no training set; run python -m training.prepare {settings.path}"
        )
    spoken = load_sets(settings, "train", "human")
    share = settings.human.share if spoken is not None else 0.0
    return [(made, 1 - share)] + ([(spoken, share)] if spoken is not None else [])


@torch.no_grad()
def validation_loss(network: Network, loss: Loss, prepared: Prepared) -> float:
    """Mean loss over a set, without noise, in rows of 300 steps."""
    n = min(len(prepared.features) // 300, 120)
    if n == 0:
        return math.nan
    features = torch.from_numpy(prepared.features[: n * 300].astype(np.float32)).reshape(n, 300, N_INPUTS)
    targets = torch.from_numpy(prepared.targets[: n * 300].astype(np.float32) / 255).reshape(n, 300, -1)
    classes = torch.from_numpy(prepared.classes[: n * 300].astype(np.int64)).reshape(n, 300)
    mouth, logits, _ = network(features, network.start(n))
    return float(loss(mouth, logits, targets, classes))


def normalisation(sets: list[tuple[Prepared, float]]) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of the features, and one over their spread, each of shape (N_INPUTS,)."""
    some = np.concatenate([s.features[:: max(1, len(s.features) // 100_000)] for s, _ in sets]).astype(np.float32)
    return torch.from_numpy(some.mean(axis=0)), torch.from_numpy(1 / (some.std(axis=0) + 1e-3))


class Together:
    """The processes that train together; one where nobody started more."""

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        if torch.distributed.is_torchelastic_launched():
            torch.distributed.init_process_group("gloo")
            self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        torch.set_num_threads(THREADS if self.size == 1 else 1)

    def say(self, line: str) -> None:
        """Print, once."""
        if self.rank == 0:
            print(line, flush=True)

    def mean_gradient(self, parameters: list[torch.nn.Parameter], stopped: bool) -> bool:
        """Give all processes the mean of their gradients; whether anyone was told to stop."""
        if self.size == 1:
            return stopped
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), torch.tensor([float(stopped)])])
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat[:-1].div_(self.size), [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return bool(flat[-1] > 0)


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 itself; an update then takes about two thirds of the time."""
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.10 does not tell
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def optimisers(network: Network, peak: float) -> list[torch.optim.Optimizer]:
    """Muon for the large matrices, which gets further with as many updates; AdamW for biases and heads."""
    matrices = [
        p for name, p in network.named_parameters() if p.ndim == 2 and name.startswith(("front", "gru", "refine"))
    ]
    chosen = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=peak, weight_decay=1e-3, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=peak, weight_decay=1e-4, betas=(0.9, 0.98)),
    ]


def restored(
    path: Path, network: Network, average: Network, steppers: list[torch.optim.Optimizer], together: Together
) -> tuple[int, int] | None:
    """Take up the checkpoint; how many updates are done and how many were before these, None without a checkpoint.

    Raises:
        ValueError: The checkpoint's network is larger than this one.
    """
    if not path.exists():
        return None
    checkpoint = torch.load(path, weights_only=True)
    had, has = (len(state["front.weight"]) for state in (checkpoint["average"], network.state_dict()))
    held, holds = (state["gru.weight_hh_l0"].shape[1] for state in (checkpoint["average"], network.state_dict()))
    if had > has or held > holds:
        raise ValueError(
            f"{path}: found a network of front {had} and hidden {held}, the configuration asks for {has} and {holds}; "
            "raise model.front and model.hidden, or move the file away"
        )
    before = int(checkpoint.get("before", 0))
    larger = had < has or held < holds or len(checkpoint["average"]) < len(network.state_dict())
    if larger or "optimisers" not in checkpoint:
        network.load_state_dict(grown(checkpoint["average"], network))
        average.load_state_dict(network.state_dict())
        together.say(f"train: beginning with the checkpoint's network{', put into a larger one' if larger else ''}")
        return 0, before + int(checkpoint["step"])
    network.load_state_dict(checkpoint["network"])
    average.load_state_dict(checkpoint["average"])
    for stepper, state in zip(steppers, checkpoint["optimisers"], strict=True):
        stepper.load_state_dict(state)
    together.say(f"train: going on from step {checkpoint['step']}")
    return int(checkpoint["step"]), before


def main(settings: Settings) -> None:
    together = Together()
    torch.manual_seed(settings.seed)
    settings.run.mkdir(parents=True, exist_ok=True)
    checkpoint_path = settings.run / "last.pt"

    sets = training_sets(settings)
    loss = Loss(sets[0][0].targets)
    network = Network(settings.model.hidden, settings.model.front)
    average = Network(settings.model.hidden, settings.model.front)
    steppers = optimisers(network, settings.train.learning_rate)
    taken = restored(checkpoint_path, network, average, steppers, together)
    first, before = taken or (0, 0)
    if taken is None:
        network.mean, network.scale = normalisation(sets)
        average.load_state_dict(network.state_dict())
    # Seeded by the step too: a resumed run sees other batches than the ones it began with.
    rows = settings.train.batch // together.size
    seed = settings.seed + first + 1_000_000 * together.rank
    batches = Batches(sets, rows, settings.train.length, seed)
    noise = FeatureNoise(seed)
    checks = {name: load_sets(settings, "val", name) for name in ("synthetic", "human") if together.rank == 0}

    def save(step: int) -> None:
        temporary = checkpoint_path.with_suffix(".tmp")
        torch.save({"network": network.state_dict(), "average": average.state_dict(),
                    "optimisers": [stepper.state_dict() for stepper in steppers],
                    "step": step, "before": before}, temporary)  # fmt: skip
        temporary.replace(checkpoint_path)

    parameters = list(network.parameters())
    narrow = bfloat16_is_fast()
    state = network.start(rows)
    chance = torch.Generator().manual_seed(seed)
    told = False

    def stop(*_: object) -> None:
        nonlocal told
        told = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    running, saved_at, began = 0.0, time.monotonic(), time.monotonic()
    for step in range(first, settings.train.steps):
        for group in (group for stepper in steppers for group in stepper.param_groups):
            group["lr"] = learning_rate(step, settings)
        carried = torch.rand(rows, generator=chance) < CARRY_ON
        features, targets, classes = batches.draw(~carried.numpy())
        n, steps, _ = features.shape
        heard = noise(features.reshape(n, 2 * steps, -1)).reshape(n, steps, -1)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            mouth, logits, state = network(heard, state * carried[:, None])
        state = state.detach()
        value = loss(mouth.float(), logits.float(), targets, classes)
        network.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        stopped = together.mean_gradient(parameters, told)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        for stepper in steppers:
            stepper.step()
        keep = min(0.999, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, now in zip(average.parameters(), parameters, strict=True):
                mean.lerp_(now, 1 - keep)
        running = value.item() if step == first else 0.98 * running + 0.02 * value.item()
        done = step + 1
        if together.rank == 0:
            if done % 100 == 0 or done == settings.train.steps:
                rate = (done - first) / (time.monotonic() - began)
                together.say(f"train {done}/{settings.train.steps} loss {running:.3f}, {rate:.2f} updates/s")
            due = time.monotonic() - saved_at > settings.train.save_minutes * 60
            if stopped or due or done == settings.train.steps:
                save(done)
                saved_at = time.monotonic()
                shown = ", ".join(
                    f"{name} {validation_loss(average, loss, s):.3f}" for name, s in checks.items() if s is not None
                )
                together.say(f"train {done}: held-out loss {shown}")
        if stopped:
            sys.exit("train: stopped; the same command goes on from here")


if __name__ == "__main__":
    main(load(Path(sys.argv[1])))
