"""Tiny model folders in NVIDIA's format, with real ONNX networks that are linear probes.

A probe's output says which sample, emotion, identity, state and noise it was given, so that a test can check timing and
plumbing exactly: nothing here is trained, and nothing comes from a published model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]

FACE_EMOTIONS = (
    "amazement", "anger", "cheekiness", "disgust", "fear", "grief", "joy", "outofbreath", "pain", "sadness",
)  # fmt: skip
SKIN_POSES = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "cheekPuff", "tongueOut")
TONGUE_POSES = ("tongueTipUp", "tongueUp", "tongueWide", "tongueNarrow")
CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad")


def regression_folder(
    folder: Path,
    *,
    vertices: int = 8,
    tongue_vertices: int = 5,
    components: int = 3,
    window: int = 64,
    offset: int = 24,
    implicit: int = 2,
    emotions: Sequence[str] = ("anger", "joy", "sadness"),
    seed: int = 1,
) -> Path:
    """A regression model of `components` skin and two tongue coefficients; the window's target is not its middle.

    Coefficients 0..2 are the sample at the target, the window's first and its last; tongue coefficients are the
    window's mean and the first implicit value; explicit emotion j moves jaw scalar j by 0.01; emotions 0 and 1 turn the
    eyes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    skin, tongue, jaw, eyes = components, 2, 15, 4
    audio = np.zeros((window, skin + tongue + jaw + eyes), np.float32)
    audio[offset, 0] = audio[0, 1] = audio[window - 1, 2] = 1
    audio[:, skin] = 1 / window
    emotion = np.zeros((implicit + len(emotions), audio.shape[1]), np.float32)
    emotion[0, skin + 1] = 1
    for index in range(len(emotions)):
        emotion[implicit + index, skin + tongue + index] = 0.01
    emotion[implicit, -4] = emotion[implicit + 1, -1] = 1
    _save_network(
        folder / "network.onnx",
        [
            helper.make_node("MatMul", ["input", "audio"], ["heard"]),
            helper.make_node("MatMul", ["emotion", "feeling"], ["felt"]),
            helper.make_node("Add", ["heard", "felt"], ["result"]),
        ],
        {"audio": audio, "feeling": emotion},
        {"input": ["batch", 1, window], "emotion": ["batch", 1, implicit + len(emotions)]},
        {"result": ["batch", 1, audio.shape[1]]},
    )
    neutral, tongue_neutral = _noise(rng, 1, vertices, 3), _noise(rng, 1, tongue_vertices, 3)
    np.savez(
        folder / "model_data.npz",
        allow_pickle=False,
        shapes_matrix_skin=_noise(rng, 0.1, skin, vertices, 3),
        shapes_mean_skin=neutral,
        shapes_matrix_tongue=_noise(rng, 0.1, tongue, tongue_vertices, 3),
        shapes_mean_tongue=tongue_neutral,
        blink_keys=np.zeros(7, np.float32),
        **_common_arrays(rng, vertices),
    )
    np.savez(
        folder / "implicit_emo_db.npz",
        emo_spec_names=np.array([b"shot_a", b"shot_bb"]),
        emo_spec_start=np.array([0, 4], np.int32),
        emo_spec_size=np.array([4, 6], np.int32),
        emo_db=np.arange(10 * implicit, dtype=np.float32).reshape(10, implicit) / 100,
    )
    _save_json(
        folder / "model_config.json",
        {"config": animator_config(input_strength=1.3, source_shot="shot_bb", source_frame=2)},
    )
    _save_json(
        folder / "network_info.json",
        {
            "id": {"type": "regression", "actor": "Tiny", "output": "geometry", "version": "0.1"},
            "params": {
                "implicit_emotion_len": implicit,
                "explicit_emotions": list(emotions),
                "default_emotion": [0.0] * len(emotions),
                "num_shapes_skin": skin,
                "num_shapes_tongue": tongue,
                "num_verts_skin": vertices,
                "num_verts_tongue": tongue_vertices,
                "result_jaw_size": jaw,
                "result_eyes_size": eyes,
            },
            "audio_params": {"buffer_len": window, "buffer_ofs": offset, "samplerate": 16000},
        },
    )
    symmetry = [-1, 0, 0, -1, -1, -1]
    skin_poses = _poses(
        folder, "skin", "", neutral, SKIN_POSES, rng, mask=[0, 2, 3, 5], symmetry=symmetry, template_size=5.0
    )
    _save_json(
        folder / "model.json",
        {
            "networkInfoPath": "network_info.json",
            "networkPath": "network.trt",  # as published folders have it: only network.onnx exists
            "emotionDatabasePath": "implicit_emo_db.npz",
            "modelConfigPath": "model_config.json",
            "modelDataPath": "model_data.npz",
            "blendshapePaths": {
                "skin": skin_poses,
                "tongue": _poses(folder, "tongue", "", tongue_neutral, TONGUE_POSES, rng),
            },
        },
    )
    return folder


