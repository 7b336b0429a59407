from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facewave.animation.interpolate import GridInterpolator

RATES = st.sampled_from([Fraction(24), Fraction(30), Fraction(60), Fraction(120), Fraction(30000, 1001), Fraction(97)])


@given(fps=RATES, rows=st.integers(0, 300), sizes=st.lists(st.integers(0, 60), max_size=8))
def test_frames_equal_interpolation_of_the_whole(fps: Fraction, rows: int, sizes: list[int]) -> None:
    grid = np.random.default_rng(rows).random((rows, 2)).astype(np.float32)
    streaming = GridInterpolator(Fraction(60), fps, 2)
    out, at = [], 0
    for size in [*sizes, rows]:
        out.append(streaming.push(grid[at : at + size]))
        at += size
    frames = np.concatenate(out)
    count = int(max(rows - 1, 0) * fps / 60) + 1 if rows else 0
    assert len(frames) == count == streaming.next_frame
    when = np.arange(count) * float(Fraction(60) / fps)
    for column in range(2):
        expected = np.interp(when, np.arange(rows), grid[:, column]) if rows else []
        np.testing.assert_allclose(frames[:, column], expected, atol=1e-5)


@given(fps=RATES, frames=st.integers(0, 100))
def test_rows_needed_are_just_enough(fps: Fraction, frames: int) -> None:
    rows = GridInterpolator(Fraction(60), fps, 1).rows_needed(frames)

    def frames_from(n: int) -> int:
        return len(GridInterpolator(Fraction(60), fps, 1).push(np.zeros((n, 1), np.float32)))

    assert frames_from(rows) >= frames
    assert rows == 0 or frames_from(rows - 1) < frames


def test_a_limit_stops_it() -> None:
    streaming = GridInterpolator(Fraction(60), Fraction(60), 1)
    assert len(streaming.push(np.zeros((10, 1), np.float32), limit=4)) == 4
