"""Foreign bytes never cause more than an error in words: a short, repeatable slice of `make fuzz`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.campaign import kept
from tests.fuzz.examine import clear, examine
from tests.fuzz.mutations import damaged
from tests.fuzz.targets import TARGETS, Target, target

EXAMPLES = 40
"""Inputs for each target; `make fuzz` tries some ten thousands."""


@pytest.fixture(scope="module", autouse=True)
def _leave_nothing() -> Iterator[None]:
    yield
    clear()


def _needs(row: Target) -> None:
    if row.name.startswith("studio"):
        pytest.importorskip("starlette", reason="the extra `studio` is not installed")
        pytest.importorskip("python_multipart", reason="the extra `studio` is not installed")


@pytest.mark.parametrize("row", TARGETS, ids=lambda row: row.name)
def test_sound_inputs_are_taken(row: Target) -> None:
    _needs(row)
    # A model's files are all read together, so the entry points stand for them.
    seeds = [seed for seed in row.seeds() if "/" not in seed.name or seed.name.endswith("/model.json")]
    for seed in seeds:
        assert examine(row, seed.name, seed.data) == "taken", seed.name


@pytest.mark.parametrize("row", TARGETS, ids=lambda row: row.name)
def test_damaged_inputs_are_taken_or_refused_in_words(row: Target) -> None:
    _needs(row)
    outcomes = []

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(damaged(row.seeds(), row.tokens))
    def check(case: tuple[str, bytes]) -> None:
        outcomes.append(examine(row, *case))

    check()
    assert len(outcomes) >= EXAMPLES // 2


@pytest.mark.parametrize(("name", "file", "path"), kept(), ids=[path.name for *_, path in kept()])
def test_what_once_was_a_defect_stays_mended(name: str, file: str, path: Path) -> None:
    row = target(name)
    _needs(row)
    examine(row, file, path.read_bytes())
