"""Features against librosa's definition, and the two properties of streaming."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facewave.errors import AudioError
from facewave.features import log_mel as features
from facewave.features.log_mel import SPACING, energies, frame_end, frames_in, log_mel
from facewave.features.windows import Unwindowed, cut

TOLERANCE = 2e-6  # a few last bits of float32 in a logarithm near 10; matrix products of other sizes round differently


def speech_like(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    n = round(seconds * 16000)
    envelope = np.interp(np.arange(n), np.arange(0, n + 800, 800), rng.uniform(0, 0.4, n // 800 + 1 + (n % 800 > 0)))
    return (rng.standard_normal(n) * envelope).astype(np.float32)


def test_filters_are_librosas() -> None:
    expected = librosa.filters.mel(sr=16000, n_fft=features.N_FFT, n_mels=features.N_MELS)
    np.testing.assert_allclose(features.mel_filters(), expected.T, atol=1e-7)


def test_energies_are_librosas_for_the_same_windows() -> None:
    samples = speech_like(1.0)
    got = log_mel(samples)
    # librosa hops by whole samples; every third of our frames lies on a grid of 400 samples.
    padded = np.concatenate((np.zeros(features.WINDOW, np.float32), samples))
    power = librosa.feature.melspectrogram(
        y=padded, sr=16000, n_fft=features.N_FFT, win_length=features.WINDOW, hop_length=400, window="hann",
        center=False, n_mels=features.N_MELS, power=2.0,
    )  # fmt: skip
    # librosa centres the 400-sample window in its 512 samples: it begins 56 samples into them.
    lag = (features.N_FFT - features.WINDOW) // 2
    shifted = librosa.feature.melspectrogram(
        y=padded[features.WINDOW + 400 - features.WINDOW - lag :], sr=16000, n_fft=features.N_FFT,
        win_length=features.WINDOW, hop_length=400, window="hann", center=False, n_mels=features.N_MELS, power=2.0,
    )  # fmt: skip
    assert power.shape[1] > 10
    ours = got[2::3]  # frames that end at 400, 800, ...
    n = min(len(ours), shifted.shape[1])
    np.testing.assert_allclose(ours[:n], np.log(shifted.T[:n] + features.POWER_FLOOR), atol=2e-4)


@pytest.mark.parametrize("index", [0, 1, 2, 3, 119, 120, 431_999, 10_000_001])
def test_frame_ends_are_exact(index: int) -> None:
    from fractions import Fraction

    assert frame_end(index) == round(Fraction((index + 1) * 16000, 120))


def test_frames_in_counts_frames_that_have_ended() -> None:
    for n in range(1200):
        assert frames_in(n) == sum(frame_end(k) <= n for k in range(12)), n


def test_before_the_first_sample_there_is_silence() -> None:
    samples = speech_like(0.2)
    lead = np.concatenate((np.zeros(4000, np.float32), samples))
    # 4000 samples are exactly 30 frames, so the frames of both line up.
    np.testing.assert_allclose(log_mel(lead)[30:], log_mel(samples), atol=TOLERANCE)
    np.testing.assert_allclose(log_mel(lead)[:30], np.log(features.POWER_FLOOR), atol=1e-4)


@pytest.mark.parametrize("size", [1, 7, 133, 160, 400, 533, 4096])
def test_chunk_size_does_not_matter(size: int) -> None:
    samples = speech_like(0.5)
    held = Unwindowed(SPACING)
    pieces = [energies(cut([held], [samples[first : first + size]])[0][0]) for first in range(0, len(samples), size)]
    np.testing.assert_allclose(np.concatenate(pieces), log_mel(samples), atol=TOLERANCE)
    assert held.received == len(samples)
    assert held.emitted == [frames_in(len(samples))]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 900), max_size=12))
def test_any_chunking_gives_the_same_frames(sizes: list[int]) -> None:
    samples = speech_like(0.7)[: sum(sizes)]
    held, at, pieces = Unwindowed(SPACING), 0, [np.zeros((0, features.N_MELS), np.float32)]
    for size in sizes:
        pieces.append(energies(cut([held], [samples[at : at + size]])[0][0]))
        at += size
    np.testing.assert_allclose(np.concatenate(pieces), log_mel(samples), atol=TOLERANCE)


def test_a_prefix_gives_a_prefix() -> None:
    samples = speech_like(0.5)
    short = log_mel(samples[:5000])
    np.testing.assert_allclose(short, log_mel(samples)[: len(short)], atol=TOLERANCE)


def test_digital_silence_is_finite() -> None:
    silence = log_mel(np.zeros(1600, np.float32))
    np.testing.assert_allclose(silence, np.log(features.POWER_FLOOR), atol=1e-4)


def test_no_samples_give_no_frames() -> None:
    assert log_mel(np.zeros(0, np.float32)).shape == (0, features.N_MELS)


def test_stereo_is_refused_with_its_shape() -> None:
    with pytest.raises(AudioError, match=r"\(100, 2\)"):
        log_mel(np.zeros((100, 2), np.float32))
