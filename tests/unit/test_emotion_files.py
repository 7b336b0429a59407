from __future__ import annotations

from pathlib import Path

import pytest

from facewave.emotion_files import read_emotion_keys
from facewave.emotions import EMOTIONS
from facewave.errors import SettingsError

JOY = EMOTIONS.index("joy")

JSON = '[{"time_code": 0.5, "emotions": {"joy": 0.8}}, {"time_code": 0, "emotions": {}}]'
YAML_LIST = """
emotion_with_timecode_list:
  - {time_code: 0.5, emotions: {joy: 0.8}}
  - {time_code: 0.0, emotions: {}}
"""
YAML_NAMED = """
face_parameters: {upperFaceStrength: 1.0}
emotion_with_timecode_list:
  emotion_with_timecode1: {time_code: 0.0, emotions: {}}
  emotion_with_timecode2:
    time_code: 0.5
    emotions: {joy: 0.8}
"""


@pytest.mark.parametrize(("name", "text"), [("k.json", JSON), ("k.yaml", YAML_LIST), ("k.yml", YAML_NAMED)])
def test_every_form_reads_the_same(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    track = read_emotion_keys(path)
    assert track.samples.tolist() == [0, 8000]
    assert track.at(4000)[JOY] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "found no list of keys"),
        ('{"keys": 1}', "found no list of keys"),
        ('[{"time_code": 0}]', "key 0.*'emotions'"),
        ('[{"time_code": "soon", "emotions": {}}]', "key 0: time_code is 'soon'"),
        ('[{"time_code": 0, "emotions": {"joy": 2}}]', "key 0: joy is 2"),
        ('[{"time_code": 0, "emotions": {"jo": 1}}]', "unknown emotion 'jo'.*joy"),
    ],
)
def test_wrong_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_emotion_keys(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_emotion_keys(tmp_path / "none.json")
