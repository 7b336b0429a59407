"""Render the head with the viewer's own three.js in headless Chromium: `python -m tools.head.contact_sheet OUT.png`.

Every cell is a pose and a view. Without further arguments: the neutral head from several sides, every shape
at weight 1, and the pairs that collide. Needs the `playwright` package and a Chromium.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import shutil
import threading
from pathlib import Path
from typing import Any

from facewave.blendshapes import ARKIT, TONGUE

from .build import HEAD_GLB

STATIC = HEAD_GLB.parent
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--no-first-run", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # fmt: skip

PAIRS = (
    ("eyeBlinkLeft", "eyeSquintLeft", "cheekSquintLeft"),
    ("eyeBlinkLeft", "eyeWideLeft"),
    ("eyeBlinkLeft", "eyeLookDownLeft"),
    ("mouthSmileLeft", "mouthSmileRight"),
    ("mouthSmileLeft", "mouthSmileRight", "mouthPucker"),
    ("mouthFunnel", "mouthPucker"),
    ("jawOpen", "mouthSmileLeft", "mouthSmileRight"),
    ("noseSneerLeft", "noseSneerRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
)

VIEWS = {
    "front": ((0, 0, 0.74), (0, -0.015, -0.03)), "near": ((0, -0.04, 0.46), (0, -0.04, 0)),
    "bust": ((0, -0.015, 0.70), (0, -0.03, -0.03)),
    "three": ((0.30, -0.02, 0.40), (0, -0.04, -0.02)), "threeRight": ((-0.30, -0.02, 0.40), (0, -0.04, -0.02)),
    "side": ((0.68, -0.02, -0.03), (0, -0.02, -0.05)), "back": ((0.2, 0.1, -0.75), (0, -0.02, -0.05)),
    "below": ((0.0, -0.30, 0.36), (0, -0.05, 0)), "above": ((0.15, 0.42, 0.45), (0, 0.02, -0.04)),
    "eye": ((0.05, 0.01, 0.20), (0.034, 0.0, 0)), "eyes": ((0, 0.01, 0.30), (0, 0.005, 0)),
    "lower": ((0.075, -0.06, 0.27), (0.006, -0.070, 0)),
    "mouth": ((0, -0.07, 0.28), (0, -0.075, 0)), "mouthThree": ((0.14, -0.06, 0.24), (0, -0.075, 0.01)),
}  # fmt: skip
"""Camera and what it looks at, metres."""

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><style>
body{margin:0;background:#f4f4f6;font:600 11px sans-serif;color:#223}
#sheet{display:grid;grid-template-columns:repeat(var(--columns),calc(var(--cell) + 0px));gap:2px;width:max-content}
#stage{position:fixed;left:-9999px;width:var(--cell);height:var(--cell)}
figure{margin:0}
figcaption{padding:1px 3px;overflow-wrap:anywhere}
canvas{display:block}</style>
<script type="importmap">{"imports": {"facewave/": "/js/", "three": "/vendor/three.js",
  "meshoptimizer": "/vendor/meshoptimizer.js"}}</script>
<div id="stage"><canvas></canvas></div><div id="sheet"></div>
<script type="module">
import { Viewer } from "facewave/viewer.js";
window.draw = async (cells, size, columns, glb, captions) => {
  document.body.style.setProperty("--columns", columns);
  document.body.style.setProperty("--cell", `${size}px`);
  const viewer = new Viewer(document.querySelector("#stage canvas"), "full");
  await viewer.load(await (await fetch(glb)).arrayBuffer());
  const sheet = document.getElementById("sheet");
  for (const cell of cells) {
    const figure = document.createElement("figure");
    const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
    figure.append(canvas);
    if (captions) figure.append(Object.assign(document.createElement("figcaption"), { textContent: cell.label }));
    sheet.append(figure);
    const names = Object.keys(cell.weights);
    for (const mesh of viewer.meshes) mesh.morphTargetInfluences.fill(0);
    viewer.setChannels(names);
    viewer.apply(Object.values(cell.weights));
    viewer.look({ from: cell.from, to: cell.to });
    viewer.render();
    const pen = canvas.getContext("2d");
    pen.fillStyle = cell.ground ?? "#dfe2e8";
    pen.fillRect(0, 0, size, size);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(viewer.canvas, 0, 0, size, size);
  }
  return true;
};
window.ready = true;
</script>"""


def chromium() -> str | None:
    """The system's Chromium, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        text = PAGE if self.path == "/contact.html" else None
        if text is None:
            return super().do_GET()
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None


def render(
    cells: list[dict[str, Any]], out: Path, size: int, columns: int, glb: str = "head.glb", captions: bool = True
) -> None:
    """Draw the cells in order and save them as one picture."""
    from playwright.sync_api import sync_playwright

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(STATIC)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = browser.new_page(viewport={"width": columns * (size + 2) + 40, "height": 600})
            page.on("console", lambda m: print("console:", m.text) if m.type in ("error", "warning") else None)
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/contact.html")
            page.wait_for_function("window.ready === true")
            page.set_default_timeout(300_000)
            page.evaluate("(options) => draw(...options)", [cells, size, columns, glb, captions])
            page.locator("#sheet").screenshot(path=str(out))
            browser.close()
    finally:
        server.shutdown()


def cell(label: str, weights: dict[str, float], view: str) -> dict[str, Any]:
    """One picture of the sheet; the viewer itself applies the limits."""
    return {"label": label, "weights": weights, "from": VIEWS[view][0], "to": VIEWS[view][1]}


def default_rows() -> list[tuple[str, dict[str, float], str]]:
    """The neutral head, every ARKit shape at weight 1, and pairs that would collide without the limits."""
    rows: list[tuple[str, dict[str, float], str]] = [
        ("neutral", {}, view) for view in ("front", "near", "three", "side", "back", "below", "eye", "mouth")
    ]
    for name in ARKIT:
        weights = {name: 1.0}
        if name in ("mouthClose", "tongueOut"):
            weights["jawOpen"] = 1.0 if name == "mouthClose" else 0.3
        view = "threeRight" if name.endswith("Right") else "near"
        rows.append((" + ".join(reversed(weights)), weights, view))
    for name in TONGUE:
        rows.append((f"jawOpen + {name}", {"jawOpen": 0.7, name: 1.0}, "mouth"))
    for pair in PAIRS:
        rows.append((" + ".join(pair), dict.fromkeys(pair, 1.0), "near"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=220)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--cells", help='JSON: [["label", {"jawOpen": 1}, "front"], ...]')
    options = parser.parse_args()
    rows = json.loads(options.cells) if options.cells else default_rows()
    render([cell(*row) for row in rows], options.out, options.size, options.columns)


if __name__ == "__main__":
    main()