def diffusion_folder(
    folder: Path,
    *,
    identities: Sequence[str] = ("Ann", "Bob", "Cid"),
    vertices: int = 4,
    tongue_vertices: int = 3,
    window: int = 1600,
    frames: tuple[int, int, int] = (1, 2, 1),
    steps: int = 2,
    layers: int = 2,
    latent: int = 4,
    emotions: Sequence[str] = ("anger", "joy", "sadness"),
    seed: int = 2,
) -> Path:
    """A diffusion model whose rows outside the centre are polluted with 1e6.

    Skin scalar 0 is the sample at the frame, 1 the number of windows run before, 2 the identity + 1, 3.. the emotions;
    tongue scalars 0 and 1 are 0.01 x noise of step 1 and 0.001 x noise of the last step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    left, center, right = frames
    total, skin, tongue = left + center + right, 3 * vertices, 3 * tongue_vertices
    row = skin + tongue + 15 + 4
    unit = np.eye(row, dtype=np.float32)
    pollution = np.full((1, total, 1), 1e6, np.float32)
    pollution[:, left : left + center] = 0
    place = np.zeros((total, center), np.float32)  # puts centre frames at their place among all frames
    place[left + np.arange(center), np.arange(center)] = 1
    node = helper.make_node
    _save_network(
        folder / "network.onnx",
        [
            node("Reshape", ["window", "blocks"], ["block"]),
            node("Gather", ["block", "first"], ["heard"], axis=2),
            node("Unsqueeze", ["heard", "axis2"], ["heard3"]),
            node("Mul", ["heard3", "to_heard"], ["part_heard"]),
            node("MatMul", ["identity", "to_identity"], ["who"]),
            node("Unsqueeze", ["who", "axis1"], ["part_who"]),
            node("MatMul", ["emotion", "to_emotion"], ["felt"]),
            node("MatMul", ["place", "felt"], ["part_felt"]),
            node("ReduceMean", ["input_latents"], ["count"], axes=[0, 1, 3], keepdims=0),
            node("Unsqueeze", ["count", "axis12"], ["count3"]),
            node("Mul", ["count3", "to_count"], ["part_count"]),
            node("Gather", ["noise", "last"], ["noise_last"], axis=1),
            node("Mul", ["noise_last", "of_last"], ["part_last"]),
            node("Gather", ["noise", "one"], ["noise_one"], axis=1),
            node("Mul", ["noise_one", "of_one"], ["part_one"]),
            node(
                "Sum",
                ["part_heard", "part_who", "part_felt", "part_count", "part_last", "part_one", "pollution"],
                ["prediction"],
            ),
            node("Add", ["input_latents", "unit"], ["output_latents"]),
        ],
        {
            "blocks": np.array([0, total, window // total], np.int64),
            "first": np.array(0, np.int64),
            "last": np.array(steps, np.int64),
            "one": np.array(1, np.int64),
            "axis1": np.array([1], np.int64),
            "axis2": np.array([2], np.int64),
            "axis12": np.array([1, 2], np.int64),
            "to_heard": unit[:1],
            "to_count": unit[1:2],
            "to_identity": np.arange(1, len(identities) + 1, dtype=np.float32)[:, None] * unit[2:3],
            "to_emotion": unit[3 : 3 + len(emotions)],
            "place": place,
            "of_one": np.float32(0.01) * unit[skin : skin + 1],
            "of_last": np.float32(0.001) * unit[skin + 1 : skin + 2],
            "pollution": pollution,
            "unit": np.array(1, np.float32),
        },
        {
            "window": ["batch", window],
            "identity": ["batch", len(identities)],
            "emotion": ["batch", center, len(emotions)],
            "input_latents": [steps, layers, "batch", latent],
            "noise": ["batch", steps + 1, total, row],
        },
        {"prediction": ["batch", total, row], "output_latents": [steps, layers, "batch", latent]},
    )
    poses = []
    for index, name in enumerate(identities):
        neutral, tongue_neutral = _noise(rng, 1, vertices, 3), _noise(rng, 1, tongue_vertices, 3)
        np.savez(
            folder / f"model_data_{name}.npz",
            allow_pickle=False,
            neutral_skin=neutral,
            neutral_tongue=tongue_neutral,
            **_common_arrays(rng, vertices),
        )
        _save_json(folder / f"model_config_{name}.json", {"config": animator_config(input_strength=1.0 + 0.1 * index)})
        mask = [0, 1] if index == 0 else None
        poses.append(
            {
                "skin": _poses(folder, "skin", f"_{name}", neutral, SKIN_POSES, rng, mask=mask),
                "tongue": _poses(folder, "tongue", f"_{name}", tongue_neutral, TONGUE_POSES, rng),
            }
        )
    _save_json(
        folder / "network_info.json",
        {
            "id": {"type": "diffusion", "actor": "multi", "output": "geometry", "version": "0.1"},
            "params": {
                "emotions": list(emotions),
                "default_emotion": [0.0] * len(emotions),
                "identities": list(identities),
                "skin_size": skin,
                "tongue_size": tongue,
                "jaw_size": 15,
                "eyes_size": 4,
                "num_diffusion_steps": steps,
                "num_gru_layers": layers,
                "gru_latent_dim": latent,
                "num_frames_left_truncate": left,
                "num_frames_center": center,
                "num_frames_right_truncate": right,
            },
            "audio_params": {
                "buffer_len": window,
                "padding_left": window,
                "padding_right": window,
                "samplerate": 16000,
            },
        },
    )
    _save_json(
        folder / "model.json",
        {
            "networkInfoPath": "network_info.json",
            "networkPath": "network.onnx",
            "modelConfigPaths": [f"model_config_{name}.json" for name in identities],
            "modelDataPaths": [f"model_data_{name}.npz" for name in identities],
            "blendshapePaths": poses,
        },
    )
    return folder


def emotion_folder(folder: Path) -> Path:
    """An Audio2Emotion model whose logits are 4 x (mean, mean of magnitudes, maximum) for angry, happy and sad."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.zeros((3, len(CLASSES)), np.float32)
    weights[0, 0] = weights[1, 3] = weights[2, 5] = 4
    node = helper.make_node
    _save_network(
        folder / "network.onnx",
        [
            node("ReduceMean", ["input_values"], ["mean"], axes=[1], keepdims=1),
            node("Abs", ["input_values"], ["magnitude"]),
            node("ReduceMean", ["magnitude"], ["loudness"], axes=[1], keepdims=1),
            node("ReduceMax", ["input_values"], ["peak"], axes=[1], keepdims=1),
            node("Concat", ["mean", "loudness", "peak"], ["features"], axis=1),
            node("MatMul", ["features", "weights"], ["output"]),
        ],
        {"weights": weights},
        {"input_values": ["batch", "length"]},
        {"output": ["batch", len(CLASSES)]},
    )
    _save_json(folder / "network_info.json", {"audio_params": {"samplerate": 16000}, "emotions": list(CLASSES)})
    _save_json(
        folder / "model_config.json",
        {
            "post_processing_config": {
                "output_emotion_length": 10,
                "emotion_contrast": 1.0,
                "max_emotions": 2,
                "live_blend_coef": 0.7,
                "enable_preferred_emotion": False,
                "preferred_emotion_strength": 0.5,
                "preferred_emotion": [0.0] * 10,
                "transition_smoothing": 0.5,
                "fixed_dt": 0.033,
                "emotion_strength": 0.6,
                "emotion_correspondence": {
                    "angry": 1, "disgust": 3, "fear": 4, "happy": 6, "neutral": -1, "sad": 9,
                },
            }
        },
    )  # fmt: skip
    _save_json(
        folder / "model.json",
        {
            "networkInfoPath": "network_info.json",
            "networkPath": "network.onnx",
            "modelConfigPath": "model_config.json",
        },
    )
    return folder


