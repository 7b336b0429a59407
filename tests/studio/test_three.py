"""What we write, loaded and played by three.js itself in a real browser."""

from __future__ import annotations

import json
import mimetypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facewave
from facewave.frames import Animation
from tests.avatars import PEERS, a_take, avatar_parts, glb, peer

SITE = "http://facewave.test"

PAGE = """<!doctype html><link rel="icon" href="data:,"><body style="margin:0">
<script type="importmap">{"imports": {
  "three": "/node_modules/three/build/three.module.js",
  "three/addons/": "/node_modules/three/examples/jsm/",
  "@pixiv/three-vrm-core": "/node_modules/@pixiv/three-vrm-core/lib/three-vrm-core.module.js",
  "@pixiv/three-vrm-animation": "/node_modules/@pixiv/three-vrm-animation/lib/three-vrm-animation.module.js"
}}</script>
<script type="module">
  import * as THREE from "three";
  import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
  globalThis.THREE = THREE;
  globalThis.GLTFLoader = GLTFLoader;
  globalThis.load = async (name) => {
    const gltf = await new GLTFLoader().loadAsync("/files/" + name);
    const meshes = [];
    gltf.scene.traverse((node) => node.morphTargetDictionary && meshes.push(node));
    globalThis.gltf = gltf;
    globalThis.meshes = meshes;
    globalThis.mixer = new THREE.AnimationMixer(gltf.scene);
    mixer.clipAction(gltf.animations.at(-1)).play();
    return { clips: gltf.animations.map((clip) => [clip.name, clip.duration]), meshes: meshes.length };
  };
  globalThis.at = (seconds) => {
    mixer.setTime(seconds);
    const weights = (mesh) =>
      Object.entries(mesh.morphTargetDictionary).map(([name, i]) => [name, mesh.morphTargetInfluences[i]]);
    return meshes.map((mesh) => Object.fromEntries(weights(mesh)));
  };
  globalThis.draw = () => {
    const renderer = new THREE.WebGLRenderer({ antialias: true });
    renderer.setSize(480, 400);
    document.body.append(renderer.domElement);
    const scene = new THREE.Scene();
    scene.background = new THREE.Color(0xdfe6ee);
    scene.add(gltf.scene, new THREE.HemisphereLight(0xffffff, 0xd0b0a0, 2.2));
    const sun = new THREE.DirectionalLight(0xffffff, 1.8);
    sun.position.set(0.5, 0.6, 0.9);
    scene.add(sun);
    const camera = new THREE.PerspectiveCamera(26, 480 / 400, 0.01, 10);
    camera.position.set(0.12, 0, 0.72);
    camera.lookAt(0, -0.02, -0.03);
    renderer.render(scene, camera);
  };
  globalThis.expressions = async (name) => {
    const { VRMAnimationLoaderPlugin, createVRMAnimationExpressionTracks } = await import("@pixiv/three-vrm-animation");
    const loader = new GLTFLoader();
    loader.register((parser) => new VRMAnimationLoaderPlugin(parser));
    const [animation] = (await loader.loadAsync("/files/" + name)).userData.vrmAnimations;
    const manager = { getExpressionTrackName: (expression) => `avatar.userData[${expression}]` };
    const { preset, custom } = createVRMAnimationExpressionTracks(animation, manager);
    const read = (tracks) => Object.fromEntries([...tracks].map(([key, track]) =>
      [key, [...track.createInterpolant(new Float32Array(1)).evaluate(0.5)][0]]));
    return { preset: read(preset), custom: read(custom), duration: animation.duration };
  };
  globalThis.ready = true;
</script>"""


@pytest.fixture
def three(page: Any, tmp_path: Path) -> Any:
    """A page with three.js whose /files/ are the test's folder; nothing leaves the machine."""
    peer("three")

    def serve(route: Any) -> None:
        path = route.request.url.removeprefix(SITE)
        if path == "/":
            route.fulfill(body=PAGE, content_type="text/html")
            return
        file = tmp_path / path.removeprefix("/files/") if path.startswith("/files/") else PEERS / path[1:]
        kind = "text/javascript" if file.suffix == ".js" else mimetypes.guess_type(file.name)[0]
        route.fulfill(body=file.read_bytes(), content_type=kind or "application/octet-stream")

    page.route("**/*", serve)
    page.goto(f"{SITE}/")
    page.wait_for_function("globalThis.ready")
    return page


