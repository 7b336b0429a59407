"""Step 5: write the shipped model.

    python -m training.export training/configs/base.toml [OUT.onnx]

The graph is built operator by operator, so that no exporter of any version decides what is in it: normalisation folded
into the first layer, GRU operators whose state goes in and comes out, the heads, the calibration. It is then run
beside the PyTorch network; the file is only put in place if both agree, and if feeding it piece by piece
gives what feeding it at once gives.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facewave.features.log_mel import log_mel
from facewave.providers.embedded.articulation import CLASSES, PARAMETERS
from training.network import INERTIA, LAYERS, LOOK_AHEAD_STEPS, N_INPUTS, SHOWN, STEP_HZ, Calibrated, Network
from training.settings import ROOT, Settings, load

VERSION = "1"
"""Of the interface: names, shapes and meaning of what goes in and comes out."""

OPSET = 17
TOLERANCE = 2e-4
SHIPPED = ROOT / "src" / "facewave" / "providers" / "embedded" / "model.onnx"
SAMPLE_RATE = 16000


def build(model: Calibrated, metadata: dict[str, str]) -> onnx.ModelProto:
    """The network and its calibration as an ONNX graph.

    Inputs `features` (batch, steps, 128) and `state` (layers + 1, batch, hidden); outputs `articulation` (batch, steps,
    heads, 12), `phones` (batch, steps, heads, 24) and `state_out`.
    """
    graph = _Graph()
    network, heads = model.network, len(LOOK_AHEAD_STEPS)
    scale, mean = _array(network.scale), _array(network.mean)
    weight = _array(network.front.weight)
    graph.add("MatMul", ["features", graph.constant("front_weight", (weight * scale).T)], "front_product")
    graph.add(
        "Add",
        ["front_product", graph.constant("front_bias", _array(network.front.bias) - weight @ (scale * mean))],
        "front_sum",
    )
    graph.add("Relu", ["front_sum"], "front")
    graph.add("Transpose", ["front"], "layer_0", perm=[1, 0, 2])
    states = []
    layers = [_layer(network.gru, layer) for layer in range(LAYERS - 1)] + [_layer(network.refine, 0)]
    for layer, weights in enumerate(layers):
        index = graph.constant(f"layer_{layer}_index", np.array([layer], dtype=np.int64))
        graph.add("Gather", ["state", index], f"state_{layer}", axis=0)
        inputs = [
            f"layer_{layer}",
            *(graph.constant(f"gru_{layer}_{name}", array) for name, array in weights.items()),
            "",
            f"state_{layer}",
        ]
        graph.add(
            "GRU", inputs, f"gru_{layer}", f"state_{layer}_out", hidden_size=network.hidden, linear_before_reset=1
        )
        graph.add(
            "Squeeze",
            [f"gru_{layer}", graph.constant(f"direction_{layer}", np.array([1], dtype=np.int64))],
            f"layer_{layer + 1}",
        )
        states.append(f"state_{layer}_out")
    graph.add("Add", [f"layer_{LAYERS - 1}", f"layer_{LAYERS}"], "refined")
    graph.add("Transpose", ["refined"], "heard", perm=[1, 0, 2])
    for name, linear, width in (
        ("mouth", network.articulation, len(PARAMETERS)),
        ("logits", network.phones, len(CLASSES)),
    ):
        graph.add("MatMul", ["heard", graph.constant(f"{name}_weight", _array(linear.weight).T)], f"{name}_product")
        graph.add("Add", [f"{name}_product", graph.constant(f"{name}_bias", _array(linear.bias))], f"{name}_flat")
        shape = graph.constant(f"{name}_shape", np.array([0, 0, heads, width], dtype=np.int64))
        graph.add("Reshape", [f"{name}_flat", shape], f"{name}_raw")
    graph.add("Softmax", ["logits_raw"], "phones", axis=-1)
    graph.add("Sigmoid", ["mouth_raw"], "mouth")
    _calibration(graph, model)
    graph.add("Concat", [*states, _inertia(graph, network.hidden)], "state_out", axis=0)
    ins = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "steps", N_INPUTS]),
        helper.make_tensor_value_info("state", TensorProto.FLOAT, [LAYERS + 1, "batch", network.hidden]),
    ]
    outs = [
        helper.make_tensor_value_info("articulation", TensorProto.FLOAT, ["batch", "steps", heads, len(PARAMETERS)]),
        helper.make_tensor_value_info("phones", TensorProto.FLOAT, ["batch", "steps", heads, len(CLASSES)]),
        helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [LAYERS + 1, "batch", network.hidden]),
    ]
    onnx_graph = helper.make_graph(graph.nodes, "embedded", ins, outs, graph.constants)
    built = helper.make_model(
        onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="facewave training"
    )
    built.ir_version = 8
    helper.set_model_props(built, metadata)
    onnx.checker.check_model(built, full_check=True)
    return built


class _Graph:
    """Nodes and constants in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> None:
        # A GRU's first output is the sequence, its second the last state.
        self.nodes.append(helper.make_node(operator, inputs, list(outputs), **attributes))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.array(values, order="C"), name))
        return name


