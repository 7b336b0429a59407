"""`facewave live` as a user runs it, with a pipe and with a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facewave import Animation
from facewave.cli import app

COMMAND = [sys.executable, "-m", "facewave", "live"]


def live(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, timeout=300, check=False)


def test_a_pipe_of_wav_is_animated_and_measured(tmp_path: Path, demo_clip: Path) -> None:
    out = tmp_path / "take.csv"
    done = live("-", "-o", str(out), "--fps", "30", "--buffer", "0.05", "--seconds", "1", data=demo_clip.read_bytes())
    assert done.returncode == 0, done.stderr
    report = done.stderr.decode()
    for part in ("latency, captured to frame", "median", "under-runs of the player", str(out)):
        assert part in report.replace("\n", "") or part in report
    assert len(Animation.load(out)) in (30, 31)


def test_raw_samples_from_a_file_that_has_stopped_growing(tmp_path: Path) -> None:
    path = tmp_path / "speech.pcm"
    path.write_bytes((np.sin(np.arange(16_000) / 20) * 8000).astype("<i2").tobytes())
    done = live(str(path), "--rate", "16000")
    assert done.returncode == 0, done.stderr
    assert b"60" in done.stderr


def test_no_audio_is_said_and_no_error() -> None:
    done = live("-")
    assert done.returncode == 0
    assert b"no audio came" in done.stderr


def test_a_provider_that_does_not_exist_is_one_line() -> None:
    done = live("-", "--provider", "nobody", data=bytes(3200))
    assert done.returncode == 1
    assert done.stderr.decode().strip().startswith("error: unknown provider 'nobody'")


@pytest.mark.parametrize("arguments", [[], ["--mic", "-"], ["-", "--format", "int24"]])
def test_wrong_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["live", *arguments])
    assert result.exit_code == 2
