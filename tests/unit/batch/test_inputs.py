"""What a batch finds and what it calls the results."""

from __future__ import annotations

import io
from pathlib import Path, PurePath

import pytest

from facewave.batch.inputs import find_sources, targets
from facewave.errors import AudioError, SettingsError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("takes/a.wav", "takes/deep/b.FLAC", "takes/deep/c.mp3", "takes/notes.txt", "d.ogg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(*words: str) -> list[str]:
    return [source.name.as_posix() for source in find_sources(words)]


def test_files_folders_and_patterns_keep_their_places(folder: Path) -> None:
    assert names("d.ogg") == ["d.ogg"]
    assert names("takes") == ["a.wav", "deep/b.FLAC", "deep/c.mp3"]
    assert names("takes/*.wav") == ["a.wav"]
    assert names("takes/**/*") == ["a.wav", "deep/b.FLAC", "deep/c.mp3"]
    assert names(str(folder / "takes" / "deep" / "*.mp3")) == ["c.mp3"]


def test_each_file_counts_once(folder: Path) -> None:
    assert names("takes", "takes/a.wav", str(folder / "takes" / "a.wav")) == ["a.wav", "deep/b.FLAC", "deep/c.mp3"]


def test_lists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "list").write_text("d.ogg\n\n takes/deep \n")
    assert names("@list") == ["d.ogg", "b.FLAC", "c.mp3"]
    monkeypatch.setattr("sys.stdin", io.StringIO("d.ogg\n"))
    assert names("@-") == ["d.ogg"]


def test_a_missing_file_fails_later_and_nothing_at_all_now(folder: Path) -> None:
    assert names("missing.wav") == ["missing.wav"]
    (folder / "empty").mkdir()
    for word, message in (("empty", "holds no audio"), ("*.aiff", "matches no audio"), ("@none", "cannot be read")):
        with pytest.raises(AudioError, match=message):
            find_sources([word])


def test_results_of_one_name_keep_their_extension(folder: Path) -> None:
    (folder / "takes" / "a.mp3").touch()
    assert targets(find_sources(["takes"]), ".csv") == [
        PurePath("a.mp3.csv"), PurePath("a.wav.csv"), PurePath("deep/b.csv"), PurePath("deep/c.csv"),
    ]  # fmt: skip


def test_a_name_with_dots_stays_whole(folder: Path) -> None:
    (folder / "take.1.wav").touch()
    (folder / "take.2.wav").touch()
    assert targets(find_sources(["take.*.wav"]), ".livelink.csv") == [
        PurePath("take.1.livelink.csv"), PurePath("take.2.livelink.csv"),
    ]  # fmt: skip


def test_two_files_of_one_name_from_different_folders_are_refused(folder: Path) -> None:
    (folder / "a.wav").touch()
    with pytest.raises(SettingsError, match=r"takes.a\.wav would both be written to a\.wav\.csv"):
        targets(find_sources(["a.wav", "takes/a.wav"]), ".csv")
