from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facewave.features.prosody import COLUMNS, F0, LEVEL, NOISE, SPACING, TILT, VOICING, analysed, prosody
from facewave.features.windows import Unwindowed, cut


def voice(f0: float, seconds: float = 1.0, level: float = 0.1) -> NDArray[np.float32]:
    """A buzz with the falling spectrum of a voice."""
    t = np.arange(int(16000 * seconds)) / 16000
    buzz = np.zeros(len(t))
    for k in range(1, int(7500 / f0)):
        buzz += np.sin(2 * np.pi * f0 * k * t) / k
    return np.asarray(level * buzz / np.sqrt(np.mean(buzz**2)), np.float32)


@pytest.mark.parametrize("f0", [75, 110, 160, 220, 300, 400])
def test_the_pitch_of_a_voice(f0: float) -> None:
    rows = prosody(voice(f0))[5:]
    np.testing.assert_allclose(rows[:, F0], f0, rtol=0.01)
    assert rows[:, VOICING].min() > 0.9
    np.testing.assert_allclose(rows[:, LEVEL], -20, atol=0.6)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    rows = prosody(noise)[5:]
    assert (rows[:, F0] > 0).mean() < 0.1
    assert rows[:, NOISE].mean() == pytest.approx(0.5, abs=0.05)
    silent = prosody(np.zeros(16000, np.float32))
    assert not silent[:, F0].any()
    assert np.isfinite(silent).all()


def test_level_does_not_change_what_is_heard() -> None:
    loud, soft = (prosody(voice(150, level=level))[5:] for level in (0.3, 0.01))
    np.testing.assert_allclose(loud[:, F0], soft[:, F0], rtol=1e-3)
    np.testing.assert_allclose(loud[:, TILT], soft[:, TILT], atol=0.1)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), max_size=8), n=st.integers(0, 9000))
def test_chunks_do_not_matter(sizes: list[int], n: int) -> None:
    samples = voice(130, 1.0)[:n]
    whole = prosody(samples)
    assert whole.shape == (n * 60 // 16000, len(COLUMNS))
    held, out, at = Unwindowed(SPACING), [], 0
    for size in [*sizes, n]:
        out.append(analysed(cut([held], [samples[at : at + size]])[0][0]))
        at = min(n, at + size)
    np.testing.assert_allclose(np.concatenate(out), whole, rtol=1e-3, atol=1e-3)
