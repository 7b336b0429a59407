"""The lip-sync yardstick measures what its docstring says, on curves whose scores are known beforehand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.lipsync import peers, report
from benchmarks.lipsync.check import bundled_check
from benchmarks.lipsync.clips import Clip, demo_clip
from benchmarks.lipsync.scores import CURVES, FPS, Scored, auc, curves_of, score, speech_frames
from benchmarks.lipsync.systems import disturbances, exchanged, frame_count, loudness, truth, with_noise
from facewave.blendshapes import CHANNELS, INDEX
from facewave.providers.embedded.transcript.pronounce import Phone

PHONES: list[Phone] = [
    (0.0, 0.5, "sil"),
    (0.5, 0.6, "b"),
    (0.6, 0.8, "a"),
    (0.8, 0.9, "t"),
    (0.9, 1.1, "i"),
    (1.1, 1.2, "f"),
    (1.2, 1.4, "u"),
    (1.4, 1.5, "m"),
    (1.5, 1.8, "a"),
    (1.8, 2.5, "sil"),
]
N = 150


def flat(**weights: float) -> NDArray[np.float32]:
    values = np.zeros((N, len(CHANNELS)), np.float32)
    for name, value in weights.items():
        values[:, INDEX[name]] = value
    return values


def during(weights: NDArray[np.float32], start_s: float, end_s: float, **values: float) -> None:
    for name, value in values.items():
        weights[round(start_s * FPS) : round(end_s * FPS), INDEX[name]] = value


def one(weights: NDArray[np.float32], true: NDArray[np.float32] | None = None) -> dict[str, float]:
    return score([Scored(PHONES, weights, weights if true is None else true)])


@pytest.fixture(scope="module")
def demo() -> Clip:
    return demo_clip()


@pytest.fixture(scope="module")
def short(demo: Clip) -> Clip:
    """The first sentence of the bundled clip."""
    phones = [(start, min(end, 2.7), symbol) for start, end, symbol in demo.phones if start < 2.7]
    return Clip("short", demo.group, demo.language, demo.voice, demo.samples[: int(2.7 * 16000)], phones)


def test_the_rules_themselves_are_the_ceiling(demo: Clip) -> None:
    true = truth(demo)
    found = score([Scored(demo.phones, true, true)])
    assert found["r"] == pytest.approx(1)
    assert found["lag_ms"] == pytest.approx(0, abs=1)
    assert found["closure_recall"] == 1
    assert found["false_closure"] == 0
    assert found["closure_precision"] == 1
    assert found["labiodental_hit"] == 1
    assert found["labiodental_false"] == 0
    assert found["jitter"] == pytest.approx(1)
    assert found["rounding_auc"] > 0.9


@pytest.mark.parametrize("frames", [-4, -1, 2, 6])
def test_lag_is_found_with_its_sign(demo: Clip, frames: int) -> None:
    true = truth(demo)
    moved = np.roll(true, frames, axis=0)
    found = score([Scored(demo.phones, moved, true)])
    assert found["lag_ms"] == pytest.approx(frames * 1000 / FPS, abs=4)
    assert found["r_best"] > found["r"]


def test_lag_between_frames(demo: Clip) -> None:
    true = truth(demo)
    half = ((true + np.roll(true, 1, axis=0)) / 2).astype(np.float32)
    assert score([Scored(demo.phones, half, true)])["lag_ms"] == pytest.approx(500 / FPS, abs=2)


def test_gain_changes_neither_correlation_nor_closures(demo: Clip) -> None:
    true = truth(demo)
    whole, third = score([Scored(demo.phones, true, true)]), score([Scored(demo.phones, true * np.float32(0.3), true)])
    for key in ("r", "closure_recall", "false_closure", "closure_precision", "rounding_auc", "jaw_auc", "jitter"):
        assert third[key] == pytest.approx(whole[key], abs=1e-4), key


def test_closures_are_counted_where_they_are() -> None:
    weights = flat(jawOpen=0.4)
    during(weights, 0.5, 0.6, jawOpen=0.0)  # the b
    found = one(weights)
    assert found["closure_recall"] == 0.5
    assert found["false_closure"] == 0
    assert found["closure_precision"] == 1

    during(weights, 0.95, 1.05, jawOpen=0.0)  # within the i: shown where nothing closes
    assert one(weights)["closure_precision"] == 0.5
    during(weights, 1.6, 1.7, jawOpen=0.0)  # within an open vowel
    found = one(weights)
    # Middle halves: 0.65-0.75 and 1.575-1.725 s; of these 15 frames 6 are closed.
    assert found["false_closure"] == pytest.approx(6 / 15)
    assert found["closure_precision"] == pytest.approx(1 / 3)


def test_closure_may_lead_by_30_ms_but_not_by_100() -> None:
    early = flat(jawOpen=0.4)
    during(early, 0.467, 0.5, jawOpen=0.0)
    assert one(early)["closure_recall"] == 0.5
    too_early = flat(jawOpen=0.4)
    during(too_early, 0.3, 0.4, jawOpen=0.0)
    assert one(too_early)["closure_recall"] == 0


def test_a_closure_on_a_sound_with_nearly_closed_lips_counts_neither_way() -> None:
    weights = flat(jawOpen=0.4)
    during(weights, 1.25, 1.32, jawOpen=0.0)  # within the u
    assert math.isnan(one(weights)["closure_precision"])


def test_a_mouth_that_never_opens_is_closed_everywhere() -> None:
    found = one(flat())
    assert found["closure_recall"] == 1
    assert found["false_closure"] == 1


def test_mouth_close_counts_as_closing() -> None:
    weights = flat(jawOpen=0.4)
    during(weights, 0.5, 0.6, mouthClose=0.4)
    assert one(weights)["closure_recall"] == 0.5


def test_labiodental_needs_the_lower_lip_alone() -> None:
    tucked = flat(jawOpen=0.3)
    during(tucked, 1.1, 1.2, mouthRollLower=0.5)
    assert one(tucked)["labiodental_hit"] == 1
    pressed = flat(jawOpen=0.3)
    during(pressed, 1.1, 1.2, mouthRollLower=0.5, mouthRollUpper=0.5)
    assert one(pressed)["labiodental_hit"] == 0
    everywhere = flat(jawOpen=0.3, mouthRollLower=0.5)
    assert one(everywhere)["labiodental_false"] == 1


def test_rest_is_read_in_silence_only() -> None:
    weights = flat(jawOpen=0.4)
    during(weights, 0.0, 0.2, jawOpen=0.01)
    during(weights, 2.0, 2.5, jawOpen=0.02)
    assert one(weights)["rest"] == pytest.approx(0.02, abs=0.001)
    loud = weights.copy()
    during(loud, 2.2, 2.4, tongueUp=1.0)  # the tongue does not show
    assert one(loud)["rest"] == pytest.approx(0.02, abs=0.001)
    during(loud, 2.2, 2.4, mouthPucker=0.5)
    assert one(loud)["rest"] == pytest.approx(0.5)


def test_rounding_and_jaw_are_ranked() -> None:
    weights = flat(jawOpen=0.1)
    during(weights, 1.2, 1.4, mouthPucker=0.8)
    during(weights, 0.6, 0.8, jawOpen=0.5)
    during(weights, 1.5, 1.8, jawOpen=0.5)
    found = one(weights)
    assert found["rounding_auc"] == 1
    assert found["jaw_auc"] == 1
    assert one(flat(jawOpen=0.3))["rounding_auc"] == 0.5


def test_auc_equals_counting_pairs() -> None:
    random = np.random.default_rng(1)
    a, b = random.integers(0, 6, 40), random.integers(0, 6, 30)
    pairs = [(x > y) + 0.5 * (x == y) for x in a for y in b]
    assert auc(list(a), list(b)) == pytest.approx(np.mean(pairs))
    assert math.isnan(auc([], [1.0]))


def test_shaking_shows_as_jitter(demo: Clip) -> None:
    true = truth(demo)
    shaken = true.copy()
    shaken[:, INDEX["jawOpen"]] += np.where(np.arange(len(true)) % 2, 0.02, -0.02).astype(np.float32)
    assert score([Scored(demo.phones, shaken, true)])["jitter"] > 1.3


def test_visemes_are_told_apart_by_the_rules_and_not_by_loudness(demo: Clip) -> None:
    true, floor = truth(demo), loudness(demo.samples)
    assert score([Scored(demo.phones, true, true)] * 2)["viseme_accuracy"] > 0.7
    assert score([Scored(demo.phones, floor, true)] * 2)["viseme_accuracy"] < 0.5


def test_weights_of_the_wrong_length_are_refused(demo: Clip) -> None:
    true = truth(demo)
    with pytest.raises(ValueError, match=f"clip 0: found 3 frames, expected {len(true)}"):
        score([Scored(demo.phones, true[:3], true)])


def test_nothing_to_measure_gives_nan_and_a_dash() -> None:
    silent = np.zeros((60, len(CHANNELS)), np.float32)
    found = score([Scored([(0.0, 1.0, "sil")], silent, silent)])
    assert found["rest"] == 0
    assert math.isnan(found["r"])
    assert math.isnan(found["closure_recall"])
    assert "| - |" in report.table("t", [("x", found)]).replace("  ", "").replace("|  ", "| ")


def test_curves_of_any_rig_have_the_named_order() -> None:
    weights = flat(
        jawOpen=0.5, mouthStretchLeft=0.2, mouthStretchRight=0.4, mouthUpperUpLeft=0.1, mouthUpperUpRight=0.1
    )
    curves = curves_of(weights[:, :52], speech_frames(PHONES, N))
    assert curves.shape == (N, len(CURVES))
    assert curves[0, CURVES.index("jaw")] == 0.5
    assert curves[0, CURVES.index("spread")] == pytest.approx(0.3)
    assert curves[0, CURVES.index("upper_up")] == pytest.approx(0.1)


def test_floors_have_the_clips_length(demo: Clip) -> None:
    n = frame_count(demo.samples)
    floor = loudness(demo.samples)
    assert floor.shape == (n, len(CHANNELS))
    assert floor[:, INDEX["jawOpen"]].max() > 0.3
    assert np.flatnonzero(floor.any(axis=0)).tolist() == [INDEX["jawOpen"]]
    swapped = exchanged([floor, floor[: n // 3] + np.float32(0.1)])
    assert [len(one) for one in swapped] == [n, n // 3]
    assert swapped[0][0, 5] == pytest.approx(0.1)


def test_disturbed_clips_keep_their_length_and_noise_its_level(short: Clip) -> None:
    for name, disturb in disturbances().items():
        changed = disturb(short.samples, np.random.default_rng(0))
        assert len(changed) == len(short.samples), name
        assert not np.array_equal(changed, short.samples), name
        assert np.corrcoef(changed, short.samples)[0, 1] > 0.7, name
    noisy = with_noise(short.samples, 10, np.random.default_rng(0))
    power = (short.samples[: len(short.samples) // 160 * 160].reshape(-1, 160).astype(np.float64) ** 2).mean(axis=1)
    speech = power[power >= np.median(power)].mean()
    noise = ((noisy - short.samples).astype(np.float64) ** 2).mean()
    assert 10 * np.log10(speech / noise) == pytest.approx(10, abs=0.1)


def test_peer_cues_become_faded_blend_shapes() -> None:
    track = {"cues": [[0.0, 0.5, "X"], [0.5, 0.7, "A"], [0.7, 1.0, "D"]]}
    weights = peers.to_weights(peers.RHUBARB, track, 60)
    assert weights.shape == (60, len(CHANNELS))
    assert weights[35, INDEX["mouthPressLeft"]] > 0.3
    assert weights[50, INDEX["jawOpen"]] > 0.4
    assert weights[10].max() == 0
    edge = weights[29:32, INDEX["mouthPressLeft"]]
    assert 0 < edge[1] < weights[35, INDEX["mouthPressLeft"]]


def test_peer_weights_are_read_at_the_time_of_each_frame() -> None:
    track = {"times": [0.0, 0.5, 1.0], "weights": [{"sil": 1}, {"aa": 1.0}, {"sil": 1}]}
    jaw = peers.to_weights(peers.OVR, track, 60)[:, INDEX["jawOpen"]]
    assert int(jaw.argmax()) == 30
    assert jaw[15] == pytest.approx(jaw[30] / 2, abs=0.01)


def test_a_peer_that_is_not_installed_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/somewhere/node")
    monkeypatch.setattr(peers, "FOLDER", tmp_path / "benchmarks" / "lipsync" / "peers")
    assert (
        peers.why_not(peers.PEERS[0])
        == "rhubarb-lip-sync-wasm is not installed; run `npm ci` in benchmarks/lipsync/peers"
    )


def test_tables_and_json_are_written_whole(tmp_path: Path) -> None:
    rows = [("facewave", {"r": 0.5, "lag_ms": -12.3, "closure_recall": 1.0}), ("floor", {"r": math.nan})]
    text = report.table("Title", rows, ("lag_ms", "r", "closure_recall"))
    assert "| facewave |    -12 | 0.50 |         1.00 |" in text
    report.write_json(tmp_path / "deep" / "x.json", {"rows": dict(rows)})
    kept = json.loads((tmp_path / "deep" / "x.json").read_text())
    assert kept["rows"]["floor"]["r"] is None
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]


def test_picture_is_drawn(tmp_path: Path, short: Clip) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it is part of the extra `train`")
    true = truth(short)
    rows = [("facewave", {"r": 0.5, "closure_recall": 0.9, "false_closure": 0.01})]
    report.draw(tmp_path / "x.png", {"group": rows}, [(short, true, true)])
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_bundled_clip_is_lip_synced_better_than_by_loudness() -> None:
    found = bundled_check()
    ours, floor = found["facewave 100 ms"], found["loudness (floor)"]
    for key in ("r", "r_jaw", "r_closure", "closure_recall", "labiodental_hit", "rounding_auc"):
        assert ours[key] > floor[key], key
    assert ours["false_closure"] <= 0.03
    assert ours["closure_recall"] >= 0.9
