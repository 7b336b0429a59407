"""The comparison of two result files: what counts as worse, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import compare, figures, main

OLD: dict[str, Any] = {
    "machine": "x86_64, 2 cores",
    "clip_s": 12,
    "real_time_factor": {"33 ms at a time": 0.02, "whole clip": 0.01},
    "first_frame_s": 0.5,
    "animate_peak_mb": 100,
    "cores": 2,
    "ramp": [
        {"streams": 10, "fps_p1": 30.0, "first_frame_ms_p50": 100.0, "load": 1.0},
        {"streams": 20, "fps_p1": 29.0},
    ],
}


def changed(**values: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(OLD)), **values}


def test_names_tell_what_is_better_high_and_what_is_no_figure() -> None:
    found = {path: high for path, _, high in figures(OLD)}
    assert found == {
        "real_time_factor/33 ms at a time": False,
        "real_time_factor/whole clip": False,
        "first_frame_s": False,
        "animate_peak_mb": False,
        "ramp[10]/fps_p1": True,
        "ramp[10]/first_frame_ms_p50": False,
        "ramp[20]/fps_p1": True,
    }


def test_above_one_is_worse_in_both_directions() -> None:
    rows, gone = compare(OLD, changed(first_frame_s=1.0, ramp=[{"streams": 20, "fps_p1": 14.5}]))
    ratios = {row.path: row.ratio for row in rows}
    assert ratios["first_frame_s"] == 2
    assert ratios["ramp[20]/fps_p1"] == 2
    assert ratios["animate_peak_mb"] == 1
    assert {row.path for row in rows[:2]} == {"first_frame_s", "ramp[20]/fps_p1"}
    assert gone == ["ramp[10]/first_frame_ms_p50", "ramp[10]/fps_p1"]


def test_slower_machine_can_be_divided_away() -> None:
    slow = changed(real_time_factor={"33 ms at a time": 0.04, "whole clip": 0.02}, first_frame_s=1.0)
    rows, _ = compare(OLD, slow, "first_frame_s")
    ratios = {row.path: row.ratio for row in rows}
    assert ratios["real_time_factor/whole clip"] == ratios["first_frame_s"] == 1
    with pytest.raises(ValueError, match="there are: animate_peak_mb"):
        compare(OLD, slow, "no_such_s")


@pytest.mark.parametrize(
    ("new", "code"), [(changed(), 0), (changed(first_frame_s=0.6), 0), (changed(first_frame_s=0.7), 1)]
)
def test_exit_code_says_whether_it_is_slower(tmp_path: Path, capsys: Any, new: dict[str, Any], code: int) -> None:
    for name, content in (("old.json", OLD), ("new.json", new)):
        (tmp_path / name).write_text(json.dumps(content))
    assert main([str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == code
    assert ("WORSE" in capsys.readouterr().out) is bool(code)
