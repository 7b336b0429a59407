"""The examples do what their first lines say."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from facewave.frames import Animation
from tests.unit.outputs.live.receivers import Udp, read_live_link

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def output_of(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_file_to_csv(tmp_path: Path, demo_clip: Path) -> None:
    text = output_of("01_file_to_csv.py", str(demo_clip), str(tmp_path / "out.csv"))
    assert "out.csv: 533 frames, 8.88 s, 68 channels" in text
    assert len(Animation.load(tmp_path / "out.csv")) == 533


def test_custom_output() -> None:
    text = output_of("31_custom_output.py")
    assert "  0.00 s  -" in text
    assert text.count("(") > 30
    assert text.endswith("end\n")


def test_custom_provider_is_a_package_that_adds_itself(tmp_path: Path, demo_clip: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target",
               str(tmp_path / "site"), str(EXAMPLES / "30_custom_provider")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    there = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])}

    def facewave(*arguments: object) -> str:
        run = [sys.executable, "-m", "facewave", *map(str, arguments)]
        return subprocess.run(run, check=True, capture_output=True, text=True, timeout=300, env=there).stdout

    assert "Loudness" in facewave("providers")
    facewave("animate", demo_clip, "-o", tmp_path / "out.csv", "-p", "Loudness", "--fps", "30")
    jaw = Animation.load(tmp_path / "out.csv").channel("jawOpen")
    assert jaw[0] < 0.05 < 0.5 < jaw.max()


@pytest.mark.skipif(importlib.util.find_spec("starlette") is None, reason="needs the studio extra")
def test_talking_avatar() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / "15_talking_avatar.py"), str(port)],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("open ").strip()
        try:
            assert "FacewaveClient" in page(address)
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def page(address: str, patience_s: float = 120) -> str:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_talking_character() -> None:
    text = output_of("10_talking_character.py")
    assert text.count("started") == 1
    assert "ended: finished" in text
    assert "all audio was sent" in text
    assert "###" in text


def test_interrupted_speech() -> None:
    text = output_of("11_interrupted_speech.py")
    assert "ended: cancelled" in text
    assert "at rest" in text


def test_voice_agent() -> None:
    text = output_of("12_voice_agent.py")
    assert "utterance 2: finished" in text
    assert "532 frames" in text or "533 frames" in text


def test_speak_in_unreal(demo_clip: Path) -> None:
    with Udp() as unreal:
        text = output_of("14_speak_in_unreal.py", f"127.0.0.1:{unreal.port}", str(demo_clip))
        packets = [read_live_link(packet) for packet in unreal.rest()]
    assert f"sending to livelink://127.0.0.1:{unreal.port}" in text
    assert "frames sent" in text
    assert {packet.subject for packet in packets} == {"facewave"}
    assert max(packet.values[17] for packet in packets) > 0.1


@pytest.mark.skipif(importlib.util.find_spec("pipecat") is None, reason="needs the pipecat extra")
def test_pipecat_agent() -> None:
    assert "frames of the face" in output_of("13_pipecat_agent.py")
