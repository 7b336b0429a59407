from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewave.audio.buffer import SampleBuffer
from facewave.errors import AudioError, SessionError


@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=8),
    start=st.integers(-500, 20_000),
    count=st.integers(0, 3000),
    drop=st.integers(0, 20_000),
)
def test_reads_equal_slices_of_everything(sizes: list[int], start: int, count: int, drop: int) -> None:
    everything = np.arange(1, sum(sizes) + 1, dtype=np.float32)
    buffer = SampleBuffer()
    at = 0
    for size in sizes:
        buffer.append(everything[at : at + size])
        at += size
    assert len(buffer) == len(everything)
    drop = min(drop, len(everything))
    buffer.drop_before(drop)
    buffer.close()
    padded = np.concatenate([np.zeros(500), everything, np.zeros(25_000)]).astype(np.float32)
    if drop and start < drop:
        with pytest.raises(SessionError, match="dropped"):
            buffer.read(start, count)
    else:
        assert np.array_equal(buffer.read(start, count), padded[start + 500 : start + 500 + count])


def test_an_open_buffer_does_not_invent_samples() -> None:
    buffer = SampleBuffer()
    buffer.append(np.ones(10, np.float32))
    assert buffer.read(-2, 12).tolist() == [0, 0] + [1] * 10
    with pytest.raises(SessionError, match="sample 10 has not arrived"):
        buffer.read(0, 11)
    with pytest.raises(SessionError, match="cannot drop"):
        buffer.drop_before(11)


def test_gain_applies_to_samples_when_read() -> None:
    buffer = SampleBuffer()
    buffer.append(np.ones(3, np.float32))
    assert buffer.read(0, 3, 1.5).tolist() == [1.5] * 3
    assert buffer.read(0, 3).tolist() == [1.0] * 3


def test_closed_and_wrong() -> None:
    buffer = SampleBuffer()
    with pytest.raises(AudioError, match="mono"):
        buffer.append(np.zeros((2, 2), np.float32))
    buffer.close()
    buffer.close()
    with pytest.raises(SessionError, match="after the end"):
        buffer.append(np.zeros(1, np.float32))


def test_a_long_stream_keeps_only_what_is_held() -> None:
    buffer = SampleBuffer()
    for i in range(2000):
        buffer.append(np.full(160, i, np.float32))
        buffer.drop_before(max(0, len(buffer) - 8000))
    assert buffer.read(len(buffer) - 1, 1).tolist() == [1999]
    assert buffer._data.nbytes < 200_000
