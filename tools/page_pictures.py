"""Photograph the exported page and the studio with the bundled speech.

python -m tools.page_pictures     # writes docs/images/page.png and studio.png; needs playwright and a Chromium
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import facewave
from facewave.studio.app import create_app
from tools.head.contact_sheet import FLAGS, chromium

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "src" / "facewave" / "data" / "demo.wav"
IMAGES = ROOT / "docs" / "images"
SECOND = 2.07
"""An open vowel, with the lips on their way."""

PATIENCE_MS = 300_000


@contextmanager
def studio() -> Iterator[str]:
    """A studio on loopback."""
    import uvicorn

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()


def still(page: Any, second: float) -> None:
    """Put the play head there and wait until head and curves show it."""
    page.wait_for_selector("html[data-ready=true]", state="attached")
    page.evaluate("t => facewave.clock.seek(t)", second)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_function(f"document.getElementById('time').textContent.startsWith('{second:.2f}')")


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, studio() as address, sync_playwright() as play:
        exported = Path(folder) / "demo.html"
        facewave.animate(DEMO).save(exported)
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1120, "height": 700})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(exported.as_uri() + "?quality=full")
        still(page, SECOND)
        page.screenshot(path=str(IMAGES / "page.png"), timeout=PATIENCE_MS)
        page.goto(address + "?quality=full")
        page.wait_for_selector("html[data-ready=true]", state="attached")
        page.set_input_files("#audio", DEMO)
        page.wait_for_function("Number(document.documentElement.dataset.takes ?? 0) >= 1")
        page.click("#theme")
        page.click("[data-view=three]")
        still(page, SECOND)
        page.screenshot(path=str(IMAGES / "studio.png"), timeout=PATIENCE_MS)
        browser.close()
    for name in ("page.png", "studio.png"):
        print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
