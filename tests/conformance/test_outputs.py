"""What every file format must hold to: write, read back, compare, with an independent reader too."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from facewave.blendshapes import ARKIT, CHANNELS
from facewave.emotions import EMOTIONS
from facewave.errors import AnimationFileError, OutputError
from facewave.frames import Animation, StreamInfo
from facewave.outputs import FORMATS, FileFormat, open_file_output

RATES = [Fraction(24), Fraction(30), Fraction(60), Fraction(30000, 1001)]
NEEDS = {".parquet": "pyarrow", ".usda": "pxr", ".usdc": "pxr"}
"""Extension -> optional package."""


def parameters(rows: Iterable[FileFormat]) -> list[ParameterSet]:
    """Extensions of formats; one whose package is absent skips."""
    absent = {extension for extension, package in NEEDS.items() if find_spec(package) is None}
    skip = pytest.mark.skipif(True, reason="needs an optional package")
    return [pytest.param(row.extension, marks=[skip] if row.extension in absent else []) for row in rows]


ALL = parameters(FORMATS)
READABLE = parameters(row for row in FORMATS if row.readable)
ONE_RATE = {row.extension: row.frame_rate for row in FORMATS if row.frame_rate}
NEED_FRAMES = {".glb", ".gltf", ".vrma"}
"""Formats that cannot hold an animation without a frame."""


def take(fps: Fraction = Fraction(60), frames: int = 150, channels: tuple[str, ...] = CHANNELS) -> Animation:
    random = np.random.default_rng(1)
    weights = (random.random((frames, len(channels))) * 1.4 - 0.2).astype(np.float32)
    emotions = random.random((frames, 10)).astype(np.float32)
    return Animation(StreamInfo(fps, channels, Path("speech.wav")), weights, emotions)


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize("extension", READABLE)
def test_what_is_written_reads_back(tmp_path: Path, extension: str, fps: Fraction) -> None:
    path = tmp_path / f"take{extension}"
    original = take(fps)
    original.save(path)
    read = Animation.load(path)
    written = original.resampled(ONE_RATE.get(extension, fps))
    assert len(read) == len(written)
    if extension != ".livelink.csv" or fps.denominator == 1:  # Its time codes count whole frames a second.
        assert read.frame_rate == written.frame_rate
    expected = written.with_channels(read.channels)
    np.testing.assert_allclose(read.weights, expected.weights, atol=0 if extension != ".livelink.csv" else 1e-9)
    assert set(read.channels) >= set(ARKIT)


@pytest.mark.parametrize("extension", READABLE)
@pytest.mark.parametrize("frames", [0, 1, 2])
def test_very_short_takes(tmp_path: Path, extension: str, frames: int) -> None:
    path = tmp_path / f"take{extension}"
    if frames == 0 and extension in NEED_FRAMES:
        with pytest.raises(OutputError, match="no frames"):
            take(frames=frames).save(path)
        return
    take(frames=frames).save(path)
    assert len(Animation.load(path)) == frames


@pytest.mark.parametrize("extension", parameters(row for row in FORMATS if not row.slow))
def test_frame_by_frame_gives_the_same_file(tmp_path: Path, extension: str) -> None:
    animation = take()
    animation.save(tmp_path / f"whole{extension}")
    output = open_file_output(tmp_path / f"piecewise{extension}")
    output.start(animation.info)
    for frame in animation.frames():
        output.write(frame)
    assert not (tmp_path / f"piecewise{extension}").exists(), "nothing appears before the end"
    output.close()
    output.close()
    if extension == ".npz":  # A zip archive carries times of its own.
        whole, pieces = (Animation.load(tmp_path / f"{name}.npz") for name in ("whole", "piecewise"))
        assert np.array_equal(whole.weights, pieces.weights)
    else:
        assert (tmp_path / f"whole{extension}").read_bytes() == (tmp_path / f"piecewise{extension}").read_bytes()


@pytest.mark.parametrize("extension", ALL)
def test_an_aborted_output_leaves_what_was_there(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"take{extension}"
    path.write_text("precious")
    output = open_file_output(path)
    output.start(take().info)
    for frame in take().frames():
        output.write(frame)
    output.abort()
    output.close()
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("extension", ALL)
def test_a_failing_write_leaves_no_file(tmp_path: Path, extension: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        take().save(tmp_path / "no such folder" / f"take{extension}")
    (tmp_path / f"folder{extension}").mkdir()
    with pytest.raises(OutputError, match="is a directory"):
        take().save(tmp_path / f"folder{extension}")
    assert [p.name for p in tmp_path.iterdir()] == [f"folder{extension}"]


def test_an_unknown_extension_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"'\.fbx', expected \.livelink\.csv, \.metahuman\.csv, \.csv"):
        take().save(tmp_path / "take.fbx")


def test_nvidia_csv_as_its_sample_client_writes_it(tmp_path: Path) -> None:
    animation = take(Fraction(30), 5)
    animation.save(tmp_path / "a.csv", emotions=tmp_path / "e.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["timeCode", "blendShapes.EyeBlinkLeft", "blendShapes.EyeLookDownLeft"]
    assert [float(row["timeCode"]) for row in rows] == pytest.approx([i / 30 for i in range(5)], abs=1e-9)
    assert np.float32(rows[3]["blendShapes.JawOpen"]) == animation.channel("jawOpen")[3]
    with (tmp_path / "e.csv").open(newline="") as file:
        emotions = list(csv.DictReader(file))
    assert list(emotions[0]) == ["time_code"] + [f"emotion_values.{name}" for name in EMOTIONS]
    assert animation.emotions is not None
    assert np.float32(emotions[4]["emotion_values.joy"]) == animation.emotions[4, EMOTIONS.index("joy")]


def test_live_link_csv_has_the_column_order_of_the_app(tmp_path: Path) -> None:
    animation = take(Fraction(60), 130)
    animation.save(tmp_path / "a.livelink.csv")
    with (tmp_path / "a.livelink.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert len(header) == 2 + 61
    assert header[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert header[16:20] == ["JawForward", "JawRight", "JawLeft", "JawOpen"]
    assert header[23:25] == ["MouthRight", "MouthLeft"]
    assert header[-9:][:3] == ["HeadYaw", "HeadPitch", "HeadRoll"]
    assert rows[129][:2] == ["00:00:02:09.000", "61"]
    assert float(rows[7][header.index("JawRight")]) == pytest.approx(float(animation.channel("jawRight")[7]), abs=1e-9)


def test_live_link_csv_as_the_app_records_it(tmp_path: Path) -> None:
    """Time of day, sub-frames, the other spelling of the header, and a row without a face."""
    animation = take(Fraction(60), 3)
    animation.save(tmp_path / "a.livelink.csv")
    lines = (tmp_path / "a.livelink.csv").read_text().replace("BlendShapeCount", "BlendshapeCount").splitlines()
    lines[1] = lines[1].replace("00:00:00:00.000", "14:03:52:58.207")
    lines[2] = "14:03:52:59.207,0"
    lines[3] = lines[3].replace("00:00:00:02.000", "14:03:53:00.207")
    (tmp_path / "b.csv").write_text("\n".join(lines))
    read = Animation.load(tmp_path / "b.csv")
    assert read.frame_rate == 60
    assert read.channel("jawOpen").tolist() == pytest.approx(animation.channel("jawOpen")[[0, 0, 2]].tolist())


def test_audio2face_json(tmp_path: Path) -> None:
    take(Fraction(30), 4).with_channels(ARKIT).save(tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["exportFps"], document["numPoses"], document["numFrames"]) == (30, 52, 4)
    assert document["facsNames"][17] == "jawOpen"
    assert document["trackPath"] == "speech.wav"
    assert np.array(document["weightMat"]).shape == (4, 52)


def test_npz_is_complete(tmp_path: Path) -> None:
    written = take(Fraction(30000, 1001))
    written.save(tmp_path / "a.npz")
    read = Animation.load(tmp_path / "a.npz")
    assert read.info == written.info
    assert read.emotions is not None
    assert written.emotions is not None
    assert np.array_equal(read.emotions, written.emotions)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as raw:
        assert np.array_equal(raw["times"], written.times)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "hello,world\n1,2", "not an animation"),
        ("a.csv", "timeCode,blendShapes.JawOpen\n0,1\n0.1", "row 3 has 1 values, expected 2"),
        ("a.csv", "timeCode,blendShapes.JawOpen\n0,wide", "expected numbers"),
        ("a.csv", "timeCode,blendShapes.JawOpen\n0,nan\n1,1", "row 2 .* not a finite"),
        ("a.csv", "timeCode,blendShapes.JawOpen\n1,0\n0,0", "row 3 does not come after"),
        ("a.csv", "timeCode,blendShapes.JawOpen\n0,0\n0.1,0\n0.11,0\n0.9,0", "not evenly spaced"),
        ("a.csv", "timeCode,speed\n0,1", "no column names a blend shape"),
        ("a.csv", "Timecode,BlendShapeCount,JawOpen\nnoon,1,0", "time code 'noon'"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", '{"exportFps": 30, "facsNames": ["jawOpen"]}', "'weightMat' is missing"),
        ("a.json", '{"exportFps": 30, "facsNames": ["jawOpen"], "weightMat": [[1], ["x"]]}', "not a table"),
        ("a.json", '{"exportFps": 30, "facsNames": ["A", "B"], "weightMat": []}', "no ARKit name"),
        ("a.npz", "PK\x03\x04broken", "not a numpy archive"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(AnimationFileError, match=message):
        Animation.load(path)


def test_missing_files_and_arrays(tmp_path: Path) -> None:
    with pytest.raises(AnimationFileError, match="cannot be read"):
        Animation.load(tmp_path / "none.csv")
    np.savez(tmp_path / "a.npz", weights=np.zeros((2, 2)))
    with pytest.raises(AnimationFileError, match="'channels' is missing, found weights"):
        Animation.load(tmp_path / "a.npz")