def _layer(gru: torch.nn.GRU, layer: int) -> dict[str, NDArray[np.float32]]:
    """A layer's weights in ONNX's order of gates: update, reset, new (PyTorch: reset, update, new)."""

    def reordered(name: str) -> NDArray[np.float32]:
        reset, update, new = np.split(_array(getattr(gru, f"{name}_l{layer}")), 3)
        return np.concatenate((update, reset, new))[None]

    return {
        "input": reordered("weight_ih"),
        "hidden": reordered("weight_hh"),
        "bias": np.concatenate((reordered("bias_ih"), reordered("bias_hh")), axis=1),
    }


def _calibration(graph: _Graph, model: Calibrated) -> None:
    heads = len(LOOK_AHEAD_STEPS)
    evidence = np.zeros((heads, len(CLASSES), len(PARAMETERS)), dtype=np.float32)
    for head in range(heads):
        for name in ("pb", "m"):
            evidence[head, CLASSES.index(name), PARAMETERS.index("close")] = float(model.evidence[head, 0])
        evidence[head, CLASSES.index("fv"), PARAMETERS.index("fv")] = float(model.evidence[head, 1])
    axis = graph.constant("evidence_axis", np.array([3], dtype=np.int64))
    graph.add("Unsqueeze", ["phones", axis], "phones_row")  # (batch, steps, heads, 1, 24)
    graph.add("MatMul", ["phones_row", graph.constant("evidence", evidence)], "evidence_row")
    graph.add("Squeeze", ["evidence_row", axis], "evidence_sum")
    graph.add("Add", ["mouth", "evidence_sum"], "raised")
    graph.add("Sub", ["raised", graph.constant("offset", _array(model.offset))], "lowered")
    graph.add("Mul", ["lowered", graph.constant("gain", _array(model.gain))], "stretched")
    zero, one = graph.constant("zero", np.array(0, np.float32)), graph.constant("one", np.array(1, np.float32))
    graph.add("Clip", ["stretched", zero, one], "full")
    bounds = [
        graph.constant(f"silence_{name}", np.array([value], dtype=np.int64))
        for name, value in (("first", 0), ("last", 1), ("axis", 3))
    ]
    graph.add("Slice", ["phones", *bounds], "silence")  # (batch, steps, heads, 1)
    low, high = _array(model.rest[:, :1]), _array(model.rest[:, 1:])
    graph.add("Sub", [graph.constant("rest_full", high), "silence"], "to_rest")
    graph.add("Div", ["to_rest", graph.constant("rest_width", high - low)], "awake_raw")
    graph.add("Clip", ["awake_raw", zero, one], "awake")
    graph.add("Mul", ["full", "awake"], "wanted")


def _inertia(graph: _Graph, hidden: int) -> str:
    """What is shown follows what is wanted; the name of the state's last row, (1, batch, hidden).

    A recurrent layer without a nonlinearity: ONNX has no plainer operator that keeps part of the last step.
    """
    rows = graph.constant("shown_row", np.array([LAYERS], dtype=np.int64))
    graph.add("Gather", ["state", rows], "shown_state", axis=0)
    sizes = graph.constant("shown_sizes", np.array([SHOWN, hidden - SHOWN], dtype=np.int64))
    graph.add("Split", ["shown_state", sizes], "shown_before", "shown_unused", axis=2)
    flat = graph.constant("shown_flat", np.array([0, 0, SHOWN], dtype=np.int64))
    graph.add("Reshape", ["wanted", flat], "wanted_flat")
    graph.add("Transpose", ["wanted_flat"], "wanted_steps", perm=[1, 0, 2])
    one = np.eye(SHOWN, dtype=np.float32)[None]
    graph.add(
        "RNN",
        [
            "wanted_steps",
            graph.constant("shown_new", one * np.float32(1 - INERTIA)),
            graph.constant("shown_kept", one * np.float32(INERTIA)),
            "", "", "shown_before",
        ],
        "shown_steps", "shown_last",
        hidden_size=SHOWN, activations=["Affine"], activation_alpha=[1.0], activation_beta=[0.0],
    )  # fmt: skip
    direction = graph.constant("shown_direction", np.array([1], dtype=np.int64))
    graph.add("Squeeze", ["shown_steps", direction], "shown_only")
    graph.add("Transpose", ["shown_only"], "shown_batch", perm=[1, 0, 2])
    heads = graph.constant("shown_heads", np.array([0, 0, len(LOOK_AHEAD_STEPS), len(PARAMETERS)], dtype=np.int64))
    graph.add("Reshape", ["shown_batch", heads], "articulation")
    graph.add("Concat", ["shown_last", "shown_unused"], "shown_out", axis=2)
    return "shown_out"


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensor.detach().numpy().astype(np.float32)
    return values


