"""Model folders in NVIDIA's format: three kinds, one door.

A folder holds `model.json`, which names the other files. `load_bundle` tells the kind, reads what is small (sizes,
names, parameters) and leaves the large arrays to `Identity.load`, so that a folder of three identities costs one.

Source: file formats of NVIDIA's Audio2Face-3D SDK and of its published models.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ....emotions import EMOTIONS
from ....errors import ModelFormatError, ModelNotFoundError
from ....timing import SAMPLE_RATE
from .emotion_config import EmotionConfig, read_emotion_config
from .face_data import ArrayNames, Identity, PoseFiles, read_identity
from .implicit_emotion import implicit_emotion
from .json_file import JsonObject, read_json, same_length

Kind = Literal["regression", "diffusion", "emotion"]

EYE_ANGLES = 4
"""Right x and y, left x and y: every face network ends with these."""


@dataclass(frozen=True, slots=True, eq=False)
class OutputSizes:
    """How a face network's output row divides: skin, tongue, jaw, eyes, in this order."""

    skin: int
    """PCA coefficients (regression) or vertex scalars (diffusion)."""

    tongue: int
    jaw: int
    eyes: int

    @property
    def total(self) -> int:
        """Numbers in one output row."""
        return self.skin + self.tongue + self.jaw + self.eyes

    def split(
        self, rows: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Views of rows, shape (..., total), for skin, tongue, jaw and eyes."""
        tongue = self.skin + self.tongue
        jaw = tongue + self.jaw
        return rows[..., : self.skin], rows[..., self.skin : tongue], rows[..., tongue:jaw], rows[..., jaw:]


@dataclass(frozen=True, slots=True, eq=False)
class RegressionBundle:
    """A regression model: one window of audio gives one frame of one identity."""

    folder: Path
    network: Path
    """The ONNX file."""

    sizes: OutputSizes
    emotions: tuple[str, ...]
    """Names of the explicit emotions in network order."""

    default_emotion: NDArray[np.float32]
    """Shape (emotions,): what the model's makers call neutral."""

    implicit_emotion: NDArray[np.float32]
    """Shape (n,): constant vector that precedes the explicit emotions in the network's input."""

    identity: Identity
    buffer_length: int
    """Samples in a window."""

    buffer_offset: int
    """From a window's start to its frame's sample."""

    kind: Literal["regression"] = "regression"

    def emotion_input(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Emotions (n, 10) in the order of `EMOTIONS` as the network wants them, shape (n, emotions)."""
        return _by_name(values, self.emotions, self.default_emotion)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The one identity, as a tuple like that of a diffusion model."""
        return (self.identity,)


@dataclass(frozen=True, slots=True, eq=False)
class DiffusionBundle:
    """A diffusion model: one window gives a run of frames, and a recurrent state passes to the next window."""

    folder: Path
    network: Path
    """The ONNX file."""

    sizes: OutputSizes
    emotions: tuple[str, ...]
    """Names of the emotions in network order."""

    default_emotion: NDArray[np.float32]
    """Shape (emotions,)."""

    identities: tuple[Identity, ...]
    """In the order of the network's one-hot input."""

    buffer_length: int
    """Samples in a window."""

    padding_left: int
    """Samples by which window 0 begins before the audio."""

    frames_left: int
    frames_center: int
    """Frames of a window that are kept; those left and right of them carry no meaning."""

    frames_right: int
    steps: int
    """Diffusion steps inside the network."""

    layers: int
    latent: int
    """Layers and width of the recurrent state."""

    kind: Literal["diffusion"] = "diffusion"

    def emotion_input(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Emotions (n, 10) in the order of `EMOTIONS` as the network wants them, shape (n, emotions)."""
        return _by_name(values, self.emotions, self.default_emotion)

    @property
    def frames(self) -> int:
        """Rows of one prediction, the meaningless ones included."""
        return self.frames_left + self.frames_center + self.frames_right


@dataclass(frozen=True, slots=True, eq=False)
class EmotionBundle:
    """An Audio2Emotion model: a window of audio gives the logits of a few emotion classes."""

    folder: Path
    network: Path
    """The ONNX file."""

    classes: tuple[str, ...]
    """Names in the order of the logits."""

    config: EmotionConfig
    """How logits become face emotions."""

    kind: Literal["emotion"] = "emotion"


FaceBundle = RegressionBundle | DiffusionBundle
Bundle = RegressionBundle | DiffusionBundle | EmotionBundle


def load_bundle(path: str | Path, *, confined: bool = False) -> Bundle:
    """Read a model folder's description, whichever of the three kinds it is.

    Args:
        path: The folder, or its entry point (`model.json` under any name).
        confined: Also refuse absolute paths in the entry point; for folders that came over a network.

    Raises:
        ModelNotFoundError: The folder or a file it names does not exist.
        ModelFormatError: A file, key or array is not as the format asks; the message says which.
    """
    entry = read_json(entry_point(path))
    folder = _Folder(entry, confined)
    info = read_json(folder.file("networkInfoPath"))
    if "modelDataPaths" in entry or "modelConfigPaths" in entry:
        return _diffusion(folder, info)
    if "emotionDatabasePath" in entry or "modelDataPath" in entry:
        return _regression(folder, info)
    return _emotion(folder, info)


def entry_point(path: str | Path) -> Path:
    """The `model.json` of a folder, or the file itself.

    Raises:
        ModelNotFoundError: Neither a file nor a folder with a `model.json`.
    """
    found = Path(path).expanduser()
    if found.is_dir():
        found = found / "model.json"
    if not found.is_file():
        raise ModelNotFoundError(
            f"{found}: no such file, expected a model folder with a model.json or that file itself"
        )
    return found.absolute()


class _Folder:
    """The entry point and the files it names."""

    def __init__(self, entry: JsonObject, confined: bool) -> None:
        self.entry = entry
        self.path = entry.path.parent
        self._confined = confined

    def file(self, key: str) -> Path:
        return self.inside(self.entry.text(key), key)

    def files(self, key: str) -> list[Path]:
        return [self.inside(name, f"{key}[{index}]") for index, name in enumerate(self.entry.texts(key))]

    def inside(self, name: str, key: str) -> Path:
        """A named file's path: inside the folder by its words, and by where links lead.

        Links into the store of blobs beside it are how the hub's cache keeps a folder. A user's own folder may name
        files elsewhere by absolute paths.
        """
        if not name or "\0" in name:
            raise ModelFormatError(f"{self.entry.path}: key {key!r}: found {name!r}, expected a file name")
        absolute = os.path.isabs(name)
        leaves = os.path.normpath(name).split(os.sep)[0] == os.pardir
        if (absolute and self._confined) or (not absolute and leaves):
            raise ModelFormatError(
                f"{self.entry.path}: key {key!r}: found {name!r}, expected a file inside the model's folder"
            )
        path = self.path / name
        if not absolute and not any(path.resolve().is_relative_to(place) for place in self._places()):
            raise ModelFormatError(
                f"{self.entry.path}: key {key!r}: {name!r} is a link to {path.resolve()}, expected a file inside the "
                "model's folder; copy the file there"
            )
        return path

    def _places(self) -> tuple[Path, ...]:
        """Folders in which a model's files may be."""
        own = self.path.resolve()
        # REPOSITORY/snapshots/COMMIT/model.json is a link to REPOSITORY/blobs/HASH.
        hub = self.path.absolute().parent
        return (own, hub.parent.resolve() / "blobs") if hub.name == "snapshots" else (own,)

    def network(self) -> Path:
        """The ONNX file. `networkPath` normally names the TensorRT engine that a user of the SDK builds beside it."""
        named = self.file("networkPath")
        candidates = [named] if named.suffix == ".onnx" else []
        candidates += [path for path in (named.with_suffix(".onnx"), named.parent / "network.onnx") if path != named]
        for candidate in candidates:
            if candidate.is_file():
                inside = candidate.is_relative_to(self.path)
                return self.inside(str(candidate.relative_to(self.path)), "networkPath") if inside else candidate
        tried = ", ".join(str(path) for path in dict.fromkeys(candidates))
        raise ModelNotFoundError(
            f"{self.entry.path}: key 'networkPath': found {self.entry.values['networkPath']!r} but no ONNX network; "
            f"expected one of: {tried}. Download the published folder whole; a TensorRT engine alone is not enough"
        )

    def poses(self, parts: JsonObject) -> dict[str, PoseFiles]:
        found = {}
        for part in ("skin", "tongue"):
            if part in parts:
                files = parts.object(part)
                found[part] = PoseFiles(
                    self.inside(files.text("config"), f"{part}.config"), self.inside(files.text("data"), f"{part}.data")
                )
        return found


def _regression(folder: _Folder, info: JsonObject) -> RegressionBundle:
    params, audio = _check_type(info, "regression"), info.object("audio_params")
    emotions, default = _emotions(params, "explicit_emotions")
    sizes = OutputSizes(
        params.integer("num_shapes_skin", 1),
        params.integer("num_shapes_tongue", 1),
        _jaw(params, "result_jaw_size"),
        _eyes(params, "result_eyes_size"),
    )
    config_path = folder.file("modelConfigPath")
    config = read_json(config_path).object("config")
    length, offset = audio.integer("buffer_len", 1), audio.integer("buffer_ofs", 0)
    if offset >= length:
        audio.refuse("buffer_ofs", f"less than buffer_len, {length}")
    _check_sample_rate(audio)
    vector = implicit_emotion(
        folder.file("emotionDatabasePath"),
        params.integer("implicit_emotion_len", 0),
        config.text("source_shot"),
        config.integer("source_frame", 0),
    )
    poses = folder.entry.object("blendshapePaths") if "blendshapePaths" in folder.entry else None
    identity = read_identity(
        info.object("id").text("actor"),
        config,
        folder.file("modelDataPath"),
        ArrayNames.regression(),
        folder.poses(poses) if poses is not None else {},
        skin=3 * params.integer("num_verts_skin", 1),
        tongue=3 * params.integer("num_verts_tongue", 1),
        jaw=sizes.jaw,
        skin_components=sizes.skin,
        tongue_components=sizes.tongue,
    )
    return RegressionBundle(folder.path, folder.network(), sizes, emotions, default, vector, identity, length, offset)


def _diffusion(folder: _Folder, info: JsonObject) -> DiffusionBundle:
    params, audio = _check_type(info, "diffusion"), info.object("audio_params")
    emotions, default = _emotions(params, "emotions")
    sizes = OutputSizes(
        params.integer("skin_size", 1),
        params.integer("tongue_size", 1),
        _jaw(params, "jaw_size"),
        _eyes(params, "eyes_size"),
    )
    for key in ("skin_size", "tongue_size"):
        if params.integer(key) % 3:
            params.refuse(key, "a multiple of 3 (three scalars a vertex)")
    names = params.texts("identities")
    if not names or len(set(names)) != len(names):
        params.refuse("identities", "one or more different names")
    configs, datas = folder.files("modelConfigPaths"), folder.files("modelDataPaths")
    entry = folder.entry
    same_length(
        entry.path,
        [("modelConfigPaths", len(configs)), ("modelDataPaths", len(datas)), ("identities", len(names))],
    )
    poses: list[dict[str, PoseFiles]] = [{} for _ in names]
    if "blendshapePaths" in entry and entry.values["blendshapePaths"] != {}:
        parts = entry.objects("blendshapePaths")
        same_length(entry.path, [("blendshapePaths", len(parts)), ("identities", len(names))])
        poses = [folder.poses(part) for part in parts]
    identities = tuple(
        read_identity(
            name,
            read_json(config).object("config"),
            data,
            ArrayNames.diffusion(),
            files,
            skin=sizes.skin,
            tongue=sizes.tongue,
            jaw=sizes.jaw,
        )
        for name, config, data, files in zip(names, configs, datas, poses, strict=True)
    )
    _check_sample_rate(audio)
    audio.integer("padding_right", 0)  # part of the format, without effect
    return DiffusionBundle(
        folder.path,
        folder.network(),
        sizes,
        emotions,
        default,
        identities,
        audio.integer("buffer_len", 1),
        audio.integer("padding_left", 0),
        params.integer("num_frames_left_truncate", 0),
        params.integer("num_frames_center", 1),
        params.integer("num_frames_right_truncate", 0),
        params.integer("num_diffusion_steps", 1),
        params.integer("num_gru_layers", 1),
        params.integer("gru_latent_dim", 1),
    )


def _emotion(folder: _Folder, info: JsonObject) -> EmotionBundle:
    if "id" in info:
        found = info.object("id").text("type") if "type" in info.object("id") else "?"
        raise ModelFormatError(
            f"{folder.entry.path}: found neither 'modelDataPath' nor 'modelDataPaths', but {info.path} describes a "
            f"network of type {found!r}; expected the paths of a face model, or an Audio2Emotion network_info.json"
        )
    classes = info.texts("emotions")
    if not classes or len(set(classes)) != len(classes):
        info.refuse("emotions", "one or more different class names")
    _check_sample_rate(info.object("audio_params"))
    config = read_emotion_config(read_json(folder.file("modelConfigPath")), classes)
    return EmotionBundle(folder.path, folder.network(), tuple(classes), config)


def _by_name(values: NDArray[np.float32], names: tuple[str, ...], default: NDArray[np.float32]) -> NDArray[np.float32]:
    """Columns by name; an emotion that only the model knows stays at the model's default."""
    columns = np.tile(default, (len(values), 1))
    for column, name in enumerate(names):
        if name in EMOTIONS:
            columns[:, column] = values[:, EMOTIONS.index(name)]
    return columns


def _check_type(info: JsonObject, kind: str) -> JsonObject:
    identity = info.object("id")
    if identity.text("type") != kind:
        identity.refuse("type", f'"{kind}", which the keys of the entry point ask for')
    if identity.text("output") != "geometry":
        identity.refuse("output", '"geometry"')
    return info.object("params")


def _emotions(params: JsonObject, key: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    names = params.texts(key)
    if len(set(names)) != len(names):
        params.refuse(key, "different names")
    default = params.numbers("default_emotion")
    if len(default) != len(names):
        params.refuse("default_emotion", f"{len(names)} numbers, one for each of {key!r}")
    return tuple(names), np.array(default, np.float32)


def _jaw(params: JsonObject, key: str) -> int:
    size = params.integer(key, 3)
    if size % 3:
        params.refuse(key, "a multiple of 3 (three scalars a point)")
    return size


def _eyes(params: JsonObject, key: str) -> int:
    if params.integer(key) != EYE_ANGLES:
        params.refuse(key, f"{EYE_ANGLES} (two angles for each eye)")
    return EYE_ANGLES


def _check_sample_rate(audio: JsonObject) -> None:
    if audio.integer("samplerate", 1) != SAMPLE_RATE:
        audio.refuse("samplerate", f"{SAMPLE_RATE}, the rate of all audio inside facewave")
