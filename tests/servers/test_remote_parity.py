"""RemoteA2F and LegacyA2F through our own server give what the provider behind it gives: sockets change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import facewave
from facewave.blendshapes import ARKIT, CHANNELS
from facewave.emotions import EmotionSettings, EmotionTrack
from facewave.errors import RemoteError
from facewave.frames import Frame
from facewave.providers import open_provider
from facewave.providers.base import Provider, Session
from facewave.providers.remote.connection import Connection
from facewave.providers.remote.legacy import LegacyA2F, LegacyRoute
from facewave.providers.remote.options import RemoteOptions, RetryPolicy
from facewave.providers.remote.provider import RemoteA2F
from facewave.server.server import ServeOptions
from facewave.streams import StreamSettings
from facewave.timing import frames_in
from tests.servers.loudness import LoudnessProvider
from tests.servers.serving import RunningServer, config, serving

SETTINGS = {
    "defaults": StreamSettings(),
    "emotions": StreamSettings(
        emotion=EmotionSettings(strength=0.9, override_strength=0.8, overrides={"joy": 0.7}),
        emotion_track=EmotionTrack.from_keys([(0.0, {"anger": 0.5}), (1.0, {"sadness": 1.0})]),
    ),
    "face and shaping": StreamSettings(
        face_parameters={"lowerFaceStrength": 1.4, "upperFaceSmoothing": 0.0, "eyelidOpenOffset": 0.25},
        multipliers={"jawOpen": 0.5, "mouthSmileLeft": 2.0},
        offsets={"mouthPucker": -0.05},
        clamp=True,
    ),
}


@pytest.fixture(scope="module")
def embedded() -> Provider:
    if not (Path(facewave.__file__).parent / "providers" / "embedded" / "model.onnx").is_file():
        pytest.skip("the embedded model is not in this checkout")
    return open_provider("Embedded")


@pytest.fixture(scope="module")
def speech(request: pytest.FixtureRequest) -> NDArray[np.float32]:
    path: Path = request.getfixturevalue("demo_clip")
    samples, rate = soundfile.read(path, dtype="int16", frames=40_000)
    assert rate == 16_000
    return np.asarray(samples / 32768, np.float32)


@pytest.fixture(scope="module")
def server(embedded: Provider) -> Iterator[RunningServer]:
    with serving(embedded) as running:
        yield running


def through(
    provider: Provider | RemoteA2F | LegacyA2F, settings: StreamSettings, speech: NDArray[np.float32]
) -> list[Frame]:
    session: Session = provider.open(settings)
    frames: list[Frame] = []
    for start in range(0, len(speech), 3000):
        frames += session.push(speech[start : start + 3000])
    return frames + list(session.finish())


def weights(frames: list[Frame]) -> NDArray[np.float32]:
    arkit = [CHANNELS.index(name) for name in ARKIT]
    return np.stack([frame.weights for frame in frames])[:, arkit]


@pytest.mark.parametrize("case", sorted(SETTINGS))
def test_the_service_gives_the_frames_of_the_provider_behind_it(
    embedded: Provider, server: RunningServer, speech: NDArray[np.float32], case: str
) -> None:
    settings = SETTINGS[case]
    # The service's stylization switches off nine channels that no emotion or speech of this clip needs to move.
    want = through(embedded, replace(settings, frame_rate=Fraction(30)), speech)
    remote = RemoteA2F(Connection(url=server.target))
    got = through(remote, settings, speech)
    assert [(frame.index, frame.sample) for frame in got] == [(frame.index, frame.sample) for frame in want]
    quiet = [ARKIT.index(name) for name in ARKIT if name.startswith("eyeLook") or name == "tongueOut"]
    expected = weights(want)
    expected[:, quiet] = weights(got)[:, quiet]
    np.testing.assert_allclose(weights(got), expected, atol=2e-5)
    for frame, other in zip(got, want, strict=True):
        if other.emotion is not None:
            assert frame.emotion is not None
            np.testing.assert_allclose(frame.emotion, other.emotion, atol=1e-5)
    remote.free()


def test_a_track_pushed_in_the_middle_has_the_same_effect(
    embedded: Provider, server: RunningServer, speech: NDArray[np.float32]
) -> None:
    new = EmotionTrack.from_keys([(1.5, {"joy": 1.0}), (2.0, {"fear": 1.0})])
    # Nothing changes before 0.6 s, so that it does not matter how much has been animated when the new track comes.
    old = EmotionTrack.from_keys([(0.0, {"anger": 1.0}), (0.6, {"anger": 1.0}), (2.2, {"anger": 0.0})])
    remote = RemoteA2F(Connection(url=server.target))
    results = []
    for provider in (embedded, remote):
        settings = StreamSettings(
            frame_rate=Fraction(30), emotion=EmotionSettings(override_strength=1.0), emotion_track=old
        )
        session: Session = provider.open(settings)
        frames = [*session.push(speech[:8000]), *session.push(speech[8000:], new), *session.finish()]
        results.append(np.stack([frame.emotion for frame in frames if frame.emotion is not None]))
    np.testing.assert_allclose(results[1], results[0], atol=1e-4)
    remote.free()


def test_the_one_way_protocol_gives_the_same_frames(speech: NDArray[np.float32]) -> None:
    provider = LoudnessProvider()
    options = RemoteOptions(stall_timeout_s=20.0)
    listening = LegacyA2F(Connection(url="http://127.0.0.1:1"), LegacyRoute(listen="127.0.0.1:0"), options)
    listening._enter()
    target = listening.receiving
    deployment = {"endpoints.unidirectional.client.url": target}
    with serving(provider, config(deployment=deployment), ServeOptions(http_address=None, legacy=True)) as running:
        listening.override(Connection(url=f"http://127.0.0.1:{running.server.ports['legacy']}"))
        want = through(provider, StreamSettings(frame_rate=Fraction(30)), speech)
        got = through(listening, StreamSettings(), speech)
        np.testing.assert_allclose(weights(got), weights(want), atol=1e-6)
        listening.free()
    listening._leave()


def test_frames_of_silence_that_the_service_appends_are_kept(speech: NDArray[np.float32]) -> None:
    deployment = {"common.add_silence_padding_after_audio": True, "common.silence_padding_duration_second": 0.5}
    with serving(LoudnessProvider(), config(deployment=deployment)) as running:
        remote = RemoteA2F(Connection(url=running.target))
        got = through(remote, StreamSettings(), speech)
        assert len(got) == frames_in(len(speech) + 8000, Fraction(30))
        assert not got[-1].weights[CHANNELS.index("jawOpen")]
        remote.free()


def test_a_server_with_keys_lets_in_who_has_one(speech: NDArray[np.float32]) -> None:
    options = ServeOptions(http_address=None, keys=(b"right",))
    with serving(LoudnessProvider(), options=options) as running:
        for key in ("", "wrong"):
            stranger = RemoteA2F(Connection(url=running.target, api_key=key), RemoteOptions(retry=RetryPolicy(1)))
            with pytest.raises(RemoteError, match="set api_key"):
                through(stranger, StreamSettings(), speech)
            stranger.free()
        guest = RemoteA2F(Connection(url=running.target, api_key="right"))
        assert len(through(guest, StreamSettings(), speech)) == frames_in(len(speech), Fraction(30))
        guest.free()


def test_a_server_in_front_of_a_service_passes_it_on(speech: NDArray[np.float32]) -> None:
    provider = LoudnessProvider()
    with serving(provider) as behind:
        remote = RemoteA2F(Connection(url=behind.target))
        with serving(remote) as front:
            client = RemoteA2F(Connection(url=front.target))
            got = through(client, StreamSettings(), speech)
            want = through(provider, StreamSettings(frame_rate=Fraction(30)), speech)
            np.testing.assert_allclose(weights(got), weights(want), atol=1e-6)
            client.free()


def test_a_full_server_is_asked_again_until_a_stream_is_free(speech: NDArray[np.float32]) -> None:
    with serving(LoudnessProvider(), config(deployment={"common.stream_number": 1})) as running:
        patient = RemoteA2F(Connection(url=running.target), RemoteOptions(retry=RetryPolicy(9, 0.1)))
        hasty = RemoteA2F(Connection(url=running.target), RemoteOptions(retry=RetryPolicy(1)))
        holder = patient.open(StreamSettings())
        assert list(holder.push(speech[:8000])) is not None
        assert holder.take(10.0)
        with pytest.raises(RemoteError, match="no free stream"):
            through(hasty, StreamSettings(), speech[:8000])
        waiting = patient.open(StreamSettings())
        waiting.push(speech[:8000])
        holder.cancel()
        assert len(waiting.finish()) == 15
        patient.free()
        hasty.free()
