"""Profiles of rigs: files, limits, retargeting, and matching a rig's own names."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import facewave
from facewave.animation.calibrate import calibrate
from facewave.animation.retarget import Retarget, retargeted
from facewave.animation.rig import Rig, format_rig, load_rig, parse_rig, scaled, shipped
from facewave.animation.rig_targets import read_targets
from facewave.blendshapes import ARKIT, CHANNELS, INDEX, underscore
from facewave.errors import SettingsError
from facewave.providers.embedded.articulation import CLASSES, VISEME_OF, to_blendshapes
from facewave.providers.embedded.transcript.coarticulation import rules

HEAD = Path(facewave.__file__).parent / "studio" / "static" / "head.glb"


def face(**values: float) -> NDArray[np.float32]:
    weights = np.zeros((1, len(CHANNELS)), np.float32)
    for name, value in values.items():
        weights[0, INDEX[name]] = value
    return weights


def shown(rig: Rig, weights: NDArray[np.float32]) -> dict[str, float]:
    retarget = Retarget(rig)
    return dict(zip(retarget.targets, retarget(weights)[0].tolist(), strict=True))


@pytest.mark.parametrize("name", shipped())
def test_shipped_profiles_stay_within_their_limits_and_survive_their_file(name: str) -> None:
    rig = load_rig(name)
    assert parse_rig(format_rig(rig), "again") == rig
    values = Retarget(rig)(np.random.default_rng(0).random((500, 68)).astype(np.float32) * 2 - 0.5)
    assert values.shape == (500, len(rig.targets))
    assert values.min() >= 0
    assert values.max() <= 1
    assert not Retarget(rig)(np.zeros((3, 68), np.float32)).any(), "a face at rest is a rig at rest"
    alone = np.eye(68, dtype=np.float32) * 0.5
    alone[INDEX["mouthClose"], INDEX["jawOpen"]] = 0.5
    moved = Retarget(rig)(alone).max(axis=0)
    assert not [target for target, most in zip(rig.targets, moved.tolist(), strict=True) if most < 0.05]


@given(values=st.lists(st.floats(0, 1, width=32), min_size=68, max_size=68))
@settings(max_examples=100, deadline=None)
def test_arkit_limits_hold_for_every_face(values: list[float]) -> None:
    out = shown(load_rig("arkit"), np.array([values], np.float32))
    given_ = dict(zip(CHANNELS, values, strict=True))
    assert out["mouthClose"] <= out["jawOpen"] + 1e-6
    assert out["mouthFunnel"] + out["mouthPucker"] <= 1.2 + 1e-5
    assert out["mouthSmileLeft"] <= given_["mouthSmileLeft"] * (1 - 0.6 * given_["mouthPucker"]) + 1e-5
    assert out["eyeWideRight"] <= 1 - given_["eyeBlinkRight"] + 1e-6
    assert all(out[name] <= given_[name] + 1e-6 for name in ARKIT), "limits only lower"


def test_gain_offset_cap_and_range_come_in_this_order() -> None:
    rig = parse_rig(
        """
        format = 1
        name = "x"
        [gain]
        jawOpen = 0.5
        [offset]
        mouthClose = 0.9
        [[cap]]
        channel = "mouthClose"
        under = "jawOpen"
        share = 0.5
        [targets]
        "Jaw" = "jawOpen"
        "Shut" = "MouthClose"
        "Grin" = { mouthSmileLeft = 0.5, mouthSmile_R = 0.5, jawOpen = -1 }
        [range]
        "Grin" = [-0.1, 0.25]
        """,
        "test",
    )
    assert shown(rig, face(jawOpen=0.8)) == pytest.approx({"Jaw": 0.4, "Shut": 0.2, "Grin": -0.1})
    assert shown(rig, face(mouthSmileLeft=1, mouthSmileRight=1))["Grin"] == 0.25


def test_percentages_are_a_hundred_times_the_values() -> None:
    rig, frames = load_rig("vrm1"), np.random.default_rng(1).random((50, 68)).astype(np.float32)
    np.testing.assert_allclose(Retarget(scaled(rig, 100))(frames), 100 * Retarget(rig)(frames), rtol=1e-4, atol=1e-3)


def test_other_channel_sets_and_orders_mean_the_same() -> None:
    rig, frames = load_rig("arkit"), np.random.default_rng(2).random((20, 68)).astype(np.float32)
    frames[:, 52:] = 0
    order = tuple(reversed(ARKIT))
    mixed = frames[:, [INDEX[name] for name in order]]
    np.testing.assert_allclose(Retarget(rig, order)(mixed), Retarget(rig)(frames), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format = 2", "format: found 2, expected 1"),
        ("format = 1\n[target]\n", r"unknown key 'target' \(did you mean targets\?\)"),
        ("format = 1", r"found no \[targets\]"),
        ("format = 1\n[gain]\njawOpn = 1\n", "gain: unknown blend shape 'jawOpn'.*jawOpen"),
        ('format = 1\n[targets]\na = "jawOpn"\n', "targets.a: unknown blend shape 'jawOpn'"),
        ("format = 1\n[targets]\na = 3\n", "targets.a: found 3, expected a channel"),
        ('format = 1\n[targets]\na = "jawOpen"\n[range]\nb = [0, 1]\n', "range.b: no such target"),
        ('format = 1\n[targets]\na = "jawOpen"\n[range]\na = [1, 0]\n', "range.a: found .*, expected the lowest"),
        ('format = 1\n[[fade]]\nchannel = "jawOpen"\nby = "jawLeft"\namount = 2\n', "amount: found 2, expected 0 to 1"),
        ('format = 1\n[[cap]]\nchannel = "jawOpen"\n', "number 1: key 'under' is missing"),
        ('format = 1\n[[cap]]\nchanel = "jawOpen"\n', r"unknown key 'chanel' \(did you mean channel\?\)"),
        ('format = 1\n[[sum]]\nchannels = ["jawOpen"]\n', "expected a list of two or more channels"),
        ("format = ", "not valid TOML"),
    ],
)  # fmt: skip
def test_a_profile_with_a_mistake_names_it(text: str, message: str) -> None:
    # Targets come last in the message's way, so that the mistake asked for is the one found.
    with pytest.raises(SettingsError, match=message):
        parse_rig(text if "targets" in text or "no \\[targets" in message else text + _TARGETS, "rig x.toml")


_TARGETS = '\n[targets]\njaw = "jawOpen"\n'


def test_a_profile_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="arkit, metahuman, ovr, vrm0, vrm1"):
        load_rig(tmp_path / "none.toml")


VOWELS = {"ɑ": "aa", "a": "aa", "u": "ou", "ɔ": "oh", "i": "ih", "ɛ": "ee"}


def pose(symbol: str) -> NDArray[np.float32]:
    return to_blendshapes(rules().target[symbol][None].astype(np.float32))


@pytest.mark.parametrize(("symbol", "preset"), VOWELS.items())
def test_vrm_shows_the_vowel_that_is_spoken(symbol: str, preset: str) -> None:
    out = shown(load_rig("vrm1"), pose(symbol))
    assert max(("aa", "ih", "ou", "ee", "oh"), key=out.__getitem__) == preset
    assert out[preset] > 0.4


@pytest.mark.parametrize("profile", ["vrm1", "vrm0"])
@pytest.mark.parametrize("symbol", ["p", "m", "f"])
def test_vrm_closes_the_mouth_on_closures(profile: str, symbol: str) -> None:
    out = shown(load_rig(profile), pose(symbol))
    assert max(value for name, value in out.items() if len(name) <= 2) < 0.1


def test_ovr_visemes_are_mostly_those_of_the_phones() -> None:
    rig = load_rig("ovr")
    right = total = 0
    for symbol in rules().target:
        wanted = VISEME_OF[CLASSES[rules().class_of[symbol]]]
        if wanted != "sil":
            out = shown(rig, pose(symbol))
            right += max(out, key=out.__getitem__) == wanted
            total += 1
    assert right / total > 0.7


def test_metahuman_closes_lips_without_a_curve_for_it() -> None:
    rig = load_rig("metahuman")
    opened = shown(rig, face(jawOpen=0.6))["CTRL_expressions_jawOpen"]
    closed = shown(rig, face(jawOpen=0.6, mouthClose=0.6))
    assert closed["CTRL_expressions_jawOpen"] < 0.5 * opened
    assert closed["CTRL_expressions_mouthLipsTogetherUL"] > 0.5


def glb(path: Path, document: dict[str, Any]) -> Path:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    path.write_bytes(struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text)
    return path


def meshes(*names: str) -> dict[str, Any]:
    target = {"POSITION": 0}
    return {"meshes": [{"primitives": [{"targets": [target] * len(names)}], "extras": {"targetNames": list(names)}}]}


def test_the_head_of_this_project_is_matched_whole() -> None:
    found = calibrate(read_targets(HEAD), "head")
    assert found.profile == "arkit"
    assert len(found.rig.targets) == 68
    assert not found.match.missing


def test_a_head_with_arkit_shapes_and_visemes_is_driven_by_the_shapes_alone(tmp_path: Path) -> None:
    names = [*map(underscore, ARKIT), "viseme_aa", "viseme_PP", "viseme_E"]
    found = calibrate(read_targets(glb(tmp_path / "a.glb", meshes(*names))), "a.glb")
    assert found.profile == "arkit"
    assert found.match.unmatched == ("viseme_aa", "viseme_PP", "viseme_E")
    assert shown(found.rig, face(mouthSmileLeft=0.5))["mouthSmile_L"] == 0.5


def test_visemes_and_vrm_presets_are_recognised(tmp_path: Path) -> None:
    visemes = calibrate(["viseme_aa", "viseme_PP", "viseme_oh", "viseme_FF", "viseme_sil"], "v")
    assert visemes.profile == "ovr"
    assert visemes.match.unmatched == ("viseme_sil",)
    presets: dict[str, Any] = {"preset": {key: {} for key in ("aa", "ih", "ou", "happy", "neutral")}}
    presets["custom"] = {"wink": {}}
    avatar = glb(tmp_path / "a.vrm", {"extensions": {"VRMC_vrm": {"expressions": presets}}, **meshes("Fcl_1")})
    assert read_targets(avatar) == ("aa", "ih", "ou", "happy", "neutral", "wink")
    assert calibrate(read_targets(avatar), "a").profile == "vrm1"
    groups = [{"presetName": name} for name in ("a", "i", "joy", "blink_l")] + [
        {"presetName": "unknown", "name": "Wink"}
    ]
    older = glb(tmp_path / "b.vrm", {"extensions": {"VRM": {"blendShapeMaster": {"blendShapeGroups": groups}}}})
    found = calibrate(read_targets(older), "b")
    assert found.profile == "vrm0"
    assert found.match.unmatched == ("Wink",)


def test_names_from_text_and_from_the_header_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("# shapes\njawOpen\n\nMouth_Close,  # lips\n'jawOpen'\n")
    assert read_targets(tmp_path / "names.txt") == ("jawOpen", "Mouth_Close")
    (tmp_path / "take.csv").write_text("Timecode,BlendShapeCount,JawOpen,MouthClose,HeadYaw,LeftEyePitch\n0,61,0,0,0,0")
    assert read_targets(tmp_path / "take.csv") == ("JawOpen", "MouthClose")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.glb", b"glTF\x02\0\0\0", "expected a whole glTF file"),
        ("a.glb", struct.pack("<4sIIII", b"glTF", 1, 40, 4, 0) + b"{}  ", r"damaged or old glTF file \(version 1\)"),
        ("a.gltf", b"{nothing", "not valid JSON"),
        ("a.gltf", b'{"meshes": [{"primitives": [{"targets": [{}, {}]}]}]}', "found 2 morph targets without names"),
        ("a.gltf", b"{}", "found no target names"),
        ("a.fbx", b"Kaydara\xff\xfe", "found neither glTF nor text"),
        ("a.txt", b"# nothing\n", "found no target names"),
    ],
)
def test_rigs_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        read_targets(tmp_path / name)


def test_names_that_nobody_understands() -> None:
    with pytest.raises(SettingsError, match="none of its 2 target names is understood"):
        calibrate(["hair", "skirt"], "x.glb")
    with pytest.raises(SettingsError, match="profile: found 'vrm2'"):
        calibrate(["jawOpen"], "x.glb", "vrm2")


def test_a_take_in_the_names_of_a_rig(demo_clip: Path, tmp_path: Path) -> None:
    plain = facewave.animate(demo_clip)
    take = facewave.animate(demo_clip, rig="vrm1", output=tmp_path / "take.csv")
    assert take.channels == tuple(load_rig("vrm1").targets)
    np.testing.assert_array_equal(take.weights, retargeted(plain, load_rig("vrm1")).weights)
    assert take.emotions is not None
    assert take.channel("aa").max() > 0.4
    with (tmp_path / "take.csv").open(newline="") as file:
        assert next(csv.reader(file))[1] == "blendShapes.aa"
