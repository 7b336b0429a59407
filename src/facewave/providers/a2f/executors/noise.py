"""The diffusion model's noise: a standard-normal sequence that can be entered anywhere.

The sequence is that of NVIDIA's SDK (Philox4x32-10 with seed 0 in cuRAND's default order), so block k of it belongs to
inference k and any inference can be replayed alone. All tracks of the SDK share it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEP_0, _KEY_STEP_1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10

_SUBSEQUENCES = 65536
"""cuRAND's default order deals groups of four numbers to this many subsequences in turn."""

_CHUNK = 1 << 14
"""Groups worked on at once, so that the intermediates stay in the cache."""

_UNIT = 2.0**-32


def philox4x32(counters: NDArray[np.uint32], key: tuple[int, int] = (0, 0)) -> NDArray[np.uint32]:
    """Ten rounds of Philox4x32.

    Args:
        counters: Shape (n, 4): counter words, least significant first.
        key: Two 32-bit words.

    Returns:
        Shape (n, 4): random words.

    Source: Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3".
    """
    word = [np.ascontiguousarray(counters[:, lane], np.uint64) for lane in range(4)]
    key_0, key_1 = key
    for _ in range(_ROUNDS):
        first, second = word[0] * _MULTIPLIER_0, word[2] * _MULTIPLIER_1
        word = [
            (second >> _HALF) ^ word[1] ^ np.uint64(key_0),
            second & _LOW,
            (first >> _HALF) ^ word[3] ^ np.uint64(key_1),
            first & _LOW,
        ]
        key_0, key_1 = (key_0 + _KEY_STEP_0) & 0xFFFFFFFF, (key_1 + _KEY_STEP_1) & 0xFFFFFFFF
    return np.stack(word, axis=1).astype(np.uint32)


def noise_values(start: int, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Values `start` .. `start + count` of the sequence.

    Args:
        start: Index of the first value, from 0.
        count: How many.
        seed: Another sequence; 0 is NVIDIA's.

    Returns:
        Shape (count,): standard-normal values.

    Raises:
        ValueError: A negative index or count, or a seed outside 0 .. 2**64 - 1.
    """
    if start < 0 or count < 0:
        raise ValueError(f"noise: found start {start} and count {count}, expected neither below 0")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"noise seed: found {seed}, expected 0 to 2**64 - 1")
    key = (seed & 0xFFFFFFFF, seed >> 32)
    first, last = start // 4, -(-(start + count) // 4)
    values = np.empty((last - first, 4), np.float32)
    for begin in range(first, last, _CHUNK):
        groups = np.arange(begin, min(begin + _CHUNK, last), dtype=np.uint64)
        values[begin - first : begin - first + len(groups)] = _normals(philox4x32(_counters(groups), key))
    return values.ravel()[start - 4 * first :][:count]


def noise_block(index: int, size: int, seed: int = 0) -> NDArray[np.float32]:
    """Block `index` of the sequence cut into blocks of `size` values: the noise of inference `index`.

    Raises:
        ValueError: A negative index or size, or a seed outside 0 .. 2**64 - 1.
    """
    return noise_values(index * size, size, seed)


def _counters(groups: NDArray[np.uint64]) -> NDArray[np.uint32]:
    subsequence, offset = groups % np.uint64(_SUBSEQUENCES), groups // np.uint64(_SUBSEQUENCES)
    counters = np.zeros((len(groups), 4), np.uint32)
    counters[:, 0] = (offset & _LOW).astype(np.uint32)
    counters[:, 1] = (offset >> _HALF).astype(np.uint32)
    counters[:, 2] = subsequence.astype(np.uint32)
    return counters


def _normals(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Box-Muller on words 0 with 1 and 2 with 3; the sine comes first."""
    pairs = words.reshape(-1, 2, 2)
    # In float32 a word near 2**32 would round to 1 and lose the tail; float64 costs little beside the logarithm.
    radius = np.sqrt(-2 * np.log(pairs[..., 0] * _UNIT + _UNIT / 2))
    angle = (pairs[..., 1] * _UNIT + _UNIT / 2) * (2 * np.pi)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=-1).reshape(-1, 4).astype(np.float32)
