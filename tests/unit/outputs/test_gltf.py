"""glTF: the animation on models of others, files of others read, and files nobody should have written."""

from __future__ import annotations

import base64
import copy
import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facewave.blendshapes import CHANNELS
from facewave.errors import AnimationFileError, OutputError
from facewave.frames import Animation, StreamInfo
from facewave.outputs import read_animation
from facewave.outputs.gltf import glb as glb_format
from tests.avatars import FACE_SHAPES, a_take, avatar_parts, glb, glb_parts, validator_issues


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    path = tmp_path / "avatar.glb"
    path.write_bytes(glb(*avatar_parts()))
    return path


def outputs_of(content: dict[str, Any], binary: bytes, animation: int) -> list[tuple[int, np.ndarray[Any, Any]]]:
    """(node, table of weights) of each weights channel, read by the book."""
    entry = content["animations"][animation]
    found = []
    for channel in entry["channels"]:
        sampler = entry["samplers"][channel["sampler"]]
        keys = content["accessors"][sampler["input"]]["count"]
        accessor = content["accessors"][sampler["output"]]
        view = content["bufferViews"][accessor["bufferView"]]
        values = np.frombuffer(binary, "<f4", accessor["count"], view["byteOffset"])
        found.append((channel["target"]["node"], values.reshape(keys, -1)))
    return found


@pytest.mark.parametrize("extension", [".glb", ".gltf"])
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(60)], ids=str)
def test_the_bundled_head_carries_the_take(tmp_path: Path, extension: str, fps: Fraction) -> None:
    written = a_take(fps=fps)
    assert written.save(tmp_path / f"a{extension}") is None
    read = Animation.load(tmp_path / f"a{extension}")
    assert read.frame_rate == fps
    assert read.info.audio == Path("hello there.wav")
    assert read.channels == CHANNELS
    np.testing.assert_allclose(read.weights, written.weights, atol=1e-6)


def test_a_users_model_keeps_all_it_had(tmp_path: Path, avatar: Path) -> None:
    before, before_binary = avatar_parts()
    take = a_take()
    told = take.save(tmp_path / "out.glb", avatar=avatar)
    content, binary = glb_parts((tmp_path / "out.glb").read_bytes())
    assert binary[: len(before_binary)] == before_binary
    for key in ("asset", "extensionsUsed", "scene", "scenes", "nodes", "cameras", "materials", "meshes", "extras"):
        assert content[key] == before[key], key
    for key in ("accessors", "bufferViews", "animations"):
        assert content[key][: len(before[key])] == before[key], key
    assert len(content["animations"]) == 3
    added = content["animations"][2]
    assert added["name"] == "hello there"
    assert added["extras"]["facewave"] == {"audio": "hello there.wav", "frameRate": [60, 1]}
    assert told is not None
    assert [(mesh.mesh, [shape for shape, _ in mesh.matched]) for mesh in told.meshes] == [
        ("FaceMesh", ["Head.jawOpen", "eyeBlink_L", "EyeBlinkRight", "mouth_smile_left"]),
        ("TeethMesh", ["JAW-OPEN"]),
        ("HatMesh", []),
    ]
    assert told.meshes[0].unmatched == ("Basis2", "jawOpen_fix", "viseme_aa")
    assert len(told.missing) == len(CHANNELS) - 4


def test_every_node_of_every_matching_mesh_moves(tmp_path: Path, avatar: Path) -> None:
    take = a_take(frames=7)
    take.save(tmp_path / "out.glb", avatar=avatar)
    content, binary = glb_parts((tmp_path / "out.glb").read_bytes())
    found = outputs_of(content, binary, 2)
    assert [node for node, _ in found] == [0, 1, 2]
    face = found[0][1]
    assert np.array_equal(face, found[1][1])
    columns = {"Head.jawOpen": "jawOpen", "eyeBlink_L": "eyeBlinkLeft", "EyeBlinkRight": "eyeBlinkRight"}
    for shape, channel in columns.items():
        assert np.array_equal(face[:, FACE_SHAPES.index(shape)], take.channel(channel))
    assert (face[:, 0] == 0.25).all(), "a shape that nothing means keeps the weight it had"
    assert np.array_equal(found[2][1][:, 0], take.channel("jawOpen"))
    assert len(content["animations"][2]["samplers"]) == 2, "equal curves are stored once"


def test_the_last_animation_of_facewave_is_read_back(tmp_path: Path, avatar: Path) -> None:
    a_take(channels=("jawOpen",)).save(tmp_path / "one.glb", avatar=avatar)
    second = a_take(frames=33, fps=Fraction(25))
    second.save(tmp_path / "two.glb", avatar=tmp_path / "one.glb")
    read = Animation.load(tmp_path / "two.glb")
    assert (len(read), float(read.frame_rate)) == (33, 25)
    assert read.channels == ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthSmileLeft")
    np.testing.assert_array_equal(read.weights, second.with_channels(read.channels).weights)


