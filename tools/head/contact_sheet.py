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
from .limits import limited

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

PAGE = """<!doctype html><meta charset="utf-8"><style>
body{margin:0;background:#f4f4f6;font:600 11px sans-serif;color:#223}
#sheet{display:grid;grid-template-columns:repeat(var(--columns),max-content);gap:2px;padding:6px}
figure{margin:0}
figcaption{padding:1px 3px;width:calc(var(--cell) - 6px);overflow-wrap:anywhere}
canvas{display:block}</style><div id="sheet"></div>
<script type="module">
import { createStage } from "./contact_stage.js";
window.draw = async (cells, size, columns, glb) => {
  const stage = await createStage(size, glb);
  const sheet = document.getElementById("sheet");
  sheet.style.setProperty("--columns", columns);
  sheet.style.setProperty("--cell", `${size}px`);
  for (const cell of cells) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    figure.append(canvas, Object.assign(document.createElement("figcaption"), { textContent: cell.label }));
    sheet.append(figure);
    stage.draw(cell.weights, cell.view, cell.limits);
    canvas.getContext("2d").drawImage(stage.canvas, 0, 0);
  }
  return true;
};
window.ready = true;
</script>"""

STAGE = """
import * as THREE from "./vendor/three.js";
const VIEWS = {
  front: [[0, 0, 0.74], [0, -0.008, -0.03], 24], near: [[0, -0.04, 0.46], [0, -0.04, 0], 24],
  three: [[0.30, -0.02, 0.40], [0, -0.04, -0.02], 24], threeRight: [[-0.30, -0.02, 0.40], [0, -0.04, -0.02], 24],
  side: [[0.62, -0.02, -0.03], [0, -0.02, -0.05], 26], back: [[0.2, 0.1, -0.6], [0, -0.02, -0.05], 26],
  below: [[0.0, -0.30, 0.36], [0, -0.05, 0], 22],
  eye: [[0.05, 0.01, 0.22], [0.034, 0.0, 0], 20], eyeSide: [[0.16, 0.02, 0.12], [0.034, 0.0, 0], 20],
  mouth: [[0, -0.07, 0.28], [0, -0.075, 0], 24], mouthThree: [[0.14, -0.06, 0.24], [0, -0.075, 0.01], 24],
};
export async function createStage(size, glb) {
  const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
  renderer.setPixelRatio(1);
  renderer.setSize(size, size);
  renderer.toneMapping = THREE.NeutralToneMapping;
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(0xe4e6ea);
  const light = (colour, strength, x, y, z) => {
    const source = new THREE.DirectionalLight(colour, strength);
    source.position.set(x, y, z);
    return source;
  };
  scene.add(new THREE.HemisphereLight(0xf4f6ff, 0xd0b0a0, 2.1), light(0xfff1e2, 2.1, 0.5, 0.6, 0.9),
    light(0xcfe0ff, 0.9, -0.8, 0.4, -0.4), light(0xe8ecff, 0.45, -0.7, -0.1, 0.7));
  const gltf = await new THREE.GLTFLoader().loadAsync(glb);
  scene.add(gltf.scene);
  const meshes = [];
  gltf.scene.traverse((node) => node.isMesh && meshes.push(node));
  const camera = new THREE.PerspectiveCamera(24, 1, 0.02, 5);
  return {
    canvas: renderer.domElement,
    draw(weights, view) {
      for (const mesh of meshes) {
        if (!mesh.morphTargetDictionary) continue;
        mesh.morphTargetInfluences.fill(0);
        for (const [name, value] of Object.entries(weights)) {
          const i = mesh.morphTargetDictionary[name];
          if (i !== undefined) mesh.morphTargetInfluences[i] = value;
        }
      }
      const [from, to, fov] = VIEWS[view];
      camera.position.set(...from);
      camera.fov = fov;
      camera.lookAt(...to);
      camera.updateProjectionMatrix();
      renderer.render(scene, camera);
    },
  };
}
"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        text = {"/contact.html": PAGE, "/contact_stage.js": STAGE}.get(self.path)
        if text is None:
            return super().do_GET()
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.path.endswith("html") else "text/javascript")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None


def render(cells: list[dict[str, Any]], out: Path, size: int, columns: int, glb: str = "head.glb") -> None:
    """Draw the cells in order and save the page as one picture."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(STATIC)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": columns * (size + 2) + 12, "height": 600})
            page.on("console", lambda m: print("console:", m.text) if m.type in ("error", "warning") else None)
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/contact.html")
            page.wait_for_function("window.ready === true")
            page.set_default_timeout(300_000)
            page.evaluate("([c, s, n, g]) => draw(c, s, n, g)", [cells, size, columns, glb])
            page.screenshot(path=str(out), full_page=True)
            browser.close()
    finally:
        server.shutdown()


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
    cells = [{"label": label, "weights": limited(weights), "view": view} for label, weights, view in rows]
    render(cells, options.out, options.size, options.columns)


if __name__ == "__main__":
    main()
