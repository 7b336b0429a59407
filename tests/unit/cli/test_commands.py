"""The command line as a user runs it: real processes for exit codes and signals, the runner for everything else."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from facewave import Animation
from facewave.cli import app, main
from tests.avatars import avatar_parts, glb

RUN = CliRunner()
COMMAND = [sys.executable, "-m", "facewave"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "hum.wav"
    soundfile.write(path, 0.2 * np.sin(np.arange(22050) * 0.06), 22050)
    return path


def run(*arguments: str | Path) -> str:
    result = RUN.invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_animate_writes_the_file_it_is_told(clip: Path, tmp_path: Path) -> None:
    run("animate", clip, "-o", tmp_path / "out.csv", "--fps", "30")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert len(rows[0]) == 1 + 68


def test_formats_that_show_visemes_get_them(clip: Path, tmp_path: Path) -> None:
    run("animate", clip, "-o", tmp_path / "out.txt")
    assert " viseme " in (tmp_path / "out.txt").read_text()
    run("animate", clip.parent, "-o", tmp_path / "out", "--format", "azure.json")
    events = json.loads((tmp_path / "out" / "hum.azure.json").read_text())
    assert not events[0]["Animation"], "the first event is a viseme"


def test_animate_puts_the_take_on_a_model_and_says_what_follows(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "me.glb").write_bytes(glb(*avatar_parts()))
    said = run("animate", clip, "-o", tmp_path / "out.glb", "--fps", "30", "--avatar", tmp_path / "me.glb")
    assert "FaceMesh: 4 of 7 shapes; not: Basis2, jawOpen_fix, viseme_aa" in said
    assert len(Animation.load(tmp_path / "out.glb")) == 30
    refused = RUN.invoke(app, ["animate", str(clip), "-o", str(tmp_path / "out.csv"), "--avatar", "me.glb"])
    assert "these can: .glb" in str(refused.exception)


def test_options_reach_the_face(clip: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"time_code": 0, "emotions": {}}, {"time_code": 1, "emotions": {"amazement": 1}}]))
    out, feelings = tmp_path / "out.npz", tmp_path / "emotions.csv"
    run(
        "animate", clip, "-o", out, "--fps", "29.97", "--emotion", "joy=1", "--emotion-keys", keys,
        "--emotion-strength", "1", "--override-strength", "1", "--no-idle",
        "--face-parameter", "eyelidOpenOffset=-0.25",
        "--multiplier", "mouthSmileLeft=0.5",
        "--offset", "JawForward=0.125", "--offset", "jawLeft=7", "--clamp", "--emotions", feelings,
    )  # fmt: skip
    take = Animation.load(out)
    assert take.frame_rate.denominator == 1001
    np.testing.assert_allclose(take.channel("eyeBlinkLeft"), 0.25, atol=1e-5)
    np.testing.assert_allclose(take.channel("jawForward"), 0.125, atol=1e-5)
    assert take.channel("jawLeft").tolist() == [1.0] * len(take)
    assert (take.channel("mouthSmileLeft") < 0.6 * take.channel("mouthSmileRight")).all()
    assert take.channel("browOuterUpLeft")[0] < 0.2 < take.channel("browOuterUpLeft")[-1]
    with feelings.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(take)
    assert float(rows[0]["emotion_values.joy"]) == 1


def test_several_inputs_and_folders(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "speech"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "notes.txt").write_text("not audio")
    run("animate", folder, clip, "-o", tmp_path / "out", "--format", "livelink.csv", "--no-tongue")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.livelink.csv", "b.livelink.csv", "hum.livelink.csv",
    ]  # fmt: skip


def test_two_inputs_of_one_name_are_not_written_over_each_other(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "hum.flac"
    soundfile.write(twin, np.zeros(100), 16000)
    result = RUN.invoke(app, ["animate", str(clip), str(twin), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "one file" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["animate"], 2, "Missing argument"),
        (["animate", "none.wav", "-o", "x.csv"], 1, "none.wav: no such file"),
        (["animate", "CLIP", "-o", "x.fbx"], 1, "no output format"),
        (["animate", "CLIP", "-o", "x.csv", "--emotion", "joy"], 2, "expected NAME=NUMBER"),
        (["animate", "CLIP", "-o", "x.csv", "--emotion", "happy=1"], 1, "unknown emotion 'happy'"),
        (["animate", "CLIP", "-o", "x.csv", "--fps", "fast"], 1, "frame rate"),
        (["animate", "CLIP", "-o", "x.csv", "--fps", "200"], 1, "expected 24 to 120"),
        (["animate", "CLIP", "-o", "x.csv", "-p", "Nobody"], 1, "unknown provider 'Nobody'"),
        (["animate", "CLIP", "-o", "x.csv", "--face-parameter", "skinStrength=9"], 1, "expected 0 to 2"),
        (["animate", "CLIP", "-o", "x.csv", "--multiplier", "jaw=2"], 1, "unknown blend shape"),
        (["inspect", "none.csv"], 1, "cannot be read"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_exit_codes_and_messages(clip: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    words = [str(clip) if word == "CLIP" else word for word in arguments]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [clip.name]


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, np.random.default_rng(0).standard_normal(16000 * 1200) * 0.05, 16000)
    process = subprocess.Popen(
        [*COMMAND, "animate", long, "-o", tmp_path / "out.csv"], stderr=subprocess.PIPE, text=True
    )
    time.sleep(3)
    assert process.poll() is None, "twenty minutes of audio should take longer than three seconds"
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in shown
    assert [path.name for path in tmp_path.iterdir()] == ["long.wav"]


def test_inspect_audio_and_animation(clip: Path, tmp_path: Path) -> None:
    shown = " ".join(run("inspect", clip).split())  # where lines break depends on the length of the path
    assert "1.000 s, 22050 Hz, 1 channel" in shown
    assert "dBFS" in shown
    run("animate", clip, "-o", tmp_path / "out.csv")
    shown = run("inspect", tmp_path / "out.csv", "-c", "mouthFunnel", "--width", "40")
    assert "60 frames at 60 fps, 68 channels" in shown
    assert "mouthFunnel, 0 to 1" in shown


def test_providers_are_listed() -> None:
    assert "Embedded" in run("providers")
    assert "100 ms" in run("providers", "-v")


def test_demo_shows_and_writes(tmp_path: Path) -> None:
    shown = run("demo", "-o", tmp_path / "demo")
    assert "jawOpen" in shown
    assert "Next" in shown
    assert (
        len(Animation.load(tmp_path / "demo" / "demo.csv"))
        == len(Animation.load(tmp_path / "demo" / "demo.json"))
        > 300
    )


def test_version_and_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from facewave import __version__

    assert run("--version").strip() == __version__
    monkeypatch.setattr(sys, "argv", ["facewave", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "animate" in capsys.readouterr().out


def test_a_rig_is_calibrated_and_then_driven(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "rig.txt").write_text("Jaw_Open\nMouth_Close\nhair\nmouthSmil_L\n")
    result = RUN.invoke(
        app, ["calibrate", str(tmp_path / "rig.txt"), "-o", str(tmp_path / "rig.toml"), "--gain", "jawOpen=0.5",
              "--percent"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "2 targets matched" in result.output
    assert "hair: not matched" in result.output
    assert "is it mouthSmileLeft?" in result.output
    run("animate", clip, "-o", tmp_path / "plain.npz", "--offset", "jawOpen=0.4")
    run("animate", clip, "-o", tmp_path / "rig.csv", "--rig", tmp_path / "rig.toml", "--offset", "jawOpen=0.4")
    with (tmp_path / "rig.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    plain = Animation.load(tmp_path / "plain.npz").channel("jawOpen")
    np.testing.assert_allclose([float(row["blendShapes.Jaw_Open"]) for row in rows], 50 * plain, atol=1e-3)
    assert list(rows[0]) == ["timeCode", "blendShapes.Jaw_Open", "blendShapes.Mouth_Close"]


def test_a_rigs_own_names_do_not_go_into_files_of_arkit_names(clip: Path, tmp_path: Path) -> None:
    result = RUN.invoke(app, ["animate", str(clip), "-o", str(tmp_path / "a.livelink.csv"), "--rig", "vrm1"])
    assert result.exit_code == 2
    assert "has others, such as aa" in result.output
    run("animate", clip, "-o", tmp_path / "a.livelink.csv", "--rig", "arkit")


def test_a_rig_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["calibrate", "arkit", "-o", str(tmp_path / "r.toml"), "--gain", "jawOpn=2"])
    assert "unknown blend shape 'jawOpn'" in str(result.exception)
    assert not list(tmp_path.iterdir())
