"""The whole training pipeline with its smallest configuration, and the parts it is made of."""

from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install facewave[train]")
onnx = pytest.importorskip("onnx", reason="training needs the extra `train`: pip install facewave[train]")
pytest.importorskip("scipy", reason="training needs the extra `train`: pip install facewave[train]")

from facewave.providers.embedded.articulation import CLASSES, PARAMETERS, lip_gap, to_blendshapes  # noqa: E402
from facewave.providers.embedded.transcript.coarticulation import classes, curves, rules  # noqa: E402
from training import gru  # noqa: E402
from training.export import build  # noqa: E402
from training.network import INERTIA, LOOK_AHEAD_STEPS, Calibrated, Network, grown  # noqa: E402
from training.prepare import Prepared  # noqa: E402
from training.restore import network_of  # noqa: E402
from training.score import judge, scores  # noqa: E402
from training.train import LEAD_STEPS, MIDWAY_STEPS, Batches, Loss  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MAMA = [(0.0, 0.5, "sil"), (0.5, 0.6, "m"), (0.6, 0.8, "a"), (0.8, 0.9, "m"), (0.9, 1.1, "a"), (1.1, 1.8, "sil")]


def column(name: str) -> int:
    return PARAMETERS.index(name)


def test_rules_cover_every_class_with_values_in_range() -> None:
    table = rules()
    assert {CLASSES[c] for c in table.class_of.values()} == set(CLASSES)
    assert all(0 <= value <= 1 for target in table.target.values() for value in target)
    assert (table.dominance >= 0).all()


def test_lips_close_on_m_open_on_a_and_rest_in_silence() -> None:
    shown = curves(MAMA, 108)
    gap = lip_gap(to_blendshapes(shown))

    def at(seconds: float) -> int:
        return round(seconds * 60) - 1

    assert gap[at(0.55)] < 0.05
    assert gap[at(0.85)] < 0.05
    assert gap[at(0.7)] > 0.4
    assert gap[at(1.0)] > 0.4
    assert shown[: at(0.2), :8].max() < 0.05
    assert shown[at(1.6) :, :8].max() < 0.05


def test_rounding_starts_before_its_vowel() -> None:
    shown = curves([(0.0, 0.3, "s"), (0.3, 0.5, "u")], 30)
    assert shown[round(0.24 * 60), column("pucker")] > 2 * shown[2, column("pucker")]


def test_louder_vowels_open_wider() -> None:
    rng = np.random.default_rng(0)
    loud = np.where(np.arange(28_800) < 13_600, 0.05, 0.3) * rng.standard_normal(28_800)
    shown = curves(MAMA, 108, loud.astype(np.float32))
    assert shown[round(1.0 * 60), column("jaw")] > 1.3 * shown[round(0.7 * 60), column("jaw")]


def test_classes_follow_the_clock_of_the_network() -> None:
    ids = classes(MAMA, 120)
    assert CLASSES[ids[29]] == "m"  # step 29 ends at 0.5 s
    assert CLASSES[ids[28]] == "sil"
    assert CLASSES[ids[119]] == "sil"  # past the last phone


def test_the_truth_scores_nearly_full_marks_and_a_still_face_none() -> None:
    samples = np.zeros(28_800, np.float32)
    truth = curves(MAMA, 108, samples)
    best = scores([judge(MAMA, truth, samples)])
    assert best["closure_recall"] == 1
    assert best["closure_false"] == 0
    assert best["closure_precision"] == 1
    assert best["r_jaw"] == pytest.approx(1)
    assert best["jitter"] == pytest.approx(1)
    worst = scores([judge(MAMA, np.full_like(truth, 0.2), samples)])
    assert worst["closure_recall"] == 0
    assert np.isnan(worst["r_jaw"])


def test_fast_gru_has_the_values_and_gradients_of_torch() -> None:
    torch.manual_seed(0)
    layer = torch.nn.GRU(5, 4, 2, batch_first=True).double()
    x = torch.randn(3, 7, 5, dtype=torch.double, requires_grad=True)
    state = torch.randn(2, 3, 4, dtype=torch.double, requires_grad=True)
    found = []
    for run in (lambda: layer(x, state), lambda: gru.run(layer, x, state)):
        layer.zero_grad()
        x.grad = state.grad = None
        y, last = run()
        (y.sin().sum() + last.cos().sum()).backward()
        found.append([y.detach(), last.detach(), x.grad, state.grad, *(p.grad.clone() for p in layer.parameters())])
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_fast_gru_takes_narrow_numbers() -> None:
    torch.manual_seed(0)
    layer = torch.nn.GRU(16, 24, num_layers=2, batch_first=True)
    x, state = torch.randn(3, 20, 16), torch.randn(2, 3, 24)
    results = []
    for narrow in (False, True):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            out, _ = gru.run(layer, x, state)
        assert out.dtype == torch.float32
        out.sin().sum().backward()  # type: ignore[no-untyped-call]
        results.append([out.detach(), *(p.grad for p in layer.parameters() if p.grad is not None)])
    for exact, rough in zip(*results, strict=True):
        assert not torch.equal(exact, rough)
        assert torch.nn.functional.cosine_similarity(exact.flatten(), rough.flatten(), dim=0) > 0.999


