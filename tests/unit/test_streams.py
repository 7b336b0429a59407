from __future__ import annotations

import pytest

from facewave.errors import SettingsError
from facewave.streams import StreamSettings


def test_names_are_brought_to_their_canonical_spelling() -> None:
    settings = StreamSettings(
        face_parameters={"lip_close_offset": 0.1}, multipliers={"JawOpen": 2}, offsets={"eyeBlink_L": 0.5}
    )
    assert settings.face_parameters == {"lipOpenOffset": 0.1}
    assert settings.multipliers == {"jawOpen": 2.0}
    assert settings.offsets == {"eyeBlinkLeft": 0.5}


@pytest.mark.parametrize(
    "wrong",
    [{"multipliers": {"jaw": 1}}, {"offsets": {"jawOpen": float("inf")}}, {"face_parameters": {"skinStrength": 3}}],
)
def test_wrong_values_fail_at_once(wrong: dict[str, dict[str, float]]) -> None:
    with pytest.raises(SettingsError):
        StreamSettings(**wrong)  # type: ignore[arg-type]
