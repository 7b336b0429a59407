from __future__ import annotations

import numpy as np

from facewave.cli.plot import curve


def test_a_ramp_rises_from_left_to_right() -> None:
    lines = curve(np.linspace(0, 1, 80, dtype=np.float32), width=8, height=2)
    assert [len(line) for line in lines] == [8, 8]
    assert lines[1][-1] == lines[0][-1] == "█"
    assert lines[0][0] == " "
    assert sorted(lines[0]) == list(lines[0])


def test_fewer_values_than_columns_and_none_at_all() -> None:
    assert len(curve(np.ones(3, np.float32), width=10)[0]) == 3
    assert curve(np.zeros(0, np.float32), width=4, height=1) == ["    "]
    assert curve(np.zeros(4, np.float32), width=4, height=1) == ["    "]
