from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.animation.idle import COLUMNS, IdleLife, add_idle
from facewave.blendshapes import CHANNELS, INDEX, UPPER_FACE

MINUTES = 20


def talk(minutes: float = MINUTES, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Phrases of some seconds with a wandering pitch and accents, and pauses between."""
    random = np.random.default_rng(seed)
    level: list[float] = []
    f0: list[float] = []
    while len(level) < minutes * 3600:
        n = int(random.uniform(1, 5) * 60)
        contour = 110 * 2 ** ((2 * np.sin(np.arange(n) / random.uniform(15, 40)) + random.normal(0, 0.3, n)) / 12)
        voiced = np.sin(np.arange(n) / 5) > -0.6
        level += (-25 + random.normal(0, 3, n)).tolist() + [-70.0] * int(random.uniform(0.1, 1) * 60)
        f0 += np.where(voiced, contour, 0).tolist() + [0.0] * (len(level) - len(f0) - n)
    return np.array(level, np.float32), np.array(f0, np.float32)


def onsets(values: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    return np.flatnonzero((values[1:] > threshold) & (values[:-1] <= threshold))


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return IdleLife(1)(*talk())


def column(rows: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    return rows[:, COLUMNS.index(name)]


def test_the_same_seed_lives_the_same_life_in_any_pieces(rows: NDArray[np.float32]) -> None:
    level, f0 = talk()
    life, pieces, at = IdleLife(1), [], 0
    for size in np.random.default_rng(5).integers(0, 400, 1000).tolist():
        pieces.append(life(level[at : at + size], f0[at : at + size]))
        at += size
    together = np.concatenate(pieces)
    assert np.array_equal(together, rows[: len(together)])
    assert not np.array_equal(IdleLife(2)(level, f0)[:, 0], rows[:, 0])


def test_blinks_are_as_many_and_as_long_as_people_make_them(rows: NDArray[np.float32]) -> None:
    blink = column(rows, "blink")
    starts = onsets(blink, 0.05)
    assert 12 <= len(starts) / MINUTES <= 20
    length_s = (blink > 0.05).sum() / len(starts) / 60
    assert 0.1 <= length_s <= 0.3
    peaks = [blink[start : start + 12].max() for start in starts[:-1]]
    assert min(peaks) > 0.9, "every blink closes the lids"


def test_glances_brows_breaths_and_head(rows: NDArray[np.float32]) -> None:
    eyes = rows[:, 1:3]
    speed = np.hypot(*np.diff(eyes, axis=0).T)
    shifts = len(onsets(speed, 0.25)) / MINUTES
    assert 15 <= shifts <= 60
    assert np.abs(eyes).max() < 20
    assert 2 <= len(onsets(column(rows, "brow"), 0.05)) / MINUTES <= 30
    assert 2 <= len(onsets(column(rows, "breath"), 0.05)) / MINUTES <= 25
    head = rows[:, 5:]
    assert np.abs(head).max() < 12
    assert head.std(axis=0).min() > 0.3
    assert np.abs(np.diff(head, axis=0)).max() < 0.8, "no jump from one row to the next"


def test_silence_blinks_and_glances_but_raises_no_brow() -> None:
    quiet = IdleLife(0)(np.full(3600 * 3, -80, np.float32), np.zeros(3600 * 3, np.float32))
    assert len(onsets(column(quiet, "blink"), 0.05)) > 20
    assert not column(quiet, "brow").any()
    assert not column(quiet, "breath").any()


def face(**values: float) -> NDArray[np.float32]:
    row = np.array([[values.get(name, 0.0) for name in COLUMNS]], np.float32)
    return np.asarray(add_idle(np.zeros((1, 68), np.float32), row)[0])


def test_directions() -> None:
    right = face(gaze_right_deg=15.0)
    assert right[INDEX["eyeLookOutRight"]] == right[INDEX["eyeLookInLeft"]] == 0.5
    assert right[INDEX["eyeLookInRight"]] == 0
    assert face(gaze_up_deg=30.0)[INDEX["eyeLookUpLeft"]] == 1
    down = face(gaze_up_deg=-30.0)
    assert down[INDEX["eyeLookDownLeft"]] == 1
    assert 0 < down[INDEX["eyeBlinkLeft"]] < 0.5
    assert face(brow=0.5)[INDEX["browInnerUp"]] > 0.3


def test_idle_leaves_the_mouth_to_speech(rows: NDArray[np.float32]) -> None:
    moved = np.abs(add_idle(np.zeros((len(rows), 68), np.float32), rows)).max(axis=0)
    mouth = [i for i, name in enumerate(CHANNELS) if name not in UPPER_FACE]
    assert moved[mouth].max() < 0.02
    assert moved.max() <= 1
