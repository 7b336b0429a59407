"""Random access: the same frames as a stream's, and what each change invalidates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack, emotion_vector
from facewave.errors import SettingsError
from facewave.providers.a2f.executors.interactive import InteractiveClip
from facewave.providers.a2f.provider import A2FProvider
from facewave.settings import FacewaveSettings, ModelsSettings
from facewave.streams import StreamSettings
from tests.model_folders import diffusion_folder, edit_json, emotion_folder, regression_folder

NOISE = (0.2 * np.random.default_rng(0).standard_normal(9_000)).astype(np.float32)
JOY = EmotionTrack(np.array([0]), emotion_vector({"joy": 1.0})[None])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    regression_folder(folder / "regression", emotions=EMOTIONS)
    diffusion_folder(folder / "diffusion", vertices=40)
    emotion_folder(folder / "emotion")
    return folder


def provider(folders: Path, kind: str, emotion: bool = False) -> A2FProvider:
    models = ModelsSettings(face=str(folders / kind), emotion=str(folders / "emotion") if emotion else "none")
    settings = FacewaveSettings(models=models)
    if kind == "diffusion":
        return A2FProvider("LocalA2F-James", "James", "diffusion", settings)
    return A2FProvider("LocalA2F-Mark-AR", "Mark", "regression", settings)


def streamed(owner: A2FProvider, settings: StreamSettings) -> NDArray[np.float32]:
    session = owner.open(settings)
    frames = [*session.push(NOISE), *session.finish()]
    return np.stack([frame.weights for frame in frames])


def valid(clip: InteractiveClip) -> list[str]:
    return list(clip.valid)


KINDS = pytest.mark.parametrize("kind", ["regression", "diffusion"])


@KINDS
@pytest.mark.parametrize("emotion", [False, True])
@pytest.mark.parametrize("geometry", [False, True])
def test_all_frames_equal_the_stream(folders: Path, kind: str, emotion: bool, geometry: bool) -> None:
    owner = provider(folders, kind, emotion)
    settings = StreamSettings(geometry=geometry)
    clip = owner.open_clip(NOISE, settings)
    shares: list[float] = []
    frames = clip.frames(shares.append)
    assert len(frames) == len(clip)
    assert [frame.index for frame in frames] == list(range(len(clip)))
    assert shares[-1] == 1.0
    np.testing.assert_allclose(np.stack([f.weights for f in frames]), streamed(owner, settings), atol=1e-5)


@KINDS
def test_a_frame_alone_is_the_frame_of_an_unsmoothed_stream(folders: Path, kind: str, tmp_path: Path) -> None:
    # Without smoothing and without the temporal term, a frame depends on nothing before it.
    folder = (regression_folder if kind == "regression" else diffusion_folder)(tmp_path / kind)
    for config in folder.glob("bs_*_config*.json"):
        edit_json(config, "blendshape_params", "strengthTemporalSmoothing", value=0.0)
    owner = provider(tmp_path, kind)
    settings = StreamSettings(face_parameters={"lowerFaceSmoothing": 0, "upperFaceSmoothing": 0})
    expected = streamed(owner, settings)
    clip = owner.open_clip(NOISE, StreamSettings())
    for index in [5, 0, len(clip) - 1, 5, 3]:
        frame = clip.frame(index)
        assert frame.index == index
        np.testing.assert_allclose(frame.weights, expected[index], atol=1e-5)


@KINDS
def test_a_frame_does_not_depend_on_those_asked_for_before(folders: Path, kind: str) -> None:
    owner = provider(folders, kind, emotion=True)
    settings = StreamSettings(geometry=True)
    forth, back = owner.open_clip(NOISE, settings), owner.open_clip(NOISE, settings)
    order = range(len(forth))
    first = [forth.frame(index) for index in order]
    second = [back.frame(index) for index in reversed(order)][::-1]
    for one, other in zip(first, second, strict=True):
        assert one.sample == other.sample
        np.testing.assert_array_equal(one.weights, other.weights)
        assert one.geometry is not None
        assert other.geometry is not None
        np.testing.assert_array_equal(one.geometry.eye_rotations, other.geometry.eye_rotations)


@KINDS
def test_what_a_change_invalidates(folders: Path, kind: str) -> None:
    clip = provider(folders, kind, emotion=True).open_clip(NOISE, StreamSettings())
    assert valid(clip) == []
    clip.frames()
    everything = ["logits", "emotion", "inference", "frames"]
    assert valid(clip) == everything
    clip.change(replace(clip.settings))
    assert valid(clip) == everything
    clip.change(replace(clip.settings, face_parameters={"skinStrength": 0.5}))
    assert valid(clip) == ["logits", "emotion", "inference"]
    clip.frames()
    clip.change(replace(clip.settings, face_parameters={"skinStrength": 0.5, "inputStrength": 2.0}))
    assert valid(clip) == ["logits", "emotion"]
    clip.frames()
    clip.change(replace(clip.settings, emotion=EmotionSettings(strength=1.0)))
    assert valid(clip) == ["logits"]
    clip.frames()
    clip.change(replace(clip.settings, emotion_track=JOY))
    assert valid(clip) == ["logits"]
    clip.frames()
    clip.invalidate("logits")
    assert valid(clip) == []


@KINDS
def test_changed_settings_give_the_stream_with_those_settings(folders: Path, kind: str) -> None:
    owner = provider(folders, kind, emotion=True)
    clip = owner.open_clip(NOISE, StreamSettings())
    clip.frames()
    for settings in (
        StreamSettings(face_parameters={"lowerFaceStrength": 1.7, "faceMaskLevel": 0.4}),
        StreamSettings(face_parameters={"inputStrength": 0.5}),
        StreamSettings(emotion_track=JOY, emotion=EmotionSettings(strength=1.0)),
        StreamSettings(multipliers={"jawOpen": 2.0}, clamp=True),
    ):
        clip.change(settings)
        found = np.stack([frame.weights for frame in clip.frames()])
        np.testing.assert_allclose(found, streamed(owner, settings), atol=1e-5)


def test_diffusion_previews_from_an_empty_state_are_approximate(folders: Path) -> None:
    owner = provider(folders, "diffusion")
    last = len(owner.open_clip(NOISE, StreamSettings())) - 1
    exact = owner.open_clip(NOISE, StreamSettings()).frame(last)
    clip = owner.open_clip(NOISE, StreamSettings())
    fast = clip.frame(last, preview_windows=2)
    assert not np.allclose(fast.weights, exact.weights, atol=1e-4)  # the probe's state counts windows
    assert valid(clip) == ["emotion"]
    np.testing.assert_allclose(clip.frame(last, preview_windows=1000).weights, exact.weights, atol=1e-6)
    clip.frames()
    np.testing.assert_allclose(clip.frame(last, preview_windows=2).weights, exact.weights, atol=1e-6)


def test_wrong_requests(folders: Path) -> None:
    clip = provider(folders, "regression").open_clip(NOISE, StreamSettings())
    with pytest.raises(IndexError, match="frames 0 to 16"):
        clip.frame(17)
    with pytest.raises(SettingsError, match="open another clip"):
        clip.change(StreamSettings(frame_rate=clip.info.frame_rate * 2))
    assert len(provider(folders, "regression").open_clip(NOISE[:0], StreamSettings()).frames()) == 0
