from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.features.prosody import COLUMNS
from facewave.providers.embedded.feeling import CORRESPONDENCE, SCORES, VoiceFeeling


def heard(
    seconds: float, level: float = -25, f0: float = 150, wobble: float = 3.0, rough: float = 0.2
) -> NDArray[np.float32]:
    """Rows of prosody: a voice with a pitch that wobbles by so many semitones and a share of rough sound."""
    n = int(seconds * 60)
    rows = np.zeros((n, len(COLUMNS)), np.float32)
    rows[:, 0] = level
    rows[:, 1] = f0 * 2 ** (wobble * np.sin(np.arange(n) / 20) / 12)
    rows[np.arange(n) % 100 < 100 * rough, 1] = 0
    rows[:, 3], rows[:, 4] = 0.02, -12
    return rows


def strongest(rows: NDArray[np.float32]) -> str:
    return SCORES[int(VoiceFeeling()(rows)[-1].argmax())]


def probability(rows: NDArray[np.float32], name: str) -> float:
    scores = VoiceFeeling()(rows)[-1]
    return float((np.exp(scores) / np.exp(scores).sum())[SCORES.index(name)])


def test_silence_and_calm_speech_are_neutral() -> None:
    assert probability(heard(5, level=-80, f0=0.001) * np.array([1, 0, 1, 1, 1], np.float32), "neutral") > 0.99
    assert strongest(heard(10)) == "neutral"
    assert probability(heard(0.3, wobble=7), "neutral") > 0.99, "nothing is said before enough has been heard"


@pytest.mark.parametrize(
    ("feeling", "lively", "calm"),
    [
        ("joy", heard(10, wobble=7, f0=240), heard(10, f0=240)),
        ("sadness", heard(10, wobble=0.5, rough=0.3), heard(10, wobble=4)),
        ("outofbreath", heard(10, rough=0.45), heard(10)),
    ],
)
def test_directions(feeling: str, lively: NDArray[np.float32], calm: NDArray[np.float32]) -> None:
    assert probability(lively, feeling) > 2 * probability(calm, feeling)
    assert probability(lively, feeling) < 0.6, "a hint, never a certainty"


def test_scores_do_not_depend_on_the_chunks_or_the_level() -> None:
    rows = heard(6, wobble=6)
    whole = VoiceFeeling()(rows)
    pieces = VoiceFeeling()
    assert np.array_equal(np.concatenate([pieces(rows[i : i + 17]) for i in range(0, len(rows), 17)]), whole)
    quieter = rows - np.array([15, 0, 0, 0, 0], np.float32)
    np.testing.assert_allclose(VoiceFeeling()(quieter), whole, atol=1e-3)


def test_only_neutral_moves_no_emotion_of_the_face() -> None:
    assert [name for name, index in zip(SCORES, CORRESPONDENCE, strict=True) if index < 0] == ["neutral"]
