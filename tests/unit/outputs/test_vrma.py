"""VRM animation: the presets, the avatar's own spelling, and what other readers find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facewave.blendshapes import CHANNELS, pascal
from facewave.errors import AnimationFileError, OutputError
from facewave.frames import Animation
from facewave.outputs.gltf.expressions import VOWELS, presets
from facewave.providers.embedded.articulation import to_blendshapes
from tests.avatars import a_take, avatar_parts, glb, glb_parts, validator_issues


def pose(**weights: float) -> Animation:
    values = np.array([[weights.get(name, 0.0) for name in CHANNELS]], np.float32)
    return Animation(a_take(frames=1).info, values)


@pytest.mark.parametrize("vowel", list(VOWELS))
def test_each_pose_of_the_table_is_its_vowel_alone(vowel: str) -> None:
    weights = dict(VOWELS[vowel])
    stretch = weights.pop("mouthStretch", 0.0)
    found = presets(pose(**weights, mouthStretchLeft=stretch, mouthStretchRight=stretch))
    assert found[vowel][0] > 0.85
    assert sum(float(found[other][0]) for other in VOWELS if other != vowel) < 0.15


def test_a_mouth_at_rest_or_closed_says_nothing() -> None:
    for closed in (pose(), pose(jawOpen=0.4, mouthClose=0.4), pose(mouthPressLeft=1, mouthPressRight=1)):
        found = presets(closed)
        assert max(float(found[vowel][0]) for vowel in VOWELS) == 0


def test_amounts_stay_in_range_for_any_face() -> None:
    found = presets(a_take(frames=500))
    table = np.stack([found[vowel] for vowel in VOWELS], axis=1)
    assert (table >= 0).all()
    assert table.sum(axis=1).max() <= 1 + 1e-6
    assert np.array_equal(found["blinkLeft"], a_take(frames=500).channel("eyeBlinkLeft"))


def test_vowels_of_the_bundled_articulation_are_told_apart() -> None:
    from facewave.providers.embedded.transcript.coarticulation import rules

    symbols = {"a": "aa", "i": "ih", "u": "ou", "ɔ": "oh"}
    target = rules().target
    weights = to_blendshapes(np.array([target[symbol] for symbol in symbols], np.float32))
    found = presets(Animation(a_take(frames=4).info, weights))
    table = np.stack([found[vowel] for vowel in VOWELS], axis=1)
    assert [list(VOWELS)[i] for i in table.argmax(axis=1)] == list(symbols.values())


def test_weights_are_the_x_of_nodes(tmp_path: Path) -> None:
    take = a_take(frames=5)
    take.save(tmp_path / "a.vrma")
    content, binary = glb_parts((tmp_path / "a.vrma").read_bytes())
    extension = content["extensions"]["VRMC_vrm_animation"]
    assert extension["specVersion"] == "1.0"
    assert sorted(extension["expressions"]["preset"]) == ["aa", "blinkLeft", "blinkRight", "ee", "ih", "oh", "ou"]
    assert set(extension["expressions"]["custom"]) == set(CHANNELS)
    node = extension["expressions"]["custom"]["jawOpen"]["node"]
    animation = content["animations"][0]
    channel = next(entry for entry in animation["channels"] if entry["target"]["node"] == node)
    accessor = content["accessors"][animation["samplers"][channel["sampler"]]["output"]]
    view = content["bufferViews"][accessor["bufferView"]]
    rows = np.frombuffer(binary, "<f4", 15, view["byteOffset"]).reshape(5, 3)
    assert np.array_equal(rows[:, 0], take.channel("jawOpen"))
    assert not rows[:, 1:].any()


def test_khronos_finds_nothing_to_say(tmp_path: Path) -> None:
    a_take().save(tmp_path / "a.vrma")
    assert validator_issues(tmp_path / "a.vrma") == []


def vrm(tmp_path: Path, extensions: dict[str, Any]) -> Path:
    content, binary = avatar_parts()
    content["extensions"] = extensions
    (tmp_path / "me.vrm").write_bytes(glb(content, binary))
    return tmp_path / "me.vrm"


def written(tmp_path: Path, avatar: Path) -> dict[str, Any]:
    a_take().save(tmp_path / "a.vrma", avatar=avatar)
    content, _ = glb_parts((tmp_path / "a.vrma").read_bytes())
    found: dict[str, Any] = content["extensions"]["VRMC_vrm_animation"]["expressions"]
    return found


PRESETS = ["aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft", "blinkRight", "happy"]


def test_an_avatar_without_arkit_gets_presets_alone(tmp_path: Path) -> None:
    avatar = vrm(tmp_path, {"VRMC_vrm": {"expressions": {"preset": {name: {} for name in PRESETS}}}})
    found = written(tmp_path, avatar)
    assert list(found) == ["preset"]
    assert sorted(found["preset"]) == ["aa", "blinkLeft", "blinkRight", "ee", "ih", "oh", "ou"]
    with pytest.raises(AnimationFileError, match="custom expressions with ARKit names"):
        Animation.load(tmp_path / "a.vrma")


def test_an_avatar_with_arkit_gets_no_preset_that_does_the_same(tmp_path: Path) -> None:
    expressions: dict[str, Any] = {
        "preset": {name: {} for name in PRESETS},
        "custom": {pascal(name): {} for name in CHANNELS[:52]},
    }
    found = written(tmp_path, vrm(tmp_path, {"VRMC_vrm": {"expressions": expressions}}))
    assert list(found) == ["custom"]
    assert sorted(found["custom"]) == sorted(map(pascal, CHANNELS[:52]))
    assert len(Animation.load(tmp_path / "a.vrma").channels) == 52


def test_an_older_avatar_is_understood(tmp_path: Path) -> None:
    groups = [{"name": name.upper(), "presetName": name} for name in ("a", "i", "u", "e", "o", "blink_l", "joy")]
    groups.append({"name": "EyeBlinkRight", "presetName": "unknown"})
    found = written(tmp_path, vrm(tmp_path, {"VRM": {"blendShapeMaster": {"blendShapeGroups": groups}}}))
    assert sorted(found["preset"]) == ["aa", "blinkLeft", "ee", "ih", "oh", "ou"]
    assert list(found["custom"]) == ["EyeBlinkRight"]


def test_a_model_that_is_no_vrm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnimationFileError, match="not a VRM model"):
        written(tmp_path, vrm(tmp_path, {}))
    with pytest.raises(OutputError, match="found the shapes happy"):
        written(tmp_path, vrm(tmp_path, {"VRMC_vrm": {"expressions": {"preset": {"happy": {}}}}}))
