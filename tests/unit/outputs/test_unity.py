"""Unity clips, read as the YAML they are and evaluated by Unity's rule for cubic curves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from facewave.errors import OutputError
from facewave.frames import Animation, StreamInfo
from tests.avatars import a_take


def clip(path: Path) -> dict[str, Any]:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["%YAML 1.1", "%TAG !u! tag:unity3d.com,2011:", "--- !u!74 &7400000"]
    loaded: dict[str, Any] = yaml.safe_load("\n".join(lines[3:]))["AnimationClip"]
    return loaded


def evaluated(curve: dict[str, Any], times: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Hermite segments with the slopes that each key stores."""
    keys = curve["curve"]["m_Curve"]
    known = np.array([key["time"] for key in keys])
    left = np.clip(np.searchsorted(known, times, side="right") - 1, 0, max(len(keys) - 2, 0))
    result = []
    for time, i in zip(times, left, strict=True):
        if len(keys) == 1:
            result.append(keys[0]["value"])
            continue
        a, b = keys[i], keys[i + 1]
        span = b["time"] - a["time"]
        t = (time - a["time"]) / span
        result.append(
            (2 * t**3 - 3 * t**2 + 1) * a["value"] + (t**3 - 2 * t**2 + t) * span * a["outSlope"]
            + (3 * t**2 - 2 * t**3) * b["value"] + (t**3 - t**2) * span * b["inSlope"]
        )  # fmt: skip
    return np.array(result)


def smooth(frames: int) -> Animation:
    """Slow curves with a rest, a ramp and a wave."""
    weights = np.zeros((frames, 3), np.float32)
    weights[:, 1] = np.linspace(0, 1, frames)
    weights[:, 2] = 0.5 + 0.5 * np.sin(np.arange(frames) / 100)
    return Animation(StreamInfo(Fraction(60), ("eyeBlinkLeft", "jawOpen", "mouthPucker"), Path("a b.wav")), weights)


def test_curves_are_percent_at_their_times(tmp_path: Path) -> None:
    take = a_take(frames=40, fps=Fraction(30000, 1001))
    take.save(tmp_path / "a.anim", avatar="Body/Face")
    loaded = clip(tmp_path / "a.anim")
    assert loaded["m_Name"] == "hello there"
    assert loaded["m_SampleRate"] == pytest.approx(30000 / 1001)
    assert loaded["m_AnimationClipSettings"]["m_StopTime"] == pytest.approx(take.times[-1])
    curves = loaded["m_FloatCurves"]
    assert [curve["attribute"] for curve in curves] == [f"blendShape.{name}" for name in take.channels]
    assert {(curve["path"], curve["classID"]) for curve in curves} == {("Body/Face", 137)}
    for curve, weights in zip(curves, take.weights.T, strict=True):
        np.testing.assert_allclose(evaluated(curve, take.times), weights * 100, atol=0.021)


def test_keys_on_straight_lines_are_left_out(tmp_path: Path) -> None:
    take = smooth(600)
    take.save(tmp_path / "a.anim")
    curves = clip(tmp_path / "a.anim")["m_FloatCurves"]
    counts = [len(curve["curve"]["m_Curve"]) for curve in curves]
    assert counts[:2] == [2, 2]
    assert 20 < counts[2] < 300
    fine = np.linspace(0, take.times[-1], 2000)
    for curve, weights in zip(curves, take.weights.T, strict=True):
        np.testing.assert_allclose(evaluated(curve, fine), np.interp(fine, take.times, weights * 100), atol=0.021)


def test_several_renderers_and_odd_names(tmp_path: Path) -> None:
    take = smooth(2)
    take.save(tmp_path / "a.anim", avatar='Body/Face, Body/"Teeth": 1')
    paths = [curve["path"] for curve in clip(tmp_path / "a.anim")["m_FloatCurves"]]
    assert paths == ["Body/Face"] * 3 + ['Body/"Teeth": 1'] * 3
    take.save(tmp_path / "b.anim")
    assert {curve["path"] for curve in clip(tmp_path / "b.anim")["m_FloatCurves"]} == {None}


@pytest.mark.parametrize("frames", [1, 2])
def test_short_takes(tmp_path: Path, frames: int) -> None:
    smooth(frames).save(tmp_path / "a.anim")
    assert {len(curve["curve"]["m_Curve"]) for curve in clip(tmp_path / "a.anim")["m_FloatCurves"]} == {frames}


def test_a_take_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frames"):
        Animation(StreamInfo(Fraction(60)), np.zeros((0, 68), np.float32)).save(tmp_path / "a.anim")
