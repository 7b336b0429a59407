from __future__ import annotations

import numpy as np
import pytest

from facewave.animation.smoothing import HalfLifeFilter


def test_after_its_half_life_one_filter_has_gone_half_way() -> None:
    smooth = HalfLifeFilter(np.array([0.1, 0.0], np.float32), 0.001)
    step = np.concatenate([np.zeros((1, 2)), np.ones((400, 2))]).astype(np.float32)
    out = smooth(step)
    # Two filters in a row answer a step with 1 - 2^-x (1 + x ln 2), x in half-lives.
    x = 100 * 0.001 / 0.1
    assert out[100, 0] == pytest.approx(1 - 2**-x * (1 + x * np.log(2)), abs=0.01)
    assert np.array_equal(out[:, 1], step[:, 1])


def test_the_first_frame_passes_and_chunks_do_not_matter() -> None:
    frames = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    half_life = np.array([0.01, 0.05, 0], np.float32)
    whole = HalfLifeFilter(half_life, 1 / 60)(frames)
    assert np.array_equal(whole[0], frames[0])
    pieces = HalfLifeFilter(half_life, 1 / 60)
    assert np.array_equal(np.concatenate([pieces(frames[i : i + 7]) for i in range(0, 50, 7)]), whole)
