"""The other way round: the network of a finished model, to train on from.

    python -m training.restore training/configs/base.toml [MODEL.onnx]

Checkpoints are not kept with the sources, but the shipped model holds the same weights. Writes `runs/NAME/last.pt`
unless there is one; `train.py` then begins there, with a new learning rate and empty optimisers. Calibrate again
afterwards: the old calibration belongs to the old weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from training.export import SHIPPED
from training.network import LAYERS, Network
from training.settings import Settings, load
from training.train import normalisation, training_sets


def network_of(path: Path, mean: torch.Tensor, scale: torch.Tensor) -> tuple[Network, int]:
    """The network of a model that `export.py` wrote, and the number of its updates.

    Args:
        path: The ONNX file.
        mean: Shape (N_INPUTS,): what the network shall subtract from its features; any values give the same answers.
        scale: Shape (N_INPUTS,): what it shall then multiply them with; not zero.

    Raises:
        ValueError: The file is no such model.
    """
    model = onnx.load(path)
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    try:
        front = held["front_weight"].T
        network = Network(held["gru_0_hidden"].shape[2], len(front))
        state = {
            "mean": mean,
            "scale": scale,
            "front.weight": torch.from_numpy(front.copy()) / scale,
            "front.bias": torch.from_numpy(held["front_bias"] + front @ mean.numpy()),
        }
        for name, ours in (("mouth", "articulation"), ("logits", "phones")):
            state[f"{ours}.weight"] = torch.from_numpy(held[f"{name}_weight"].T.copy())
            state[f"{ours}.bias"] = torch.from_numpy(held[f"{name}_bias"].copy())
        for layer in range(LAYERS):
            refines = layer == LAYERS - 1
            of, number = ("refine", 0) if refines else ("gru", layer)
            bias = np.split(held[f"gru_{layer}_bias"][0], 2)
            for name, values in (
                ("weight_ih", held[f"gru_{layer}_input"][0]),
                ("weight_hh", held[f"gru_{layer}_hidden"][0]),
                ("bias_ih", bias[0]),
                ("bias_hh", bias[1]),
            ):
                state[f"{of}.{name}_l{number}"] = torch.from_numpy(_reordered(values))
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{path}: expected a model that training.export wrote; {error}") from error
    updates = {each.key: each.value for each in model.metadata_props}.get("updates", "0")
    return network, int(updates)


def _reordered(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gates in PyTorch's order, reset, update, new, from ONNX's: update, reset, new."""
    update, reset, new = np.split(values, 3)
    return np.concatenate((reset, update, new))


def main(settings: Settings, path: Path) -> None:
    checkpoint = settings.run / "last.pt"
    if checkpoint.exists():
        raise SystemExit(f"restore: {checkpoint} is there already; move it away to begin from {path.name}")
    network, updates = network_of(path, *normalisation(training_sets(settings)))
    weights = network.state_dict()
    settings.run.mkdir(parents=True, exist_ok=True)
    torch.save({"network": weights, "average": weights, "step": 0, "before": updates}, checkpoint)
    print(f"restore: {checkpoint.name} from {path.name}, which had {updates} updates", flush=True)


if __name__ == "__main__":
    main(load(Path(sys.argv[1])), Path(sys.argv[2]) if len(sys.argv) > 2 else SHIPPED)
