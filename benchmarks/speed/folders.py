"""Model folders of the published sizes around random-weight networks: random meshes, poses and bases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.networks import diffusion, emotion, regression
from facewave.blendshapes import ARKIT, TONGUE
from facewave.emotions import EMOTIONS

Array = NDArray[np.float32]

_CLASSES = {"angry": 1, "disgust": 3, "fear": 4, "happy": 6, "neutral": -1, "sad": 9}


@dataclass(frozen=True)
class Size:
    """Meshes of one published model."""

    vertices: int
    masked: int
    """Vertices the solver looks at."""

    tongue_vertices: int = 5602
    components: int = 0
    """PCA components of the skin, regression only."""


MARK = Size(vertices=61_520, masked=10_085, components=272)
CLAIRE = Size(vertices=24_002, masked=9_000, components=140)
DIFFUSION = Size(vertices=24_002, masked=9_000)


def regression_folder(folder: Path, size: Size, layers: int) -> Path:
    """A regression model; made once."""
    return _once(folder, lambda: _regression(folder, size, layers))


def diffusion_folder(folder: Path, size: Size = DIFFUSION) -> Path:
    """A diffusion model of three identities that share their files."""
    return _once(folder, lambda: _diffusion(folder, size))


def emotion_folder(folder: Path) -> Path:
    """An Audio2Emotion model of the large size."""
    return _once(folder, lambda: _emotion(folder))


def _once(folder: Path, make: Callable[[], None]) -> Path:
    if not (folder / "model.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        make()
    return folder


def _regression(folder: Path, size: Size, layers: int) -> None:
    rng = np.random.default_rng(1)
    regression(folder / "network.onnx", components=size.components, layers=layers)
    neutral, tongue = _mesh(rng, size.vertices), _mesh(rng, size.tongue_vertices)
    np.savez(
        folder / "model_data.npz",
        allow_pickle=False,
        shapes_matrix_skin=_random(rng, 0.02, size.components, size.vertices, 3),
        shapes_mean_skin=neutral,
        shapes_matrix_tongue=_random(rng, 0.02, 10, size.tongue_vertices, 3),
        shapes_mean_tongue=tongue,
        **_common(rng, size.vertices),
    )
    np.savez(
        folder / "implicit_emo_db.npz",
        emo_spec_names=np.array([b"neutral"]),
        emo_spec_start=np.array([0], np.int32),
        emo_spec_size=np.array([1], np.int32),
        emo_db=_random(rng, 0.1, 1, 16),
    )
    _json(folder / "model_config.json", {"config": {**_config(), "source_shot": "neutral", "source_frame": 0}})
    params = {
        "implicit_emotion_len": 16,
        "explicit_emotions": list(EMOTIONS),
        "default_emotion": [0.0] * 10,
        "num_shapes_skin": size.components,
        "num_shapes_tongue": 10,
        "num_verts_skin": size.vertices,
        "num_verts_tongue": size.tongue_vertices,
        "result_jaw_size": 15,
        "result_eyes_size": 4,
    }
    audio = {"buffer_len": 8320, "buffer_ofs": 4160, "samplerate": 16000}
    identity = {"type": "regression", "actor": "Mark" if size is MARK else "Claire", "output": "geometry"}
    _json(folder / "network_info.json", {"id": identity, "params": params, "audio_params": audio})
    _json(
        folder / "model.json",
        {
            "networkInfoPath": "network_info.json",
            "networkPath": "network.trt",
            "emotionDatabasePath": "implicit_emo_db.npz",
            "modelConfigPath": "model_config.json",
            "modelDataPath": "model_data.npz",
            "blendshapePaths": _poses(folder, rng, neutral, tongue, size.masked),
        },
    )


def _diffusion(folder: Path, size: Size) -> None:
    rng = np.random.default_rng(2)
    diffusion(folder / "network.onnx", skin=3 * size.vertices, tongue=3 * size.tongue_vertices)
    neutral, tongue = _mesh(rng, size.vertices), _mesh(rng, size.tongue_vertices)
    np.savez(
        folder / "model_data.npz",
        allow_pickle=False,
        neutral_skin=neutral,
        neutral_tongue=tongue,
        **_common(rng, size.vertices),
    )
    _json(folder / "model_config.json", {"config": _config()})
    params = {
        "emotions": list(EMOTIONS),
        "default_emotion": [0.0] * 10,
        "identities": ["Claire", "James", "Mark"],
        "skin_size": 3 * size.vertices,
        "tongue_size": 3 * size.tongue_vertices,
        "jaw_size": 15,
        "eyes_size": 4,
        "num_diffusion_steps": 2,
        "num_gru_layers": 2,
        "gru_latent_dim": 256,
        "num_frames_left_truncate": 15,
        "num_frames_center": 30,
        "num_frames_right_truncate": 15,
    }
    audio = {"buffer_len": 16000, "padding_left": 16000, "padding_right": 16000, "samplerate": 16000}
    identity = {"type": "diffusion", "actor": "multi", "output": "geometry"}
    _json(folder / "network_info.json", {"id": identity, "params": params, "audio_params": audio})
    _json(
        folder / "model.json",
        {
            "networkInfoPath": "network_info.json",
            "networkPath": "network.onnx",
            "modelConfigPaths": ["model_config.json"] * 3,
            "modelDataPaths": ["model_data.npz"] * 3,
            "blendshapePaths": [_poses(folder, rng, neutral, tongue, size.masked)] * 3,
        },
    )


def _emotion(folder: Path) -> None:
    emotion(folder / "network.onnx")
    info = {"audio_params": {"samplerate": 16000}, "emotions": list(_CLASSES)}
    _json(folder / "network_info.json", info)
    post = {
        "output_emotion_length": 10,
        "emotion_contrast": 1.0,
        "max_emotions": 6,
        "live_blend_coef": 0.7,
        "enable_preferred_emotion": False,
        "preferred_emotion_strength": 0.5,
        "preferred_emotion": [0.0] * 10,
        "transition_smoothing": 0.5,
        "fixed_dt": 0.033,
        "emotion_strength": 0.6,
        "emotion_correspondence": _CLASSES,
    }
    _json(folder / "model_config.json", {"post_processing_config": post})
    paths = {"networkInfoPath": "network_info.json", "networkPath": "network.onnx"}
    _json(folder / "model.json", {**paths, "modelConfigPath": "model_config.json"})


def _poses(folder: Path, rng: np.random.Generator, skin: Array, tongue: Array, masked: int) -> dict[str, Any]:
    found = {}
    for part, neutral, names in (("skin", skin, ARKIT), ("tongue", tongue, TONGUE)):
        arrays: dict[str, NDArray[Any]] = {name: _random(rng, 0.1, *neutral.shape) for name in names}
        arrays["poseNames"] = np.array([b"neutral", *(name.encode() for name in names)])
        if part == "skin":
            arrays["frontalMask"] = np.sort(rng.choice(len(neutral), masked, replace=False)).astype(np.int32)
        np.savez(folder / f"bs_{part}.npz", allow_pickle=False, neutral=neutral, **arrays)
        count = len(names)
        active = [int(not name.startswith(("eyeLook", "tongueOut"))) for name in names]
        params = {
            "strengthL1regularization": 0.5 if part == "skin" else 1.0,
            "strengthL2regularization": 0.5 if part == "skin" else 3.5,
            "strengthTemporalSmoothing": 0.3 if part == "skin" else 5.0,
            "strengthSymmetry": 100,
            "numPoses": count,
            "bsSolveActivePoses": active,
            "bsSolveCancelPoses": [-1] * count,
            "bsSolveSymmetryPoses": [-1] * count,
            "bsWeightMultipliers": [1.0] * count,
            "bsWeightOffsets": [0.0] * count,
        }
        _json(folder / f"bs_{part}_config.json", {"blendshape_params": params})
        found[part] = {"config": f"bs_{part}_config.json", "data": f"bs_{part}.npz"}
    return found


def _config() -> dict[str, float]:
    config = {"input_strength": 1.3, "lower_face_smoothing": 0.0023, "upper_face_smoothing": 0.001}
    config |= {"face_mask_level": 0.6, "face_mask_softness": 0.0085, "eye_saccade_seed": 0}
    gains = ("lower_face", "upper_face", "skin", "blink", "tongue", "lower_teeth", "eyeballs", "saccade")
    offsets = ("eyelid_open", "lip_open", "tongue_height", "tongue_depth", "lower_teeth_height", "lower_teeth_depth")
    turns = ("right_eye_rot_x", "right_eye_rot_y", "left_eye_rot_x", "left_eye_rot_y")
    return config | {f"{name}_strength": 1.0 for name in gains} | {f"{name}_offset": 0.0 for name in (*offsets, *turns)}


def _common(rng: np.random.Generator, vertices: int) -> dict[str, Array]:
    return {
        "lip_open_pose_delta": _random(rng, 0.1, vertices, 3),
        "eye_close_pose_delta": _random(rng, 0.1, vertices, 3),
        "neutral_jaw": _random(rng, 1, 5, 3),
        "saccade_rot_matrix": _random(rng, 1, 5000, 2),
    }


def _mesh(rng: np.random.Generator, vertices: int) -> Array:
    return rng.uniform(-15, 15, (vertices, 3)).astype(np.float32)


def _random(rng: np.random.Generator, scale: float, *shape: int) -> Array:
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(scale)
    return values


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
