"""The studio's page in a real browser with a fake microphone, against the real server and the bundled model."""

import base64
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facewave.blendshapes import CHANNELS
from facewave.emotion_files import read_emotion_keys
from facewave.frames import Animation
from facewave.outputs import FORMATS
from tests.studio.conftest import DEMO, HEAD, while_playing

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def studio(page: Any, address: str) -> Any:
    page.set_viewport_size({"width": 860, "height": 520})  # wide and high enough for the layout side by side
    page.goto(address, wait_until="commit")
    page.wait_for_selector("html[data-ready=true]", state="attached")
    return page


def takes(page: Any, at_least: int) -> None:
    page.wait_for_function("n => Number(document.documentElement.dataset.takes ?? 0) >= n", arg=at_least)


def peak(page: Any, channel: str = "jawOpen") -> float:
    return float(page.evaluate("name => Math.max(...facewave.transport.take.curve(name))", channel))


def move(page: Any, slider: str, value: float) -> None:
    page.locator(slider).evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
    )


def drop(page: Any, path: Path) -> None:
    """Drop a file on the page, as from a file manager."""
    data = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(
        """([data, name]) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], name));
          for (const kind of ["dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [data, path.name],
    )


def at_peak(page: Any, viewer: str) -> None:
    """Put the play head where the jaw is widest; the mesh of that viewer shows it."""
    top = peak(page)
    page.evaluate(
        "m => facewave.clock.seek(facewave.transport.take.curve('jawOpen').indexOf(m) / facewave.transport.take.fps)",
        top,
    )
    page.wait_for_function(f"m => Math.abs({viewer}.shown('jawOpen') - m) < 0.02", arg=top)


def test_dropped_recording_plays_and_the_jaw_follows_its_curve(studio: Any) -> None:
    drop(studio, DEMO)
    takes(studio, 1)
    assert "533 frames" in studio.inner_text("#note")
    assert peak(studio) > 0.15
    at_peak(studio, "facewave.viewer")
    studio.click("#play")
    studio.wait_for_function("facewave.clock.playing")
    seen = while_playing(studio, 12)
    curve = np.array(studio.evaluate("[...facewave.transport.take.curve('jawOpen')]"))
    times = np.arange(len(curve)) / 60
    # The best of the curve within 40 ms either way of what is heard.
    near = seen[:, :1] + np.linspace(-0.04, 0.04, 17)
    away = np.abs(np.interp(near, times, curve) - seen[:, 1:]).min(axis=1)
    assert np.ptp(seen[:, 1]) > 0.02, "the jaw moves while the clip plays"
    assert np.median(away) < 0.005, (seen, away)


def test_sliders_and_keys_change_the_frames_and_exports_download(
    studio: Any, sounds: dict[str, Path], tmp_path: Path
) -> None:
    studio.click("#save-keys")
    assert "no keys to save" in studio.inner_text("#error")
    studio.set_input_files("#audio", sounds["short.wav"])
    takes(studio, 1)
    jaw, smile = peak(studio), peak(studio, "mouthSmileLeft")
    move(studio, "#multipliers input[name=jawOpen]", 0.5)
    takes(studio, 2)
    assert peak(studio) == pytest.approx(jaw / 2, rel=1e-3)
    move(studio, "#parameters input[name=lowerFaceStrength]", 1.5)
    takes(studio, 3)
    assert peak(studio) != pytest.approx(jaw / 2, rel=1e-2)
    assert studio.inner_text("#command") == (
        "facewave animate short.wav -o out.csv --face-parameter lowerFaceStrength=1.5 --multiplier jawOpen=0.5"
    )

    assert studio.locator("#formats button").all_inner_texts() == [row.extension for row in FORMATS]
    for extension in (".csv", ".npz"):
        with studio.expect_download() as download:
            studio.click(f"#formats button:text-is('{extension}')")
        assert download.value.suggested_filename == f"short{extension}"
        download.value.save_as(tmp_path / f"short{extension}")
        take = Animation.load(tmp_path / f"short{extension}")
        assert len(take) == 72
        assert take.channel("jawOpen").max() == pytest.approx(peak(studio), abs=1e-5)

    studio.evaluate("facewave.clock.seek(0.5)")
    move(studio, "#emotions input[name=joy]", 0.8)
    studio.click("#add-key")
    move(studio, "#emotions input[name=joy]", 0)
    studio.wait_for_function(
        "least => Math.max(...facewave.transport.take.curve('mouthSmileLeft')) > least", arg=smile + 0.05
    )
    assert studio.inner_text("#command").endswith("--emotion-keys keys.json")
    with studio.expect_download() as download:
        studio.click("#save-keys")
    assert download.value.suggested_filename == "keys.json"
    download.value.save_as(tmp_path / "keys.json")
    assert json.loads((tmp_path / "keys.json").read_text()) == [{"time_code": 0.5, "emotions": {"joy": 0.8}}]
    read_emotion_keys(tmp_path / "keys.json")


def renamed_head(path: Path) -> Path:
    """The bundled head as another tool would write it: `jawOpen` called `jaw_open`, one shape missing."""
    data = HEAD.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + size])
    for mesh in document["meshes"]:
        names = mesh.get("extras", {}).get("targetNames", [])
        swaps = {"jawOpen": "jaw_open", "mouthSmileLeft": "mouthSmile_L", "cheekPuff": "balloon"}
        mesh.setdefault("extras", {})["targetNames"] = [swaps.get(name, name) for name in names]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    head = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON")
    path.write_bytes(head + text + rest)
    return path


def test_own_avatar_takes_the_heads_place_and_a_second_provider_shows_beside_it(
    studio: Any, sounds: dict[str, Path], tmp_path: Path
) -> None:
    studio.set_input_files("#avatar", renamed_head(tmp_path / "mine.glb"))
    studio.wait_for_function("document.getElementById('avatar-note').textContent.includes('1 channels: cheekPuff')")
    studio.set_input_files("#audio", sounds["short.wav"])
    takes(studio, 1)
    at_peak(studio, "facewave.viewer")
    studio.set_input_files("#avatar", sounds["words.wav"])
    studio.wait_for_function("document.getElementById('error').textContent.startsWith('That avatar cannot be shown')")

    assert not studio.is_visible("#stage-b")
    studio.select_option("#provider-b", "Embedded")
    takes(studio, 2)
    assert studio.is_visible("#stage-b")
    first, second = (studio.locator(name).bounding_box() for name in ("#stage-a", "#stage-b"))
    assert first["x"] + first["width"] <= second["x"] + 1
    at_peak(studio, "facewave.second()")
    studio.select_option("#provider-b", "")
    takes(studio, 3)
    assert not studio.is_visible("#stage-b")


def test_every_kind_of_sound_is_shown_or_answered_in_words(studio: Any, sounds: dict[str, Path]) -> None:
    drop(studio, sounds["short.aiff"])
    takes(studio, 1)
    assert studio.inner_text("#error") == ""
    assert "short.aiff: 72 frames" in studio.inner_text("#note")
    assert studio.evaluate("facewave.clock.buffer.duration") == pytest.approx(1.2, abs=0.01)
    studio.set_input_files("#audio", sounds["silent.wav"])
    takes(studio, 2)
    assert studio.inner_text("#error") == ""
    assert peak(studio) < 0.1, "silence shows a resting face"
    studio.expected_problems.append("400")  # The browser itself logs the server's refusals.
    for name, words in (("words.wav", "not audio"), ("empty.wav", "no samples")):
        drop(studio, sounds[name])
        studio.wait_for_function("words => document.getElementById('error').textContent.includes(words)", arg=words)
        assert studio.inner_text("#error").startswith(name)


def test_microphone_moves_the_face_and_tells_its_delay(studio: Any) -> None:
    studio.click("#mic")
    studio.wait_for_function("document.getElementById('latency').textContent.includes('ms from voice to face')")
    # What Chromium's fake device plays is speech: the jaw opens and closes with it.
    studio.wait_for_function(
        """() => {
          globalThis.jaws = [...(globalThis.jaws ?? []), facewave.viewer.shown("jawOpen")].filter((w) => w >= 0);
          return Math.max(...jaws) > 0.15 && Math.min(...jaws) < 0.05;
        }"""
    )
    assert studio.get_attribute("#mic", "aria-pressed") == "true"
    studio.click("#mic")
    studio.wait_for_function("document.getElementById('mic').textContent === 'Microphone'")
    assert studio.inner_text("#error") == ""


def test_example_page_drives_an_avatar_through_the_client(page: Any, address: str) -> None:
    page.goto(address + "static/example.html", wait_until="commit")
    page.wait_for_function("globalThis.shownMeshes?.().length > 0")
    assert page.evaluate("shownMeshes().some((mesh) => 'jawOpen' in mesh.morphTargetDictionary)")
    page.click("#talk")
    page.wait_for_function("document.getElementById('state').textContent === 'Talk.'")
    page.wait_for_function(
        """() => shownMeshes().some((mesh) => {
          const jaw = mesh.morphTargetDictionary.jawOpen;
          return jaw !== undefined && mesh.morphTargetInfluences[jaw] > 0.15;
        })"""
    )


def test_client_streams_a_recording_and_gets_every_frame(page: Any, address: str) -> None:
    page.expected_problems.append("404")  # This bare piece of a page names no icon, and the browser asks for one.
    page.goto(address + "static/views.html", wait_until="commit")
    rate, count = 16000, 16000
    told = page.evaluate(
        """async ([url, rate, count]) => {
          const { FacewaveClient } = await import("/static/js/facewave_client.js");
          const client = new FacewaveClient(url);
          const indices = [];
          client.onframe = (frame) => indices.push([frame.index, frame.seconds, frame.weights.length]);
          const info = await client.start({ sampleRate: rate, settings: { fps: 30 } });
          for (let i = 0; i < count; i += 1000) client.send(new Float32Array(1000));
          return { info, frames: await client.end(), indices };
        }""",
        [address.replace("http", "ws") + "ws/stream", rate, count],
    )
    assert told["info"]["channels"] == list(CHANNELS)
    assert told["frames"] == 30
    assert told["indices"] == [[k, pytest.approx(k / 30), len(CHANNELS)] for k in range(30)]


def test_page_is_accessible_in_light_and_dark(studio: Any, sounds: dict[str, Path]) -> None:
    axe = Path(os.environ.get("AXE_CORE", AXE))
    if not axe.is_file():
        pytest.skip("no axe-core: run `npm ci` in tests/studio, or set AXE_CORE to a copy of axe.min.js")
    studio.set_input_files("#audio", sounds["short.wav"])
    takes(studio, 1)
    studio.add_script_tag(path=axe)
    for theme in ("light", "dark"):
        studio.evaluate("t => { document.documentElement.dataset.theme = t; }", theme)
        found = studio.evaluate("axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))")
        assert found == [], theme
