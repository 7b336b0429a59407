"""Model folders: what loads, and what every kind of damage is answered with."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from facewave import archives
from facewave.errors import ModelError, ModelFormatError, ModelNotFoundError, ProviderUnavailableError
from facewave.inference.onnx import load_network
from facewave.providers.a2f.folder.bundle import DiffusionBundle, EmotionBundle, RegressionBundle, load_bundle
from facewave.providers.a2f.folder.network import check_network, diffusion_steps
from facewave.providers.a2f.folder.validate import validate
from tests.model_folders import diffusion_folder, edit_arrays, edit_json, emotion_folder, regression_folder

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    regression_folder(folder / "regression")
    diffusion_folder(folder / "diffusion")
    emotion_folder(folder / "emotion")
    return folder


@pytest.fixture
def copy(pristine: Path, tmp_path: Path) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        return Path(shutil.copytree(pristine / kind, tmp_path / kind))

    return make


def test_regression_folder(copy: Callable[[str], Path]) -> None:
    bundle = load_bundle(copy("regression"))
    assert isinstance(bundle, RegressionBundle)
    assert bundle.network.name == "network.onnx"  # although networkPath names network.trt
    assert bundle.emotions == ("anger", "joy", "sadness")
    assert bundle.implicit_emotion.tolist() == pytest.approx([0.12, 0.13])
    assert (bundle.sizes.skin, bundle.sizes.tongue, bundle.sizes.jaw, bundle.sizes.eyes) == (3, 2, 15, 4)
    assert bundle.identity.input_strength == 1.3
    arrays = bundle.identity.load()
    assert arrays.basis_skin is not None
    assert arrays.basis_skin.shape == (3, 24)
    poses = bundle.identity.load_poses("skin")
    assert poses.poses.mask is not None
    assert poses.poses.mask.tolist() == [0, 2, 3, 5]
    assert poses.parameters.template_bb_size == 5.0
    assert bundle.identity.load_poses("tongue").parameters.template_bb_size == 54.7
    validate(bundle)


def test_diffusion_folder(copy: Callable[[str], Path]) -> None:
    bundle = load_bundle(copy("diffusion") / "model.json")
    assert isinstance(bundle, DiffusionBundle)
    assert [identity.name for identity in bundle.identities] == ["Ann", "Bob", "Cid"]
    assert [identity.input_strength for identity in bundle.identities] == pytest.approx([1.0, 1.1, 1.2])
    assert bundle.identities[1].load().basis_skin is None
    validate(bundle)


def test_emotion_folder(copy: Callable[[str], Path]) -> None:
    bundle = load_bundle(copy("emotion"))
    assert isinstance(bundle, EmotionBundle)
    assert bundle.config.correspondence.tolist() == [1, 3, 4, 6, -1, 9]
    assert bundle.config.max_emotions == 2
    validate(bundle)


def network(change: Callable[[onnx.GraphProto], object]) -> Damage:
    def damage(folder: Path) -> None:
        model = onnx.load(folder / "network.onnx")
        change(model.graph)
        onnx.save(model, str(folder / "network.onnx"))

    return damage


def renamed_input(graph: onnx.GraphProto) -> None:
    graph.input[0].name = "audio_in"
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == "input":
                node.input[index] = "audio_in"


def extra_input(graph: onnx.GraphProto) -> None:
    graph.input.append(onnx.helper.make_tensor_value_info("mood", onnx.TensorProto.FLOAT, [1]))


def other_rank(graph: onnx.GraphProto) -> None:
    del graph.input[0].type.tensor_type.shape.dim[1]


def other_size(graph: onnx.GraphProto) -> None:
    graph.input[1].type.tensor_type.shape.dim[2].dim_value = 7


def json_edit(file: str, *keys: str | int, value: object = None, drop: bool = False) -> Damage:
    return lambda folder: edit_json(folder / file, *keys, value=value, drop=drop)


def arrays_edit(file: str, **changes: object) -> Damage:
    return lambda folder: edit_arrays(folder / file, **changes)  # type: ignore[arg-type]


def with_text(file: str, text: str) -> Damage:
    return lambda folder: (folder / file).write_text(text)


def nan_array(folder: Path) -> None:
    mean = np.ones((8, 3), np.float32)
    mean[2, 1] = np.nan
    edit_arrays(folder / "model_data.npz", shapes_mean_skin=mean)


def truncated_npz(folder: Path) -> None:
    path = folder / "model_data.npz"
    path.write_bytes(path.read_bytes()[:1000])


def flat_face(folder: Path) -> None:
    edit_arrays(folder / "model_data.npz", shapes_mean_skin=np.ones((8, 3), np.float32))


def object_names(folder: Path) -> None:
    edit_arrays(folder / "bs_skin.npz", poseNames=np.array(["neutral", None], dtype=object))


def no_face_data(folder: Path) -> None:
    for key in ("modelDataPath", "emotionDatabasePath"):
        edit_json(folder / "model.json", key, drop=True)


def pose_param(*keys: str | int, value: object) -> Damage:
    return json_edit("bs_skin_config.json", "blendshape_params", *keys, value=value)


def a2e_param(*keys: str | int, value: object = None, drop: bool = False) -> Damage:
    return json_edit("model_config.json", "post_processing_config", *keys, value=value, drop=drop)


BROKEN: list[tuple[str, str, Damage, str]] = [
    # (what, kind of folder, damage, what the message must say)
    ("no model.json", "regression", lambda f: (f / "model.json").unlink(), r"model\.json: no such file"),
    ("not JSON", "regression", with_text("model.json", "{networkInfoPath"), r"model\.json: is not JSON"),
    ("a list on top", "regression", with_text("model.json", "[1]"), r"found \[1\] at the top, expected an object"),
    ("not UTF-8", "regression", lambda f: (f / "model.json").write_bytes(b"\xff\xfe{}"), r"cannot be read as UTF-8"),
    ("NaN in JSON", "regression", with_text("model_config.json", '{"config": NaN}'), r"found NaN"),
    (
        "missing key",
        "regression",
        json_edit("model.json", "emotionDatabasePath", drop=True),
        r"'emotionDatabasePath' is missing",
    ),
    (
        "wrong type",
        "regression",
        json_edit("model.json", "modelDataPath", value=3),
        r"'modelDataPath': found 3, expected a string",
    ),
    (
        "path leaves the folder",
        "regression",
        json_edit("model.json", "modelDataPath", value="../model_data.npz"),
        r"expected a file inside",
    ),
    (
        "named file missing",
        "regression",
        lambda f: (f / "implicit_emo_db.npz").unlink(),
        r"implicit_emo_db\.npz: no such file",
    ),
    ("no network", "regression", lambda f: (f / "network.onnx").unlink(), r"expected one of: .*network\.onnx"),
    (
        "other network type",
        "regression",
        json_edit("network_info.json", "id", "type", value="gan"),
        r"'id\.type': found \"gan\", expected \"regression\"",
    ),
    (
        "other output",
        "regression",
        json_edit("network_info.json", "id", "output", value="joints"),
        r"'id\.output': found \"joints\"",
    ),
    (
        "emotions and defaults differ",
        "regression",
        json_edit("network_info.json", "params", "default_emotion", value=[0.0]),
        r"'params\.default_emotion': .* expected 3",
    ),
    (
        "eyes not 4",
        "regression",
        json_edit("network_info.json", "params", "result_eyes_size", value=6),
        r"'params\.result_eyes_size': found 6, expected 4",
    ),
    (
        "jaw not points",
        "regression",
        json_edit("network_info.json", "params", "result_jaw_size", value=14),
        r"result_jaw_size.*multiple of 3",
    ),
    (
        "other sample rate",
        "regression",
        json_edit("network_info.json", "audio_params", "samplerate", value=8000),
        r"samplerate': found 8000, expected 16000",
    ),
    (
        "offset past the window",
        "regression",
        json_edit("network_info.json", "audio_params", "buffer_ofs", value=64),
        r"buffer_ofs': found 64, expected less than",
    ),
    (
        "fractional size",
        "regression",
        json_edit("network_info.json", "params", "num_shapes_skin", value=2.5),
        r"found 2\.5, expected a whole number",
    ),
    (
        "unknown shot",
        "regression",
        json_edit("model_config.json", "config", "source_shot", value="shot_c"),
        r"no shot 'shot_c' .* expected one of: shot_a, shot_bb",
    ),
    (
        "frame past the shot",
        "regression",
        json_edit("model_config.json", "config", "source_frame", value=6),
        r"found source_frame 6, expected 0 to 5",
    ),
    (
        "shot past the table",
        "regression",
        arrays_edit("implicit_emo_db.npz", emo_spec_start=np.array([0, 9], np.int32)),
        r"row 11, expected a row of emo_db, which has 10",
    ),
    (
        "shot lists differ",
        "regression",
        arrays_edit("implicit_emo_db.npz", emo_spec_size=np.array([4], np.int32)),
        r"2 emo_spec_names, 2 emo_spec_start and 1 emo_spec_size",
    ),
    (
        "table of another width",
        "regression",
        arrays_edit("implicit_emo_db.npz", emo_db=np.zeros((10, 3), np.float32)),
        r"found shape \(10, 3\), expected \(rows, 2\)",
    ),
    ("table missing", "regression", arrays_edit("implicit_emo_db.npz", drop=["emo_db"]), r"array 'emo_db' is missing"),
    (
        "parameter out of range",
        "regression",
        json_edit("model_config.json", "config", "face_mask_softness", value=0),
        r"model_config\.json: .*'face_mask_softness': found 0, expected 0\.001 to 0\.5",
    ),
    (
        "parameter missing",
        "regression",
        json_edit("model_config.json", "config", "tongue_strength", drop=True),
        r"tongue_strength",
    ),
    (
        "parameter no number",
        "regression",
        json_edit("model_config.json", "config", "skin_strength", value=True),
        r"'skin_strength': found True",
    ),
    (
        "array missing",
        "regression",
        arrays_edit("model_data.npz", drop=["neutral_jaw"]),
        r"model_data\.npz: array 'neutral_jaw' is missing",
    ),
    (
        "neutral of another size",
        "regression",
        arrays_edit("model_data.npz", shapes_mean_skin=np.ones((9, 3), np.float32)),
        r"'shapes_mean_skin': found 27 values, expected 24",
    ),
    (
        "basis of another size",
        "regression",
        arrays_edit("model_data.npz", shapes_matrix_skin=np.ones((4, 8, 3), np.float32)),
        r"'shapes_matrix_skin': found 96 values, expected 72 \(3 components",
    ),
    (
        "whole numbers for vertices",
        "regression",
        arrays_edit("model_data.npz", lip_open_pose_delta=np.ones((8, 3), np.int32)),
        r"found type int32, expected floating-point",
    ),
    ("NaN in an array", "regression", nan_array, r"'shapes_mean_skin': found nan at position 7"),
    (
        "odd saccade table",
        "regression",
        arrays_edit("model_data.npz", saccade_rot_matrix=np.ones(7, np.float32)),
        r"'saccade_rot_matrix': found 7 values",
    ),
    ("face without height", "regression", flat_face, r"all vertices at height 1"),
    ("truncated array file", "regression", truncated_npz, r"model_data\.npz: is not an array file"),
    (
        "array file of another ending",
        "regression",
        json_edit("model.json", "modelDataPath", value="model_config.json"),
        r"ending '\.json', expected an array file",
    ),
    (
        "first pose not neutral",
        "regression",
        arrays_edit("bs_skin.npz", poseNames=np.array([b"jawOpen", b"neutral"])),
        r"found 'jawOpen' first, expected 'neutral'",
    ),
    (
        "pose array missing",
        "regression",
        arrays_edit("bs_skin.npz", drop=["cheekPuff"]),
        r"array 'cheekPuff' is missing",
    ),
    (
        "pose of another size",
        "regression",
        arrays_edit("bs_skin.npz", jawOpen=np.ones((7, 3), np.float32)),
        r"array 'jawOpen': found 21 values, expected 24",
    ),
    ("pose names as objects", "regression", object_names, r"array 'poseNames' cannot be read"),
    (
        "mask past the mesh",
        "regression",
        arrays_edit("bs_skin.npz", frontalMask=np.array([0, 8], np.int32)),
        r"indices 0 to 8, expected vertices 0 to 7",
    ),
    (
        "mask of floats",
        "regression",
        arrays_edit("bs_skin.npz", frontalMask=np.array([0.0, 1.0])),
        r"'frontalMask': found type float64",
    ),
    (
        "numPoses differs",
        "regression",
        pose_param("numPoses", value=5),
        r"'blendshape_params\.numPoses': found 5, expected 6",
    ),
    (
        "pose list too short",
        "regression",
        pose_param("bsWeightOffsets", value=[0.0] * 5),
        r"'blendshape_params\.bsWeightOffsets': found 5 values, expected 6",
    ),
    (
        "pair id once",
        "regression",
        pose_param("bsSolveCancelPoses", value=[0, -1, -1, -1, -1, -1]),
        r"pair id 0 1 times, expected exactly twice",
    ),
    (
        "pair id three times",
        "regression",
        pose_param("bsSolveSymmetryPoses", value=[3, 3, 3, -1, -1, -1]),
        r"pair id 3 3 times",
    ),
    (
        "no active pose",
        "regression",
        pose_param("bsSolveActivePoses", value=[0] * 6),
        r"at least one pose to be active",
    ),
    (
        "solver strength below 0",
        "regression",
        pose_param("strengthL2regularization", value=-1),
        r"bs_skin_config\.json: .*key 'strengthL2regularization': found -1",
    ),
    (
        "tensor renamed",
        "regression",
        network(renamed_input),
        r"input 'input' is missing, expected shape \(batch, 1, 64\); it has: audio_in",
    ),
    ("input too many", "regression", network(extra_input), r"unknown input 'mood'"),
    ("tensor of another rank", "regression", network(other_rank), r"cannot load it|input 'input': found shape"),
    (
        "tensor of another size",
        "regression",
        network(other_size),
        r"cannot load it|'emotion': found shape \(batch, 1, 7\), expected \(batch, 1, 5\)",
    ),
    ("network no ONNX", "regression", with_text("network.onnx", "weights"), r"ONNX Runtime cannot load it"),
    (
        "identity lists differ",
        "diffusion",
        json_edit("model.json", "modelDataPaths", value=["model_data_Ann.npz"]),
        r"modelConfigPaths has 3, modelDataPaths has 1, identities has 3",
    ),
    (
        "blend shapes of too few identities",
        "diffusion",
        lambda f: edit_json(f / "model.json", "blendshapePaths", 2, drop=True),
        r"blendshapePaths has 2, identities has 3",
    ),
    (
        "second identity of another mesh",
        "diffusion",
        arrays_edit("model_data_Bob.npz", neutral_skin=np.ones((5, 3), np.float32)),
        r"model_data_Bob\.npz: array 'neutral_skin': found 15 values, expected 12",
    ),
    (
        "skin not of vertices",
        "diffusion",
        json_edit("network_info.json", "params", "skin_size", value=13),
        r"skin_size': found 13, expected a multiple of 3",
    ),
    (
        "identity named twice",
        "diffusion",
        json_edit("network_info.json", "params", "identities", value=["Ann", "Ann", "Cid"]),
        r"identities.*different names",
    ),
    (
        "latents of another width",
        "diffusion",
        json_edit("network_info.json", "params", "gru_latent_dim", value=5),
        r"'input_latents': found shape .* expected \(\?, 2, batch, 5\)",
    ),
    (
        "class without a place",
        "emotion",
        a2e_param("emotion_correspondence", "sad", drop=True),
        r"emotion_correspondence\.sad' is missing",
    ),
    (
        "place below -1",
        "emotion",
        a2e_param("emotion_correspondence", "sad", value=-2),
        r"sad': found -2, expected at least -1",
    ),
    (
        "place past the vector",
        "emotion",
        a2e_param("emotion_correspondence", "sad", value=10),
        r"sad': found 10, expected -1 to 9",
    ),
    (
        "number for a boolean",
        "emotion",
        a2e_param("enable_preferred_emotion", value=0),
        r"enable_preferred_emotion': found 0, expected true or false",
    ),
    (
        "preferred emotion too short",
        "emotion",
        a2e_param("preferred_emotion", value=[0.0] * 9),
        r"preferred_emotion': found 9 values, expected 10",
    ),
    (
        "face model without its data key",
        "regression",
        no_face_data,
        r"describes a network of type 'regression'",
    ),
]


@pytest.mark.parametrize(("what", "kind", "damage", "message"), BROKEN, ids=[row[0] for row in BROKEN])
def test_broken_folder(copy: Callable[[str], Path], what: str, kind: str, damage: Damage, message: str) -> None:
    folder = copy(kind)
    damage(folder)
    with pytest.raises(ModelError) as caught:
        validate(load_bundle(folder))
    text = str(caught.value)
    assert re.search(message, text), f"{what}: {text}"
    assert "\n" not in text.split("ONNX Runtime")[0]
    assert isinstance(caught.value, ModelFormatError | ModelNotFoundError)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"model\.json"):
        load_bundle(tmp_path / "nowhere")


def test_float64_flattened_and_deflated_arrays_load(copy: Callable[[str], Path]) -> None:
    folder = copy("regression")
    plain = load_bundle(folder)
    assert isinstance(plain, RegressionBundle)
    expected = plain.identity.load()
    with np.load(folder / "model_data.npz") as stored:
        basis = stored["shapes_matrix_skin"].astype(np.float64).reshape(3, -1)
        mean = stored["shapes_mean_skin"].astype(np.float64).ravel()
    edit_arrays(folder / "model_data.npz", compress=True, shapes_matrix_skin=basis, shapes_mean_skin=mean)
    arrays = plain.identity.load()
    np.testing.assert_array_equal(arrays.skin.neutral, expected.skin.neutral)
    assert arrays.basis_skin is not None
    assert expected.basis_skin is not None
    np.testing.assert_array_equal(arrays.basis_skin, expected.basis_skin)


def test_fortran_order_is_read_as_the_same_array(copy: Callable[[str], Path]) -> None:
    folder = copy("regression")
    bundle = load_bundle(folder)
    assert isinstance(bundle, RegressionBundle)
    expected = bundle.identity.load().skin.neutral
    with np.load(folder / "model_data.npz") as stored:
        mean = np.asfortranarray(stored["shapes_mean_skin"])
    edit_arrays(folder / "model_data.npz", shapes_mean_skin=mean)
    np.testing.assert_array_equal(bundle.identity.load().skin.neutral, expected)


def test_unicode_pose_names_and_wide_masks_load(copy: Callable[[str], Path]) -> None:
    folder = copy("regression")
    with np.load(folder / "bs_skin.npz") as stored:
        names = stored["poseNames"].astype(str)
    edit_arrays(folder / "bs_skin.npz", poseNames=names, frontalMask=np.array([1, 7], np.int64))
    bundle = load_bundle(folder)
    assert isinstance(bundle, RegressionBundle)
    poses = bundle.identity.load_poses("skin").poses
    assert poses.names[0] == "jawOpen"
    assert poses.mask is not None
    assert poses.mask.dtype == np.int32


def test_an_empty_mask_means_none(copy: Callable[[str], Path]) -> None:
    folder = copy("regression")
    edit_arrays(folder / "bs_skin.npz", frontalMask=np.zeros(0, np.int32))
    bundle = load_bundle(folder)
    assert isinstance(bundle, RegressionBundle)
    assert bundle.identity.load_poses("skin").poses.mask is None


def test_extra_keys_arrays_and_files_are_ignored(copy: Callable[[str], Path]) -> None:
    folder = copy("diffusion")
    edit_json(folder / "model.json", "comment", value="ours")
    edit_json(folder / "network_info.json", "params", "future", value={"a": 1})
    edit_arrays(folder / "model_data_Ann.npz", anything=np.zeros(3))
    (folder / "notes.txt").write_text("notes")
    validate(load_bundle(folder))


@pytest.mark.parametrize("value", [None, {}])
def test_blend_shapes_are_optional_for_geometry(copy: Callable[[str], Path], value: object) -> None:
    folder = copy("regression")
    edit_json(folder / "model.json", "blendshapePaths", value=value, drop=value is None)
    bundle = load_bundle(folder)
    assert isinstance(bundle, RegressionBundle)
    bundle.identity.load()
    with pytest.raises(ProviderUnavailableError, match=r"no blend shapes for the tongue.*blendshapePaths"):
        bundle.identity.load_poses("tongue")


def test_absolute_paths_load_unless_the_folder_came_over_a_network(copy: Callable[[str], Path]) -> None:
    folder = copy("regression")
    edit_json(folder / "model.json", "modelDataPath", value=str(folder / "model_data.npz"))
    validate(load_bundle(folder))
    with pytest.raises(ModelFormatError, match="expected a file inside"):
        load_bundle(folder, confined=True)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "a/../../x.npz", "/etc/passwd", "", "a\0b"])
@pytest.mark.parametrize("key", ["networkInfoPath", "networkPath", "modelDataPath", "modelConfigPath"])
def test_a_pulled_folder_names_nothing_outside_itself(copy: Callable[[str], Path], key: str, name: str) -> None:
    folder = copy("regression")
    edit_json(folder / "model.json", key, value=name)
    with pytest.raises(ModelFormatError, match=rf"key '{key}'.*expected a file"):
        load_bundle(folder, confined=True)


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="links need rights on this system")
@pytest.mark.parametrize("file", ["model_data.npz", "network.onnx", "network_info.json"])
def test_a_link_out_of_the_folder_is_refused(copy: Callable[[str], Path], tmp_path: Path, file: str) -> None:
    folder = copy("regression")
    (folder / file).rename(tmp_path / file)
    (folder / file).symlink_to(tmp_path / file)
    with pytest.raises(ModelFormatError, match="is a link to"):
        validate(load_bundle(folder))


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="links need rights on this system")
def test_a_folder_in_the_cache_of_the_hub_loads(copy: Callable[[str], Path], tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "repository" / "snapshots" / "5e1f", tmp_path / "repository" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(sorted(copy("regression").iterdir())):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(Path("..") / ".." / "blobs" / str(number))
    validate(load_bundle(snapshot))


def test_a_network_reads_no_weights_from_outside_its_folder(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("regression")
    model = onnx.load(folder / "network.onnx")
    (tmp_path / "secret.bin").write_bytes(bytes(4 * 64 * 24))
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "../secret.bin"
    (folder / "network.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFormatError, match="ONNX Runtime cannot load it"):
        validate(load_bundle(folder))


def test_any_name_of_the_entry_point(copy: Callable[[str], Path]) -> None:
    folder = copy("emotion")
    (folder / "model.json").rename(folder / "other.json")
    assert load_bundle(folder / "other.json").kind == "emotion"


def test_a_byte_order_mark_is_skipped(copy: Callable[[str], Path]) -> None:
    folder = copy("emotion")
    path = folder / "model.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_bundle(folder).kind == "emotion"


def test_an_archive_that_unpacks_to_too_much_is_refused(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy("regression")
    np.savez_compressed(folder / "model_data.npz", shapes_mean_skin=np.zeros(300_000, np.float32))
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    bundle = load_bundle(folder)
    assert isinstance(bundle, RegressionBundle)
    with pytest.raises(ModelFormatError, match=r"would unpack to 12\d{5} in 1 arrays, expected at most 1000000"):
        bundle.identity.load()


def test_the_network_decides_on_the_number_of_steps(
    copy: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy("diffusion")
    edit_json(folder / "network_info.json", "params", "num_diffusion_steps", value=4)
    bundle = load_bundle(folder)
    assert isinstance(bundle, DiffusionBundle)
    net = load_network(bundle.network)
    check_network(net, bundle)
    assert diffusion_steps(net, bundle) == 2
    assert "num_diffusion_steps is 4, but the network has 2" in caplog.text


def test_json_numbers_may_be_written_as_floats(copy: Callable[[str], Path]) -> None:
    folder = copy("regression")
    edit_json(folder / "network_info.json", "params", "num_shapes_skin", value=3.0)
    bundle = load_bundle(folder)
    assert isinstance(bundle, RegressionBundle)
    assert bundle.sizes.skin == 3
    assert json.loads((folder / "network_info.json").read_text())["params"]["num_shapes_skin"] == 3.0
