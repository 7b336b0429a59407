"""Azure's events: what a handler of its SDK would see, and the other forms that can be read."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facewave.blendshapes import ARKIT
from facewave.errors import AnimationFileError
from facewave.frames import Animation, StreamInfo
from facewave.visemes import AZURE_IDS, VISEMES


def take(fps: int = 60, frames: int = 150) -> Animation:
    random = np.random.default_rng(3)
    visemes = np.zeros((frames, len(VISEMES)), np.float32)
    visemes[: frames // 2, VISEMES.index("PP")] = 1
    visemes[frames // 2 :, VISEMES.index("aa")] = 1
    return Animation(StreamInfo(Fraction(fps)), random.random((frames, 68), np.float32), visemes=visemes)


def events(tmp_path: Path, animation: Animation) -> list[dict[str, Any]]:
    animation.save(tmp_path / "a.azure.json")
    parsed: list[dict[str, Any]] = json.loads((tmp_path / "a.azure.json").read_text())
    return parsed


class Player:
    """A handler of VisemeReceived as applications write it."""

    def __init__(self) -> None:
        self.visemes: list[tuple[float, int]] = []
        self.frames: dict[int, list[float]] = {}

    def viseme_received(self, audio_offset: int, viseme_id: int, animation: str) -> None:
        if not animation:
            self.visemes.append((audio_offset / 10_000_000, viseme_id))
            return
        chunk = json.loads(animation)
        for i, row in enumerate(chunk["BlendShapes"]):
            self.frames[chunk["FrameIndex"] + i] = row


def test_a_handler_gets_every_frame_and_viseme(tmp_path: Path) -> None:
    animation, player = take(), Player()
    for event in events(tmp_path, animation):
        player.viseme_received(event["AudioOffset"], event["VisemeId"], event["Animation"])
    assert sorted(player.frames) == list(range(150))
    assert {len(row) for row in player.frames.values()} == {55}
    assert player.visemes == [(0.0, 21), (1.25, 2)]
    row = dict(zip((*ARKIT, "headRoll", "leftEyeRoll", "rightEyeRoll"), player.frames[77], strict=True))
    assert np.float32(row["jawOpen"]) == animation.channel("jawOpen")[77]
    assert row["headRoll"] == row["leftEyeRoll"] == row["rightEyeRoll"] == 0


def test_frames_come_at_sixty_a_second_whatever_the_take_has(tmp_path: Path) -> None:
    animation = take(fps=30)
    events(tmp_path, animation)
    read = Animation.load(tmp_path / "a.azure.json")
    assert (read.frame_rate, len(read)) == (Fraction(60), 300)
    np.testing.assert_array_equal(read.channel("jawOpen")[::2], animation.channel("jawOpen"))


def test_viseme_ids_are_azures() -> None:
    assert set(AZURE_IDS) <= set(range(22))


@pytest.mark.parametrize(
    "form", ["one chunk", "list of chunks", "a chunk a line", "events with parsed chunks", "blanks"]
)
def test_other_forms_are_read(tmp_path: Path, form: str) -> None:
    animation, path = take(), tmp_path / "log.json"
    chunks = [json.loads(event["Animation"]) for event in events(tmp_path, animation) if event["Animation"]]
    whole = {"FrameIndex": 0, "BlendShapes": [row for chunk in chunks for row in chunk["BlendShapes"]]}
    path.write_text(
        {
            "one chunk": json.dumps(whole),
            "list of chunks": json.dumps(chunks),
            "a chunk a line": "\n".join(map(json.dumps, chunks)),
            "events with parsed chunks": json.dumps([{"AudioOffset": 0, "Animation": chunk} for chunk in chunks]),
            "blanks": "\ufeff \n" + json.dumps(chunks, indent=2),
        }[form]
    )
    np.testing.assert_array_equal(Animation.load(path).weights, animation.weights[:, :52])


def test_a_lost_chunk_is_bridged(tmp_path: Path) -> None:
    rows = [[value] * 55 for value in (0.0, 0.25)], [[0.75] * 55]
    chunks = [{"FrameIndex": 0, "BlendShapes": rows[0]}, {"FrameIndex": 3, "BlendShapes": rows[1]}]
    (tmp_path / "a.json").write_text(json.dumps(chunks))
    assert Animation.load(tmp_path / "a.json").channel("jawOpen").tolist() == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"FrameIndex": 0, "BlendShapes": [[1, 2]]}]', r"chunk 0: .* of shape \(1, 2\), expected rows of 55"),
        ('{"FrameIndex": -1, "BlendShapes": []}', "'FrameIndex' -1"),
        ('{"FrameIndex": 99999999, "BlendShapes": []}', "reaches frame 99999999"),
        ('{"FrameIndex": 0, "BlendShapes": "no"}', "not a table"),
        ('[{"AudioOffset": 0, "Animation": "{"}]', "not valid JSON"),
        ('[{"FrameIndex": 0, "BlendShapes": []}, 7]', "found '7'"),
    ],
)  # fmt: skip
def test_wrong_chunks_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AnimationFileError, match=message):
        Animation.load(tmp_path / "a.json")
