"""The studio's page in a real browser with a fake microphone, against the real server and the bundled model."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facewave.studio.app import create_app

pytest.importorskip("starlette", reason="the extra `studio` is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra `studio` is not installed")

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "src" / "facewave" / "data" / "demo.wav"
HEAD = ROOT / "src" / "facewave" / "studio" / "static" / "head.glb"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="error", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()


@pytest.fixture
def studio(page: Any, address: str) -> Any:
    page.set_viewport_size({"width": 860, "height": 560})
    page.goto(address, wait_until="commit")
    page.wait_for_selector("html[data-ready=true]", state="attached")
    return page


def takes(page: Any, at_least: int) -> None:
    page.wait_for_function("n => Number(document.documentElement.dataset.takes ?? 0) >= n", arg=at_least)


def jaw(page: Any) -> float:
    return float(page.evaluate("Math.max(...facewave.transport.take.curve('jawOpen'))"))


def test_recording_sliders_export_and_command(studio: Any, tmp_path: Path) -> None:
    studio.set_input_files("#audio", DEMO)
    takes(studio, 1)
    assert "533 frames" in studio.inner_text("#note")
    at_peak = "facewave.clock.seek(facewave.transport.take.curve('jawOpen').indexOf(m) / facewave.transport.take.fps)"
    peak = jaw(studio)
    assert peak > 0.15
    studio.evaluate(f"m => {{ {at_peak} }}", peak)
    studio.wait_for_function("m => Math.abs(facewave.viewer.shown('jawOpen') - m) < 0.02", arg=peak)

    slider = studio.locator("#multipliers input[name=jawOpen]")
    slider.evaluate("input => { input.value = 0.5; input.dispatchEvent(new Event('input')); }")
    takes(studio, 2)
    assert jaw(studio) == pytest.approx(peak / 2, rel=1e-3)
    assert studio.inner_text("#command") == "facewave animate demo.wav -o out.csv --multiplier jawOpen=0.5"

    with studio.expect_download() as download:
        studio.click("#formats button:text-is('.csv')")
    assert download.value.suggested_filename == "demo.csv"
    download.value.save_as(tmp_path / "demo.csv")
    assert len((tmp_path / "demo.csv").read_text().splitlines()) == 534


def test_own_avatar_and_wrong_files_are_answered_in_words(studio: Any, tmp_path: Path) -> None:
    studio.set_input_files("#avatar", HEAD)
    studio.wait_for_function("document.getElementById('avatar-note').textContent === 'All channels found.'")
    wrong = tmp_path / "words.wav"
    wrong.write_text("this is no sound")
    studio.set_input_files("#audio", wrong)
    studio.wait_for_function("document.getElementById('error').textContent.includes('cannot decode')")


def test_microphone_moves_the_face_and_tells_its_delay(studio: Any) -> None:
    studio.click("#mic")
    studio.wait_for_function("document.getElementById('latency').textContent.includes('ms from voice to face')")
    studio.wait_for_function("facewave.viewer.weights.some(w => w > 0.01)")
    assert studio.get_attribute("#mic", "aria-pressed") == "true"
    studio.click("#mic")
    studio.wait_for_function("document.getElementById('mic').textContent === 'Microphone'")
    assert studio.inner_text("#error") == ""


def test_page_is_accessible(studio: Any) -> None:
    axe = os.environ.get("AXE_CORE", "")
    if not Path(axe).is_file():
        pytest.skip("AXE_CORE does not name a copy of axe-core's axe.min.js")
    studio.add_script_tag(path=axe)
    for theme in ("light", "dark"):
        studio.evaluate("t => { document.documentElement.dataset.theme = t; }", theme)
        found = studio.evaluate("axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))")
        assert found == [], theme
