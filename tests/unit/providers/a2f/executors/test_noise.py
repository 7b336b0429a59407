from __future__ import annotations

import numpy as np
import pytest

from facewave.providers.a2f.executors.noise import noise_block, noise_values, philox4x32


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers_of_philox(counter: str, key: str, expected: str) -> None:
    """The vectors that come with the generator's paper."""
    words = np.array([[int(word, 16) for word in counter.split()]], np.uint32)
    first, second = (int(word, 16) for word in key.split())
    assert [f"{word:08x}" for word in philox4x32(words, (first, second))[0]] == expected.split()


def test_any_window_can_be_replayed_alone() -> None:
    whole = noise_values(0, 5 * 518)
    for index in (4, 0, 2):
        np.testing.assert_array_equal(noise_block(index, 518), whole[index * 518 : (index + 1) * 518])
    np.testing.assert_array_equal(noise_values(7, 100), whole[7:107])


def test_a_window_far_out_and_longer_than_a_working_piece() -> None:
    start = 4 * 65536 * 3 - 50_000  # passes into the next round of subsequences
    whole = noise_values(start, 100_000)
    np.testing.assert_array_equal(whole[70_001:70_011], noise_values(start + 70_001, 10))


def test_values_are_standard_normal() -> None:
    values = noise_values(0, 400_000).astype(float)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs((values**4).mean() - 3) < 0.1
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01
    assert np.isfinite(values).all()


def test_seeds_give_other_sequences() -> None:
    assert not np.array_equal(noise_values(0, 64, seed=1), noise_values(0, 64))
    assert not np.array_equal(noise_values(0, 64, seed=1 << 32), noise_values(0, 64, seed=1))


def test_what_cannot_be_asked() -> None:
    assert noise_values(3, 0).shape == (0,)
    with pytest.raises(ValueError, match="start -1"):
        noise_values(-1, 4)
    with pytest.raises(ValueError, match="seed"):
        noise_values(0, 4, seed=-1)
