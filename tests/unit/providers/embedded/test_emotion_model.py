"""Audio2Emotion in place of the hint from prosody: run in batches, never at the cost of the lips' delay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import facewave
from facewave import EmotionSettings, StreamSettings
from facewave.emotions import EMOTIONS
from facewave.errors import ModelError, SettingsError
from facewave.frames import Frame
from facewave.providers import open_provider
from facewave.providers.base import Provider
from facewave.providers.embedded.provider import EmbeddedProvider
from facewave.providers.embedded.session import EmbeddedSession
from facewave.settings import EmbeddedSettings, FacewaveSettings
from tests.model_folders import emotion_folder

ANGER = EMOTIONS.index("anger")
LISTENING = EmotionSettings(strength=1.0, detected_smoothing=0.0, transition_s=0.0, detected_contrast=3.0)
PLAIN = StreamSettings(idle=False, emotion=LISTENING)


def embedded(named: str) -> Provider:
    return open_provider("Embedded", FacewaveSettings(embedded=EmbeddedSettings(emotion_model=named)))


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return embedded(str(emotion_folder(tmp_path_factory.mktemp("a2e"))))


def angry_from(second: float, seconds: float = 6.0) -> NDArray[np.float32]:
    """Audio in which the synthetic model hears anger (a mean above 0) from a moment on."""
    samples = np.zeros(int(seconds * 16000), np.float32)
    samples[int(second * 16000) :] = 0.9
    samples[::2] *= 0.99
    return samples


def emotions_of(
    provider: Provider, samples: NDArray[np.float32], settings: StreamSettings = PLAIN
) -> NDArray[np.float32]:
    take = facewave.animate(samples, provider=provider, settings=settings)
    assert take.emotions is not None
    return take.emotions


def felt_in(frames: list[Frame]) -> NDArray[np.float32]:
    return np.stack([frame.emotion for frame in frames if frame.emotion is not None])


def test_the_model_is_heard_about_a_second_late_and_the_frames_are_not(listening: Provider) -> None:
    felt = emotions_of(listening, angry_from(2.0))[:, ANGER]
    assert felt[:60].max() < 0.05, "nothing heard is neutral"
    # A window of 30,000 samples is full of the new sound 1.9 s after it begins, and half full 0.9 s after.
    assert felt[int(2.2 * 60)] < felt[int(4.5 * 60)]
    assert felt[int(4.5 * 60)] > 0.3
    assert listening.info.look_ahead == 1600


def test_chunks_and_companions_do_not_change_what_is_heard(listening: Provider) -> None:
    samples = angry_from(1.0, 4.0)
    samples += np.random.default_rng(0).normal(0, 0.05, len(samples)).astype(np.float32)
    whole = emotions_of(listening, samples)
    for chunk in (333, 16000):
        session = listening.open(PLAIN)
        frames = [frame for at in range(0, len(samples), chunk) for frame in session.push(samples[at : at + chunk])]
        np.testing.assert_allclose(felt_in([*frames, *session.finish()]), whole, atol=2e-5)
    assert isinstance(listening, EmbeddedProvider)
    opened = [listening.open(PLAIN) for _ in range(3)]
    together = [session for session in opened if isinstance(session, EmbeddedSession)]
    assert len(together) == 3
    for one in together:
        one.feed(samples)
        one.end()
    for frames in listening.step(together):
        np.testing.assert_allclose(felt_in(frames), whole, atol=2e-5)


def test_given_emotion_stays_on_time(listening: Provider) -> None:
    track = facewave.EmotionTrack.from_keys([(0, {}), (1.0, {}), (1.05, {"joy": 1})])
    settings = replace(PLAIN, emotion=replace(LISTENING, override_strength=1.0), emotion_track=track)
    felt = emotions_of(listening, angry_from(0.0, 3.0), settings)
    assert felt[60, EMOTIONS.index("joy")] < 0.05
    assert felt[66, EMOTIONS.index("joy")] > 0.95
    assert felt[:, ANGER].max() < 1e-6


def test_none_hears_nothing_and_the_model_goes_with_the_network(demo_clip: Path, listening: Provider) -> None:
    assert emotions_of(embedded("none"), angry_from(0.5, 3.0)).max() < 1e-6
    heard = facewave.animate(demo_clip, provider=embedded("none"), settings=PLAIN)
    assert heard.emotions is not None
    assert heard.emotions.max() < 1e-6
    assert isinstance(listening, EmbeddedProvider)
    listening.allocate()
    assert listening.listener is not None
    listening.free()
    assert listening.listener is None


def test_a_model_that_is_missing_or_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file or folder"):
        embedded(str(tmp_path / "nothing")).allocate()
    with pytest.raises(SettingsError, match="open_provider"):
        EmbeddedProvider(FacewaveSettings(embedded=EmbeddedSettings(emotion_model="x"))).allocate()
