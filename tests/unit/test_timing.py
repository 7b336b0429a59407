from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewave.errors import SettingsError
from facewave.timing import SAMPLE_RATE, WindowSchedule, frame_rate, frames_in, sample_of, seconds_of

RATES: st.SearchStrategy[Fraction] = st.sampled_from(
    [Fraction(n) for n in (24, 25, 30, 60, 120)] + [Fraction(30000, 1001)]
)


@pytest.mark.parametrize(
    ("written", "exact"),
    [
        (60, Fraction(60)),
        ("30000/1001", Fraction(30000, 1001)),
        (29.97, Fraction(30000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
    ],
)
def test_frame_rate_as_people_write_it(written: object, exact: Fraction) -> None:
    assert frame_rate(written) == exact  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["fast", 0, -30, 1001, float("nan"), float("inf"), "1/0", None])
def test_frame_rate_refuses(wrong: object) -> None:
    with pytest.raises(SettingsError, match="frame rate"):
        frame_rate(wrong)  # type: ignore[arg-type]


@given(index=st.integers(0, 60 * 3600 * 24), fps=RATES)
def test_a_frame_lies_within_one_sample_before_its_exact_time(index: int, fps: Fraction) -> None:
    exact = index * SAMPLE_RATE / fps
    assert 0 <= exact - sample_of(index, fps) < 1
    assert seconds_of(index, fps) == float(index / fps)


@given(n=st.integers(0, 10**9), fps=RATES)
def test_frame_count_is_duration_times_rate_rounded_up(n: int, fps: Fraction) -> None:
    count = frames_in(n, fps)
    assert count - 1 < n * fps / SAMPLE_RATE <= count


SCHEDULES = st.builds(
    WindowSchedule,
    size=st.integers(1, 500),
    start_offset=st.integers(-300, 50),
    target_offset=st.integers(0, 300),
    stride=st.fractions(min_value=Fraction(1, 3), max_value=200, max_denominator=30),
    frames_per_window=st.integers(1, 5),
)


@given(schedule=SCHEDULES, n=st.integers(0, 3000), done=st.integers(0, 20))
def test_available_windows_equal_counting_them(schedule: WindowSchedule, n: int, done: int) -> None:
    several = range(20_000)
    by_end = next(i for i in several if schedule.end(i) > n)
    by_target = next(i for i in several if schedule.target(i) >= n)
    assert schedule.available(n, closed=False, done=done) == max(0, by_end - done)
    assert schedule.available(n, closed=True, done=done) == max(0, by_target - done)


@given(schedule=SCHEDULES, n=st.integers(0, 3000))
def test_total_frames_equal_counting_them(schedule: WindowSchedule, n: int) -> None:
    assert schedule.frames_total(n) == next(i for i in range(100_000) if schedule.frame(i) >= n)


@pytest.mark.parametrize("fps", [30, 60, 24, "30000/1001"])
def test_times_are_exact_after_an_hour(fps: object) -> None:
    rate = frame_rate(fps)  # type: ignore[arg-type]
    index = frames_in(3600 * SAMPLE_RATE, rate)
    assert sample_of(index, rate) == index * SAMPLE_RATE * rate.denominator // rate.numerator
    assert abs(sample_of(index, rate) - 3600 * SAMPLE_RATE) <= SAMPLE_RATE / rate
