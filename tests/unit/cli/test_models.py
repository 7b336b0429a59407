"""`facewave models` and the model options of `facewave animate`, as a user runs them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from facewave.cli import app
from facewave.errors import FacewaveError, ModelError, ModelFormatError
from tests.model_folders import diffusion_folder, edit_arrays, emotion_folder, regression_folder

RUN = CliRunner()


def run(*arguments: str | Path) -> str:
    result = RUN.invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, FacewaveError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "hum.wav"
    soundfile.write(path, 0.2 * np.sin(np.arange(16_000) * 0.06), 16_000)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_animate_with_a_folder_of_each_kind(clip: Path, tmp_path: Path) -> None:
    regression, diffusion = regression_folder(tmp_path / "r"), diffusion_folder(tmp_path / "d")
    heard = emotion_folder(tmp_path / "e")
    out, feelings = tmp_path / "x.csv", tmp_path / "feelings.csv"
    run("animate", clip, "-p", "LocalA2F-Mark-AR", "--model", regression, "-o", out)
    assert len(rows_of(out)) == 30
    assert len(rows_of(out)[0]) == 1 + 68
    run(
        "animate", clip, "-p", "LocalA2F-Mark", "--model", diffusion / "model.json", "--emotion-model", heard,
        "-o", out, "--emotions", feelings, "--geometry", tmp_path / "g.npz",
    )  # fmt: skip
    assert len(rows_of(out)) == len(rows_of(feelings)) == 40
    assert float(rows_of(feelings)[-1]["emotion_values.joy"]) > 0
    with np.load(tmp_path / "g.npz") as stored:
        assert stored["skin"].shape == (40, 4, 3)


def test_a_model_is_added_listed_shown_checked_used_and_removed(clip: Path, tmp_path: Path) -> None:
    folder, store = regression_folder(tmp_path / "my actor"), ("--store", tmp_path / "store")
    assert "added my-actor: regression model of Tiny" in run("models", "add", folder, *store)
    assert "my-actor" in run("models", "list", *store)
    shown = run("models", "info", "my-actor", *store)
    for text in ("skin 3, tongue 2, jaw 15, eyes 4", "anger, joy, sadness", "8 skin and 5 tongue vertices"):
        assert text in shown
    assert "network.onnx" in shown
    assert "licence" in shown
    assert "complete and consistent" in run("models", "verify", "my-actor", *store)
    edit_arrays(folder / "model_data.npz", drop=["neutral_jaw"])
    with pytest.raises(ModelFormatError, match=r"'neutral_jaw' is missing"):
        run("models", "verify", "my-actor", *store)
    assert "its files stay" in run("models", "remove", "my-actor", *store)
    assert (folder / "model.json").is_file()
    assert "no models in" in run("models", "list", *store)


def test_the_users_store_is_where_providers_look(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEWAVE_MODELS_STORE", str(tmp_path / "store"))
    run("models", "add", diffusion_folder(tmp_path / "d", identities=("Claire", "Mark")), "--name", "multi")
    run("animate", clip, "-p", "LocalA2F-Mark", "-o", tmp_path / "a.csv")
    run("animate", clip, "-p", "LocalA2F-Claire", "--model", "multi", "-o", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_text() != (tmp_path / "b.csv").read_text()
    listed = RUN.invoke(app, ["providers", "-v"], env={"COLUMNS": "300"}).output
    assert " MB" in listed


def test_a_broken_folder_is_not_added(tmp_path: Path) -> None:
    folder = emotion_folder(tmp_path / "e")
    (folder / "network.onnx").write_text("nothing")
    with pytest.raises(ModelError, match="cannot load it"):
        run("models", "add", folder, "--store", tmp_path / "store")
    assert "no models in" in run("models", "list", "--store", tmp_path / "store")


def test_a_device_that_is_not_here_falls_back_and_says_so(
    clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from facewave.inference import onnx

    onnx._warn_once.cache_clear()
    folder = regression_folder(tmp_path / "r")
    run("animate", clip, "-p", "LocalA2F-Mark-AR", "--model", folder, "-o", tmp_path / "x.csv", "--device", "tensorrt")
    import onnxruntime

    if "TensorrtExecutionProvider" not in onnxruntime.get_available_providers():
        assert "device tensorrt: this ONNX Runtime has no TensorrtExecutionProvider; running on the CPU" in caplog.text
        assert "pip install onnxruntime-gpu" in caplog.text
    with pytest.raises(FacewaveError, match="device: found 'tpu', expected one of: cpu, cuda"):
        run("animate", clip, "-p", "LocalA2F-Mark-AR", "--model", folder, "-o", tmp_path / "x.csv", "--device", "tpu")
