"""The Blender script, run by Blender."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facewave.errors import OutputError
from facewave.frames import Animation, StreamInfo
from tests.avatars import a_take

HARNESS = """
import json, runpy, sys
import bpy

scene = bpy.context.scene
for item in list(scene.objects):
    bpy.data.objects.remove(item)

def mesh(name, shapes):
    data = bpy.data.meshes.new(name)
    data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    item = bpy.data.objects.new(name, data)
    scene.collection.objects.link(item)
    for shape in ("Basis", *shapes):
        item.shape_key_add(name=shape).value = 0.0
    return item

face = mesh("Face", ["jawOpen", 'odd "name"', "eyeBlink_L", "mouth_smile_right", "viseme_aa"])
teeth = mesh("Teeth", ["Teeth.JawOpen"])
mesh("Hat", ["brim"])
face.data.shape_keys.key_blocks["viseme_aa"].value = 0.5
face.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=1)
before = face.data.shape_keys.animation_data.action.name
if SELECT:
    teeth.select_set(True)
try:
    runpy.run_path(SCRIPT)
except SystemExit as stop:
    print("RESULT", json.dumps({"stopped": str(stop)}))
    sys.exit()
seen = {}
for frame in (1, 14, 31):
    scene.frame_set(frame)
    seen[frame] = {
        item.name: {key.name: key.value for key in item.data.shape_keys.key_blocks} for item in scene.objects
    }
scene.frame_set(14, subframe=0.5)
seen["between"] = face.data.shape_keys.key_blocks["jawOpen"].value
strips = [] if scene.sequence_editor is None else list(scene.sequence_editor.strips_all
    if hasattr(scene.sequence_editor, "strips_all") else scene.sequence_editor.sequences_all)
print("RESULT", json.dumps({
    "seen": seen, "fps": scene.render.fps / scene.render.fps_base, "range": [scene.frame_start, scene.frame_end],
    "plays": bpy.app.build_options.audaspace, "kept": before in bpy.data.actions,
    "sounds": [[strip.name, strip.frame_start] for strip in strips],
}))
"""


def blender(tmp_path: Path, script: Path, *, select: bool = False) -> dict[str, Any]:
    """Run the script on three meshes and report what Blender then shows."""
    harness = tmp_path / "harness.py"
    harness.write_text(f"SCRIPT = {str(script)!r}\nSELECT = {select}\n{HARNESS}")
    program = shutil.which("blender")
    if program is not None:
        command = [program, "--background", "--factory-startup", "--python-exit-code", "1", "--python", str(harness)]
    elif importlib.util.find_spec("bpy") is not None:
        command = [sys.executable, str(harness)]
    else:
        pytest.skip("neither blender nor the package bpy is installed")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def test_blender_shows_the_take(tmp_path: Path, demo_clip: Path) -> None:
    sound = tmp_path / "hello there.wav"
    sound.write_bytes(demo_clip.read_bytes())
    take = a_take(frames=31, fps=Fraction(30000, 1001))
    take.weights[13, take.channels.index("jawOpen")] = 1.25
    take.save(tmp_path / "a.blender.py")
    found = blender(tmp_path, tmp_path / "a.blender.py")
    assert found["fps"] == pytest.approx(30000 / 1001)
    assert found["range"] == [1, 31]
    assert found["kept"], "the action of before stays in the file"
    assert found["sounds"] == ([["hello there", 1]] if found["plays"] else [])
    for frame in (1, 14, 31):
        meshes = found["seen"][str(frame)]
        weights = dict(zip(take.channels, take.weights[frame - 1].tolist(), strict=True))
        assert meshes["Face"]["jawOpen"] == pytest.approx(weights["jawOpen"], abs=1e-5)
        assert meshes["Face"]["eyeBlink_L"] == pytest.approx(weights["eyeBlinkLeft"], abs=1e-5)
        assert meshes["Face"]["mouth_smile_right"] == pytest.approx(weights["mouthSmileRight"], abs=1e-5)
        assert meshes["Face"]["viseme_aa"] == 0.5
        assert meshes["Teeth"]["Teeth.JawOpen"] == pytest.approx(weights["jawOpen"], abs=1e-5)
    jaw = take.channel("jawOpen")
    assert found["seen"]["between"] == pytest.approx(float(jaw[13] + jaw[14]) / 2, abs=1e-5), "linear between frames"


def test_only_selected_meshes_move_where_some_are(tmp_path: Path) -> None:
    take = a_take(frames=31)
    take.save(tmp_path / "a.blender.py")
    shown = blender(tmp_path, tmp_path / "a.blender.py", select=True)["seen"]["31"]
    assert shown["Teeth"]["Teeth.JawOpen"] == pytest.approx(float(take.channel("jawOpen")[30]), abs=1e-5)
    assert shown["Face"]["eyeBlink_L"] == 0


@pytest.mark.parametrize(("name", "message"), [("Nobody", "no object 'Nobody'"), ("Hat", "nothing was changed")])
def test_a_wrong_object_is_named(tmp_path: Path, name: str, message: str) -> None:
    a_take(frames=3).save(tmp_path / "a.blender.py", avatar=name)
    assert message in blender(tmp_path, tmp_path / "a.blender.py")["stopped"]


def test_the_script_is_python_whatever_the_names_are(tmp_path: Path) -> None:
    info = StreamInfo(Fraction(60), ("jawOpen",), Path('a "quoted" {{VALUES}} ünï.wav'))
    Animation(info, np.ones((2, 1), np.float32)).save(tmp_path / "a.blender.py", avatar='Fa"ce')
    text = (tmp_path / "a.blender.py").read_text(encoding="utf-8")
    compile(text, "a.blender.py", "exec")
    assert text.isascii()


def test_a_take_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frames"):
        Animation(StreamInfo(Fraction(60)), np.zeros((0, 68), np.float32)).save(tmp_path / "a.blender.py")
