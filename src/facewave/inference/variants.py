"""Other forms of a network, written beside it: rearranged for speed, 8-bit weights, 16-bit floats."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, ModelNotFoundError, SettingsError
from .onnx import half_precision, quantize_weights


def variant_file(network: Path, variant: str) -> Path:
    """Where a variant of a network lies: `network.int8.onnx` beside `network.onnx`; blank means the network itself.

    Raises:
        SettingsError: No such variant.
    """
    if not variant or variant == "fp32":
        return network
    if variant not in VARIANTS:
        raise SettingsError(f"network variant: found {variant!r}, expected one of: fp32, {', '.join(VARIANTS)}")
    return network.with_name(f"{network.stem}.{variant}.onnx")


def existing_variant(network: Path, variant: str) -> Path:
    """The file of a variant that has been made.

    Raises:
        SettingsError: No such variant.
        ModelNotFoundError: It has not been made yet.
    """
    path = variant_file(network, variant)
    if not path.is_file():
        raise ModelNotFoundError(f"network {path}: no such file; facewave models quantize {network.parent} makes it")
    return path


def make_variant(network: Path, variant: str) -> Path:
    """Write a variant beside a network, whole or not at all, and return its path.

    Raises:
        SettingsError: No such variant.
        ModelError: A package is missing.
    """
    target = variant_file(network, variant)
    partial = target.with_suffix(".part")
    try:
        if VARIANTS[variant](network, partial) == 0:
            shutil.copyfile(network, partial)
        os.replace(partial, target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return target


def plane_convolutions(source: Path, target: Path) -> int:
    """Write a network whose one-dimensional convolutions are two-dimensional ones of height 1; how many they are.

    The arithmetic is the same up to rounding; ONNX Runtime has faster CPU kernels for planes than for lines. Nothing
    is written where there is no such convolution, or where the weights are in files of their own.

    Raises:
        ModelError: The package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError("rearranging networks needs a package: pip install 'facewave[quantize]'") from error
    model = onnx.load(str(source), load_external_data=False)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        return 0
    fed = {value.name for value in graph.input}
    version = max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0)
    # Before version 13 the axes of Unsqueeze and Squeeze are attributes.
    axis: dict[str, Any] = {"axes": [2]} if version < _AXES_ARE_INPUTS else {}
    axis_input = [] if axis else ["facewave_height_axis"]
    nodes, replaced, count = [], set(), 0
    for number, node in enumerate(graph.node):
        kernel = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if kernel is None or len(kernel.dims) != 3 or kernel.name in fed:
            nodes.append(node)
            continue
        name = f"{kernel.name}_plane"
        if name not in weights:
            plane = np.ascontiguousarray(onnx.numpy_helper.to_array(kernel)[:, :, None, :])
            weights[name] = onnx.numpy_helper.from_array(plane, name)
            graph.initializer.append(weights[name])
        replaced.add(kernel.name)
        count += 1
        lifted, made = f"facewave_lifted_{number}", f"facewave_plane_{number}"
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        nodes += [
            onnx.helper.make_node("Unsqueeze", [node.input[0], *axis_input], [lifted], **axis),
            onnx.helper.make_node("Conv", [lifted, name, *node.input[2:]], [made], **_lifted(attributes)),
            onnx.helper.make_node("Squeeze", [made, *axis_input], [node.output[0]], **axis),
        ]
    if not count:
        return 0
    still_used = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name not in replaced or tensor.name in still_used]
    kept += [onnx.numpy_helper.from_array(np.array([2], np.int64), name) for name in axis_input]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.save(model, str(target))
    return count


def _lifted(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a convolution along a line as those of one over a plane of height 1."""
    lifted = {name: value for name, value in attributes.items() if name != "kernel_shape"}
    for name in ("strides", "dilations"):
        if name in lifted:
            lifted[name] = [1, *lifted[name]]
    if "pads" in lifted:
        before, after = lifted["pads"]
        lifted["pads"] = [0, before, 0, after]
    return lifted


_AXES_ARE_INPUTS = 13


VARIANTS: Mapping[str, Callable[[Path, Path], int | None]] = {
    "plane": plane_convolutions,
    "int8": quantize_weights,
    "fp16": half_precision,
}
"""Name -> what makes it from the file of a network."""
