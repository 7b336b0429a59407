"""What the bundled model's stream does around its network: emotion, idle life, look-ahead, batching."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import facewave
from facewave import EmotionSettings, EmotionTrack, StreamSettings
from facewave.audio.files import read_audio
from facewave.blendshapes import INDEX, UPPER_FACE
from facewave.errors import SettingsError
from facewave.frames import Animation
from facewave.providers.embedded.articulation import lip_gap
from facewave.providers.embedded.provider import EmbeddedProvider
from facewave.providers.embedded.session import EmbeddedSession
from facewave.settings import EmbeddedSettings, FacewaveSettings

UPPER = [INDEX[name] for name in UPPER_FACE]
FULL = EmotionSettings(strength=1.0, override_strength=1.0)


def hearing(provider: EmbeddedProvider, settings: StreamSettings | None = None) -> EmbeddedSession:
    session = provider.open(settings or StreamSettings())
    assert isinstance(session, EmbeddedSession)
    return session


def animate(clip: Path, **settings: object) -> Animation:
    return facewave.animate(clip, settings=StreamSettings(**settings))  # type: ignore[arg-type]


def test_without_idle_life_silence_is_a_still_face() -> None:
    still = facewave.animate(np.zeros(32000, np.float32), settings=StreamSettings(idle=False))
    assert np.abs(still.weights).max() <= 0.02
    assert still.head is None
    assert still.emotions is not None
    assert still.emotions.max() < 0.01


def test_idle_life_follows_its_seed(demo_clip: Path) -> None:
    first, again, other, none = (
        animate(demo_clip), animate(demo_clip), animate(demo_clip, seed=7), animate(demo_clip, idle=False),
    )  # fmt: skip
    assert np.array_equal(first.weights, again.weights)
    assert not np.array_equal(first.channel("eyeBlinkLeft"), other.channel("eyeBlinkLeft"))
    assert first.channel("eyeBlinkLeft").max() > 0.9
    assert none.channel("eyeBlinkLeft").max() < 0.01, "no blink; a hint of sadness may lower the lids a little"
    assert first.head is not None
    assert first.head.shape == (len(first), 3)


@pytest.mark.parametrize("emotion", ["joy", "anger", "amazement", "fear", "outofbreath"])
def test_full_emotion_leaves_the_lip_closures(demo_clip: Path, emotion: str) -> None:
    plain = animate(demo_clip, idle=False, emotion=EmotionSettings(strength=0.0))
    moved = animate(demo_clip, idle=False, emotion=replace(FULL, overrides={emotion: 1.0}))
    assert np.abs(moved.weights - plain.weights)[60:].max() > 0.1
    closed = (plain.channel("mouthClose") > 0.8 * plain.channel("jawOpen")) & (plain.channel("mouthPressLeft") > 0.3)
    open_gap = np.percentile(lip_gap(moved.weights), 90)
    assert (lip_gap(moved.weights)[closed] <= 0.25 * open_gap).all()


def test_keys_in_time_and_keys_that_arrive_during_the_stream(demo_clip: Path) -> None:
    samples = read_audio(demo_clip).mono_16k()
    track = EmotionTrack.from_keys([(0, {}), (2, {}), (2.5, {"amazement": 1})])
    settings = StreamSettings(idle=False, emotion=replace(FULL, transition_s=0.0), emotion_track=track)
    take = facewave.animate(samples, settings=settings)
    brow = take.channel("browOuterUpLeft")
    assert brow[:118].max() < 0.01
    assert brow[160:].min() > 0.5

    session = EmbeddedProvider().open(
        StreamSettings(idle=False, emotion=replace(FULL, transition_s=0.0, detected_smoothing=0.0))
    )
    frames = [*session.push(samples[:24000]), *session.push(samples[24000:], track), *session.finish()]
    live = Animation.from_frames(session.info, frames).channel("browOuterUpLeft")
    np.testing.assert_allclose(live[160:], brow[160:], atol=1e-3)


def test_zero_strength_is_no_emotion(demo_clip: Path) -> None:
    take = animate(demo_clip, idle=False, emotion=EmotionSettings(strength=0.0, overrides={"joy": 1.0}))
    assert np.abs(take.weights[:, UPPER]).max() == 0


@pytest.mark.parametrize("look_ahead_ms", [50, 100])
def test_frames_come_as_early_as_the_look_ahead_says(demo_clip: Path, look_ahead_ms: int) -> None:
    provider = EmbeddedProvider(FacewaveSettings(embedded=EmbeddedSettings(look_ahead_ms)))
    assert provider.info.look_ahead == look_ahead_ms * 16
    session = provider.open(StreamSettings())
    samples = read_audio(demo_clip).mono_16k()
    for at in range(0, 32000, 160):
        for frame in session.push(samples[at : at + 160]):
            assert frame.sample + provider.info.look_ahead <= at + 160 + 1


def test_an_unknown_look_ahead_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match="found 70, expected one of 50, 100"):
        EmbeddedProvider(FacewaveSettings(embedded=EmbeddedSettings(70))).open(StreamSettings())


def test_streams_stepped_together_equal_streams_alone(demo_clip: Path) -> None:
    samples = read_audio(demo_clip).mono_16k()
    provider = EmbeddedProvider()
    inputs = [samples[shift : shift + 32000] for shift in (0, 5000, 9000)]
    alone = [facewave.animate(one, provider=provider).weights for one in inputs]
    sessions = [hearing(provider) for _ in inputs]
    frames: list[list[facewave.Frame]] = [[], [], []]
    for at in range(0, 32000, 533):
        for session, one in zip(sessions, inputs, strict=True):
            session.feed(one[at : at + 533])
        for out, new in zip(frames, provider.step(sessions), strict=True):
            out += new
    for session in sessions:
        session.end()
    for out, new in zip(frames, provider.step(sessions), strict=True):
        out += new
    for out, expected in zip(frames, alone, strict=True):
        np.testing.assert_allclose(np.stack([frame.weights for frame in out]), expected, atol=2e-5)


def test_streams_of_all_kinds_may_be_stepped_together(demo_clip: Path) -> None:
    samples = read_audio(demo_clip).mono_16k()
    provider = EmbeddedProvider()
    track = EmotionTrack(np.array([0, 8000]), np.eye(10, dtype=np.float32)[[3, 6]])
    kinds = [
        StreamSettings(),
        StreamSettings(frame_rate=Fraction(25), seed=4, visemes=True),
        StreamSettings(idle=False, emotion=EmotionSettings(overrides={"joy": 0.7}, override_strength=0.6)),
        StreamSettings(frame_rate=Fraction(120), emotion_track=track, emotion=replace(FULL, max_detected=2)),
        StreamSettings(
            face_parameters={"lowerFaceSmoothing": 0.02, "lipOpenOffset": 0.1}, multipliers={"jawOpen": 2.0}
        ),
    ]
    sessions = [hearing(provider, kind) for kind in kinds]
    made: list[list[facewave.Frame]] = [[] for _ in kinds]
    # Pieces of other lengths for each, one of them late and one silent for a while: no two have equally many rows.
    position = [0] * len(kinds)
    for turn in range(60):
        fed = [i for i in range(len(kinds)) if turn >= i and not (i == 2 and turn % 5)]
        for i in fed:
            size = 400 + 311 * i
            sessions[i].feed(samples[position[i] : position[i] + size])
            position[i] += size
        for i, new in zip(fed, provider.step([sessions[i] for i in fed]), strict=True):
            made[i] += new
    for i, kind in enumerate(kinds):
        made[i] += sessions[i].finish()
        session = provider.open(kind)
        alone = [*session.push(samples[: position[i]]), *session.finish()]
        assert [frame.index for frame in made[i]] == [frame.index for frame in alone]
        for name in ("weights", "emotion", "visemes", "head"):
            found = [getattr(frame, name) for frame in made[i]]
            expected = [getattr(frame, name) for frame in alone]
            assert [value is None for value in found] == [value is None for value in expected]
            if found[0] is not None:
                np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=2e-5, err_msg=f"{kind} {name}")