def test_khronos_finds_nothing_to_say(tmp_path: Path, avatar: Path) -> None:
    a_take().save(tmp_path / "head.glb")
    a_take(frames=1).save(tmp_path / "head.gltf")
    a_take().save(tmp_path / "avatar_out.glb", avatar=avatar)
    a_take().save(tmp_path / "avatar_out.gltf", avatar=avatar)
    paths = [tmp_path / name for name in ("head.glb", "head.gltf", "avatar_out.glb", "avatar_out.gltf")]
    assert validator_issues(avatar) == [], "the test's own model is valid"
    assert validator_issues(*paths) == []


def test_a_model_of_several_files_becomes_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "textures").mkdir(parents=True)
    content, binary = avatar_parts()
    pixel = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    (folder / "textures" / "a b.png").write_bytes(pixel)
    (folder / "data.bin").write_bytes(binary)
    content["buffers"][0]["uri"] = "data.bin"
    content["images"] = [{"uri": "textures/a%20b.png"}]
    content["textures"] = [{"source": 0}]
    (folder / "model.gltf").write_text(json.dumps(content))
    for extension in (".glb", ".gltf"):
        a_take().save(tmp_path / f"out{extension}", avatar=folder / "model.gltf")
        assert len(Animation.load(tmp_path / f"out{extension}")) == 90
    written, data = glb_parts((tmp_path / "out.glb").read_bytes())
    image = written["bufferViews"][written["images"][0]["bufferView"]]
    assert written["images"][0]["mimeType"] == "image/png"
    assert data[image["byteOffset"] :][: image["byteLength"]] == pixel
    assert "uri" not in written["buffers"][0]
    text = json.loads((tmp_path / "out.gltf").read_text())
    assert base64.b64decode(text["images"][0]["uri"].partition(",")[2]) == pixel
    assert validator_issues(tmp_path / "out.glb", tmp_path / "out.gltf") == []


def test_a_chunk_of_another_kind_is_kept(tmp_path: Path) -> None:
    other = struct.pack("<I4s", 8, b"XTRA") + b"whatever"
    (tmp_path / "a.glb").write_bytes(glb(*avatar_parts(), other))
    a_take().save(tmp_path / "out.glb", avatar=tmp_path / "a.glb")
    assert (tmp_path / "out.glb").read_bytes().endswith(other)


def test_a_model_nothing_fits_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    content, binary = avatar_parts()
    content["meshes"][0]["extras"]["targetNames"] = [f"Fcl_{i}" for i in range(len(FACE_SHAPES))]
    content["meshes"][1]["primitives"][0]["extras"] = {}
    (tmp_path / "a.glb").write_bytes(glb(content, binary))
    with pytest.raises(OutputError, match=r"a\.glb: nothing to animate: found the shapes Fcl_0, Fcl_1"):
        a_take().save(tmp_path / "out.glb", avatar=tmp_path / "a.glb")
    assert [path.name for path in tmp_path.iterdir()] == ["a.glb"]


def test_a_format_that_takes_no_model_says_which_do(tmp_path: Path, avatar: Path) -> None:
    with pytest.raises(OutputError, match=r"\.csv cannot be put on .*avatar\.glb; these can: \.glb"):
        a_take().save(tmp_path / "out.csv", avatar=avatar)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnimationFileError, match=r"none\.glb: the model cannot be read"):
        a_take().save(tmp_path / "out.glb", avatar=tmp_path / "none.glb")


def foreign(times: list[float], values: list[Any], interpolation: str = "LINEAR", component: int = 5126) -> bytes:
    """A model whose one animation moves the jaw, as another program exports it."""
    content, binary = avatar_parts()
    data = bytearray(binary + b"\0" * (-len(binary) % 4))
    places = []
    for array in (np.array(times, np.float32), np.array(values, {5126: "<f4", 5121: "<u1", 5122: "<i2"}[component])):
        data.extend(b"\0" * (-len(data) % 4))
        content["bufferViews"].append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
        content["accessors"].append(
            {
                "bufferView": len(content["bufferViews"]) - 1,
                "componentType": 5126,
                "count": array.size,
                "type": "SCALAR",
            }
        )
        places.append(len(content["accessors"]) - 1)
        data.extend(array.tobytes())
    content["accessors"][-1] |= {"componentType": component, "normalized": component != 5126}
    sampler = {"input": places[0], "output": places[1], "interpolation": interpolation}
    content["animations"] = [
        {"channels": [{"sampler": 0, "target": {"node": 2, "path": "weights"}}], "samplers": [sampler]}
    ]
    content["buffers"][0]["byteLength"] = len(data)
    return glb(content, bytes(data))


