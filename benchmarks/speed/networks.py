"""Random-weight networks of the published sizes, written node by node, for timing and memory.

Layers and sizes are those of NVIDIA's training framework; see `SIZES` for the parameter counts they add up to. Nothing
is trained: outputs mean nothing, but the arithmetic and the memory are those of the published models. The diffusion
graph contains its audio encoder once for each step, sharing weights, as the exported one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZES = {"Mark": 18_273_331, "Claire": 39_440_326, "diffusion": 179_664_830}
"""Parameters of the published architectures, computed from their layers."""

CONV_LAYERS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
"""Kernel and stride of the audio encoders' convolutions."""


@dataclass(frozen=True)
class Encoder:
    """An audio encoder of the wav2vec 2.0 / HuBERT family."""

    layers: int
    width: int = 768
    heads: int = 12
    inner: int = 3072
    large: bool = False
    """Biased convolutions with a layer norm each, and norms before the blocks, as in the large model."""


class Graph:
    """Collects nodes and weights; every method adds a layer and returns the name of its output."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def add(self, operator: str, inputs: Sequence[str], output: str = "", outputs: int = 1, **attributes: Any) -> str:
        self._count += 1
        name = output or f"{operator}_{self._count}"
        names = [name, *(f"{name}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.weights.setdefault(name, value)
        return name

    def weight(self, name: str, *shape: int, fan_in: int) -> str:
        """Random weights; a name that exists is shared."""
        if name not in self.weights:
            values = self._rng.standard_normal(shape, np.float32)
            values *= np.float32(1 / np.sqrt(fan_in))
            self.weights[name] = values
        return name

    def filled(self, name: str, value: float, *shape: int) -> str:
        return self.constant(name, np.full(shape, value, np.float32))

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar_{value}", np.array(value, np.float32))

    def ints(self, *values: int) -> str:
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def linear(self, x: str, name: str, size: int, out: int, *, bias: bool = True) -> str:
        y = self.add("MatMul", [x, self.weight(f"{name}.weight", size, out, fan_in=size)])
        return self.add("Add", [y, self.filled(f"{name}.bias", 0, out)]) if bias else y

    def conv(
        self, x: str, name: str, shape: Sequence[int], *, stride: Sequence[int], pads: Sequence[int], groups: int = 1,
        bias: bool = True,
    ) -> str:  # fmt: skip
        out, fan_in = shape[0], int(np.prod(shape[1:]))
        inputs = [x, self.weight(f"{name}.weight", *shape, fan_in=fan_in)]
        if bias:
            inputs.append(self.filled(f"{name}.bias", 0, out))
        return self.add("Conv", inputs, strides=list(stride), pads=list(pads), group=groups)

    def layer_norm(self, x: str, name: str, size: int) -> str:
        mean = self.add("ReduceMean", [x], axes=[-1])
        centred = self.add("Sub", [x, mean])
        squared = self.add("Pow", [centred, self.scalar(2.0)])
        variance = self.add("ReduceMean", [squared], axes=[-1])
        deviation = self.add("Sqrt", [self.add("Add", [variance, self.scalar(1e-5)])])
        normed = self.add("Div", [centred, deviation])
        scaled = self.add("Mul", [normed, self.filled(f"{name}.gain", 1, size)])
        return self.add("Add", [scaled, self.filled(f"{name}.shift", 0, size)])

    def gelu(self, x: str) -> str:
        erf = self.add("Erf", [self.add("Div", [x, self.scalar(float(np.sqrt(2)))])])
        product = self.add("Mul", [x, self.add("Add", [erf, self.scalar(1.0)])])
        return self.add("Mul", [product, self.scalar(0.5)])

    def norm_relu(self, x: str) -> str:
        return self.add("Mul", [self.add("Relu", [x]), self.scalar(float(np.sqrt(2)))])

    def transpose(self, x: str, *order: int) -> str:
        return self.add("Transpose", [x], perm=list(order))

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", [x, self.ints(*shape)])

    def slice(self, x: str, axis: int, start: int, stop: int) -> str:
        return self.add("Slice", [x, self.ints(start), self.ints(stop), self.ints(axis)])

    def save(self, path: Path, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> Path:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "random",
            [value(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [value(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(values, name) for name, values in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        onnx.save(model, str(partial))
        return partial.replace(path)

    @property
    def parameters(self) -> int:
        """Weights that a model card would count: no constants, each shared one once."""
        return sum(
            values.size
            for name, values in self.weights.items()
            if values.dtype == np.float32 and not name.startswith(("scalar_", "fixed."))
        )


def encode(g: Graph, audio: str, spec: Encoder, name: str = "audio") -> str:
    """Audio encoder: (B, 1, samples) to (B, steps, width) of the last layer, or to the mean of all for short stacks."""
    x, channels = audio, 1
    for index, (kernel, stride) in enumerate(CONV_LAYERS):
        x = g.conv(x, f"{name}.conv{index}", (512, channels, kernel), stride=[stride], pads=[0, 0], bias=spec.large)
        if spec.large:
            x = g.transpose(g.layer_norm(g.transpose(x, 0, 2, 1), f"{name}.conv_norm{index}", 512), 0, 2, 1)
        elif index == 0:
            x = g.add(
                "InstanceNormalization",
                [x, g.filled(f"{name}.norm.gain", 1, 512), g.filled(f"{name}.norm.shift", 0, 512)],
            )
        x, channels = g.gelu(x), 512
    x = g.transpose(x, 0, 2, 1)  # (B, steps, 512)
    x = g.linear(g.layer_norm(x, f"{name}.projection_norm", 512), f"{name}.projection", 512, spec.width)
    place = g.conv(
        g.transpose(x, 0, 2, 1),
        f"{name}.place",
        (spec.width, spec.width // 16, 128),
        stride=[1],
        pads=[64, 64],
        groups=16,
    )
    place = g.slice(place, 2, 0, -1)  # an even kernel gives one step too many
    x = g.add("Add", [x, g.transpose(g.gelu(place), 0, 2, 1)])
    if not spec.large:
        x = g.layer_norm(x, f"{name}.norm_in", spec.width)
    outputs = []
    for layer in range(spec.layers):
        x = _block(g, x, spec, f"{name}.layer{layer}")
        outputs.append(x)
    if spec.large:
        return g.layer_norm(x, f"{name}.norm_out", spec.width)
    return outputs[-1]


def _block(g: Graph, x: str, spec: Encoder, name: str) -> str:
    inside = g.layer_norm(x, f"{name}.norm1", spec.width) if spec.large else x
    x = g.add("Add", [x, _attention(g, inside, spec, name)])
    if not spec.large:
        x = g.layer_norm(x, f"{name}.norm1", spec.width)
    inside = g.layer_norm(x, f"{name}.norm2", spec.width) if spec.large else x
    inside = g.gelu(g.linear(inside, f"{name}.up", spec.width, spec.inner))
    x = g.add("Add", [x, g.linear(inside, f"{name}.down", spec.inner, spec.width)])
    return x if spec.large else g.layer_norm(x, f"{name}.norm2", spec.width)


def _attention(g: Graph, x: str, spec: Encoder, name: str) -> str:
    size = spec.width // spec.heads
    heads = {}
    for part in ("query", "key", "value"):
        projected = g.linear(x, f"{name}.{part}", spec.width, spec.width)
        split = g.reshape(projected, 0, -1, spec.heads, size)
        heads[part] = g.transpose(split, *((0, 2, 3, 1) if part == "key" else (0, 2, 1, 3)))
    query = g.add("Mul", [heads["query"], g.scalar(float(size**-0.5))])
    shares = g.add("Softmax", [g.add("MatMul", [query, heads["key"]])], axis=-1)
    mixed = g.transpose(g.add("MatMul", [shares, heads["value"]]), 0, 2, 1, 3)
    return g.linear(g.reshape(mixed, 0, -1, spec.width), f"{name}.out", spec.width, spec.width)


def regression(path: Path, *, components: int = 272, layers: int = 1, emotions: int = 10, implicit: int = 16) -> int:
    """Write a regression network (Mark: 272 components, 1 layer; Claire, James: 140, 4); returns its parameters."""
    g = Graph()
    heard = encode(g, "input", Encoder(layers))
    mixed = g.add("Mul", [heard, g.filled("mix", 1, layers)]) if layers == 1 else heard
    a = g.transpose(g.add("Relu", [g.linear(mixed, "map", 768, 256)]), 0, 2, 1)  # (B, 256, 25)
    b = _autocorrelation(g, "input")
    x = g.add("Unsqueeze", [g.add("Concat", [a, b], axis=1), g.ints(3)])  # (B, 512, 25, 1)
    emotion = g.reshape("emotion", 0, implicit + emotions)
    explicit = g.linear(g.slice(emotion, 1, implicit, implicit + emotions), "explicit", emotions, 8)
    mood = g.add("Concat", [g.slice(emotion, 1, 0, implicit), explicit], axis=1)  # (B, 24)
    channels, steps = 512, 25
    for index in range(4):
        x = g.norm_relu(g.conv(x, f"time{index}", (256, channels, 3, 1), stride=[2, 1], pads=[1, 0, 1, 0]))
        steps = (steps + 1) // 2
        held = g.add("Expand", [g.reshape(mood, 0, 24, 1, 1), g.ints(1, 24, steps, 1)])
        x, channels = g.add("Concat", [x, held], axis=1), 280
    x = g.norm_relu(g.linear(g.reshape(x, 0, 280 * steps), "time4", 280 * steps, 256))
    x = g.add("Concat", [x, mood], axis=1)
    wide = components + 19
    face = g.linear(g.linear(x, "face0", 280, wide), "face1", wide, wide)
    tongue = g.linear(g.linear(x, "tongue0", 280, 10), "tongue1", 10, 10)
    rows = g.add("Concat", [g.slice(face, 1, 0, components), tongue, g.slice(face, 1, components, wide)], axis=1)
    g.add("Unsqueeze", [rows, g.ints(1)], output="result")
    g.save(
        path,
        {"input": ["batch", 1, 8320], "emotion": ["batch", 1, implicit + emotions]},
        {"result": ["batch", 1, components + 29]},
    )
    return g.parameters


def _autocorrelation(g: Graph, audio: str) -> str:
    """(B, 1, 8320) to (B, 256, 25)."""
    loud = g.add("Mul", [g.reshape(audio, 0, 8320), g.scalar(8.912028121636435)])
    places = np.arange(25)[:, None] * 320 + np.arange(640)
    pieces = g.add("Gather", [loud, g.constant("fixed.places", places)], axis=1)  # (B, 25, 640)
    pieces = g.add("Sub", [pieces, g.add("ReduceMean", [pieces], axes=[-1])])
    pieces = g.add("Mul", [pieces, g.constant("fixed.hann", np.hanning(640).astype(np.float32))])
    lags = []
    for lag in range(32):
        product = g.add("Mul", [g.slice(pieces, 2, 0, 640 - lag), g.slice(pieces, 2, lag, 640)])
        lags.append(g.add("ReduceSum", [product, g.ints(-1)], keepdims=1))
    x = g.add("Div", [g.add("Concat", lags, axis=2), g.scalar(640.0)])
    x, channels = g.add("Unsqueeze", [x, g.ints(1)]), 1  # (B, 1, 25, 32)
    for index, out in enumerate((72, 108, 162, 243)):
        x = g.norm_relu(g.conv(x, f"lag{index}", (out, channels, 1, 3), stride=[1, 2], pads=[0, 1, 0, 1]))
        channels = out
    x = g.norm_relu(g.conv(x, "lag4", (256, 243, 1, 2), stride=[1, 1], pads=[0, 0, 0, 0]))
    return g.reshape(x, 0, 256, 25)


def diffusion(
    path: Path, *, skin: int = 72_006, tongue: int = 16_806, identities: int = 3, emotions: int = 10, layers: int = 12
) -> int:
    """Write a diffusion network of two steps; returns its parameters."""
    g, row = Graph(), skin + tongue + 19
    latents = []
    x = g.reshape(g.add("Gather", ["noise", g.ints(2)], axis=1), 0, 60, row)
    for step in (1, 0):
        x0, state = _predict(g, x, step, skin, tongue, identities, emotions, layers)
        latents.append(state)
        if step == 1:
            kept = g.add("Mul", [x0, g.scalar(0.99997936)])
            old = g.add("Mul", [x, g.scalar(2.03e-9)])
            fresh = g.reshape(g.add("Gather", ["noise", g.ints(1)], axis=1), 0, 60, row)
            x = g.add("Add", [g.add("Add", [kept, old]), g.add("Mul", [fresh, g.scalar(0.00642528)])])
        else:
            g.add("Mul", [x0, g.scalar(1.0)], output="prediction")
    g.add("Concat", latents[::-1], output="output_latents", axis=0)
    g.save(
        path,
        {
            "window": ["batch", 16_000],
            "identity": ["batch", identities],
            "emotion": ["batch", 30, emotions],
            "input_latents": [2, 2, "batch", 256],
            "noise": ["batch", 3, 60, row],
        },
        {"prediction": ["batch", 60, row], "output_latents": [2, 2, "batch", 256]},
    )
    return g.parameters


def _predict(
    g: Graph, x: str, step: int, skin: int, tongue: int, identities: int, emotions: int, layers: int
) -> tuple[str, str]:
    """One evaluation of the network: (B, 60, row) to the clean sample and the recurrent state (1, 2, B, 256)."""
    audio = encode(g, g.reshape("window", 0, 1, 16_000), Encoder(layers))  # (B, 49, 768)
    place = np.arange(60) * 48 / 59
    low = place.astype(np.int64).clip(0, 47)
    stretch = np.zeros((60, 49), np.float32)
    stretch[np.arange(60), low] = 1 - (place - low)
    stretch[np.arange(60), low + 1] += place - low
    audio = g.add("MatMul", [g.constant("fixed.stretch", stretch), audio])
    audio = g.linear(audio, "audio_map", 768, 256)
    parts, begin = [], 0
    for name, size, width in (("skin", skin, 512), ("tongue", tongue, 20)):
        part = g.linear(g.slice(x, 2, begin, begin + size), f"{name}_in", size, width)
        flat = g.reshape(part, -1, 1, width)
        blurred = g.conv(flat, f"{name}_blur", (1, 1, 9), stride=[1], pads=[4, 4])
        parts.append(g.add("Relu", [g.reshape(blurred, -1, 60, width)]))
        begin += size
    for name, size, width in (("jaw", 15, 30), ("eyes", 4, 8)):
        part = g.add("Relu", [g.linear(g.slice(x, 2, begin, begin + size), f"{name}_in0", size, width)])
        parts.append(g.add("Relu", [g.linear(part, f"{name}_in1", width, width)]))
        begin += size
    joined = g.add("Relu", [g.linear(g.add("Concat", parts, axis=2), "join0", 570, 570)])
    geometry = g.linear(joined, "join1", 570, 285)
    hot = np.zeros((1, 1000), np.float32)
    hot[0, 999 if step else 0] = 1
    when = g.linear(g.constant(f"fixed.time{step}", hot), "time_in", 1000, 256)
    when = g.add("Mul", [when, g.add("Tanh", [g.add("Softplus", [when])])])
    who = g.linear("identity", "identity_in", identities, 32, bias=False)
    felt = g.linear("emotion", "emotion_in", emotions, 32, bias=False)
    like = g.slice(felt, 2, 0, 1)  # (B, 30, 1), for its shape
    zero = g.add("Mul", [like, g.scalar(0.0)])
    who = g.add("Add", [g.add("Unsqueeze", [who, g.ints(1)]), zero])
    when = g.add("Add", [when, zero])
    center = [g.slice(part, 1, 15, 45) for part in (audio, geometry)]
    sequence = g.transpose(g.add("Concat", [*center, who, when, felt], axis=2), 1, 0, 2)  # (30, B, 861)
    index = 1 if step else 0
    states = []
    for layer, size in enumerate((861, 256)):
        start = g.reshape(
            g.add("Gather", [g.add("Gather", ["input_latents", g.ints(index)], axis=0), g.ints(layer)], axis=1),
            1, -1, 256,
        )  # fmt: skip
        weights = [
            g.weight(f"gru{layer}.W", 1, 768, size, fan_in=size),
            g.weight(f"gru{layer}.R", 1, 768, 256, fan_in=256),
            g.filled(f"gru{layer}.B", 0, 1, 1536),
        ]
        run = g.add("GRU", [sequence, *weights, "", start], outputs=2, hidden_size=256, linear_before_reset=1)
        sequence = g.add("Squeeze", [run, g.ints(1)])
        states.append(f"{run}_1")
    x = g.transpose(sequence, 1, 0, 2)  # (B, 30, 256)
    heads = []
    for name, inner, size in (("skin", 512, skin), ("tongue", 512, tongue), ("jaw", 128, 15), ("eyes", 128, 4)):
        hidden = g.add("Relu", [g.linear(x, f"{name}_out0", 256, inner)])
        heads.append(g.linear(hidden, f"{name}_out1", inner, size))
    row = skin + tongue + 19
    mean = g.linear("identity", "fixed.mean", identities, row, bias=False)
    clean = g.add("Add", [g.add("Concat", heads, axis=2), g.add("Unsqueeze", [mean, g.ints(1)])])
    padded = g.add("Pad", [clean, g.ints(0, 15, 0, 0, 15, 0)])
    return padded, g.add("Unsqueeze", [g.add("Concat", states, axis=0), g.ints(0)])


def emotion(path: Path, *, layers: int = 24, classes: int = 6) -> int:
    """Write an Audio2Emotion network of the large size; returns its parameters."""
    g = Graph()
    audio = g.add("Unsqueeze", ["input_values", g.ints(1)])
    x = encode(g, audio, Encoder(layers, 1024, 16, 4096, large=True))
    pooled = g.add("ReduceMean", [x], axes=[1], keepdims=0)
    hidden = g.add("Tanh", [g.linear(pooled, "head0", 1024, 1024)])
    g.add("Mul", [g.linear(hidden, "head1", 1024, classes), g.scalar(1.0)], output="output")
    g.save(path, {"input_values": ["batch", "length"]}, {"output": ["batch", classes]})
    return g.parameters


NETWORKS = {
    "Mark": lambda path: regression(path),
    "Claire": lambda path: regression(path, components=140, layers=4),
    "diffusion": lambda path: diffusion(path),
    "Audio2Emotion": lambda path: emotion(path),
}
"""Name -> what writes the network."""


def network_file(name: str, folder: Path) -> Path:
    """The network's file, written if it is not there yet."""
    path = folder / f"{name}.onnx"
    if not path.is_file():
        NETWORKS[name](path)
    return path