def metadata(settings: Settings, step: int) -> dict[str, str]:
    """What the runtime and a curious reader need to know."""
    return {
        "version": VERSION,
        "step_hz": str(STEP_HZ),
        "feature_hz": str(2 * STEP_HZ),
        "look_ahead_samples": json.dumps([ahead * SAMPLE_RATE // STEP_HZ for ahead in LOOK_AHEAD_STEPS]),
        "articulation": json.dumps(PARAMETERS),
        "classes": json.dumps(CLASSES),
        "config": settings.name,
        "config_sha256": settings.digest,
        "updates": str(step),
        "corpus": corpus_summary(settings),
    }


def corpus_summary(settings: Settings) -> str:
    """Hours and kinds of speech the model learned from, in one sentence."""
    manifest_path = settings.data / "synthetic" / "manifest.json"
    made = json.loads(manifest_path.read_text("utf8")) if manifest_path.exists() else {}
    train = [row for row in made.values() if row["split"] == "train"]
    hours = sum(row["seconds"] for row in train) / 3600
    text = f"{hours:.2f} h synthetic in {len({row['language'] for row in train})} languages"
    recorded = [
        json.loads(path.read_text("utf8")) for path in sorted((settings.data / "prepared").glob("train-human-*.json"))
    ]
    if recorded:
        names = ", ".join(row["corpus"] for row in recorded)
        text += f", {sum(row['seconds'] for row in recorded) / 3600:.2f} h recorded ({names})"
    return text


def check(path: Path, model: Calibrated) -> tuple[float, float]:
    """Largest difference to PyTorch, and between piecewise and whole, on made-up sound.

    Raises:
        RuntimeError: One of them exceeds TOLERANCE.
    """
    rng = np.random.default_rng(0)
    envelope = np.repeat(rng.uniform(0, 0.3, 60), 800).astype(np.float32)
    features = log_mel((rng.standard_normal(len(envelope)) * envelope).astype(np.float32))
    n = len(features) // 2
    x = features[: 2 * n].reshape(1, n, N_INPUTS)
    x = np.concatenate((x, x[:, ::-1])).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    start = model.start(2).numpy()
    whole = session.run(None, {"features": x, "state": start})
    with torch.no_grad():
        expected = model(torch.from_numpy(x), torch.from_numpy(start))
    parity = max(float(np.abs(a - b.numpy()).max()) for a, b in zip(whole, expected, strict=True))
    state, pieces = start, []
    for first in range(0, n, 7):
        piece = session.run(None, {"features": x[:, first : first + 7], "state": state})
        pieces.append(piece[0])
        state = piece[2]
    streaming = float(np.abs(np.concatenate(pieces, axis=1) - whole[0]).max())
    if not max(parity, streaming) <= TOLERANCE:
        raise RuntimeError(
            f"{path}: differs from PyTorch by {parity:.1e}, piecewise from whole by {streaming:.1e}; "
            f"at most {TOLERANCE} is allowed"
        )
    return parity, streaming


def main(settings: Settings, out: Path) -> None:
    saved = torch.load(settings.run / "calibrated.pt", weights_only=True)
    model = Calibrated(Network(settings.model.hidden, settings.model.front))
    model.load_state_dict(saved["model"])
    model.eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_suffix(".tmp.onnx")
    onnx.save(build(model, metadata(settings, saved["step"])), temporary)
    try:
        parity, streaming = check(temporary, model)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    print(
        f"export: {out.name}, {out.stat().st_size / 1e6:.2f} MB, PyTorch {parity:.1e}, piecewise {streaming:.1e}",
        flush=True,
    )


if __name__ == "__main__":
    chosen = load(Path(sys.argv[1]))
    main(chosen, Path(sys.argv[2]) if len(sys.argv) > 2 else chosen.run / "model.onnx")