def test_a_finished_model_is_trained_on_from(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(24, 5)
    network.mean.normal_()
    network.scale.uniform_(0.5, 2)
    torch.nn.init.normal_(network.refine.weight_hh_l0)
    onnx.save(build(Calibrated(network), {"updates": "7"}), tmp_path / "model.onnx")
    again, updates = network_of(tmp_path / "model.onnx", torch.randn(128), torch.rand(128) + 0.5)
    assert updates == 7
    features = torch.randn(2, 7, 128)
    with torch.no_grad():
        for had, has in zip(network(features, network.start(2)), again(features, again.start(2)), strict=True):
            torch.testing.assert_close(has, had, atol=1e-5, rtol=1e-4)


def test_another_model_is_not_trained_on_from(tmp_path: Path) -> None:
    onnx.save(onnx.ModelProto(ir_version=8), tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=r"other\.onnx: expected a model that training\.export wrote"):
        network_of(tmp_path / "other.onnx", torch.zeros(128), torch.ones(128))


def test_a_wider_or_deeper_network_answers_the_same() -> None:
    torch.manual_seed(0)
    network, larger = Network(24, 5), Network(27, 8)
    network.mean.normal_()
    without = {name: value for name, value in network.state_dict().items() if not name.startswith("refine")}
    features = torch.randn(2, 7, 128)

    def answers_alike(state: dict[str, Any]) -> None:
        larger.load_state_dict(grown(state, larger))
        with torch.no_grad():
            expected, found = (each(features, each.start(2))[:2] for each in (network, larger))
        for theirs, ours in zip(expected, found, strict=True):
            torch.testing.assert_close(ours, theirs)

    answers_alike(without)
    for parameter in network.refine.parameters():
        torch.nn.init.normal_(parameter)
    answers_alike(network.state_dict())


def test_fresh_rows_begin_where_a_stream_may_begin() -> None:
    at = np.arange(1000, dtype=np.float16)
    clips = Prepared(
        np.repeat(at[:, None], 128, axis=1), np.zeros((1000, len(PARAMETERS)), np.uint8), np.zeros(1000, np.uint8),
        np.array([0, 300, 700, 1000]), np.ones(3, np.float32),
    )  # fmt: skip
    fresh = np.arange(80) % 2 == 0
    features, targets, classes = Batches([(clips, 1.0)], batch=80, length=100, seed=1).draw(fresh)
    first = features[:, 0, 0].numpy()
    assert features.shape == (80, 100, 128)
    assert targets.shape[:2] == classes.shape == (80, 100)
    into = np.array([at - max(start for start in (0, 300, 700) if start <= at) for at in first[fresh]])
    assert into.max() < MIDWAY_STEPS
    assert 0.3 < (into == 0).mean() < 0.7
    assert len(set(into)) > 10
    assert len(set(first[~fresh])) > 20
    np.testing.assert_array_equal(features[0, :, 0] - features[0, 0, 0], np.arange(100))


def test_calibration_rests_in_silence_and_keeps_the_range() -> None:
    model = Calibrated(Network(24, 4))
    phones = torch.zeros(1, 2, len(CLASSES))
    phones[..., CLASSES.index("sil")] = 1
    assert not model.calibrated(torch.full((1, 2, len(PARAMETERS)), 0.7), phones).any()
    model.gain.fill_(3)
    phones = phones.roll(1, -1)
    out = model.calibrated(torch.full((1, 2, len(PARAMETERS)), 0.7), phones)
    assert out.max() == 1
    assert out.min() > 0.9


def test_what_is_shown_has_inertia_across_calls() -> None:
    torch.manual_seed(0)
    model = Calibrated(Network(24, 4)).eval()
    features = torch.randn(2, 9, 128)
    with torch.no_grad():
        mouth, logits, _ = model.network(features, model.network.start(2))
        wanted = model.calibrated(mouth, torch.softmax(logits, dim=-1))
        whole, _, end = model(features, model.start(2))
        first, _, between = model(features[:, :4], model.start(2))
        second, _, last = model(features[:, 4:], between)
    torch.testing.assert_close(whole[:, 0], (1 - INERTIA) * wanted[:, 0])
    torch.testing.assert_close(whole[:, 5], INERTIA * whole[:, 4] + (1 - INERTIA) * wanted[:, 5])
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)
    torch.testing.assert_close(last, end)


