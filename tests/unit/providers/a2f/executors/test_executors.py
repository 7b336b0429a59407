"""Executors on probe networks: every frame's window, emotion, identity, state and noise are what they should be."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack, emotion_vector
from facewave.errors import SettingsError
from facewave.inference.onnx import load_network
from facewave.providers.a2f.executors.diffusion import PORTION, DiffusionExecutor, DiffusionTiming, center_noise
from facewave.providers.a2f.executors.emotion import EmotionExecutor, EmotionRate, GivenEmotion
from facewave.providers.a2f.executors.noise import noise_block
from facewave.providers.a2f.executors.regression import RegressionExecutor, RegressionStream
from facewave.providers.a2f.executors.windows import AudioFeed, NetworkFrames
from facewave.providers.a2f.folder.bundle import DiffusionBundle, EmotionBundle, RegressionBundle, load_bundle
from tests.model_folders import diffusion_folder, emotion_folder, regression_folder

RAMP: NDArray[np.float32] = (np.arange(1, 2001) / 2000).astype(np.float32)
FELT = {"anger": 0.1, "joy": 0.2, "sadness": 0.3}
AS_GIVEN = EmotionSettings(strength=1.0, override_strength=1.0)
"""Settings under which the track reaches the network as it is."""


def track(values: dict[str, float]) -> EmotionTrack:
    return EmotionTrack(np.array([0]), emotion_vector(values)[None])


def given(values: dict[str, float] = FELT) -> GivenEmotion:
    return GivenEmotion(AS_GIVEN, track(values), np.zeros(len(EMOTIONS), np.float32))


def feed(samples: NDArray[np.float32], *, closed: bool = True) -> AudioFeed:
    audio = AudioFeed()
    audio.buffer.append(samples)
    if closed:
        audio.buffer.close()
    return audio


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> RegressionBundle:
    bundle = load_bundle(regression_folder(tmp_path_factory.mktemp("model")))
    assert isinstance(bundle, RegressionBundle)
    return bundle


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory: pytest.TempPathFactory) -> DiffusionBundle:
    bundle = load_bundle(diffusion_folder(tmp_path_factory.mktemp("model")))
    assert isinstance(bundle, DiffusionBundle)
    return bundle


@pytest.fixture(scope="module")
def emotion(tmp_path_factory: pytest.TempPathFactory) -> EmotionBundle:
    bundle = load_bundle(emotion_folder(tmp_path_factory.mktemp("model")))
    assert isinstance(bundle, EmotionBundle)
    return bundle


def test_regression_windows_and_emotion(regression: RegressionBundle) -> None:
    executor = RegressionExecutor(regression, load_network(regression.network), Fraction(30))
    (made,) = executor.step([RegressionStream(feed(RAMP), given())])
    assert made.samples.tolist() == [0, 533, 1066, 1600]
    heard = RAMP * 1.3  # the model's input strength
    for row, sample in zip(made.rows, made.samples.tolist(), strict=True):
        window = np.zeros(64, np.float32)
        low, high = max(sample - 24, 0), min(sample + 40, len(RAMP))
        window[low - (sample - 24) : high - (sample - 24)] = heard[low:high]
        np.testing.assert_allclose(row[:3], [heard[sample], window[0], window[-1]], atol=1e-6)
        np.testing.assert_allclose(row[3], window.mean(), atol=1e-6)
    np.testing.assert_allclose(made.rows[:, 4], 0.12, atol=1e-7)  # shot_bb begins in row 4; frame 2 of it
    np.testing.assert_allclose(made.rows[:, 5:8], [[0.001, 0.002, 0.003]] * 4, atol=1e-7)
    np.testing.assert_allclose(made.rows[:, [20, 23]], [[0.1, 0.2]] * 4, atol=1e-7)


@pytest.mark.parametrize(
    ("samples", "fps", "frames"),
    [
        (0, Fraction(30), 0),
        (1, Fraction(30), 1),
        (533, Fraction(30), 1),
        (534, Fraction(30), 2),
        (16000, Fraction(60), 60),
        (16001, Fraction(60), 61),
        (16000, Fraction(30000, 1001), 30),
    ],
)
def test_regression_frame_count(regression: RegressionBundle, samples: int, fps: Fraction, frames: int) -> None:
    executor = RegressionExecutor(regression, load_network(regression.network), fps)
    (made,) = executor.step([RegressionStream(feed(np.zeros(samples, np.float32)), given())])
    assert len(made.rows) == frames


def test_regression_frames_come_as_their_window_does(regression: RegressionBundle) -> None:
    executor = RegressionExecutor(regression, load_network(regression.network), Fraction(30))
    audio = feed(RAMP[:572], closed=False)  # the window of the frame at 533 ends at 573
    stream = RegressionStream(audio, given())
    assert executor.step([stream])[0].samples.tolist() == [0]
    audio.buffer.append(RAMP[572:573])
    assert executor.step([stream])[0].samples.tolist() == [533]
    audio.buffer.close()
    assert executor.step([stream])[0].samples.tolist() == []


def test_regression_batches_streams_without_mixing_them(regression: RegressionBundle) -> None:
    executor = RegressionExecutor(regression, load_network(regression.network), Fraction(60), batch=3)
    inputs: list[NDArray[np.float32]] = [RAMP, -RAMP[:700], np.zeros(0, np.float32)]
    moods: list[dict[str, float]] = [{"anger": 0.5}, {"joy": 1.0}, {}]
    together = executor.step([RegressionStream(feed(x), given(m)) for x, m in zip(inputs, moods, strict=True)])
    for samples, mood, made in zip(inputs, moods, together, strict=True):
        (alone,) = executor.step([RegressionStream(feed(samples), given(mood))])
        np.testing.assert_allclose(made.rows, alone.rows, atol=1e-6)
        assert made.samples.tolist() == alone.samples.tolist()


def run_diffusion(executor: DiffusionExecutor, samples: NDArray[np.float32], identity: int = 1) -> NetworkFrames:
    return executor.step([executor.open(feed(samples), given(), identity)])[0]


def test_diffusion_windows_state_identity_and_emotion(diffusion: DiffusionBundle) -> None:
    executor = DiffusionExecutor(diffusion, load_network(diffusion.network))
    made = run_diffusion(executor, RAMP)
    assert made.index == 0
    assert made.samples.tolist() == [0, 400, 800, 1200, 1600]
    assert np.abs(made.rows).max() < 100  # 1e6 marks rows outside the centre
    np.testing.assert_allclose(made.rows[:, 0], RAMP[made.samples], atol=1e-6)  # input strength 1, not the file's 1.1
    assert made.rows[:, 1].tolist() == [1, 2, 2, 3, 3]  # windows run before: the state is handed on
    assert made.rows[:, 2].tolist() == [2] * 5  # identity 1
    np.testing.assert_allclose(made.rows[:, 3:6], [[0.1, 0.2, 0.3]] * 5, atol=1e-6)


@pytest.mark.parametrize("constant", [True, False])
def test_diffusion_noise_is_addressed_by_window(diffusion: DiffusionBundle, constant: bool) -> None:
    executor = DiffusionExecutor(diffusion, load_network(diffusion.network), constant_noise=constant)
    made = run_diffusion(executor, RAMP)
    total = diffusion.sizes.total
    skin = diffusion.sizes.skin
    for row, (window, local) in zip(made.rows, [(1, 1), (2, 0), (2, 1), (3, 0), (3, 1)], strict=True):
        block = noise_block(0 if constant else window, 3 * 4 * total).reshape(3, 4, total)
        assert row[skin] == pytest.approx(0.01 * block[1, 1 + local, skin], rel=1e-5)
        assert row[skin + 1] == pytest.approx(0.001 * block[2, 1 + local, skin + 1], rel=1e-5)


def test_noise_of_another_seed_differs(diffusion: DiffusionBundle) -> None:
    assert not np.array_equal(center_noise(diffusion, 2, 0, seed=0), center_noise(diffusion, 2, 0, seed=1))


@pytest.mark.parametrize(
    ("samples", "windows", "frames"),
    [(0, 2, 0), (1, 2, 1), (400, 2, 1), (401, 3, 2), (1200, 3, 3), (1201, 4, 4), (2000, 4, 5)],
)
def test_diffusion_counts(diffusion: DiffusionBundle, samples: int, windows: int, frames: int) -> None:
    timing = DiffusionTiming(diffusion)
    assert timing.frame_rate == 40
    assert timing.before == 3
    assert timing.total(samples) == frames
    executor = DiffusionExecutor(diffusion, load_network(diffusion.network))
    stream = executor.open(feed(np.zeros(samples, np.float32)), given(), 0)
    assert len(executor.step([stream])[0].rows) == frames
    assert stream.done == windows


def test_published_diffusion_timing(diffusion: DiffusionBundle) -> None:
    from dataclasses import replace

    published = replace(
        diffusion, buffer_length=16000, padding_left=16000, frames_left=15, frames_center=30, frames_right=15
    )
    timing = DiffusionTiming(published)
    assert timing.before == 45
    assert [timing.sample(45 + i) for i in range(4)] == [0, 266, 533, 800]
    assert [timing.windows(n, closed=True) for n in (0, 1, 4000, 4001, 8000, 16000, 160000)] == [2, 2, 2, 3, 3, 4, 22]
    assert [timing.windows(n, closed=False) for n in (0, 7999, 8000, 16000)] == [1, 1, 2, 3]
    assert [timing.total(n) for n in (0, 1, 267, 4000, 48000)] == [0, 1, 2, 15, 180]


def test_exact_frame_times_where_frames_do_not_fill_samples(diffusion: DiffusionBundle) -> None:
    from dataclasses import replace

    split = replace(diffusion, buffer_length=16000, padding_left=16000, frames_left=7, frames_center=15, frames_right=8)
    as_sdk, exact = DiffusionTiming(split), DiffusionTiming(split, exact=True)
    # NVIDIA's truncation puts the frame meant for time 0 at -1, where it is dropped.
    assert (as_sdk.before, as_sdk.sample(as_sdk.before)) == (24, 533)
    assert (exact.before, exact.sample(exact.before)) == (23, 0)
    assert exact.total(16000) == 30


def test_diffusion_streams_side_by_side(diffusion: DiffusionBundle) -> None:
    executor = DiffusionExecutor(diffusion, load_network(diffusion.network))
    inputs = [RAMP, RAMP[:900] * 0.5, RAMP[::-1].copy()]
    assert len(RAMP) <= 800 * PORTION  # one step makes all frames
    streams = [executor.open(feed(x), given(), identity) for identity, x in enumerate(inputs)]
    for identity, (samples, made) in enumerate(zip(inputs, executor.step(streams), strict=True)):
        alone = run_diffusion(executor, samples, identity)
        np.testing.assert_allclose(made.rows, alone.rows, atol=1e-6)


def test_emotion_logits_and_their_times(emotion: EmotionBundle) -> None:
    rate = EmotionRate(window=3000, frame_rate=Fraction(30), skip=1)
    executor = EmotionExecutor(emotion, load_network(emotion.network), rate)
    np.testing.assert_allclose(executor.infer(np.full((1, 700), 0.5, np.float32))[0], [2, 0, 0, 2, 0, 2], atol=1e-6)
    source = GivenEmotion(EmotionSettings(), None, np.zeros(10, np.float32))
    stream = executor.open(feed(np.full(16000, 0.5, np.float32)), EmotionSettings(max_detected=6), source)
    assert stream.known_until == -1
    executor.step([stream])
    assert stream.done == 15  # every second of 30 frames
    assert stream.known_until is None


def test_emotion_post_processing_holds_logits_between_runs(emotion: EmotionBundle) -> None:
    # Constant logits (2, 0, 0, 1, 0, -1): the values of the first three frames are known.
    from facewave.providers.a2f.executors.emotion import process_held

    executor = EmotionExecutor(emotion, load_network(emotion.network))
    logits = np.array([2, 0, 0, 1, 0, -1], np.float32)
    post = executor.post_processor(EmotionSettings(max_detected=6))
    values = process_held(post, logits, None, 3)[:, [1, 3, 4, 6, 9]]
    expected = [
        [0.0987019, 0.0133579, 0.0133579, 0.0363104, 0.0049141],
        [0.1033080, 0.0139812, 0.0139812, 0.0380049, 0.0051434],
        [0.1108313, 0.0149994, 0.0149994, 0.0407726, 0.0055180],
    ]
    np.testing.assert_allclose(values, expected, atol=1e-6)
    post = executor.post_processor(EmotionSettings(max_detected=2))
    joy = np.tile(emotion_vector({"joy": 1.0}), (3, 1))
    values = process_held(post, logits, joy, 3)[:, [1, 3, 4, 6, 9]]
    expected = [[0.0493510, 0, 0, 0.3181552, 0], [0.0516540, 0, 0, 0.3190025, 0], [0.0554157, 0, 0, 0.3203863, 0]]
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_emotions_not_asked_for_stay_as_detected(emotion: EmotionBundle) -> None:
    settings = EmotionSettings(overrides={"joy": 0.0}, override_strength=1.0, strength=1.0)
    source = GivenEmotion(settings, None, np.zeros(10, np.float32))
    preferred = source.preferred(np.array([0, 100]))
    assert preferred is not None
    assert preferred[0, EMOTIONS.index("joy")] == 0
    assert np.isnan(preferred[0, EMOTIONS.index("anger")])
    over_track = GivenEmotion(settings, track({"anger": 0.4, "joy": 1.0}), np.zeros(10, np.float32))
    preferred = over_track.preferred(np.array([0]))
    assert preferred is not None
    assert preferred[0, EMOTIONS.index("joy")] == 0
    assert preferred[0, EMOTIONS.index("anger")] == np.float32(0.4)


def test_face_waits_for_the_emotion_of_its_frames(regression: RegressionBundle, emotion: EmotionBundle) -> None:
    rate = EmotionRate(window=3000, frame_rate=Fraction(30), skip=1)
    listener = EmotionExecutor(emotion, load_network(emotion.network), rate)
    executor = RegressionExecutor(regression, load_network(regression.network), Fraction(60))
    audio = feed(np.full(1499, 0.5, np.float32), closed=False)
    source = GivenEmotion(EmotionSettings(), None, np.zeros(10, np.float32))
    detected = listener.open(audio, EmotionSettings(), source)
    stream = RegressionStream(audio, detected)
    listener.step([detected])
    assert len(executor.step([stream])[0].rows) == 0  # the first emotion window ends at sample 1500
    audio.buffer.append(np.full(1, 0.5, np.float32))
    listener.step([detected])
    assert executor.step([stream])[0].samples.tolist() == [0, 266, 533]


@pytest.mark.parametrize("rate", [EmotionRate(window=0), EmotionRate(window=3000, skip=10), EmotionRate(skip=-1)])
def test_emotion_rates_that_lose_frames_are_refused(emotion: EmotionBundle, rate: EmotionRate) -> None:
    with pytest.raises(SettingsError, match="emotion rate"):
        EmotionExecutor(emotion, load_network(emotion.network), rate)
