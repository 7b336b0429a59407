"""Speech can be read from the lips whatever the face feels: the measures of the lip-sync benchmark, at full emotion."""

from __future__ import annotations

import pytest

import facewave
from benchmarks.lipsync.clips import demo_clip
from benchmarks.lipsync.scores import Scored, score
from benchmarks.lipsync.systems import truth
from facewave.emotions import EMOTIONS
from facewave.providers.embedded.provider import EmbeddedProvider

HIGHER_IS_BETTER = (
    "r", "r_jaw", "r_closure", "r_labiodental", "r_funnel", "r_pucker", "r_spread", "r_lower_down", "r_upper_up",
    "closure_recall", "closure_precision", "labiodental_hit", "rounding_auc", "jaw_auc",
)  # fmt: skip
MOST_LOST = 0.03
CLIP = demo_clip()
TRUTH = truth(CLIP)
PROVIDER = EmbeddedProvider()


def scored(overrides: dict[str, float]) -> dict[str, float]:
    feeling = facewave.EmotionSettings(
        strength=1.0 if overrides else 0.0, override_strength=1.0, overrides=overrides, transition_s=0.0
    )
    settings = facewave.StreamSettings(emotion=feeling)
    take = facewave.animate(CLIP.samples, provider=PROVIDER, settings=settings, fps=60)
    return score([Scored(CLIP.phones, take.weights, TRUTH)])


@pytest.fixture(scope="module")
def calm() -> dict[str, float]:
    return scored({})


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_full_emotion_costs_the_lips_at_most_three_percent(emotion: str, calm: dict[str, float]) -> None:
    felt = scored(dict.fromkeys(EMOTIONS, 0.0) | {emotion: 1.0})
    lost = {name: 1 - felt[name] / calm[name] for name in HIGHER_IS_BETTER}
    assert max(lost.values()) <= MOST_LOST, lost
    assert felt["false_closure"] <= calm["false_closure"] + MOST_LOST
