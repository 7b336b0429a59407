"""Stages of the set in use that no test here looks at are shown as skipped, so that none is missed silently."""

from __future__ import annotations

import pytest

from tests.golden.vectors import golden_folder, stage_names


@pytest.mark.parametrize("stage", stage_names() or [None])
def test_stage_has_a_test(stage: str | None, request: pytest.FixtureRequest) -> None:
    if golden_folder() is None:
        pytest.skip("no golden vectors: set FACEWAVE_GOLDEN to the folder of a manifest.json")
    marks = [item.get_closest_marker("golden") for item in request.session.items]
    if stage not in {mark.args[0] for mark in marks if mark is not None}:
        pytest.skip(f"no test among those collected looks at stage {stage!r}")
