"""The examples of the runtime do what their first lines say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.outputs.live.receivers import Udp, read_live_link

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def output_of(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
