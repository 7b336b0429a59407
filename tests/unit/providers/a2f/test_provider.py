"""The LocalA2F providers on probe models: sessions, settings, batching, and what is held in memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave import pipeline
from facewave.blendshapes import CHANNELS
from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack, emotion_vector
from facewave.errors import ModelError, ProviderUnavailableError, SessionError, SettingsError
from facewave.frames import Frame
from facewave.inference.store import ModelStore
from facewave.outputs.geometry import GeometryFile
from facewave.providers import open_provider, provider_names
from facewave.providers.a2f.options import ModelOptions
from facewave.providers.a2f.provider import A2FProvider
from facewave.settings import FacewaveSettings, ModelsSettings
from facewave.streams import StreamSettings
from tests.model_folders import diffusion_folder, edit_json, emotion_folder, regression_folder

NOISE = (0.2 * np.random.default_rng(0).standard_normal(20_000)).astype(np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    regression_folder(folder / "regression", emotions=EMOTIONS)
    diffusion_folder(folder / "diffusion", vertices=40)
    emotion_folder(folder / "emotion")
    return folder


def provider(
    folders: Path, kind: str = "regression", emotion: bool = False, options: ModelOptions | None = None
) -> A2FProvider:
    models = ModelsSettings(face=str(folders / kind), emotion=str(folders / "emotion") if emotion else "none")
    face: tuple[str, str] = ("LocalA2F-Mark-AR", "Mark") if kind == "regression" else ("LocalA2F-James", "James")
    settings = FacewaveSettings(models=models)
    return A2FProvider(*face, "regression" if kind == "regression" else "diffusion", settings, options)


def run(
    owner: A2FProvider, samples: NDArray[np.float32], chunk: int = 4096, settings: StreamSettings | None = None
) -> list[Frame]:
    session = owner.open(settings or StreamSettings())
    frames: list[Frame] = []
    for start in range(0, len(samples), chunk):
        frames += session.push(samples[start : start + chunk])
    return frames + list(session.finish())


def loaded(owner: A2FProvider) -> bool:
    return owner.info.loaded


def weights(frames: Sequence[Frame]) -> NDArray[np.float32]:
    return np.stack([frame.weights for frame in frames])


@pytest.mark.parametrize("geometry", [False, True], ids=["weights", "geometry"])
@pytest.mark.parametrize("emotion", [False, True], ids=["given", "detected"])
@pytest.mark.parametrize("kind", ["regression", "diffusion"])
def test_chunk_sizes_do_not_matter(folders: Path, kind: str, emotion: bool, geometry: bool) -> None:
    owner = provider(folders, kind, emotion)
    settings = StreamSettings(geometry=geometry)
    whole = run(owner, NOISE, len(NOISE), settings)
    rate = owner.info.frame_rate
    assert len(whole) == -(-len(NOISE) * rate // 16_000)
    for chunk in (160, 533, 4096):
        pieces = run(owner, NOISE, chunk, settings)
        assert [frame.sample for frame in pieces] == [frame.sample for frame in whole]
        np.testing.assert_allclose(weights(pieces), weights(whole), atol=1e-5)
        for piece, frame in zip(pieces, whole, strict=True):
            assert piece.emotion is not None
            assert frame.emotion is not None
            np.testing.assert_allclose(piece.emotion, frame.emotion, atol=1e-6)
            if geometry:
                assert piece.geometry is not None
                assert frame.geometry is not None
                np.testing.assert_allclose(piece.geometry.skin, frame.geometry.skin, atol=1e-5)
                np.testing.assert_allclose(piece.geometry.eye_rotations, frame.geometry.eye_rotations, atol=1e-5)


@pytest.mark.parametrize("kind", ["regression", "diffusion"])
def test_single_samples_and_sevens(folders: Path, kind: str) -> None:
    owner = provider(folders, kind, emotion=True)
    whole = run(owner, NOISE[:1500], 1500)
    for chunk in (1, 7):
        np.testing.assert_allclose(weights(run(owner, NOISE[:1500], chunk)), weights(whole), atol=1e-5)


@pytest.mark.parametrize("kind", ["regression", "diffusion"])
def test_weights_are_the_same_with_and_without_vertices(folders: Path, kind: str) -> None:
    owner = provider(folders, kind)
    collapsed, vertex = run(owner, NOISE), run(owner, NOISE, settings=StreamSettings(geometry=True))
    np.testing.assert_allclose(weights(collapsed), weights(vertex), atol=1e-4)
    assert np.ptp(weights(collapsed), axis=0).max() > 1e-3
    assert collapsed[0].geometry is None
    geometry = vertex[0].geometry
    assert geometry is not None
    assert geometry.skin.shape == ((8, 3) if kind == "regression" else (40, 3))
    assert geometry.jaw_transform.shape == (4, 4)
    assert geometry.jaw_transform[3].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("n", [0, 1, 100, 533, 7999])
@pytest.mark.parametrize("kind", ["regression", "diffusion"])
def test_short_clips_keep_their_settings(folders: Path, kind: str, n: int) -> None:
    owner = provider(folders, kind, emotion=True)
    settings = StreamSettings(emotion=EmotionSettings(overrides={"joy": 1.0}, override_strength=1, strength=1))
    frames = run(owner, NOISE[:n], settings=settings)
    assert len(frames) == -(-n * owner.open(settings).info.frame_rate // 16_000)
    for frame in frames:
        assert frame.emotion is not None
        assert frame.emotion[EMOTIONS.index("joy")] > 0.25


@pytest.mark.parametrize("kind", ["regression", "diffusion"])
def test_much_audio_at_once_is_worked_off_in_portions(folders: Path, kind: str) -> None:
    owner = provider(folders, kind)
    samples = np.tile(NOISE, 15)
    session = owner.open(StreamSettings())
    frames = [*session.push(samples), *session.finish()]
    assert [frame.index for frame in frames] == list(range(-(-len(samples) * session.info.frame_rate // 16_000)))
    np.testing.assert_allclose(weights(frames), weights(run(owner, samples, 4096)), atol=1e-5)


def test_many_streams_in_one_step(folders: Path) -> None:
    for kind in ("regression", "diffusion"):
        owner = provider(folders, kind, emotion=True)
        inputs = [NOISE[:9000], NOISE[9000:], NOISE[:0]]
        alone = [run(owner, samples, 3000) for samples in inputs]
        sessions = [owner.open(StreamSettings()) for _ in inputs]
        frames: list[list[Frame]] = [[] for _ in inputs]
        for start in range(0, 12_000, 3000):
            for session, samples in zip(sessions, inputs, strict=True):
                session.feed(samples[start : start + 3000])
            for out, new in zip(frames, owner.step(sessions), strict=True):
                out += new
        for session in sessions:
            session.end()
        for out, new, expected in zip(frames, owner.step(sessions), alone, strict=True):
            out += new
            assert [frame.sample for frame in out] == [frame.sample for frame in expected]
            if expected:
                np.testing.assert_allclose(weights(out), weights(expected), atol=1e-5)


def test_face_parameters_replace_the_models_own(folders: Path) -> None:
    owner = provider(folders)
    plain = run(owner, NOISE)
    still = run(owner, NOISE, settings=StreamSettings(face_parameters={"skinStrength": 0, "tongueStrength": 0}))
    assert np.ptp(weights(plain)[:, :52], axis=0).max() > 1e-3
    np.testing.assert_allclose(np.ptp(weights(still), axis=0), 0, atol=1e-6)


def test_input_strength(folders: Path) -> None:
    regression = provider(folders)
    silent = StreamSettings(face_parameters={"inputStrength": 0})
    np.testing.assert_array_equal(weights(run(regression, NOISE, settings=silent)), weights(run(regression, NOISE * 0)))
    # The diffusion executor leaves the file's 1.1 alone unless asked to apply it.
    asked = provider(folders, "diffusion", options=ModelOptions(file_input_strength=True))
    by_hand = StreamSettings(face_parameters={"inputStrength": 1.1})
    np.testing.assert_allclose(
        weights(run(asked, NOISE)), weights(run(provider(folders, "diffusion"), NOISE, settings=by_hand)), atol=1e-6
    )


def test_multipliers_offsets_and_clamp_come_last(folders: Path) -> None:
    owner = provider(folders)
    plain = weights(run(owner, NOISE))
    jaw = CHANNELS.index("jawOpen")
    shaped = StreamSettings(multipliers={"jawOpen": 3.0}, offsets={"jawOpen": -0.01, "jawLeft": 2.0}, clamp=True)
    found = weights(run(owner, NOISE, settings=shaped))
    np.testing.assert_allclose(found[:, jaw], np.clip(plain[:, jaw] * 3 - 0.01, 0, 1), atol=1e-6)
    assert (found[:, CHANNELS.index("jawLeft")] == 1).all()


def test_given_emotion_reaches_the_network_and_can_change_on_the_way(folders: Path) -> None:
    owner = provider(folders)
    sad = EmotionTrack(np.array([0]), emotion_vector({"sadness": 1.0})[None])
    settings = StreamSettings(emotion=EmotionSettings(strength=1, override_strength=1), emotion_track=sad)
    session = owner.open(settings)
    frames = list(session.push(NOISE[:8000]))
    joyful = EmotionTrack(np.array([8000]), emotion_vector({"joy": 1.0})[None])
    frames += session.push(NOISE[8000:], joyful)
    frames += session.finish()
    felt = np.stack([frame.emotion for frame in frames if frame.emotion is not None])
    before = np.array([frame.sample < 8000 for frame in frames])
    assert (felt[before & (np.arange(len(frames)) < 10), EMOTIONS.index("sadness")] == 1).all()
    assert (felt[~before, EMOTIONS.index("joy")] == 1).all()
    assert (felt[~before, EMOTIONS.index("sadness")] == 0).all()


def test_detection_can_be_replaced_and_silenced(folders: Path) -> None:
    owner = provider(folders, emotion=True)
    loud = np.full(20_000, 0.5, np.float32)

    def felt(**settings: float) -> NDArray[np.float32]:
        last = run(owner, loud, settings=StreamSettings(emotion=EmotionSettings(**settings)))[-1].emotion  # type: ignore[arg-type]
        assert last is not None
        return last

    assert felt()[EMOTIONS.index("anger")] > 0.05
    assert (felt(strength=0.0) == 0).all()


def test_diffusion_keeps_its_own_frame_rate(folders: Path) -> None:
    owner = provider(folders, "diffusion")
    assert owner.open(StreamSettings()).info.frame_rate == 40
    assert [int(rate) for rate in owner.info.frame_rates] == [40, 40]
    with pytest.raises(SettingsError, match="found 30, expected 40"):
        owner.open(StreamSettings(frame_rate=Fraction(30)))


def test_geometry_needs_no_blend_shapes_and_weights_say_what_is_missing(tmp_path: Path) -> None:
    folder = regression_folder(tmp_path / "bare")
    edit_json(folder / "model.json", "blendshapePaths", value={})
    owner = A2FProvider(
        "LocalA2F-Mark-AR",
        "Mark",
        "regression",
        FacewaveSettings(models=ModelsSettings(face=str(folder), emotion="none")),
    )
    frames = run(owner, NOISE, settings=StreamSettings(geometry=True))
    assert frames[0].geometry is not None
    with pytest.raises(ProviderUnavailableError, match=r"no blend shapes for the skin.*blendshapePaths"):
        owner.open(StreamSettings())


def test_geometry_is_written_to_a_file(folders: Path, tmp_path: Path) -> None:
    pipeline.animate(
        NOISE,
        provider=provider(folders),
        settings=StreamSettings(geometry=True),
        also=GeometryFile(tmp_path / "g.npz"),
    )
    with np.load(tmp_path / "g.npz") as stored:
        assert stored["skin"].shape == (38, 8, 3)
        assert stored["tongue"].shape == (38, 5, 3)
        assert stored["jaw_transform"].shape == (38, 4, 4)
        assert stored["eye_rotations"].shape == (38, 2, 3)
        assert stored["sample"][1] == 533
        assert stored["frame_rate"].tolist() == [30, 1]


def test_free_lets_the_network_go_once_the_last_stream_ended(folders: Path) -> None:
    owner = provider(folders, emotion=True)
    assert loaded(owner) is False
    files = sum((folders / kind / "network.onnx").stat().st_size for kind in ("regression", "emotion"))
    assert owner.info.memory == files
    session = owner.open(StreamSettings())
    small = owner.info.memory
    assert small is not None
    assert files < small < files + 100_000
    owner.open(StreamSettings(geometry=True)).cancel()
    assert owner.info.memory is not None
    assert owner.info.memory > small
    networks = [weakref.ref(session.executor._network), weakref.ref(session.emotion_executor._network)]  # type: ignore[union-attr]
    owner.free()
    assert loaded(owner) is True
    session.push(NOISE)
    session.finish()
    assert loaded(owner) is False
    gc.collect()  # the session itself is still here
    assert [network() for network in networks] == [None, None]


def test_a_cancelled_stream_is_closed_and_lets_go(folders: Path) -> None:
    owner = provider(folders)
    session = owner.open(StreamSettings())
    owner.free()
    session.cancel()
    session.cancel()
    assert not owner.info.loaded
    with pytest.raises(SessionError, match="open a new session"):
        session.push(NOISE)


def test_audio_nobody_reads_any_more_is_forgotten(folders: Path) -> None:
    session = provider(folders).open(StreamSettings())
    for _ in range(20):
        session.push(NOISE)
    assert session._audio.buffer.dropped > 20 * len(NOISE) - 40_000
    session.cancel()


def test_the_six_names_are_in_the_table() -> None:
    names = [f"LocalA2F-{identity}{kind}" for identity in ("Claire", "James", "Mark") for kind in ("", "-AR")]
    assert set(names) <= set(provider_names())
    for name in names:
        info = open_provider(name).info
        assert (info.name, info.kind, info.loaded) == (name, "local", False)
        assert info.frame_rate == (30 if name.endswith("-AR") else 60)
        assert info.memory is None


def test_without_a_model_the_error_says_how_to_get_one() -> None:
    with pytest.raises(ProviderUnavailableError, match=r"facewave models pull Audio2Face-3D-v2\.3\.1-Claire"):
        open_provider("LocalA2F-Claire-AR").open(StreamSettings())


def test_models_of_the_store_are_found_by_identity(folders: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    edit = diffusion_folder(tmp_path / "elsewhere", identities=("Claire", "James"))
    store.add("multi", edit / "model.json", kind="diffusion")
    store.add("tiny", folders / "regression" / "model.json", kind="regression")
    store.add("heard", folders / "emotion" / "model.json", kind="emotion")
    settings = FacewaveSettings(models=ModelsSettings(store=str(tmp_path)))
    session = open_provider("LocalA2F-James", settings).open(StreamSettings())
    assert session.stream.identity == 1  # type: ignore[attr-defined]
    assert session.detected is not None  # type: ignore[attr-defined]
    with pytest.raises(ProviderUnavailableError, match="no diffusion model of Mark"):
        open_provider("LocalA2F-Mark", settings).open(StreamSettings())


def test_a_named_model_of_another_kind_is_refused(folders: Path) -> None:
    settings = FacewaveSettings(models=ModelsSettings(face=str(folders / "emotion")))
    with pytest.raises(ModelError, match="found a model of kind emotion, expected diffusion; --emotion-model"):
        open_provider("LocalA2F-Mark", settings).open(StreamSettings())
    settings = FacewaveSettings(models=ModelsSettings(face="nowhere"))
    with pytest.raises(ModelError, match="no such file or folder"):
        open_provider("LocalA2F-Mark", settings).open(StreamSettings())


def test_the_version_is_the_content_of_the_folders_in_use(tmp_path: Path) -> None:
    for name in ("a", "b"):
        regression_folder(tmp_path / name / "regression", emotions=EMOTIONS)
        emotion_folder(tmp_path / name / "emotion")
    version = provider(tmp_path / "a").version()
    assert provider(tmp_path / "b").version() == version
    assert provider(tmp_path / "a", emotion=True).version() != version
    (tmp_path / "b" / "regression" / "notes.txt").write_text("another")
    changed = provider(tmp_path / "b")
    assert changed.version() != version
    assert not loaded(changed)
