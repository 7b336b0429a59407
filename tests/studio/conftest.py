"""A headless Chromium with software GL, a fake microphone that speaks, and no network; tests skip where there is none.

One browser serves the whole run. Nothing here waits for a length of time, only for things to be so, and long enough for
a machine that is busy with something else.
"""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "src" / "facewave" / "data" / "demo.wav"
HEAD = ROOT / "src" / "facewave" / "studio" / "static" / "head.glb"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 180_000
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
         "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
         "--use-fake-device-for-media-stream"]  # fmt: skip


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fake microphone hears, again and again: the first sentence of the bundled speech."""
    path = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    samples, rate = soundfile.read(DEMO, dtype="int16")
    soundfile.write(path, samples[: int(2.4 * rate)], rate, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")  # Its driver holds the thread's event loop, which tests of other modules need.
def browser(spoken: Path) -> Iterator[Any]:
    play = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with play.sync_playwright() as driver:
        microphone = f"--use-file-for-fake-audio-capture={spoken}"
        opened = driver.chromium.launch(executable_path=chromium, args=[*FLAGS, microphone], timeout=PATIENCE_MS)
        yield opened
        opened.close()


WHILE_PLAYING = """(count) => new Promise((done) => {
  const { viewer, clock } = facewave;
  const [seen, apply] = [[], viewer.apply.bind(viewer)];
  clock.seek(0);
  clock.play();
  viewer.apply = (weights) => {
    apply(weights);
    // Where few pictures are drawn the clip may end before enough are seen.
    if (!clock.playing) return void (clock.seek(0), clock.play());
    const heard = clock.offset + clock.context.currentTime - clock.started - clock.delay;
    if (heard > 0.1 && heard < clock.length - 0.1) seen.push([heard, viewer.shown("jawOpen")]);
    if (seen.length < count) return;
    viewer.apply = apply;
    clock.pause();
    done(seen);
  };
})"""


def while_playing(page: Any, count: int = 8) -> NDArray[np.float64]:
    """Play; at `count` pictures, the second of the clip that is heard and jawOpen on the mesh: shape (count, 2)."""
    return np.array(page.evaluate(WHILE_PLAYING, count))


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A small coarse page (software GL draws it) that fails the test on any console error or uncaught exception."""
    context = browser.new_context(viewport={"width": 480, "height": 400}, device_scale_factor=0.5)
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.expected_problems = []
    yield opened
    context.close()
    assert [text for text in problems if not any(words in text for words in opened.expected_problems)] == []


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A studio on loopback."""
    pytest.importorskip("starlette", reason="the extra `studio` is not installed")
    uvicorn = pytest.importorskip("uvicorn", reason="the extra `studio` is not installed")
    from facewave.studio.app import create_app

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


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Clips by name: `short.wav` (1.2 s of speech), the same as `short.aiff`, silence, and two that are none."""
    folder = tmp_path_factory.mktemp("sounds")
    samples, rate = soundfile.read(DEMO, dtype="int16")
    short = samples[: int(1.2 * rate)]
    soundfile.write(folder / "short.wav", short, rate, subtype="PCM_16")
    soundfile.write(folder / "short.aiff", short, rate, subtype="PCM_16")
    soundfile.write(folder / "silent.wav", np.zeros(rate, np.int16), rate, subtype="PCM_16")
    soundfile.write(folder / "empty.wav", np.zeros(0, np.int16), rate, subtype="PCM_16")
    (folder / "words.wav").write_text("this is no sound")
    return {path.name: path for path in folder.iterdir()}
