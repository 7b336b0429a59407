"""Batches in real processes: results, resuming, errors, dead workers, and what a killed batch leaves behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from facewave import Animation, animate
from facewave.batch.local import Summary, animate_files, remove_partial
from facewave.batch.manifest import FILE
from facewave.batch.plan import Plan
from facewave.cli import app
from facewave.errors import OutputError, ProviderUnavailableError, SettingsError
from facewave.settings import FacewaveSettings
from facewave.streams import StreamSettings

from .clips import hums

PLAN = Plan("", FacewaveSettings(), StreamSettings(), ".npz")
posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


def rows(folder: Path) -> dict[str, dict[str, object]]:
    """The manifest's whole lines."""
    found = {}
    if (folder / FILE).exists():
        for line in (folder / FILE).read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                row = json.loads(line)
                found[row["output"]] = row
    return found


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Which files these are: a file written again has another inode and time."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.npz")}


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def test_results_are_those_of_animate(tmp_path: Path) -> None:
    clips, told = hums(tmp_path / "in", 4), []
    summary = animate_files(
        [str(tmp_path / "in")], tmp_path / "out", PLAN, workers=2, progress=lambda done, _: told.append(done)
    )
    assert (summary.total, summary.animated, summary.skipped, summary.failed) == (4, 4, 0, [])
    assert told[-1] == 4
    assert told == sorted(told)
    for clip in clips:
        read, alone = Animation.load(tmp_path / "out" / f"{clip.stem}.npz"), animate(clip)
        np.testing.assert_allclose(read.weights, alone.weights, atol=1e-6)
        assert (read.info.provider, read.info.audio) == ("Embedded", clip)
    row = rows(tmp_path / "out")["hum02.npz"]
    assert (row["input"], row["frames"], row["duration_s"], row["error"]) == (str(clips[2]), 30, 0.5, None)


def test_what_is_done_and_right_is_not_done_again(tmp_path: Path) -> None:
    clips, out = hums(tmp_path / "in", 4), tmp_path / "out"
    words = [str(tmp_path / "in")]
    animate_files(words, out, PLAN, workers=1)
    before = stamps(out)
    again = animate_files(words, out, PLAN, workers=1)
    assert (again.animated, again.skipped) == (0, 4)
    assert stamps(out) == before

    clips[0].write_bytes(clips[1].read_bytes())  # other audio
    (out / "hum02.npz").write_bytes(b"damaged")
    (out / "hum03.npz").unlink()
    third = animate_files(words, out, PLAN, workers=1)
    assert (third.animated, third.skipped) == (3, 1)
    assert stamps(out)["hum01.npz"] == before["hum01.npz"]
    assert len(Animation.load(out / "hum02.npz")) == 30

    other = replace(PLAN, settings=StreamSettings(frame_rate=Fraction(30)))
    assert animate_files(words, out, other, workers=1).animated == 4
    assert Animation.load(out / "hum01.npz").frame_rate == 30


def test_one_clip_s_error_does_not_stop_the_others(tmp_path: Path) -> None:
    hums(tmp_path / "in", 2)
    (tmp_path / "in" / "noise.wav").write_text("not audio")
    out = tmp_path / "out"
    summary = animate_files([str(tmp_path / "in"), str(tmp_path / "gone.wav")], out, PLAN, workers=2)
    assert (summary.animated, len(summary.failed)) == (2, 2)
    assert "not audio that can be decoded" in str(rows(out)["noise.npz"]["error"])
    assert "no such file" in str(rows(out)["gone.npz"]["error"])
    assert sorted(path.name for path in out.iterdir()) == ["hum00.npz", "hum01.npz", FILE]


def test_settings_that_no_clip_can_have_are_an_error_of_the_batch(tmp_path: Path) -> None:
    hums(tmp_path / "in", 2)
    plan = replace(PLAN, settings=StreamSettings(frame_rate=Fraction(200)))
    with pytest.raises(SettingsError, match="expected 24 to 120"):
        animate_files([str(tmp_path / "in")], tmp_path / "out", plan, workers=1)
    with pytest.raises(OutputError, match="no output format"):
        animate_files([str(tmp_path / "in")], tmp_path / "out", replace(PLAN, extension=".fbx"))
    with pytest.raises(SettingsError, match="found 0 workers"):
        animate_files([str(tmp_path / "in")], tmp_path / "out", PLAN, workers=0)


