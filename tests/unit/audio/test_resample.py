from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facewave.audio.resample import StreamResampler, decimate_like_sdk
from facewave.errors import AudioError

RATES = [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000, 192000]


def resampled(samples: NDArray[np.float32], rate: int, sizes: list[int], channels: int = 1) -> NDArray[np.float32]:
    resampler = StreamResampler(rate, channels)
    out, at = [], 0
    for size in sizes:
        out.append(resampler.push(samples[at : at + size]))
        at += size
    out += [resampler.push(samples[at:]), resampler.finish()]
    return np.concatenate(out)


@settings(max_examples=40, deadline=None)
@given(rate=st.sampled_from(RATES), n=st.integers(0, 9000), sizes=st.lists(st.integers(0, 3000), max_size=8))
def test_output_does_not_depend_on_the_chunks(rate: int, n: int, sizes: list[int]) -> None:
    samples = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    whole = resampled(samples, rate, [])
    assert np.array_equal(whole, resampled(samples, rate, sizes))
    assert len(whole) == -(-n * 16000 // rate)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_place_and_level(rate: int) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    found = resampled(tone, rate, [])
    # Away from the ends, where the filter hears silence beyond the clip.
    np.testing.assert_allclose(found[500:-500], expected[500:-500], atol=2e-3)


def test_what_16_khz_cannot_hold_is_removed() -> None:
    tone = np.sin(2 * np.pi * 12_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resampled(tone, 48_000, [])[500:-500]).max() < 1e-3


def test_stereo_is_the_mean_of_its_channels() -> None:
    stereo = np.random.default_rng(0).standard_normal((5000, 2)).astype(np.float32)
    for rate in (16000, 44100):
        mixed = resampled(stereo.mean(axis=1, dtype=np.float32), rate, [])
        assert np.array_equal(resampled(stereo, rate, [], channels=2), mixed)


def test_wrong_input() -> None:
    with pytest.raises(AudioError, match="found 50 Hz"):
        StreamResampler(50)
    with pytest.raises(AudioError, match=r"expected \(n, 2\)"):
        StreamResampler(48000, 2).push(np.zeros(5, np.float32))
    with pytest.raises(AudioError, match="22050"):
        decimate_like_sdk(np.zeros(5, np.float32), 22050)


def test_sixteen_khz_comes_out_at_once() -> None:
    samples = (np.arange(7) / 8).astype(np.float32)
    assert np.array_equal(StreamResampler(16000).push(samples), samples)