def load(tmp_path: Path, data: bytes) -> Animation:
    path = tmp_path / "foreign.glb"
    path.write_bytes(data)
    return Animation.load(path)


def test_even_keys_are_taken_as_they_are(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 100, dtype=np.float32)
    read = load(tmp_path, foreign([i * 1001 / 30000 for i in range(100)], values.tolist()))
    assert read.frame_rate == Fraction(30000, 1001)
    assert read.channels == ("jawOpen",)
    np.testing.assert_array_equal(read.channel("jawOpen"), values)


def test_keys_that_begin_late_are_held_from_the_start(tmp_path: Path) -> None:
    read = load(tmp_path, foreign([(i + 1) / 24 for i in range(48)], [i / 48 for i in range(48)]))
    assert (float(read.frame_rate), len(read)) == (24, 49)
    assert read.channel("jawOpen")[[0, 1, 2, 48]].tolist() == pytest.approx([0, 0, 1 / 48, 47 / 48], abs=1e-5)


def test_uneven_keys_are_sampled(tmp_path: Path) -> None:
    read = load(tmp_path, foreign([0, 0.5, 2.0], [0, 1, 0.25]))
    assert (float(read.frame_rate), len(read)) == (30, 61)
    expected = np.interp(np.arange(61) / 30, [0, 0.5, 2.0], [0, 1, 0.25])
    np.testing.assert_allclose(read.channel("jawOpen"), expected, atol=1e-6)


def test_an_animation_for_each_mesh_is_one_take(tmp_path: Path) -> None:
    content, binary = avatar_parts()
    whole = content["animations"].pop()
    times, output = whole["samplers"][0]["input"], len(content["accessors"])
    content["accessors"].append({**content["accessors"][whole["samplers"][0]["output"]], "count": 2})
    teeth = {"channels": [{"sampler": 0, "target": {"node": 2, "path": "weights"}}]}
    content["animations"] += [teeth | {"samplers": [{"input": times, "output": output}]}, whole]
    content["meshes"][1]["primitives"][0]["extras"]["targetNames"] = ["mouthPucker"]
    read = load(tmp_path, glb(content, binary))
    assert read.channels == ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthPucker", "mouthSmileLeft")


def test_steps_and_splines(tmp_path: Path) -> None:
    read = load(tmp_path, foreign([0, 0.5, 2.0], [0, 1, 0.25], "STEP"))
    assert read.channel("jawOpen")[[14, 15, 59, 60]].tolist() == [0, 1, 1, 0.25]
    # Tangents of the straight line t / 2 make the spline that line.
    line = [[0.5, time / 2, 0.5] for time in (0, 0.5, 2.0)]
    read = load(tmp_path, foreign([0, 0.5, 2.0], line, "CUBICSPLINE"))
    np.testing.assert_allclose(read.channel("jawOpen"), np.arange(61) / 60, atol=1e-6)
    # Flat tangents give the smooth step, half-way at the middle.
    flat = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    read = load(tmp_path, foreign([0, 1, 3.0], flat, "CUBICSPLINE"))
    assert read.channel("jawOpen")[[15, 30, 60]].tolist() == pytest.approx([0.5, 1, 0.5], abs=1e-6)


def test_weights_stored_as_bytes(tmp_path: Path) -> None:
    read = load(tmp_path, foreign([0, 1, 2], [0, 51, 255], component=5121))
    assert read.channel("jawOpen").tolist() == pytest.approx([0, 0.2, 1])
    read = load(tmp_path, foreign([0, 1, 2], [-32768, 16384, 32767], component=5122))
    assert read.channel("jawOpen").tolist() == pytest.approx([-1, 0.5, 1], abs=1e-4)