def animator_config(**changes: Any) -> dict[str, Any]:
    """The object `config` of a model's configuration, without offsets or gains."""
    config: dict[str, Any] = {
        "input_strength": 1.0,
        "lower_face_smoothing": 0.006,
        "upper_face_smoothing": 0.001,
        "face_mask_level": 0.6,
        "face_mask_softness": 0.0085,
        "saccade_strength": 0.5,
        "eye_saccade_seed": 0,
    }
    for gain in ("lower_face", "upper_face", "skin", "blink", "tongue", "lower_teeth", "eyeballs"):
        config[f"{gain}_strength"] = 1.0
    for offset in (
        "eyelid_open", "lip_open", "tongue_height", "tongue_depth", "lower_teeth_height", "lower_teeth_depth",
        "right_eye_rot_x", "right_eye_rot_y", "left_eye_rot_x", "left_eye_rot_y",
    ):  # fmt: skip
        config[f"{offset}_offset"] = 0.0
    return config | changes


def edit_json(path: Path, *keys: str | int, value: Any = None, drop: bool = False) -> None:
    """Change or drop one value of a JSON file, addressed by its keys."""
    document = json.loads(path.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    if drop:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(document))


def edit_arrays(path: Path, *, drop: Sequence[str] = (), compress: bool = False, **changes: NDArray[Any]) -> None:
    """Change, add or drop arrays of an array file."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if name not in drop}
    (np.savez_compressed if compress else np.savez)(path, **(arrays | changes))


def _common_arrays(rng: np.random.Generator, vertices: int) -> dict[str, Array]:
    return {
        "lip_open_pose_delta": _noise(rng, 0.1, vertices, 3),
        "eye_close_pose_delta": _noise(rng, 0.1, vertices, 3),
        "neutral_jaw": _noise(rng, 1, 5, 3),
        "saccade_rot_matrix": _noise(rng, 1, 50, 2),
    }


def _poses(
    folder: Path,
    part: str,
    suffix: str,
    neutral: Array,
    names: Sequence[str],
    rng: np.random.Generator,
    *,
    mask: Sequence[int] | None = None,
    symmetry: Sequence[int] | None = None,
    template_size: float | None = None,
) -> dict[str, str]:
    count = len(names)
    arrays: dict[str, NDArray[Any]] = {name: _noise(rng, 0.1, *neutral.shape) for name in names}
    if mask is not None:
        arrays["frontalMask"] = np.array(mask, np.int32)
    np.savez(
        folder / f"bs_{part}{suffix}.npz",
        allow_pickle=False,
        neutral=neutral,
        poseNames=np.array([b"neutral", *(name.encode() for name in names)]),
        rig_version=np.array("v0.0"),  # not part of the format: to be ignored
        **arrays,
    )
    params: dict[str, Any] = {
        "strengthL1regularization": 0.5,
        "strengthL2regularization": 0.5,
        "strengthTemporalSmoothing": 0.3,
        "strengthSymmetry": 100,
        "numPoses": count,
        "bsSolveActivePoses": [1] * (count - 1) + [0],
        "bsSolveCancelPoses": [-1] * count,
        "bsSolveSymmetryPoses": list(symmetry or [-1] * count),
        "bsWeightMultipliers": [1.0] * count,
        "bsWeightOffsets": [0.0] * count,
    }
    if template_size is not None:
        params["templateBBSize"] = template_size
    _save_json(folder / f"bs_{part}_config{suffix}.json", {"blendshape_params": params})
    return {"config": f"bs_{part}_config{suffix}.json", "data": f"bs_{part}{suffix}.npz"}


def _noise(rng: np.random.Generator, scale: float, *shape: int) -> Array:
    return rng.normal(0, scale, shape).astype(np.float32)


def _save_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


def _save_network(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
) -> None:
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "probe",
        [tensor(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [tensor(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