def test_training_asks_for_a_mouth_that_is_early() -> None:
    targets = np.repeat((curves(MAMA, 108) * 255).astype(np.uint8)[None], 2, axis=0)
    wanted, ids = torch.from_numpy(targets.astype(np.float32) / 255), torch.zeros(2, 108, dtype=torch.long)
    loss = Loss(targets[0])

    def of_a_mouth_early_by(steps: float) -> float:
        at = torch.arange(108)[:, None] - torch.tensor(LOOK_AHEAD_STEPS) + steps
        early = torch.from_numpy(np.stack([
            [np.interp(at[:, head], np.arange(108), wanted[0, :, k]) for head in range(len(LOOK_AHEAD_STEPS))]
            for k in range(len(PARAMETERS))
        ])).permute(2, 1, 0)  # fmt: skip
        mouth = early.float().repeat(2, 1, 1, 1)
        return float(loss(mouth, torch.zeros(2, 108, len(LOOK_AHEAD_STEPS), len(CLASSES)), wanted, ids))

    found = {steps: of_a_mouth_early_by(steps) for steps in (LEAD_STEPS - 0.5, LEAD_STEPS, LEAD_STEPS + 0.5)}
    assert min(found, key=lambda steps: found[steps]) == LEAD_STEPS


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed (apt-get install flite)")
@pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None, reason="libespeak-ng is not installed (apt-get install espeak-ng)"
)
def test_tiny_configuration_end_to_end(tmp_path: Path) -> None:
    environment = os.environ | {
        "FACEWAVE_TRAINING_DATA": str(tmp_path / "data"),
        "PYTHON": sys.executable,
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    environment.pop("FACEWAVE_SPEECH", None)

    def run() -> str:
        done = subprocess.run(
            ["bash", str(ROOT / "training" / "run.sh"), "training/configs/tiny.toml"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run()
    out = tmp_path / "data" / "runs" / "tiny"
    manifest = json.loads((tmp_path / "data" / "tiny" / "synthetic" / "manifest.json").read_text("utf8"))
    assert all(row["licence"] and len(row["sha256"]) == 64 for row in manifest.values())

    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["look_ahead_samples"]) == [800, 1600]
    assert json.loads(about["articulation"]) == list(PARAMETERS)
    layers, _, hidden = session.get_inputs()[1].shape
    mouth, phones, state = session.run(
        None, {"features": np.zeros((2, 5, 128), np.float32), "state": np.zeros((layers, 2, hidden), np.float32)}
    )
    assert mouth.shape == (2, 5, 2, len(PARAMETERS))
    assert state.shape == (layers, 2, hidden)
    np.testing.assert_allclose(phones.sum(-1), 1, atol=1e-5)
    assert 0 <= mouth.min() <= mouth.max() <= 1

    rows = json.loads((out / "scores.json").read_text("utf8"))
    ruled = next(row for row in rows if row["system"] == "rules")
    assert ruled["closure_recall"] > 0.9  # the ceiling must be one
    assert any(row["system"] == "100 ms" for row in rows)

    before = (out / "last.pt").stat().st_mtime_ns
    run()  # everything is there already: nothing is made or trained again
    assert (out / "last.pt").stat().st_mtime_ns == before

    # Two processes put the network into a wider one and train that on.
    text = (ROOT / "training" / "configs" / "tiny.toml").read_text("utf8")
    (tmp_path / "tiny.toml").write_text(text.replace("hidden = 24", "hidden = 32").replace("steps = 40", "steps = 4"))
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training.train"]
    done = subprocess.run(
        [sys.executable, *together, str(tmp_path / "tiny.toml")],
        cwd=ROOT, env=environment | {"PYTHONPATH": f"src{os.pathsep}."}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("into a larger one") == 1
    checkpoint = torch.load(out / "last.pt", weights_only=True)
    assert checkpoint["step"] == 4
    assert checkpoint["average"]["gru.weight_hh_l0"].shape == (96, 32)
