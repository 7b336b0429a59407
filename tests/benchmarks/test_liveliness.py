"""The statistics of a living face count what is there, on faces made for counting."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.liveliness import FPS, HUMAN, Seen, observe, spoken_frames, streams, table
from facewave.blendshapes import CHANNELS, INDEX
from facewave.frames import Animation, StreamInfo

FRAMES = 60 * FPS


def take(**curves: np.ndarray) -> Animation:
    weights = np.zeros((FRAMES, len(CHANNELS)), np.float32)
    for name, values in curves.items():
        weights[:, INDEX[name]] = values
    head = np.stack([np.sin(np.arange(FRAMES) / 40), np.zeros(FRAMES), np.zeros(FRAMES)], axis=1).astype(np.float32)
    return Animation(StreamInfo(Fraction(FPS)), weights, head=head)


def pulses(every: int, length: int, height: float = 1.0) -> np.ndarray:
    out = np.zeros(FRAMES)
    for start in range(every // 2, FRAMES - length, every):
        out[start : start + length] = height * np.hanning(length + 2)[1:-1]
    return out


def seen_in(animation: Animation, spoken: np.ndarray | None = None) -> dict[str, float]:
    seen = Seen(0.0, {})
    observe(animation, np.ones(FRAMES, bool) if spoken is None else spoken, seen)
    return table(seen)


def test_blinks_brows_and_gaze_are_counted() -> None:
    lids = pulses(5 * FPS, 12)
    look = np.repeat([0.0, 0.3, 0.0, 0.3, 0.0, 0.3], FRAMES // 6)
    brow = pulses(10 * FPS, 30, 0.4)
    rows = seen_in(take(eyeBlinkLeft=lids, eyeBlinkRight=lids, browOuterUpLeft=brow, browOuterUpRight=brow,
                        eyeLookOutRight=look, eyeLookInLeft=look))  # fmt: skip
    assert rows["blinks a minute"] == pytest.approx(12)
    assert 120 < rows["blink duration, ms (median)"] <= 200
    assert rows["brow raises a minute"] == pytest.approx(6)
    assert 0.3 < rows["brow raise, s (median)"] < 0.5
    assert rows["gaze shifts a minute"] == pytest.approx(5)
    assert rows["gaze shift, degrees (median)"] == pytest.approx(9, abs=0.01)
    assert rows["fixation, s (median)"] == pytest.approx(10, abs=0.1)
    assert rows["time looking away (> 5 degrees)"] == pytest.approx(0.5, abs=0.01)
    assert rows["left-right correlation (median pair)"] == pytest.approx(1)
    assert rows["left-right difference, share (median pair)"] == pytest.approx(0, abs=1e-6)
    assert rows["head yaw, degrees SD"] == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert set(rows) == set(HUMAN)


def test_pauses_and_sides_are_told_apart() -> None:
    lids = pulses(5 * FPS, 12)
    spoken = np.ones(FRAMES, bool)
    for start in range(5 * FPS // 2, FRAMES, 5 * FPS):
        spoken[start - 6 : start + 18] = False
    smile = pulses(3 * FPS, 60, 0.5)
    animation = take(eyeBlinkLeft=lids, eyeBlinkRight=lids, mouthSmileLeft=smile, mouthSmileRight=0.8 * smile)
    rows = seen_in(animation, spoken)
    assert np.isnan(rows["blink rate in and by pauses against elsewhere"]), "no blink lies elsewhere"
    assert rows["left-right difference, share (median pair)"] == pytest.approx(0.111 / 2, abs=0.002)


def test_speech_is_put_together_from_sentences_of_one_speaker(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 60).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 16000)
    lines = ["id\tfile\tstart_s\tend_s\tspeaker\tlanguage\ttranscript\tcorpus"]
    lines += [f"u{i}\ta.wav\t{i * 5}.00\t{i * 5 + 4}.00\ts\ten\tone two three four\tx" for i in range(12)]
    lines += ["w\ta.wav\t0.00\t4.00\tother\ten\tone\tx"]
    (tmp_path / "index.tsv").write_text("\n".join(lines))
    found = list(streams(tmp_path, 2.0, seed=1))
    assert len(found) == 1
    assert 48 < len(found[0]) / 16000 < 80
    spoken = spoken_frames(found[0], len(found[0]) * FPS // 16000)
    assert 45 < spoken.sum() / FPS < 52
