"""The best path of known phone classes through the scores of a network; needs no language model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....errors import TranscriptError


def viterbi(
    log_probs: NDArray[np.float32],
    words: Sequence[Sequence[int]],
    silence: int,
    *,
    min_frames: int = 2,
    skip_penalty: float = 0.0,
) -> tuple[list[tuple[int, int, int, int]], float]:
    """Best path of known classes through frame scores, with optional silence before, between and after words.

    Args:
        log_probs: Shape (frames, classes), log of the probability (or likelihood) of each class in each frame.
        words: For each word the classes of its phones.
        silence: The class of silence.
        min_frames: Fewest frames a phone can last; silences last at least this too, or are left out.
        skip_penalty: Added to the score each time an optional silence is entered, at most 0; fewer short pauses.

    Returns:
        For each stretch (first frame, one past the last frame, class, position of the phone among all phones of all
        words, -1 for silence), and the mean log score of a frame.

    Raises:
        TranscriptError: More phones than the frames can hold.
    """
    chain: list[tuple[int, int]] = [(silence, -1)]  # (class, phone position)
    position = 0
    for word in words:
        for cls in word:
            chain.append((cls, position))
            position += 1
        chain.append((silence, -1))
    frames = len(log_probs)
    if position * min_frames > frames:
        raise TranscriptError(f"{position} phones do not fit into {frames} frames")
    # Each unit is `min_frames` states in a row; only its last state may repeat.
    units = np.array([cls for cls, _ in chain])
    n_units = len(units)
    optional = np.array([where < 0 for _, where in chain])
    emit = log_probs[:, np.repeat(units, min_frames)].astype(np.float64)  # (frames, states)
    n_states = n_units * min_frames
    first = np.arange(n_units) * min_frames
    last = first + min_frames - 1
    lowest = -1e30
    # An earlier state for each state: itself (only last states), the one before, or past a left-out silence.
    stay = np.full(n_states, lowest)
    stay[last] = 0.0
    enter = np.zeros(n_states)
    enter[first[optional]] = skip_penalty
    skipping = first[2:][optional[1:-1]]  # first states of units after an optional one
    score = np.full(n_states, lowest)
    score[0] = emit[0, 0] + enter[0]
    if n_units > 1:
        score[first[1]] = emit[0, first[1]]
    back = np.zeros((frames, n_states), np.int8)  # how many states back the best path came from, coded below
    shifted = np.empty(n_states)
    for t in range(1, frames):
        best = score + stay
        choice = np.zeros(n_states, np.int8)
        shifted[0] = lowest
        shifted[1:] = score[:-1] + enter[1:]
        better = shifted > best
        best[better] = shifted[better]
        choice[better] = 1
        jump = score[skipping - min_frames - 1]
        better_jump = jump > best[skipping]
        hit = skipping[better_jump]
        best[hit] = jump[better_jump]
        choice[hit] = 2
        score = best + emit[t]
        back[t] = choice
    ends = [last[-1], last[-2]] if n_units > 1 else [last[-1]]
    state = int(max(ends, key=lambda end: score[end]))
    total = float(score[state])
    if total < lowest / 2:
        raise TranscriptError(f"no path: {position} phones in {frames} frames")
    path = np.empty(frames, np.int64)
    for t in range(frames - 1, -1, -1):
        path[t] = state // min_frames
        state -= (0, 1, min_frames + 1)[int(back[t, state])]
    edges = np.flatnonzero(np.diff(path)) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), frames]
    stretches = [(a, b, *chain[int(path[a])]) for a, b in zip(starts, stops, strict=True)]
    return stretches, total / frames
