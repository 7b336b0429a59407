"""The viewer where GL runs in software: the cheap way is chosen, moves as the full one does, and rests in between."""

from typing import Any

import numpy as np
import pytest

from facewave.blendshapes import CHANNELS

VIEWER = """<!doctype html><link rel="icon" href="data:,"><body style="margin:0">
<div style="position:relative;width:240px;height:240px"><canvas style="width:100%;height:100%"></canvas></div>
<script type="importmap">{"imports": {"facewave/": "/static/js/", "three": "/static/vendor/three.js",
  "meshoptimizer": "/static/vendor/meshoptimizer.js"}}</script>
<script type="module">
  import { LEVELS } from "facewave/quality.js";
  import { Viewer } from "facewave/viewer.js";
  const head = await (await fetch("/static/head.glb")).arrayBuffer();
  globalThis.LEVELS = LEVELS;
  globalThis.open = async (choice) => {
    globalThis.viewer = new Viewer(document.querySelector("canvas"), choice);
    await viewer.load(head);
    await viewer.thinned;
  };
  // The picture as it is now: red, green, blue and alpha of every pixel.
  globalThis.drawn = () => {
    viewer.dirty = true;
    viewer.render();
    const gl = viewer.renderer.getContext();
    const pixels = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);
    gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    return [...pixels];
  };
  globalThis.ready = true;
</script>"""

SUMS = """() => viewer.meshes.map((mesh) => {
  const { geometry } = viewer.stand.get(mesh);
  const column = (attribute) =>
    Array.from({ length: attribute.count }, (_, i) => [attribute.getX(i), attribute.getY(i), attribute.getZ(i)]).flat();
  const full = (name) => {
    const out = column(geometry.attributes[name]);
    mesh.morphTargetInfluences.forEach((weight, k) => {
      column(geometry.morphAttributes[name][k]).forEach((delta, i) => (out[i] += weight * delta));
    });
    return out;
  };
  const kinds = ["position", "normal"];
  return [mesh.name, kinds.map(full), kinds.map((name) => column(mesh.geometry.attributes[name])),
          mesh.geometry.morphAttributes.position === undefined];
})"""


@pytest.fixture
def viewer(page: Any, address: str) -> Any:
    page.route("**/viewer.html", lambda route: route.fulfill(body=VIEWER, content_type="text/html"))
    page.goto(address + "viewer.html")
    page.wait_for_function("globalThis.ready")
    return page


def pose(page: Any, weights: dict[str, float]) -> None:
    page.evaluate(
        "(weights) => { viewer.setChannels(Object.keys(weights)); viewer.apply(Object.values(weights)); }", weights
    )


def picture(page: Any) -> np.ndarray[Any, Any]:
    """Shape (height, width, 3), bottom row first."""
    side = page.evaluate("viewer.renderer.getContext().drawingBufferHeight")
    return np.array(page.evaluate("drawn()"), float).reshape(side, -1, 4)[:, :, :3]


