"""Visemes: which of fifteen mouth pictures a frame shows, for rigs and players that have no blend shapes of speech.

Source: the names are those of Oculus lip-sync, the numbers those of Azure's speech service.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

VISEMES: tuple[str, ...] = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou",
)  # fmt: skip
"""The fifteen names in the order of every viseme vector."""

AZURE_IDS: tuple[int, ...] = (0, 21, 18, 17, 19, 20, 16, 15, 19, 13, 2, 4, 6, 3, 7)
"""Azure's viseme id (0..21) for each of the fifteen; it has more vowels, so the commonest stands for its group."""

_SHORTEST_S = 0.03
"""A picture shown for less is not seen; it goes to what came before it."""


def timeline(visemes: NDArray[np.float32], rate: Fraction) -> list[tuple[float, float, str]]:
    """The strongest viseme over time.

    Args:
        visemes: Shape (frames, 15), probabilities.
        rate: Frames per second.

    Returns:
        (start, end, name) in seconds, without gaps; neighbours differ.
    """
    if not len(visemes):
        return []
    strongest = visemes.argmax(axis=1)
    starts = [0, *(np.flatnonzero(np.diff(strongest)) + 1).tolist(), len(strongest)]
    spans: list[tuple[float, float, str]] = []
    for first, stop in pairwise(starts):
        name = VISEMES[strongest[first]]
        start, end = float(first / rate), float(stop / rate)
        if spans and (end - start < _SHORTEST_S or spans[-1][2] == name):
            spans[-1] = (spans[-1][0], end, spans[-1][2])
        else:
            spans.append((start, end, name))
    return spans
