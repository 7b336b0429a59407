from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facewave.errors import ModelFormatError, ModelNotFoundError
from facewave.inference.onnx import load_network


def test_a_tiny_real_network(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["a", "b"], ["sum"])
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("a", "b", "sum")]
    graph = helper.make_graph([node], "tiny", tensors[:2], tensors[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"version": "7"})
    onnx.save(model, tmp_path / "tiny.onnx")

    network = load_network(tmp_path / "tiny.onnx")
    assert network.inputs == {"a": ("n", 2), "b": ("n", 2)}
    assert network.outputs == ("sum",)
    assert network.metadata["version"] == "7"
    ones = np.ones((3, 2), np.float32)
    assert network.run({"a": ones, "b": ones})[0].tolist() == [[2, 2]] * 3


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file"):
        load_network(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelFormatError, match="cannot load"):
        load_network(tmp_path / "broken.onnx")
