"""`facewave play` and `facewave live --to` as a user runs them, with receivers on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from facewave.cli import app
from facewave.frames import Animation, StreamInfo
from tests.unit.outputs.live.receivers import Udp, read_live_link

FACEWAVE = [sys.executable, "-m", "facewave"]


def facewave(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*FACEWAVE, *arguments], input=data, capture_output=True, timeout=300, check=False)


@pytest.fixture
def speech(tmp_path: Path, demo_clip: Path) -> Path:
    """A second and a half of the bundled speech."""
    samples, rate = soundfile.read(demo_clip, dtype="float32")
    soundfile.write(tmp_path / "speech.wav", samples[: int(1.5 * rate)], rate)
    return tmp_path / "speech.wav"


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """Half a second in which the jaw opens."""
    weights = np.linspace(0, 1, 15, dtype=np.float32)[:, None]
    Animation(StreamInfo(Fraction(30), ("jawOpen",)), weights).save(tmp_path / "take.csv")
    return tmp_path / "take.csv"


def test_speech_is_played_to_several_targets(speech: Path) -> None:
    with Udp() as unreal, Udp() as avatar:
        done = facewave(
            "play", str(speech), "--mute", "--to", f"livelink://127.0.0.1:{unreal.port}?timecode=stream",
            "--to", f"vmc://127.0.0.1:{avatar.port}", "--to", "ws://127.0.0.1:0", "--to", "stdout:?fps=10",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        packets = [read_live_link(packet) for packet in unreal.rest()]
        assert avatar.rest()[-1].endswith(b"/VMC/Ext/Blend/Apply\0\0\0\0,\0\0\0")
    assert max(packet.values[17] for packet in packets) > 0.05
    assert not any(packets[-1].values)
    assert 89 <= packets[-1].frame <= 110
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines[:2]] == ["info", "frame"]
    assert lines[-1]["type"] == "end"
    assert not any(lines[-2]["weights"].values())
    report = done.stderr.decode()
    for part in ("sending to livelink://127.0.0.1", "sending to ws://127.0.0.1:", "1.5 s", "frames to vmc://"):
        assert part in report


def test_an_animation_file_is_played_without_sound(take: Path) -> None:
    done = facewave("play", str(take), "--mute", "--to-fps", "20", "--to", "stdout:")
    assert done.returncode == 0, done.stderr
    frames = [line for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "frame"]
    jaws = {frame["index"]: frame["weights"]["jawOpen"] for frame in frames}
    speaking = {index: jaw for index, jaw in jaws.items() if 1 <= index <= 9}
    assert len(speaking) > 3
    for index, jaw in speaking.items():
        assert jaw == pytest.approx(min(1, index / 20 * 30 / 14), abs=0.02), index
    assert frames[-1]["weights"] == {"jawOpen": 0}


def test_the_sound_of_an_animation_is_found_beside_it(tmp_path: Path, speech: Path) -> None:
    weights = np.zeros((15, 1), np.float32)
    Animation(StreamInfo(Fraction(30), ("jawOpen",), Path("elsewhere/speech.wav")), weights).save(tmp_path / "take.npz")
    done = facewave("play", str(tmp_path / "take.npz"), "--mute")
    assert done.returncode == 0, done.stderr
    assert b"take.npz: 1.5 s" in done.stderr.replace(b"\n", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["play", "live"])
def test_a_signal_leaves_the_face_at_rest(command: str, number: signal.Signals, demo_clip: Path) -> None:
    arguments = [str(demo_clip), "--mute"] if command == "play" else ["-"]
    with Udp() as receiver:
        process = subprocess.Popen(
            [*FACEWAVE, command, *arguments, "--to", f"livelink://127.0.0.1:{receiver.port}"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        with process:
            assert process.stdin is not None
            assert process.stderr is not None
            if command == "live":
                process.stdin.write(demo_clip.read_bytes())  # And the pipe stays open.
                process.stdin.flush()
            while not any(read_live_link(receiver.take()).values):
                pass
            time.sleep(0.2)
            os.kill(process.pid, number)
            error = process.stderr.read()
        assert process.returncode == (130 if command == "play" else 0), error
        assert b"stopped" in error
        assert b"Traceback" not in error
        assert not any(read_live_link(receiver.rest()[-1]).values)


def test_live_sends_too(speech: Path) -> None:
    with Udp() as receiver:
        target = f"livelink://127.0.0.1:{receiver.port}?subject=Anna&timecode=stream"
        done = facewave("live", "-", "--to", target, "--to-fps", "30", data=speech.read_bytes())
        assert done.returncode == 0, done.stderr
        packets = [read_live_link(packet) for packet in receiver.rest()]
    assert {(packet.subject, packet.rate) for packet in packets} == {("Anna", Fraction(30))}
    assert any(any(packet.values) for packet in packets)
    assert not any(packets[-1].values)


def test_a_reader_that_goes_away_does_not_stop_the_rest(take: Path) -> None:
    with Udp() as receiver:
        command = " ".join([*FACEWAVE, "play", str(take), "--mute", "--to", "stdout:", "--to"])
        shell = f"{command} 'livelink://127.0.0.1:{receiver.port}' | head -n 1"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=300, check=True)
        assert done.stdout.count(b"\n") == 1
        assert done.stderr.count(b"warning: stdout:: standard output cannot be written") == 1, done.stderr
        assert b"Traceback" not in done.stderr
        assert not any(read_live_link(receiver.rest()[-1]).values)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["play", "nothing.wav"], 1, "nothing.wav: no such file"),
        (["play", "nothing.csv"], 1, "nothing.csv: cannot be read"),
        (["play", "TAKE", "--to", "unreal"], 1, "'unreal': not the address of a live output"),
        (["play", "TAKE", "--to", "osc://127.0.0.1"], 1, "has no port"),
        (["live", "-", "--to", "vmc://127.0.0.1?fps=0"], 1, "frame rate: found '0'"),
        (["play", "speech.wav", "--audio", "other.wav"], 2, "is audio itself"),
    ],
)
def test_mistakes_are_one_line(take: Path, arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(app, [str(take) if word == "TAKE" else word for word in arguments])
    if code == 2:
        assert result.exit_code == 2
        assert message in result.output
    else:
        assert message in str(result.exception)
