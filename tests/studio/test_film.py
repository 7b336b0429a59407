"""The film of a take: every frame is its own picture, the sound is there, and what is missing is said."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.blendshapes import CHANNELS
from facewave.errors import OutputError
from facewave.frames import Animation, StreamInfo
from facewave.outputs import video

FPS = Fraction(4)

needs_tools = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or not any(map(shutil.which, video.CHROMIUM)), reason="needs ffmpeg and a Chromium"
)


def nodding(folder: Path, jaw: tuple[float, ...] = (0, 1, 0)) -> Animation:
    """Frames with the jaw as given, and a tone as long as they are."""
    path = folder / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((6000 * np.sin(np.arange(int(len(jaw) / FPS * 16_000)) * 0.1)).astype("<i2").tobytes())
    weights = np.zeros((len(jaw), len(CHANNELS)), np.float32)
    weights[:, CHANNELS.index("jawOpen")] = jaw
    return Animation(StreamInfo(FPS, CHANNELS, path), weights)


def probed(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-count_frames", "-of", "json", str(path)]
    streams = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
    return {stream["codec_type"]: stream for stream in streams}


def decoded(path: Path) -> NDArray[np.uint8]:
    """Shape (frames, height, width, 3)."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, video.SIZE, video.SIZE, 3)


@needs_tools
def test_every_frame_is_a_picture_and_the_sound_is_as_long(tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="the extra `video` is not installed")
    shares: list[float] = []
    nodding(tmp_path).save(tmp_path / "film.mp4", progress=shares.append)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "tone.wav"]
    streams = probed(tmp_path / "film.mp4")
    picture, sound = streams["video"], streams["audio"]
    assert (picture["width"], picture["height"], picture["nb_read_frames"]) == (720, 720, "3")
    assert Fraction(picture["avg_frame_rate"]) == FPS
    assert picture["pix_fmt"] == "yuv420p"
    assert float(sound["duration"]) == pytest.approx(0.75, abs=0.06)
    pictures = decoded(tmp_path / "film.mp4").astype(int)
    closed, opened, again = pictures
    # Something is drawn: the middle of the picture is skin, its corner the ground.
    assert np.abs(closed[300:420, 300:420].mean((0, 1)) - closed[:20, :20].mean((0, 1))).max() > 20
    lower = np.s_[360:640, 240:480]
    assert np.abs(opened - closed)[lower].mean() > 4 * np.abs(again - closed)[lower].mean() + 1
    assert np.abs(opened - closed)[:40].mean() < 1, "the ground stays"


@needs_tools
def test_sound_that_is_none_is_the_encoders_error_and_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="the extra `video` is not installed")
    take = nodding(tmp_path, (0,))
    (tmp_path / "tone.wav").write_text("this is no sound")
    with pytest.raises(OutputError, match="video: ffmpeg failed"):
        take.save(tmp_path / "film.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["tone.wav"]


@needs_tools
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_leaves_nothing(tmp_path: Path, demo_clip: Path) -> None:
    pytest.importorskip("playwright", reason="the extra `video` is not installed")
    # A short path: Chromium puts a socket there, whose name may have a hundred letters.
    scratch, target = Path(tempfile.mkdtemp(prefix="film")), tmp_path / "out" / "film.mp4"
    target.parent.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "facewave", "animate", str(demo_clip), "-o", str(target)],
        env={**os.environ, "TMPDIR": str(scratch)}, start_new_session=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stderr is not None
        while not list(scratch.glob("facewave-*/film.mp4")) and not list(scratch.glob("facewave-*/page.html")):
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(3)
        # As a terminal does: everything in the foreground gets it, the browser's driver and ffmpeg too.
        os.killpg(process.pid, signal.SIGINT)
        error = process.stderr.read().decode()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert list(target.parent.iterdir()) == []
    assert list(scratch.glob("facewave-*")) == []
    shutil.rmtree(scratch, ignore_errors=True)


def test_without_ffmpeg_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OutputError, match=r"needs the program ffmpeg .* install it"):
        nodding(tmp_path).save(tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


@needs_tools
def test_without_playwright_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(OutputError, match=r"pip install 'facewave\[video\]'"):
        nodding(tmp_path).save(tmp_path / "film.mp4")


def test_empty_takes_and_lost_sounds_are_refused(tmp_path: Path) -> None:
    take = nodding(tmp_path)
    with pytest.raises(OutputError, match="no frames"):
        take[:0].save(tmp_path / "film.mp4")
    (tmp_path / "tone.wav").unlink()
    with pytest.raises(OutputError, match=r"tone\.wav was not found"):
        take.save(tmp_path / "film.mp4")


@needs_tools
def test_a_film_is_made_from_within_an_event_loop(tmp_path: Path) -> None:
    async def notebook() -> None:
        nodding(tmp_path).save(tmp_path / "film.mp4")

    pytest.importorskip("playwright", reason="the extra `video` is not installed")
    with ThreadPoolExecutor(1) as aside:  # The browser of the other tests may hold this thread's loop.
        aside.submit(lambda: asyncio.run(notebook())).result()
    assert (tmp_path / "film.mp4").stat().st_size > 1000
