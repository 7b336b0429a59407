"""The form of a network that is taken without being asked for: the same numbers, made once, never in the way."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from facewave.cli import app
from facewave.doctor.report import notes
from facewave.errors import ModelFormatError, ModelNotFoundError
from facewave.inference.fastest import faster_with, fastest_form, open_network
from facewave.inference.onnx import Network, load_network
from facewave.inference.store import cache_folder
from facewave.providers.a2f.provider import mark_regression
from facewave.settings import FacewaveSettings, ModelsSettings
from facewave.streams import StreamSettings
from tests.model_folders import regression_folder


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def write(path: Path, *, opset: int = 14, kernel: int = 3, seed: int = 0, **attributes: Any) -> Path:
    """A network of one convolution along a line."""
    weights = np.random.default_rng(seed).normal(0, 0.3, (6, 4, kernel)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "k"], ["y"], **attributes)],
        "line",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 50])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 6, None])],
        [numpy_helper.from_array(weights, "k")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
    return path


def entries() -> list[Path]:
    return sorted((cache_folder() / "networks").glob("*"))


def run(network: Network) -> NDArray[np.float32]:
    x = np.random.default_rng(1).normal(0, 1, (2, 4, 50)).astype(np.float32)
    return np.asarray(network.run({"x": x})[0], np.float32)


@pytest.mark.parametrize("opset", [11, 12, 13, 14])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"auto_pad": "SAME_UPPER", "strides": [2]},
        {"auto_pad": "VALID"},
        {"pads": [2, 1], "dilations": [3], "kernel_shape": [3]},
    ],
)
def test_it_computes_the_same(tmp_path: Path, opset: int, attributes: dict[str, Any]) -> None:
    path = write(tmp_path / "network.onnx", opset=opset, **attributes)
    fast, own = open_network(path, ""), open_network(path, "fp32")
    assert fast.path == own.path == own.form == path
    assert [fast.form] == entries()
    expected = run(own)
    assert expected.std() > 0.1
    np.testing.assert_allclose(run(fast), expected, atol=1e-5)
    assert list(tmp_path.glob("*")) == [path]


def test_it_is_made_once_and_belongs_to_the_content(tmp_path: Path) -> None:
    path = write(tmp_path / "network.onnx")
    made = fastest_form(path)
    before = made.read_bytes()
    made.write_bytes(before)
    os.utime(made, (1000, 1000))
    assert fastest_form(path) == made
    assert made.stat().st_mtime > 1000  # used
    write(path, seed=5)
    other = fastest_form(path)
    assert other != made
    np.testing.assert_allclose(run(open_network(path, "")), run(load_network(path)), atol=1e-5)


def test_entries_that_nobody_uses_go(tmp_path: Path) -> None:
    old = fastest_form(write(tmp_path / "old.onnx"))
    recent = fastest_form(write(tmp_path / "recent.onnx", seed=2))
    long_ago = time.time() - 100 * 86_400
    os.utime(old, (long_ago, long_ago))
    made = fastest_form(write(tmp_path / "new.onnx", seed=3))
    assert entries() == sorted([recent, made])


def test_networks_without_lines_keep_their_own_form(tmp_path: Path) -> None:
    folder = regression_folder(tmp_path / "model")
    path = folder / "network.onnx"
    for _ in range(2):
        assert fastest_form(path) == path
    (entry,) = entries()
    assert entry.stat().st_size == 0
    assert open_network(path, "").form == path


def test_weights_in_files_of_their_own_stay_there(tmp_path: Path) -> None:
    path = write(tmp_path / "network.onnx", kernel=40)
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="weights", size_threshold=0)
    assert (tmp_path / "weights").is_file()
    assert fastest_form(path) == path
    assert run(open_network(path, "")).shape == (2, 6, 11)


def test_other_devices_take_the_networks_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "network.onnx")
    monkeypatch.setattr("facewave.inference.onnx.runtime_devices", lambda: ("CUDAExecutionProvider",))
    assert fastest_form(path, "cuda") == path
    assert fastest_form(path, "coreml") != path  # not here: runs on the CPU
    assert faster_with("", "cuda") == ""


def test_a_cache_that_cannot_be_written_costs_speed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "network.onnx")
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr("facewave.inference.fastest.cache_folder", lambda: tmp_path / "file")
    assert open_network(path, "").form == path


def test_a_damaged_entry_costs_speed_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "network.onnx")
    fastest_form(path).write_bytes(b"damaged")
    assert open_network(path, "").form == path


def test_what_is_no_network_is_named_by_its_own_path(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    with pytest.raises(ModelNotFoundError, match=r"network\.onnx: no such file"):
        open_network(path, "")
    path.write_bytes(b"no network")
    with pytest.raises(ModelFormatError, match=r"network .*network\.onnx: ONNX Runtime cannot load it"):
        open_network(path, "")
    assert entries() == []


def test_without_the_package_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = regression_folder(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "onnx", None)
    path = folder / "network.onnx"
    assert open_network(path, "").form == path
    assert not entries()
    hint = "pip install 'facewave[quantize]'"
    settings = FacewaveSettings(models=ModelsSettings(face=str(folder)))
    assert hint in mark_regression(settings).info.hint
    assert mark_regression(FacewaveSettings(models=ModelsSettings(variant="fp32"))).info.hint == ""
    rows = [{"name": "LocalA2F-Mark-AR", "available": True}, {"name": "LocalA2F-Mark", "available": False}]
    (note,) = notes(settings, rows)
    assert note["what"] == "LocalA2F-Mark-AR"
    assert hint in note["do"]
    for command in (["providers", "-v"], ["models", "info", str(folder)]):
        result = CliRunner().invoke(app, command, env={"COLUMNS": "400"})
        assert hint in result.output, result.output


def test_a_session_takes_it_unasked(tmp_path: Path) -> None:
    folder = regression_folder(tmp_path / "model")
    _put_a_convolution_first(folder / "network.onnx")
    result = CliRunner().invoke(app, ["models", "add", str(folder), "--name", "mine"])
    assert result.exit_code == 0, result.output
    assert len(entries()) == 1
    samples = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    weights = {}
    for variant in ("", "fp32"):
        settings = FacewaveSettings(models=ModelsSettings(face="mine", emotion="none", variant=variant))
        session = mark_regression(settings).open(StreamSettings())
        form = session.executor._network.form
        assert (form == folder / "network.onnx") == (variant == "fp32")
        frames = [*session.push(samples), *session.finish()]
        weights[variant] = np.stack([frame.weights for frame in frames])
    assert len(weights[""]) == 30
    assert np.ptp(weights[""], axis=0).max() > 1e-3
    np.testing.assert_allclose(weights[""], weights["fp32"], atol=1e-5)
    result = CliRunner().invoke(app, ["models", "info", "mine"], env={"COLUMNS": "400"})
    assert "the same numbers in a faster form" in result.output


def _put_a_convolution_first(path: Path) -> None:
    """Let the network hear its input through a convolution that keeps the length."""
    model = onnx.load(str(path))
    graph = model.graph
    (heard,) = [value.name for value in graph.input if value.name == "input"]
    for node in graph.node:
        node.input[:] = ["through_line" if name == heard else name for name in node.input]
    kernel = np.array([[[10, 35, 5]]], np.float32)
    graph.initializer.append(numpy_helper.from_array(kernel, "hearing"))
    graph.node.insert(0, helper.make_node("Conv", [heard, "hearing"], ["through_line"], pads=[1, 1]))
    onnx.save(model, str(path))
