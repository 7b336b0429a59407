"""Other forms of a network: what they compute, and the command that makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from facewave.cli import app
from facewave.errors import ModelNotFoundError, SettingsError
from facewave.inference.onnx import load_network
from facewave.inference.variants import existing_variant, make_variant, variant_file
from facewave.providers.a2f.provider import mark_regression
from facewave.settings import FacewaveSettings, ModelsSettings
from facewave.streams import StreamSettings
from tests.model_folders import regression_folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Two strided, padded, dilated or grouped convolutions along a line, and a product."""
    rng = np.random.default_rng(0)
    constants = {
        "k1": rng.normal(0, 0.3, (8, 4, 3)).astype(np.float32),
        "b1": rng.normal(0, 0.3, 8).astype(np.float32),
        "k2": rng.normal(0, 0.3, (8, 4, 2)).astype(np.float32),
        "m": rng.normal(0, 0.3, (29, 64)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k1", "b1"], ["a"], strides=[2], pads=[2, 1], dilations=[2]),
        helper.make_node("Conv", ["a", "k2"], ["b"], group=2),
        helper.make_node("MatMul", ["b", "m"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lines",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 60])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8, 64])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), str(path))
    return path


def output(path: Path) -> NDArray[np.float32]:
    x = np.random.default_rng(1).normal(0, 1, (3, 4, 60)).astype(np.float32)
    return load_network(path).run({"x": x})[0]


@pytest.mark.parametrize(("variant", "tolerance"), [("plane", 1e-5), ("int8", 0.1), ("fp16", 0.01)])
def test_a_variant_computes_the_same(network: Path, variant: str, tolerance: float) -> None:
    made = make_variant(network, variant)
    assert made == network.with_name(f"network.{variant}.onnx") == existing_variant(network, variant)
    expected = output(network)
    error = np.abs(output(made) - expected).max()
    assert error <= tolerance
    assert expected.std() > 0.5
    assert [path.name for path in network.parent.glob("*.part")] == []


def test_int8_weights_are_smaller(network: Path) -> None:
    weights = onnx.load(make_variant(network, "int8")).graph.initializer
    assert any(tensor.data_type == TensorProto.INT8 and list(tensor.dims) == [29, 64] for tensor in weights)


def test_planes_leave_no_lines(network: Path) -> None:
    graph = onnx.load(make_variant(network, "plane")).graph
    dims = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    assert [dims[node.input[1]] for node in graph.node if node.op_type == "Conv"] == [4, 4]
    assert "k1" not in dims


def test_names(network: Path) -> None:
    assert variant_file(network, "") == variant_file(network, "fp32") == network
    with pytest.raises(SettingsError, match="found 'int4', expected one of: fp32, plane, int8, fp16"):
        variant_file(network, "int4")
    with pytest.raises(ModelNotFoundError, match="facewave models quantize"):
        existing_variant(network, "fp16")


def test_the_command_makes_and_compares_them_and_the_provider_uses_them(tmp_path: Path) -> None:
    folder = regression_folder(tmp_path / "model")
    result = CliRunner().invoke(app, ["models", "quantize", str(folder), "--runs", "1"])
    assert result.exit_code == 0, result.output
    for name in ("fp32", "plane", "int8", "fp16"):
        assert name in result.output
    settings = FacewaveSettings(models=ModelsSettings(face=str(folder), emotion="none", variant="int8"))
    session = mark_regression(settings).open(StreamSettings())
    assert session.executor._network.path.name == "network.int8.onnx"
    assert len(session.push(np.zeros(16_000, np.float32))) + len(session.finish()) == 30