@posix
def test_a_killed_worker_costs_no_clip(tmp_path: Path) -> None:
    hums(tmp_path / "in", 6, seconds=4)
    killed: list[int] = []

    def kill_one(done: float, so_far: Summary) -> None:
        if so_far.done >= 1 and not killed:
            worker = multiprocessing.active_children()[0]
            worker.kill()
            killed.append(worker.pid or 0)

    summary = animate_files([str(tmp_path / "in")], tmp_path / "out", PLAN, workers=1, progress=kill_one)
    assert killed
    assert (summary.animated, summary.failed) == (6, [])


def test_partial_files_of_these_animations_alone_are_removed(tmp_path: Path) -> None:
    for name in (".a.npz.x1y2.part", ".b.npz.x1y2.part", ".a.npz.part", "a.npz"):
        (tmp_path / name).touch()
    remove_partial([tmp_path / "a.npz", tmp_path / "none" / "c.npz"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.npz.part", ".b.npz.x1y2.part", "a.npz"]


def start(source: Path, out: Path) -> subprocess.Popen[str]:
    """The command in a process group of its own."""
    words = [sys.executable, "-m", "facewave", "batch", str(source), "-o", str(out), "--format", "npz", "-j", "2"]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)


@posix
def test_after_kill_9_nothing_finished_is_done_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    hums(tmp_path / "in", 12, seconds=4)
    process = start(tmp_path / "in", out)
    until(lambda: len(rows(out)) >= 3 or process.poll() is not None, "three finished clips")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = rows(out)
    assert 3 <= len(finished) < 12, "killed in the middle"
    before = stamps(out)
    (out / ".hum11.npz.abcd1234.part").touch()  # As a process killed while writing leaves it.

    result = CliRunner().invoke(app, ["batch", str(tmp_path / "in"), "-o", str(out), "--format", "npz", "-j", "2"])
    assert result.exit_code == 0, result.output
    assert f"{12 - len(finished)} animated, {len(finished)} there before, 0 failed" in result.output
    after = stamps(out)
    assert {name: after[name] for name in finished} == {name: before[name] for name in finished}
    assert len(after) == 12
    assert not [path for path in out.iterdir() if path.suffix == ".part"]


@posix
def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    hums(tmp_path / "in", 12, seconds=4)
    process = start(tmp_path / "in", tmp_path / "out")
    until(lambda: rows(tmp_path / "out") or process.poll() is not None, "a finished clip")
    children = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


@posix
def test_ctrl_c_leaves_no_partial_file_and_a_rerun_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    hums(tmp_path / "in", 12, seconds=4)
    process = start(tmp_path / "in", out)
    until(lambda: len(rows(out)) >= 2 or process.poll() is not None, "two finished clips")
    os.killpg(process.pid, signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in shown
    assert "of 12 clips are done; the same command goes on from here" in shown
    finished = rows(out)
    assert 2 <= len(finished) < 12
    assert {path.name for path in out.iterdir()} - {FILE} >= set(finished)
    assert not [path for path in out.iterdir() if path.suffix == ".part"]
    result = CliRunner().invoke(app, ["batch", str(tmp_path / "in"), "-o", str(out), "--format", "npz"])
    assert f"{12 - len(finished)} animated, {len(finished)} there before, 0 failed" in result.output


def test_the_command_reports_and_its_exit_code_tells(tmp_path: Path) -> None:
    hums(tmp_path / "in", 1)
    (tmp_path / "in" / "noise.wav").write_text("not audio")
    words = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--format", "parquet.x"]
    assert CliRunner().invoke(app, words).exit_code != 0
    result = CliRunner().invoke(app, [*words[:-1], "txt", "--no-tongue", "--emotion", "joy=0.5"])
    assert result.exit_code == 1
    assert "2 clips: 1 animated, 0 there before, 1 failed" in result.output
    assert "noise.wav: not audio" in result.output
    text = (tmp_path / "out" / "hum00.txt").read_text()
    assert "52 channels" in text
    assert " viseme " in text, "formats that show visemes get them"


def test_without_ray_the_error_tells_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["batch", str(tmp_path), "-o", str(tmp_path / "out"), "--engine", "ray"]
    with pytest.raises(ProviderUnavailableError, match=r"pip install 'facewave\[ray\]'"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not (tmp_path / "out").exists()
