from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import facewave
from facewave.audio.clip import AudioClip
from facewave.errors import AudioError
from facewave.frames import Animation, StreamInfo
from facewave.providers.replay import ReplayProvider


def test_files_clips_and_arrays_are_the_same_audio(demo_clip: Path) -> None:
    from facewave.audio.files import read_audio

    clip = read_audio(demo_clip)
    of_file = facewave.animate(demo_clip)
    of_clip = facewave.animate(clip)
    of_array = facewave.animate(clip.samples[:, 0], sample_rate=clip.sample_rate)
    of_ints = facewave.animate(np.round(clip.samples[:, 0] * 32768).astype(np.int16), sample_rate=clip.sample_rate)
    for other in (of_clip, of_array, of_ints):
        np.testing.assert_allclose(other.weights, of_file.weights, atol=1e-4)
    assert of_file.info.audio == demo_clip
    assert of_array.info.audio is None


def test_progress_output_and_rate(demo_clip: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    take = facewave.animate(demo_clip, fps=30, output=tmp_path / "out.json", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(Animation.load(tmp_path / "out.json")) == len(take) == int(np.ceil(take.duration_s * 30))


def test_a_provider_object_and_an_error_in_the_middle(demo_clip: Path) -> None:
    from fractions import Fraction

    provider = ReplayProvider(Animation(StreamInfo(Fraction(30)), np.ones((5, 68), np.float32)))
    assert facewave.animate(demo_clip, provider=provider).weights.min() == 1
    with pytest.raises(AudioError, match="no samples"):
        facewave.animate(np.zeros(0, np.float32))
    with pytest.raises(AudioError, match="found 50 Hz"):
        facewave.animate(AudioClip(np.zeros((3, 1), np.float32), 50))


def test_stereo_is_animated_as_the_mean_of_its_sides(demo_clip: Path) -> None:
    from facewave.audio.files import read_audio

    clip = read_audio(demo_clip)
    sides = np.concatenate([clip.samples * 1.5, clip.samples * 0.5], axis=1)
    np.testing.assert_allclose(
        facewave.animate(sides, sample_rate=clip.sample_rate).weights, facewave.animate(clip).weights, atol=1e-4
    )