def compare(shown: list[dict[str, float]], take: Animation, frame: int) -> int:
    """Hold every shape of every mesh to the frame; returns how many there were."""
    values = dict(zip(take.channels, take.weights[frame].tolist(), strict=True))
    for mesh in shown:
        for name, weight in mesh.items():
            assert weight == pytest.approx(values[name], abs=1e-5), name
    return sum(map(len, shown))


def head_meshes() -> list[dict[str, Any]]:
    """The meshes of the bundled head, as its file lists them."""
    data = (Path(facewave.__file__).parent / "studio" / "static" / "head.glb").read_bytes()
    length = int.from_bytes(data[12:16], "little")
    meshes: list[dict[str, Any]] = json.loads(data[20 : 20 + length])["meshes"]
    return meshes


@pytest.mark.parametrize("extension", [".glb", ".gltf"])
def test_the_head_moves_as_the_take_says(three: Any, tmp_path: Path, extension: str) -> None:
    take = a_take(frames=61)
    take.save(tmp_path / f"head{extension}")
    told = three.evaluate("name => load(name)", f"head{extension}")
    targets = [len(mesh["extras"]["targetNames"]) for mesh in head_meshes() if "targetNames" in mesh.get("extras", {})]
    assert told == {"clips": [["hello there", 1.0]], "meshes": len(targets)}
    for frame in (0, 17, 44, 60):
        # Just short of the end: there the clip would begin anew.
        assert compare(three.evaluate("t => at(t)", min(frame / 60, 0.9999999)), take, frame) == sum(targets)


def test_a_model_of_the_users_moves_with_its_own_animations_beside_ours(three: Any, tmp_path: Path) -> None:
    content, binary = avatar_parts()
    del content["nodes"][1]["mesh"]  # three.js itself moves only the first of two nodes that share a mesh in parts.
    (tmp_path / "avatar.glb").write_bytes(glb(content, binary))
    take = a_take(frames=61)
    take.save(tmp_path / "out.glb", avatar=tmp_path / "avatar.glb")
    told = three.evaluate("name => load(name)", "out.glb")
    assert [name for name, _ in told["clips"]] == ["nod", "smile", "hello there"]
    # three.js makes a mesh of each primitive: two of the face, the teeth, and the hat, whose shapes have no names.
    shown = three.evaluate("t => at(t)", 0.5)
    faces = [mesh for mesh in shown if "eyeBlink_L" in mesh]
    assert len(faces) == 2
    for mesh in faces:
        assert mesh["mouth_smile_left"] == pytest.approx(float(take.channel("mouthSmileLeft")[30]), abs=1e-5)
        assert mesh["Head.jawOpen"] == pytest.approx(float(take.channel("jawOpen")[30]), abs=1e-5)
        assert mesh["Basis2"] == pytest.approx(0.25)


def test_an_open_jaw_is_seen(three: Any, tmp_path: Path) -> None:
    take = a_take(frames=2)
    weights = np.zeros_like(take.weights)
    weights[1, take.channels.index("jawOpen")] = 1.0
    Animation(take.info, weights).save(tmp_path / "head.glb")
    three.evaluate("name => load(name)", "head.glb")
    pictures = []
    for seconds in (0.0, 1 / 60 - 1e-7):
        three.evaluate("t => { at(t); document.querySelector('canvas')?.remove(); draw(); }", seconds)
        pictures.append(three.screenshot())
    assert pictures[0] != pictures[1]


def test_three_vrm_reads_the_expressions(three: Any, tmp_path: Path) -> None:
    peer("@pixiv/three-vrm-animation")
    take = a_take(frames=61)
    take.save(tmp_path / "a.vrma")
    told = three.evaluate("name => expressions(name)", "a.vrma")
    assert told["duration"] == 1
    assert sorted(told["preset"]) == ["aa", "blinkLeft", "blinkRight", "ee", "ih", "oh", "ou"]
    assert len(told["custom"]) == 68
    for name, weight in told["custom"].items():
        assert weight == pytest.approx(float(take.channel(name)[30]), abs=1e-5), name
    assert told["preset"]["blinkLeft"] == pytest.approx(float(take.channel("eyeBlinkLeft")[30]), abs=1e-5)
