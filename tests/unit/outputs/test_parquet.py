"""Parquet: complete, described by its schema, and read from tables that others made."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facewave.blendshapes import CHANNELS
from facewave.errors import AnimationFileError, OutputError
from facewave.frames import Animation, StreamInfo
from facewave.outputs import read_animation

pyarrow = pytest.importorskip("pyarrow", reason="needs the parquet extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the parquet extra")


def take() -> Animation:
    random = np.random.default_rng(5)
    info = StreamInfo(Fraction(30000, 1001), CHANNELS, Path("speech.wav"), "Embedded")
    tracks = [random.random((40, width), np.float32) for width in (10, 15, 3)]
    return Animation(info, random.random((40, 68), np.float32), *tracks)


def test_everything_comes_back(tmp_path: Path) -> None:
    written = take()
    written.save(tmp_path / "a.parquet")
    read = Animation.load(tmp_path / "a.parquet")
    assert read.info == written.info
    np.testing.assert_array_equal(read.weights, written.weights)
    for name in ("emotions", "visemes", "head"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))


def test_a_row_a_frame_and_metadata_for_other_readers(tmp_path: Path) -> None:
    written = take()
    written.save(tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.num_rows == 40
    assert table.column_names[:3] == ["frame", "time", "eyeBlinkLeft"]
    assert {"jawOpen", "emotion.joy", "viseme.PP", "head.yaw"} <= set(table.column_names)
    assert table.schema.field("jawOpen").type == pyarrow.float32()
    assert table.schema.metadata[b"facewave.frame_rate"] == b"30000/1001"
    assert table.schema.metadata[b"facewave.provider"] == b"Embedded"
    assert table.schema.metadata[b"facewave.audio"] == b"speech.wav"
    np.testing.assert_allclose(table["time"].to_numpy(), written.times)


def test_a_table_of_somebody_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    columns = {"time": [0.0, 0.04, 0.08], "Jaw_Open": [0, 1, 0], "rig.mouthSmile_L": [0.0, 0.5, 1.0], "Chin": [1, 2, 3]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    read = Animation.load(tmp_path / "a.parquet")
    assert (read.frame_rate, read.channels) == (Fraction(25), ("jawOpen", "mouthSmileLeft"))
    assert "left out what names no blend shape: 'Chin'" in caplog.text
    kept = read_animation(tmp_path / "a.parquet", keep=("Chin",))
    assert kept.channel("Chin").tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"jawOpen": [0.0]}, "no frame rate"),
        ({"time": [0.0], "Chin": [0.0]}, "no column names a blend shape"),
        ({"time": [0.0, 0.1], "jawOpen": [0.0, None]}, "'jawOpen' holds no finite number in row 1"),
        ({"time": [0.0, 0.1], "jawOpen": [0.0, 1.0], "JawOpen": [0.0, 1.0]}, "two columns are the channel jawOpen"),
    ],
)
def test_tables_that_are_no_animation(tmp_path: Path, columns: dict[str, list[float | None]], message: str) -> None:
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(AnimationFileError, match=message):
        Animation.load(tmp_path / "a.parquet")


def test_without_pyarrow_the_error_tells_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take().save(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r"pip install 'facewave\[parquet\]'"):
        take().save(tmp_path / "b.parquet")
    with pytest.raises(AnimationFileError, match=r"pip install 'facewave\[parquet\]'"):
        Animation.load(tmp_path / "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]
