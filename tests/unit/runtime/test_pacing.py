"""When audio goes: burst, and real time with its first chunk, slices and tolerance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facewave.errors import SettingsError
from facewave.runtime.pacing import INTERVAL_S, SLICE, Pacer, Pacing


def sent_by(pacer: Pacer, until: float, step: float = 0.001) -> list[tuple[float, int]]:
    """(time, samples) of everything a worker would send, looking every `step` seconds."""
    out = []
    now = 0.0
    while now <= until and pacer.received != pacer.sent:
        while (samples := pacer.take(now)) is not None:
            out.append((now, len(samples)))
        now += step
    return out


def taken(pacer: Pacer, now: float) -> int:
    samples = pacer.take(now)
    return 0 if samples is None else len(samples)


def audio(count: int) -> NDArray[np.float32]:
    return np.arange(count, dtype=np.float32)


def test_burst_sends_everything_at_once() -> None:
    pacer = Pacer(Pacing("burst"))
    pacer.push(audio(1_000_000))
    pacer.end()
    assert taken(pacer, 0.0) == 1_000_000
    assert pacer.done


def test_real_time_begins_with_half_a_second_then_sends_35_ms_thirty_times_a_second() -> None:
    pacer = Pacer(Pacing())
    pacer.push(audio(160_000))
    pacer.end()
    sent = sent_by(pacer, 20.0)
    assert sent[0] == (0.0, 8000)
    assert sent[1] == (0.0, SLICE), "the first slice waits for nothing"
    assert {count for _, count in sent[1:-1]} == {560}
    gaps = np.diff([at for at, _ in sent[1:]])
    assert gaps.mean() == pytest.approx(INTERVAL_S, rel=0.01)
    # 95 % of the duration without the initial chunk.
    assert sent[-1][0] == pytest.approx((10 - 0.5) / 1.05, abs=2 * INTERVAL_S)


def test_the_initial_chunk_can_be_longer_and_never_shorter_than_the_provider_needs() -> None:
    for pacing, minimum, expected in (
        (Pacing(initial_s=2.0), 1, 32_000),
        (Pacing(initial_s=0.0), 1, 1),
        (Pacing(initial_s=0.1), 8000, 8000),
    ):
        pacer = Pacer(pacing, minimum)
        pacer.push(audio(64_000))
        assert taken(pacer, 0.0) == expected


def test_nothing_goes_before_the_providers_minimum_or_the_end() -> None:
    pacer = Pacer(Pacing("burst"), minimum=1000)
    pacer.push(audio(999))
    assert pacer.due() == math.inf
    assert pacer.take(5.0) is None
    pacer.end()
    assert taken(pacer, 5.0) == 999


def test_small_pieces_are_collected_into_whole_slices() -> None:
    pacer = Pacer(Pacing(initial_s=0.0))
    pacer.push(audio(1))
    pacer.take(0.0)  # The provider's minimum of one sample.
    sent = []
    for i in range(100):
        pacer.push(audio(160))
        while (samples := pacer.take(i * 0.010)) is not None:
            sent.append(len(samples))
    assert set(sent) == {SLICE}
    assert sum(sent) >= 16_000 - 2 * SLICE, "a caller at the pace of speech is never held back"
    pacer.end()
    assert taken(pacer, 9.0) == 1 + 16_000 - 1 - sum(sent), "the incomplete slice goes as it is"
    assert pacer.done


def test_a_late_caller_catches_up_by_half_an_interval_and_no_more() -> None:
    pacer = Pacer(Pacing(initial_s=0.0))
    pacer.push(audio(1 + 10 * SLICE))
    pacer.take(0.0)
    assert pacer.take(0.0) is not None
    assert pacer.take(INTERVAL_S * 1.4) is not None, "late by 0.4 intervals"
    assert pacer.take(INTERVAL_S * 2.0) is not None, "the rhythm is kept"
    assert pacer.take(INTERVAL_S * 10.0) is not None, "late by seven"
    assert pacer.take(INTERVAL_S * 10.4) is None
    assert pacer.take(INTERVAL_S * 10.5) is not None
    assert pacer.take(INTERVAL_S * 11.0) is None, "and then one by one"


@given(
    pieces=st.lists(st.integers(0, 3000), max_size=60),
    looks=st.lists(st.floats(0, 0.2), min_size=1, max_size=200),
    initial=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_every_sample_goes_once_in_order_and_never_faster_than_allowed(
    pieces: list[int], looks: list[float], initial: float
) -> None:
    pacer = Pacer(Pacing(initial_s=initial))
    whole = audio(sum(pieces))
    out: list[NDArray[np.float32]] = []
    times: list[float] = []
    now, given_so_far = 0.0, 0
    for i, wait in enumerate(looks):
        now += wait
        if i < len(pieces):
            pacer.push(whole[given_so_far : given_so_far + pieces[i]])
            given_so_far += pieces[i]
        while (samples := pacer.take(now)) is not None:
            out.append(samples)
            if pacer.sent > max(1, initial * 16_000):
                times.append(now)
    pacer.push(whole[given_so_far:])
    pacer.end()
    while not pacer.done:
        now = max(now, pacer.due())
        samples = pacer.take(now)
        assert samples is not None
        out.append(samples)
        times.append(now)
    joined = np.concatenate(out) if out else audio(0)
    assert np.array_equal(joined, whole)
    for i, start in enumerate(times):
        within = sum(1 for at in times[i:] if at - start < 1.0 - 1e-9)
        assert within <= 32, "thirty a second, one for the start and one for a late caller"


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_length_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(SettingsError, match="initial chunk"):
        Pacing(initial_s=bad)


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="'fast'"):
        Pacing("fast")  # type: ignore[arg-type]
