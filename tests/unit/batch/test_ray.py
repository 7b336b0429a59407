"""Batches on a local Ray cluster of two workers: folders, tables, addresses, resuming, and a worker that is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from facewave import animate
from facewave.batch.plan import Plan
from facewave.blendshapes import ARKIT
from facewave.cli import app
from facewave.errors import AudioError, OutputError, SettingsError
from facewave.settings import FacewaveSettings
from facewave.streams import StreamSettings

from .clips import hums

ray = pytest.importorskip("ray", reason="needs the ray extra")
pyarrow = pytest.importorskip("pyarrow", reason="needs the ray extra")

from facewave.batch.ray import animate_with_ray  # noqa: E402  # After the skip, for a reason to show.

# Ray leaves sockets and logs of its own behind when it stops.
pytestmark = pytest.mark.filterwarnings("ignore")
PLAN = Plan("", FacewaveSettings(), StreamSettings(), ".parquet", no_tongue=True)
_STORE = 150 << 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two cores on this machine, or the one that RAY_ADDRESS names."""
    if "RAY_ADDRESS" in os.environ:
        with connected(os.environ["RAY_ADDRESS"]):
            yield
        return
    for _ in range(3):  # Ray gives its processes half a minute to start, which a busy machine may exceed.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"),
            *("--num-cpus=2", f"--object-store-memory={_STORE}", "--include-dashboard=false", "--disable-usage-stats"),
        ]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            try:
                if any("runtime started" in line for line in process.stdout):
                    with connected(f"127.0.0.1:{port}"):
                        yield
                    return
            finally:
                process.terminate()
    pytest.skip("Ray does not start on this machine: three tries")


