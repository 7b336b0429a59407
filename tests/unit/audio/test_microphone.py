"""Microphone and loudspeaker by way of the real PortAudio; the sound card is ALSA's `null`, which every Linux has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

try:
    import sounddevice
except (ImportError, OSError) as error:
    pytest.skip(f"needs the mic extra and PortAudio ({error})", allow_module_level=True)

if not sys.platform.startswith("linux"):
    pytest.skip("needs ALSA", allow_module_level=True)

CARD = "pcm.!default { type null }\nctl.!default { type null }\n"

LISTEN = """
from facewave.audio.microphone import Microphone
with Microphone(sample_rate=48000) as microphone:
    for i, block in enumerate(microphone):
        assert block.samples.shape == (480, 1), block.samples.shape
        if i == 9:
            break
microphone.close()
print("heard", microphone.sample_rate)
"""

PLAY = """
import numpy as np, threading
from facewave import AudioCurveSource, Runtime
events, over = [], threading.Event()
def ended(ending):
    events.append(ending.reason)
    over.set()
with Runtime() as runtime, AudioCurveSource(
    device="speaker", on_started=lambda: events.append("started"), on_ended=ended
) as source:
    runtime.start_clip(source, np.zeros(24000, np.float32), sample_rate=48000)
    assert over.wait(60)
print(events, source.underruns)
"""

NOBODY = """
from facewave import AudioCurveSource
from facewave.audio.microphone import Microphone
from facewave.errors import AudioError, OutputError
for make in (Microphone, lambda: AudioCurveSource(device="speaker")):
    try:
        make()
    except (AudioError, OutputError) as error:
        print(error)
print(type(AudioCurveSource()._device).__name__)
"""


def output_of(program: str, folder: Path | None) -> str:
    """What a program prints; with a folder, on a machine whose only sound card is the null one."""
    environment = dict(os.environ)
    if folder is not None:
        (folder / "asound.conf").write_text(CARD)
        environment["ALSA_CONFIG_PATH"] = str(folder / "asound.conf")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_microphone_gives_blocks_of_ten_milliseconds(tmp_path: Path) -> None:
    assert output_of(LISTEN, tmp_path) == "heard 48000\n"


def test_a_clip_is_played_by_the_loudspeaker(tmp_path: Path) -> None:
    assert output_of(PLAY, tmp_path).startswith("['started', 'finished']")


@pytest.mark.skipif(len(sounddevice.query_devices()) > 0, reason="this machine has sound")
def test_without_devices_the_errors_say_so_and_playing_is_timed() -> None:
    lines = output_of(NOBODY, None).splitlines()
    assert "microphone" in lines[0]
    assert "facewave live -" in lines[0]
    assert "device='null'" in lines[1]
    assert lines[2] == "NullDevice"
