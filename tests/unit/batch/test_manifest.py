"""The manifest survives whatever ends the process that writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facewave.batch.manifest import FILE, Manifest, Row
from facewave.errors import OutputError


def test_rows_are_there_as_soon_as_they_are_added(tmp_path: Path) -> None:
    with Manifest(tmp_path / "out") as manifest:
        manifest.add(Row("ä.wav", "ä.csv", hash="1", frames=3))
        lines = (tmp_path / "out" / FILE).read_text(encoding="utf-8").splitlines()
        assert json.loads(lines[0]) | {"input": "ä.wav", "frames": 3} == json.loads(lines[0])
        manifest.add(Row("b.wav", "b.csv", error="broken"))
    with Manifest(tmp_path / "out") as manifest:
        assert manifest.rows["ä.csv"].frames == 3
        assert manifest.rows["b.csv"].error == "broken"


def test_the_last_line_about_a_file_counts_and_old_ones_go(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.add(Row("a.wav", "a.csv", error="broken"))
        manifest.add(Row("a.wav", "a.csv", hash="2"))
    with Manifest(tmp_path) as manifest:
        assert manifest.rows["a.csv"] == Row("a.wav", "a.csv", hash="2")
    assert len((tmp_path / FILE).read_text().splitlines()) == 1


@pytest.mark.parametrize("junk", ['{"input": "b.wav", "outp', "[1]", '{"input": "b.wav"}', "\x00\x00", "7"])
def test_a_line_cut_short_is_forgotten(tmp_path: Path, junk: str) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.add(Row("a.wav", "a.csv"))
    with (tmp_path / FILE).open("a") as file:
        file.write(junk)
    with Manifest(tmp_path) as manifest:
        assert list(manifest.rows) == ["a.csv"]
        manifest.add(Row("c.wav", "c.csv"))
    with Manifest(tmp_path) as manifest:
        assert list(manifest.rows) == ["a.csv", "c.csv"]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_keys_of_a_later_version_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"input": "a.wav", "output": "a.csv", "mood": "fine"}\n')
    with Manifest(tmp_path) as manifest:
        assert manifest.rows["a.csv"].input == "a.wav"


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Manifest(tmp_path / "file" / "out")
