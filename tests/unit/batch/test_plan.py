"""The digest changes with everything that could change a result, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from facewave.batch.plan import Plan, clip_digest, plan_digest
from facewave.emotions import EmotionSettings
from facewave.errors import UnknownProviderError
from facewave.settings import EmbeddedSettings, FacewaveSettings, ModelsSettings, RemoteSettings
from facewave.streams import StreamSettings

PLAN = Plan("", FacewaveSettings(), StreamSettings(), ".csv")


def test_equal_plans_have_equal_digests() -> None:
    again = Plan("", FacewaveSettings(), StreamSettings(), ".csv")
    assert plan_digest(PLAN) == plan_digest(again) == plan_digest(replace(PLAN, provider="embedded"))


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, settings=StreamSettings(frame_rate=Fraction(30))),
        replace(PLAN, settings=StreamSettings(emotion=EmotionSettings(overrides={"joy": 0.5}))),
        replace(PLAN, settings=StreamSettings(face_parameters={"lowerFaceStrength": 1.1})),
        replace(PLAN, settings=StreamSettings(seed=1)),
        replace(PLAN, extension=".npz"),
        replace(PLAN, no_tongue=True),
        replace(PLAN, project=FacewaveSettings(embedded=EmbeddedSettings(look_ahead_ms=50))),
        replace(PLAN, provider="RemoteA2F", project=FacewaveSettings(remote=RemoteSettings(url="http://localhost:1"))),
    ],
    ids=str,
)
def test_what_changes_the_result_changes_the_digest(other: Plan) -> None:
    assert plan_digest(other) != plan_digest(PLAN)


def test_speed_and_secrets_do_not() -> None:
    project = FacewaveSettings(models=ModelsSettings(threads=3), remote=RemoteSettings(api_key="secret"))
    assert plan_digest(replace(PLAN, project=project)) == plan_digest(PLAN)
    assert plan_digest(PLAN.with_threads(4)) == plan_digest(PLAN)


def test_another_model_file_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_digest(PLAN)
    monkeypatch.setattr("facewave.providers.embedded.provider.EmbeddedProvider.version", lambda self: "another")
    assert plan_digest(PLAN) != before


def test_audio_counts_too() -> None:
    assert clip_digest("a", "p") != clip_digest("b", "p")


def test_an_unknown_provider_is_an_error_at_once() -> None:
    with pytest.raises(UnknownProviderError):
        plan_digest(replace(PLAN, provider="Nobody"))


def test_threads_divide_unless_they_are_set() -> None:
    assert PLAN.with_threads(2).project.models.threads == 2
    chosen = replace(PLAN, project=FacewaveSettings(models=ModelsSettings(threads=3)))
    assert chosen.with_threads(2).project.models.threads == 3
