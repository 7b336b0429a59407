"""The exported page in a real browser, from a file, with the network cut."""

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from facewave.blendshapes import CHANNELS
from facewave.errors import OutputError
from facewave.frames import Animation, StreamInfo
from tests.studio.conftest import while_playing

SECONDS, FPS = 12, 60


def take_with_sound(folder: Path, name: str = "a <b>.wav") -> Animation:
    """jawOpen rises in a straight line, so that a weight on the mesh tells the time it belongs to."""
    path = folder / name
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        tone = 6000 * np.sin(np.arange(SECONDS * 16000) * 0.05)
        file.writeframes(tone.astype("<i2").tobytes())
    weights = np.zeros((SECONDS * FPS, len(CHANNELS)), np.float32)
    weights[:, CHANNELS.index("jawOpen")] = np.arange(len(weights)) / len(weights)
    weights[:, CHANNELS.index("mouthClose")] = 1.0
    return Animation(StreamInfo(Fraction(FPS), CHANNELS, path), weights)


@pytest.fixture
def exported(page: Any, tmp_path: Path) -> Any:
    target = tmp_path / "page.html"
    take_with_sound(tmp_path).save(target)
    page.context.set_offline(True)
    page.goto(target.as_uri())
    page.wait_for_selector("html[data-ready=true]", state="attached")
    return page


def test_page_fetches_nothing_and_the_mesh_follows_the_play_head(exported: Any) -> None:
    assert exported.inner_text("h1") == "a <b>.wav"
    assert "720 frames at 60 fps" in exported.inner_text("#note")
    fetched = exported.evaluate(
        "performance.getEntriesByType('resource').map(e => e.name).filter(n => /^http/.test(n))"
    )
    assert fetched == []
    assert exported.evaluate("facewave.viewer.missing") == []
    for seconds in (0.0, 0.5, 1.25, 2.9):
        exported.evaluate("t => facewave.clock.seek(t)", seconds)
        exported.wait_for_function("t => Math.abs(facewave.viewer.shown('jawOpen') - t) < 0.01", arg=seconds / SECONDS)
    # mouthClose is 1 throughout and held back to jawOpen.
    close, jaw = exported.evaluate("['mouthClose', 'jawOpen'].map(n => facewave.viewer.shown(n))")
    assert close == pytest.approx(jaw, abs=1e-6)


def test_playing_keeps_mesh_and_sound_within_40_ms(exported: Any) -> None:
    exported.keyboard.press("Space")
    exported.wait_for_function("facewave.clock.playing")
    exported.keyboard.press("Space")
    exported.wait_for_function("!facewave.clock.playing")
    # What is heard when weights reach the mesh, against the time those weights belong to.
    heard, shown = while_playing(exported).T
    late = heard - shown * SECONDS
    assert np.abs(np.median(late)) < 0.040, late


def test_keys_move_the_play_head_and_switch_loop_and_theme(exported: Any) -> None:
    exported.keyboard.press("ArrowRight")
    assert exported.evaluate("facewave.clock.time") == pytest.approx(1 / FPS, abs=1e-6)
    exported.keyboard.press("End")
    assert exported.evaluate("facewave.clock.time") == pytest.approx(SECONDS)
    exported.keyboard.press("Home")
    exported.keyboard.press("l")
    assert exported.is_checked("#loop")
    before = exported.evaluate("getComputedStyle(document.body).backgroundColor")
    exported.keyboard.press("t")
    assert exported.evaluate("getComputedStyle(document.body).backgroundColor") != before
    exported.wait_for_function(
        "document.getElementById('curves').getAttribute('aria-valuetext').startsWith('0.00 of 12.00')"
    )


def test_take_without_sound_says_so_and_plays(page: Any, tmp_path: Path) -> None:
    target = tmp_path / "silent.html"
    Animation(StreamInfo(Fraction(30), ("jawOpen",)), np.linspace(0, 1, 30, dtype=np.float32)[:, None]).save(target)
    page.goto(target.as_uri())
    page.wait_for_selector("html[data-ready=true]", state="attached")
    assert "No sound" in page.inner_text("#note")
    page.click("#play")
    page.wait_for_function("facewave.clock.time >= 1 && !facewave.clock.playing")


def test_aiff_travels_as_wav(page: Any, tmp_path: Path) -> None:
    sound = tmp_path / "x.aiff"
    soundfile.write(sound, np.full(8000, 0.25, np.float32), 16000, subtype="PCM_16")
    weights = np.linspace(0, 1, 15, dtype=np.float32)[:, None]
    Animation(StreamInfo(Fraction(30), ("jawOpen",), sound), weights).save(tmp_path / "x.html")
    page.goto((tmp_path / "x.html").as_uri())
    page.wait_for_selector("html[data-ready=true]", state="attached")
    assert page.evaluate("facewave.clock.buffer.duration") == pytest.approx(0.5, abs=0.001)
    heard = page.evaluate("facewave.clock.buffer.getChannelData(0)[Math.round(facewave.clock.buffer.length / 2)]")
    assert heard == pytest.approx(0.25, abs=0.01)


def test_sound_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.aiff"
    path.write_bytes(b"FORM")
    take = Animation(StreamInfo(Fraction(30), ("jawOpen",), path), np.zeros((3, 1), np.float32))
    with pytest.raises(OutputError, match=r"x\.aiff: the sound cannot be read"):
        take.save(tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_empty_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frames"):
        Animation(StreamInfo(Fraction(30), ("jawOpen",)), np.zeros((0, 1), np.float32)).save(tmp_path / "x.html")
