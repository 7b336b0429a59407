"""`facewave convert`: every pair of formats, and what the options do to the frames."""

from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facewave import Animation
from facewave.blendshapes import ARKIT, CHANNELS
from facewave.cli import app
from facewave.errors import FacewaveError
from facewave.frames import StreamInfo
from facewave.outputs import FORMATS

RUN = CliRunner()
NEEDS = {".parquet": "pyarrow", ".usda": "pxr", ".usdc": "pxr"}
ABSENT = {extension for extension, package in NEEDS.items() if find_spec(package) is None}
ROWS = [row for row in FORMATS if row.extension not in ABSENT and not row.slow]


def take(frames: int = 90, fps: int = 60, seed: int = 1) -> Animation:
    random = np.random.default_rng(seed)
    return Animation(
        StreamInfo(Fraction(fps)), random.random((frames, 68), np.float32), random.random((frames, 10), np.float32)
    )


def convert(*arguments: str | Path) -> str:
    result = RUN.invoke(app, ["convert", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("source", [row.extension for row in ROWS if row.readable])
@pytest.mark.parametrize("target", [row.extension for row in ROWS])
def test_any_readable_format_to_any_other(tmp_path: Path, source: str, target: str) -> None:
    original = take()
    original.save(tmp_path / f"in{source}")
    shown = convert(tmp_path / f"in{source}", tmp_path / f"out{target}")
    assert "90 frames at 60 fps" in shown
    if target in [row.extension for row in ROWS if row.readable]:
        read = Animation.load(tmp_path / f"out{target}").with_channels(ARKIT)
        np.testing.assert_allclose(read.weights, original.with_channels(ARKIT).weights, atol=1e-9)
    else:
        assert (tmp_path / f"out{target}").stat().st_size > 500


def test_frame_rate(tmp_path: Path) -> None:
    original = take()
    original.save(tmp_path / "in.npz")
    convert(tmp_path / "in.npz", tmp_path / "out.npz", "--fps", "30")
    read = Animation.load(tmp_path / "out.npz")
    assert (read.frame_rate, len(read)) == (Fraction(30), 45)
    np.testing.assert_allclose(read.weights, original.weights[::2], atol=1e-6)


def test_trimming_counts_from_the_start(tmp_path: Path) -> None:
    original = take()
    original.save(tmp_path / "in.npz")
    convert(tmp_path / "in.npz", tmp_path / "out.npz", "--start", "0.5", "--end", "1")
    read = Animation.load(tmp_path / "out.npz")
    np.testing.assert_array_equal(read.weights, original.weights[30:60])
    assert read.emotions is not None
    assert original.emotions is not None
    np.testing.assert_array_equal(read.emotions, original.emotions[30:60])


def test_inputs_follow_one_another(tmp_path: Path) -> None:
    first, second = take(60), take(30, fps=30, seed=2).with_channels(ARKIT)
    first.save(tmp_path / "a.csv")
    second.save(tmp_path / "b.json")
    convert(tmp_path / "a.csv", tmp_path / "b.json", "-o", tmp_path / "c.npz")
    joined = Animation.load(tmp_path / "c.npz")
    assert (joined.frame_rate, len(joined), joined.channels) == (Fraction(60), 120, CHANNELS)
    np.testing.assert_array_equal(joined.weights[:60], first.weights)
    np.testing.assert_allclose(joined.weights[60::2, :52], second.weights, atol=1e-6)
    assert not joined.weights[60:, 52:].any(), "what the second lacks is 0"


def test_rename_and_no_tongue(tmp_path: Path) -> None:
    original = take()
    original.save(tmp_path / "in.npz")
    convert(tmp_path / "in.npz", tmp_path / "out.npz", "--rename", "JawOpen=Mouth_Down", "--no-tongue")
    read = Animation.load(tmp_path / "out.npz")
    assert len(read.channels) == 52
    assert "jawOpen" not in read.channels
    np.testing.assert_array_equal(read.channel("Mouth_Down"), original.channel("jawOpen"))


def test_foreign_names_become_ours(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("timeCode,rig.Jaw_Drop,rig.JawLeft\n0,0.25,1\n0.1,0.5,1\n")
    convert(tmp_path / "in.csv", tmp_path / "out.npz", "--rename", "Jaw_Drop=jawOpen")
    read = Animation.load(tmp_path / "out.npz")
    assert read.channels == ("jawOpen", "jawLeft")
    assert read.channel("jawOpen").tolist() == [0.25, 0.5]


def test_a_map_sums_scales_and_leaves_out(tmp_path: Path) -> None:
    original = take()
    original.save(tmp_path / "in.npz")
    (tmp_path / "rig.toml").write_text(
        "[channels]\nmouthSmileLeft = { smile = 0.5 }\nmouth_smile_right = { smile = 0.5 }\n"
        "jawOpen = 'Open'\ncheekPuff = {}\n"
    )
    convert(tmp_path / "in.npz", tmp_path / "out.npz", "--map", tmp_path / "rig.toml")
    read = Animation.load(tmp_path / "out.npz")
    smile = (original.channel("mouthSmileLeft") + original.channel("mouthSmileRight")) / 2
    np.testing.assert_allclose(read.channel("smile"), smile, atol=1e-6)
    np.testing.assert_array_equal(read.channel("Open"), original.channel("jawOpen"))
    np.testing.assert_array_equal(read.channel("browInnerUp"), original.channel("browInnerUp"))
    assert not {"cheekPuff", "mouthSmileLeft", "jawOpen"} & set(read.channels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.npz", "out.fbx"], "no output format"),
        (["none.csv", "out.npz"], "none.csv: cannot be read"),
        (["in.npz", "out.npz", "--start", "2"], "expected 0 <= start < end"),
        (["in.npz", "out.npz", "--start", "1", "--end", "0.5"], "found 1 to 0.5 s"),
        (["in.npz", "out.npz", "--end", "0"], "expected 0 <= start < end"),
        (["in.npz", "out.npz", "--start", "5", "--end", "6"], "the animation has 1.500 s"),
        (["in.npz", "out.npz", "--fps", "fast"], "frame rate"),
        (["in.npz", "out.npz", "--rename", "jawOpne=x"], "no channel 'jawOpne'; did you mean jawOpen"),
        (["in.npz", "out.npz", "--map", "none.toml"], "channel map none.toml: cannot be read"),
        (["in.npz", "out.npz", "--map", "bad.toml"], "bad.toml: jawOpen: found 3"),
        (["in.npz", "out.npz", "--map", "other.toml"], r"expected one table \[channels\], found names"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    take().save(tmp_path / "in.npz")
    (tmp_path / "bad.toml").write_text("[channels]\njawOpen = 3\n")
    (tmp_path / "other.toml").write_text("[names]\njawOpen = 'x'\n")
    with pytest.raises(FacewaveError, match=message):
        convert(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.toml", "in.npz", "other.toml"]


@pytest.mark.parametrize("arguments", [["a.csv"], ["a.csv", "b.csv", "c.csv"], ["a.csv", "b.csv", "--rename", "x"]])
def test_wrong_usage(arguments: list[str]) -> None:
    result = RUN.invoke(app, ["convert", *arguments])
    assert result.exit_code == 2
    assert "expected" in result.output
