"""The examples of the runtime do what their first lines say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def output_of(name: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=300, check=False
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


@pytest.mark.skipif(importlib.util.find_spec("pipecat") is None, reason="needs the pipecat extra")
def test_pipecat_agent() -> None:
    assert "frames of the face" in output_of("13_pipecat_agent.py")
