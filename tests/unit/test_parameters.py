from __future__ import annotations

import pytest

from facewave.errors import SettingsError
from facewave.parameters import FACE_PARAMETERS, face_parameter, face_parameters


def test_thirteen_rows_with_defaults_inside_their_ranges() -> None:
    assert len(FACE_PARAMETERS) == 13
    assert all(row.minimum <= row.default <= row.maximum for row in FACE_PARAMETERS)


@pytest.mark.parametrize("row", FACE_PARAMETERS, ids=lambda row: row.name)
def test_both_spellings_and_both_ends(row: object) -> None:
    name, yaml_name = row.name, row.yaml_name  # type: ignore[attr-defined]
    low, high = row.minimum, row.maximum  # type: ignore[attr-defined]
    assert face_parameter(yaml_name) is row
    assert face_parameters({yaml_name: low}) == {name: low}
    assert face_parameters({name: high}) == {name: high}
    for outside in (low - 0.001, high + 0.001, float("nan")):
        with pytest.raises(SettingsError, match=f"{name}: found .* expected {low:g} to {high:g}"):
            face_parameters({name: outside})


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(SettingsError, match="did you mean lowerFaceStrength"):
        face_parameters({"lowerFaceStrenght": 1})
