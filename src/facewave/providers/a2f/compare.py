"""Variants of a model's network side by side: size, speed, and how far their output is from the network's own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...inference.onnx import load_network
from .executors.emotion import EmotionRate
from .folder.bundle import Bundle, DiffusionBundle, RegressionBundle

SIGNAL = {"regression": "result", "diffusion": "prediction", "emotion": "output"}
"""The output that is compared."""


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One network of the comparison."""

    name: str
    megabytes: float
    milliseconds: float
    """Fastest of the timed runs of one window, on every core."""

    cpu_milliseconds: float
    """Least processor time of those runs, over all cores: what counts where the machine is shared."""

    largest: float
    """Largest difference of an output number from the first network's."""

    mean: float
    """Mean magnitude of that difference."""

    spread: float
    """Standard deviation of the first network's output, to read the differences by."""


def compare(bundle: Bundle, files: Mapping[str, Path], runs: int = 3) -> list[VariantRow]:
    """Run each network on the same input; the first is what the others are measured against."""
    feeds = noise_feeds(bundle)
    rows: list[VariantRow] = []
    reference: NDArray[np.float32] | None = None
    for name, path in files.items():
        network = load_network(path, threads=0)
        times, costs = [], []
        for _ in range(runs + 1):  # the first run also allocates
            began, cost = time.perf_counter(), time.process_time()
            output = network.run(feeds, [SIGNAL[bundle.kind]])[0]
            times.append(time.perf_counter() - began)
            costs.append(time.process_time() - cost)
        if isinstance(bundle, DiffusionBundle):
            output = output[:, bundle.frames_left : bundle.frames_left + bundle.frames_center]
        reference = output if reference is None else reference
        error = np.abs(output - reference)
        rows.append(
            VariantRow(
                name,
                path.stat().st_size / 1e6,
                1000 * min(times[1:]),
                1000 * min(costs[1:]),
                float(error.max()),
                float(error.mean()),
                float(reference.std()),
            )
        )
    return rows


def noise_feeds(bundle: Bundle, batch: int = 1, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Inputs of the right shapes: noise at the level of speech, neutral emotion, empty state."""
    rng = np.random.default_rng(seed)

    def audio(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    if isinstance(bundle, RegressionBundle):
        emotion = np.concatenate([bundle.implicit_emotion, bundle.default_emotion])
        return {"input": audio(batch, 1, bundle.buffer_length), "emotion": np.tile(emotion, (batch, 1, 1))}
    if isinstance(bundle, DiffusionBundle):
        center = slice(bundle.frames_left, bundle.frames_left + bundle.frames_center)
        noise = np.zeros((batch, bundle.steps + 1, bundle.frames, bundle.sizes.total), np.float32)
        noise[:, 1:, center] = rng.standard_normal(noise[:, 1:, center].shape, np.float32)
        identity = np.zeros((batch, len(bundle.identities)), np.float32)
        identity[:, 0] = 1
        return {
            "window": audio(batch, bundle.buffer_length),
            "identity": identity,
            "emotion": np.tile(bundle.default_emotion, (batch, bundle.frames_center, 1)),
            "input_latents": np.zeros((bundle.steps, bundle.layers, batch, bundle.latent), np.float32),
            "noise": noise,
        }
    return {"input_values": audio(batch, EmotionRate().window)}