@contextmanager
def connected(address: str) -> Iterator[None]:
    ray.init(address=address, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


def rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    tables = [pyarrow.parquet.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    return sorted((row for table in tables for row in table.to_pylist()), key=lambda row: str(row["input"]))


def test_a_folder_becomes_rows_and_is_not_done_twice(cluster: None, tmp_path: Path) -> None:
    clips, out = hums(tmp_path / "in", 5), tmp_path / "out"
    (tmp_path / "in" / "noise.wav").write_text("not audio")
    summary = animate_with_ray([str(tmp_path / "in")], str(out), PLAN, workers=2)
    assert (summary.total, summary.animated, summary.skipped) == (6, 5, 0)
    assert ["noise.wav: not audio" in error for error in summary.failed] == [True]
    *good, bad = rows(out)
    assert [Path(row["input"]) for row in good] == clips
    assert bad["error"] == summary.failed[0]
    for clip, row in zip(clips, good, strict=True):
        alone = animate(clip)
        assert (row["frames"], row["fps"], row["provider"], row["error"]) == (30, "60", "Embedded", None)
        curves = np.stack([row[name] for name in ARKIT], axis=1)
        np.testing.assert_allclose(curves, alone.with_channels(ARKIT).weights, atol=1e-6)
        assert len(row["emotion.joy"]) == len(row["head.yaw"]) == 30
    assert "tongueUp" not in good[0]

    again = animate_with_ray([str(tmp_path / "in")], str(out), PLAN, workers=2)
    assert (again.animated, again.skipped, len(again.failed)) == (0, 5, 1)


@pytest.mark.parametrize("form", ["path", "bytes", "audio"])
def test_tables_of_audio(cluster: None, tmp_path: Path, form: str) -> None:
    import pyarrow.parquet

    clips = hums(tmp_path / "in", 3)
    held = [{"bytes": clip.read_bytes(), "path": clip.name} for clip in clips]
    columns = {
        "path": {"path": [str(clip.relative_to(tmp_path)) for clip in clips], "text": ["", "", ""]},
        "bytes": {"bytes": [one["bytes"] for one in held]},
        "audio": {"audio": held, "id": [1, 2, 3]},
    }[form]
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "clips.parquet")
    summary = animate_with_ray([str(tmp_path / "clips.parquet")], str(tmp_path / "out"), PLAN)
    assert (summary.animated, summary.failed) == (3, [])
    shown = rows(tmp_path / "out")
    assert {len(row["jawOpen"]) for row in shown} == {30}
    if form != "bytes":
        assert [Path(row["input"]).name for row in shown] == [clip.name for clip in clips]


def test_an_address_is_read_and_written(cluster: None, tmp_path: Path) -> None:
    hums(tmp_path / "store" / "deep", 2)
    summary = animate_with_ray([f"file://{tmp_path}/store"], f"file://{tmp_path}/out", PLAN)
    assert (summary.total, summary.animated, summary.failed) == (2, 2, [])
    assert len(rows(tmp_path / "out")) == 2
    words = ["batch", f"file://{tmp_path}/store", "-o", f"file://{tmp_path}/out", "--engine", "ray", "--no-tongue"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "2 clips: 2 animated" in result.output, "the command asks for visemes: other settings, other results"
    assert "2 clips: 0 animated, 2 there before, 0 failed" in CliRunner().invoke(app, words).output


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_a_killed_worker_costs_no_clip(cluster: None, tmp_path: Path) -> None:
    hums(tmp_path / "in", 8, seconds=4)
    killed: list[int] = []
    stop = threading.Event()

    def kill_one() -> None:
        """The first actor that has begun to work; Ray names its processes by what they run."""
        while not stop.is_set() and not killed:
            for process in psutil.process_iter(["pid", "cmdline"]):
                name = " ".join(process.info["cmdline"] or [])
                if name.startswith("ray::") and "Animator" in name and "__init__" not in name:
                    killed.append(process.info["pid"])
                    os.kill(process.info["pid"], signal.SIGKILL)
                    return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        summary = animate_with_ray([str(tmp_path / "in")], str(tmp_path / "out"), PLAN, workers=2)
    finally:
        stop.set()
        killer.join()
    assert killed
    assert (summary.animated, summary.failed) == (8, [])
    assert len({row["input"] for row in rows(tmp_path / "out")}) == 8


def test_a_file_cut_short_is_done_again(cluster: None, tmp_path: Path) -> None:
    hums(tmp_path / "in", 2)
    animate_with_ray([str(tmp_path / "in")], str(tmp_path / "out"), PLAN)
    for path in (tmp_path / "out").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-200])
    again = animate_with_ray([str(tmp_path / "in")], str(tmp_path / "out"), PLAN)
    assert (again.animated, again.skipped) == (2, 0)
    assert len(rows(tmp_path / "out")) == 2


def test_mistakes_are_told_before_the_work(cluster: None, tmp_path: Path) -> None:
    import pyarrow.parquet

    hums(tmp_path / "in", 1)
    words, out = [str(tmp_path / "in")], str(tmp_path / "out")
    with pytest.raises(SettingsError, match="expected 24 to 120"):
        animate_with_ray(words, out, Plan("", FacewaveSettings(), StreamSettings(frame_rate=Fraction(200)), ".parquet"))
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(AudioError, match="no column path, bytes or audio"):
        animate_with_ray([str(tmp_path / "other.parquet")], out, PLAN)
    with pytest.raises(OutputError, match="not an address"):
        animate_with_ray(words, "nowhere://x", PLAN)
    with pytest.raises(OutputError, match="Parquet of another kind"):
        animate_with_ray(words, str(tmp_path), PLAN)


def test_the_example_prints_its_table(cluster: None, tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[3] / "examples" / "20_batch_on_ray.py"
    clips = hums(tmp_path / "in", 2)
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    done = subprocess.run(
        [sys.executable, str(example), str(tmp_path / "in"), str(tmp_path / "out")],
        capture_output=True, text=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 animated, 0 there before, 0 failed" in done.stdout
    assert f"{clips[0]}: 30 frames, 0.5 s, jaw up to" in done.stdout