def changed(*path: Any, value: Any) -> bytes:
    content, binary = avatar_parts()
    place: Any = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return glb(content, binary)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"glTF", "truncated: 4 bytes"),
        (b"glTF" + struct.pack("<II", 1, 20) + bytes(8), "GLB version 1, expected 2"),
        (glb(*avatar_parts())[:-40], "truncated: .* bytes of the .* its header declares"),
        (b"glTF" + struct.pack("<III4s", 2, 20, 1 << 31, b"JSON"), "chunk of 2147483648 bytes .* ends behind the file"),
        (b"glTF" + struct.pack("<III4s", 2, 20, 0, b"BIN\0"), "first chunk is not JSON"),
        (b"glTF" + struct.pack("<III4s", 2, 24, 4, b"JSON") + b"[[[[", "JSON cannot be read"),
        (changed("asset", "version", value="1.0"), "glTF version '1.0', expected 2.0"),
        (changed("asset", "version", value=float("nan")), "NaN, which JSON does not have"),
        (changed("accessors", 6, "count", value=1 << 40), "accessor 6 needs .* bytes"),
        (changed("accessors", 6, value={"componentType": 5126, "type": "SCALAR", "count": 1 << 50}), "stores none"),
        (changed("accessors", 6, "componentType", value=9), "which glTF does not know"),
        (changed("accessors", 6, "count", value=-2), "expected a whole number"),
        (changed("bufferViews", 7, "byteOffset", value=1 << 62), "needs bytes .* of buffer 0, which has"),
        (changed("buffers", 0, "byteLength", value=1 << 60), "buffer 0 declares .* bytes and has"),
        (changed("buffers", 0, "uri", value="../../../etc/passwd"), "outside its own folder"),
        (changed("buffers", 0, "uri", value="https://example.org/x.bin"), "nothing is fetched"),
        (changed("buffers", 0, "uri", value="none.bin"), "is not a file beside it"),
        (changed("buffers", 0, "uri", value="data:;base64,AAAA"), "declares .* bytes and has 3"),
        (changed("animations", 1, "samplers", 0, "output", value=99), "entry 99 of 'accessors'"),
        (changed("animations", 1, "samplers", 0, "output", value=5), "8 values for 2 keys, expected 14"),
        (changed("animations", 1, "samplers", 0, "input", value=6), "do not increase"),
        (changed("animations", 1, "samplers", 0, "interpolation", value="WOBBLE"), "'WOBBLE'"),
        (changed("animations", 1, "channels", 0, "sampler", value=3), "uses sampler 3"),
        (changed("animations", 1, "channels", 0, "target", "node", value=44), "entry 44 of 'nodes'"),
        (changed("animations", value=[]), "no animation in it moves morph targets"),
        (changed("meshes", value=7), "'meshes' in the file is not a list of objects"),
    ],
)  # fmt: skip
def test_hostile_files_say_what_is_wrong(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(AnimationFileError, match=message):
        load(tmp_path, data)


def test_an_animation_of_years_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnimationFileError, match=r"ends at 1e\+09 s, expected at most 7200 s"):
        load(tmp_path, foreign([0, 1, 1e9], [0, 1, 0]))


def only_its_own_error(data: bytes) -> None:
    try:
        read = glb_format.read(Path("nowhere") / "x.glb", data)
    except AnimationFileError:
        return
    assert np.isfinite(read.weights).all()


VALID = glb(*avatar_parts())
FOREIGN = foreign([0, 0.5, 2.0], [0, 1, 0.25])


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_give_only_an_animation_file_error(data: bytes, begun: bool) -> None:
    only_its_own_error(b"glTF\x02\0\0\0" + data if begun else data)


@given(st.sampled_from([VALID, FOREIGN]), st.data())
def test_truncated_and_flipped_files_give_only_an_animation_file_error(whole: bytes, data: st.DataObject) -> None:
    only_its_own_error(whole[: data.draw(st.integers(0, len(whole)))])
    flipped = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        flipped[place] = data.draw(st.integers(0, 255))
    only_its_own_error(bytes(flipped))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
    | st.sampled_from([0, 1, 2, 5, 1 << 31, 1 << 63, -1, "VEC3", "SCALAR", "CUBICSPLINE", "weights", 5121, 5126]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, entry in inner for place in places(entry, (*path, key)))]


PARTS = [glb_parts(VALID), glb_parts(FOREIGN)]


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(PARTS), st.data())
def test_any_json_inside_gives_only_an_animation_file_error(
    parts: tuple[dict[str, Any], bytes], data: st.DataObject
) -> None:
    content, binary = copy.deepcopy(parts[0]), parts[1]
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([place for place in places(content) if place]))
        holder: Any = content
        for key in path[:-1]:
            holder = holder[key]
        if data.draw(st.booleans()):
            holder[path[-1]] = data.draw(ANYTHING)
        else:
            del holder[path[-1]]
    only_its_own_error(glb(content, binary))


def test_a_take_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frames"):
        Animation(StreamInfo(Fraction(60)), np.zeros((0, 68), np.float32)).save(tmp_path / "a.glb")


def test_a_target_of_another_name_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "take.glb"
    original = Animation(StreamInfo(Fraction(30), CHANNELS), np.random.default_rng(0).random((5, 68), np.float32))
    original.save(path)
    path.write_bytes(path.read_bytes().replace(b'"jawOpen"', b'"chinDro"'))
    assert "chinDro" not in Animation.load(path).channels
    read = read_animation(path, keep={"chinDro"})
    np.testing.assert_allclose(read.channel("chinDro"), original.channel("jawOpen"), atol=1e-6)
    assert len(read.channels) == 68
