from __future__ import annotations

import numpy as np
import pytest

from facewave.audio.clip import AudioClip, as_float32, from_array
from facewave.errors import AudioError


def test_int16_and_float_mean_the_same() -> None:
    ints = np.array([-32768, 0, 16384], np.int16)
    assert as_float32(ints).ravel().tolist() == [-1.0, 0.0, 0.5]
    assert as_float32([0.5, -0.5]).dtype == np.float32


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((4, 3)), "found 3 channels"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.array([0.0, np.nan]), "sample 1 is not a finite number"),
        (np.array([np.inf]), "sample 0"),
        (np.array([1, 2], np.int32), "type int32"),
        (np.zeros(0), "no samples"),
    ],
)
def test_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        AudioClip(as_float32(samples), 16000)


def test_a_clip_at_any_rate_becomes_16_khz_mono() -> None:
    clip = from_array(np.zeros((441, 2), np.float32), 44100)
    assert (clip.channels, clip.duration_s, len(clip.mono_16k())) == (2, 0.01, 160)