def test_software_gl_gets_the_cheap_way_and_the_jaw_is_seen_to_open(viewer: Any) -> None:
    viewer.evaluate("open('auto')")
    assert viewer.evaluate("LEVELS[viewer.level].plain")
    assert not viewer.evaluate("viewer.renderer.getContext().getContextAttributes().antialias")
    assert viewer.evaluate("viewer.renderer.shadowMap.enabled") is False
    pose(viewer, {"jawOpen": 0.0})
    closed, again = picture(viewer), picture(viewer)
    assert np.array_equal(closed, again)
    pose(viewer, {"jawOpen": 1.0})
    opened = picture(viewer)
    changed = np.abs(opened - closed).max(axis=2) > 24
    height = len(changed)
    assert changed[: height // 2].mean() > 0.02, "the lower face moves"
    assert changed[int(0.6 * height) :].mean() < 0.002, "eyes and hair hold still"


def test_the_processors_sum_of_all_shapes_is_the_full_sum(viewer: Any) -> None:
    viewer.evaluate("open('fast').then(() => { viewer.limits = null; })")
    random = np.random.default_rng(4)
    for weights in (dict.fromkeys(CHANNELS, 1.0), {name: float(random.random()) for name in CHANNELS}):
        pose(viewer, weights)
        viewer.evaluate("viewer.render()")
        moved = 0
        for name, full, shown, without_targets in viewer.evaluate(SUMS):
            assert without_targets, name
            np.testing.assert_allclose(shown[0], full[0], atol=1e-6, err_msg=f"{name}: metres")
            np.testing.assert_allclose(shown[1], full[1], atol=1e-4, err_msg=f"{name}: normals")
            moved += 1
        assert moved >= 10


def test_cheap_and_full_pictures_look_alike(viewer: Any) -> None:
    pictures = []
    for choice in ("full", "fast"):
        viewer.evaluate("choice => globalThis.viewer?.canvas ? viewer.setQuality(choice) : open(choice)", choice)
        viewer.evaluate("viewer.thinned")
        # Same size and without the shadow, which the cheap way leaves out.
        viewer.evaluate("viewer.renderer.shadowMap.enabled = viewer.key.castShadow = false")
        viewer.evaluate("viewer.renderer.setPixelRatio(0.5)")
        pose(viewer, {"jawOpen": 0.4, "mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "browInnerUp": 0.5})
        pictures.append(picture(viewer))
    full, fast = pictures
    apart = np.abs(full - fast).max(axis=2)
    assert np.median(apart[full.sum(axis=2) > 0]) < 16
    assert (apart > 60).mean() < 0.06


def test_the_cheap_way_draws_fewer_triangles(viewer: Any) -> None:
    viewer.evaluate("open('full')")
    drawn = "() => (drawn(), viewer.renderer.info.render.triangles)"
    full = viewer.evaluate(drawn)
    viewer.evaluate("viewer.renderer.shadowMap.enabled = false")
    assert full > viewer.evaluate(drawn) > 30_000, "the shadow is a second pass"
    viewer.evaluate("viewer.setQuality('fast')")
    viewer.evaluate("viewer.thinned")
    assert 5_000 < viewer.evaluate(drawn) < 16_000


def test_nothing_is_drawn_while_nothing_changes(viewer: Any) -> None:
    viewer.evaluate("open('auto')")
    pose(viewer, {"jawOpen": 0.25})
    assert viewer.evaluate("viewer.render()")
    assert not viewer.evaluate("(viewer.apply([0.25]), viewer.render())")
    assert viewer.evaluate("(viewer.apply([0.26]), viewer.render())")
    assert viewer.evaluate("(viewer.turn(5, 0), viewer.render())")
    assert not viewer.evaluate("viewer.render()")


def test_slow_seconds_step_down_and_a_persons_choice_stands(viewer: Any) -> None:
    viewer.evaluate("open('auto')")
    first = viewer.evaluate("viewer.level")
    steps = "rates => rates.map((rate) => (viewer.keepUp(rate), viewer.level))"
    assert viewer.evaluate(steps, [60, 29, 60, 29, 29]) == [first] * 4 + [first + 1]
    assert viewer.evaluate(steps, [5, 5]) == [first + 1, first + 2], "the first second of a level does not count"
    last = viewer.evaluate("LEVELS.length - 1")
    assert viewer.evaluate(steps, [5] * 12)[-1] == last
    viewer.evaluate("viewer.setQuality('full')")
    assert viewer.evaluate("LEVELS[viewer.level]") == {"plain": False, "shadows": True, "pixels": 2}
    assert viewer.evaluate(steps, [1] * 6) == [0] * 6
    viewer.evaluate("viewer.setQuality('fast')")
    assert viewer.evaluate("LEVELS[viewer.level].plain")


def test_the_studio_offers_the_choice(page: Any, address: str) -> None:
    page.goto(address + "?quality=full", wait_until="commit")
    page.wait_for_selector("html[data-ready=true]", state="attached")
    assert page.input_value("#quality") == "full"
    assert page.evaluate("facewave.viewer.level") == 0
    page.select_option("#quality", "auto")
    assert page.evaluate("facewave.viewer.simple")
    assert page.evaluate("facewave.viewer.canvas.isConnected && document.querySelectorAll('#head').length") == 1
