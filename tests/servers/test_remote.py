"""RemoteA2F against a real server on a real socket: a polite one, then one that misbehaves in every way we know."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.blendshapes import ARKIT, CHANNELS, TONGUE
from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack, replaced_from
from facewave.errors import AudioError, RemoteError, SessionError, SettingsError
from facewave.frames import Animation, Frame
from facewave.providers.remote import connection as connection_module
from facewave.providers.remote import session as session_module
from facewave.providers.remote.connection import Connection
from facewave.providers.remote.options import RemoteOptions, RetryPolicy
from facewave.providers.remote.provider import RemoteA2F
from facewave.providers.remote.session import RemoteSession
from facewave.providers.remote.whole_clip import animate_clip
from facewave.streams import StreamSettings
from facewave.timing import frames_in, sample_of
from tests.servers.awkward import NAMES_68, AwkwardServer, Cable, Habits, expected_weights

QUICK = RemoteOptions(
    connect_timeout_s=30.0, stall_timeout_s=1.0, finish_timeout_s=20.0, retry=RetryPolicy(attempts=3, delay_s=0.05)
)
PATIENT = replace(QUICK, stall_timeout_s=30.0, finish_timeout_s=60.0)


@pytest.fixture
def server() -> Iterator[AwkwardServer]:
    with AwkwardServer() as running:
        yield running


@pytest.fixture
def speech() -> NDArray[np.float32]:
    """1.31 s of noise with a slow swell, in values that 16 bits hold exactly."""
    noise = np.random.default_rng(5).standard_normal(20_960) * np.linspace(0.01, 0.2, 20_960)
    return (np.round(np.clip(noise, -1, 0.99) * 32768) / 32768).astype(np.float32)


def provider_for(server: AwkwardServer | Cable, options: RemoteOptions = PATIENT) -> RemoteA2F:
    return RemoteA2F(Connection(url=server.url), options)


def played(session: RemoteSession, speech: NDArray[np.float32], chunk: int) -> list[Frame]:
    frames: list[Frame] = []
    for start in range(0, len(speech), chunk):
        frames += session.push(speech[start : start + chunk])
    return frames + list(session.finish())


def loaded(provider: RemoteA2F) -> bool:
    return provider.info.loaded


def weights(frames: list[Frame]) -> NDArray[np.float32]:
    return np.stack([frame.weights for frame in frames])


def wanted(speech: NDArray[np.float32], rate: Fraction, channels: tuple[str, ...]) -> NDArray[np.float32]:
    rows = [expected_weights(speech, index, rate) for index in range(frames_in(len(speech), rate))]
    return np.array([[row[name] if name in channels else 0.0 for name in CHANNELS] for row in rows], np.float32)


def test_a_clip_becomes_frames_in_our_order_with_the_services_own_rate(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    provider = provider_for(server)
    session = provider.open(StreamSettings())
    frames = played(session, speech, 1600)
    assert session.info.frame_rate == 30
    assert session.info.channels == CHANNELS
    assert [frame.index for frame in frames] == list(range(frames_in(len(speech), Fraction(30))))
    assert [frame.sample for frame in frames] == [sample_of(index, Fraction(30)) for index in range(len(frames))]
    np.testing.assert_allclose(weights(frames), wanted(speech, Fraction(30), ARKIT), atol=1e-6)
    assert session.done
    assert session.sent_channels == ARKIT
    clip = server.clips[0]
    np.testing.assert_array_equal(np.frombuffer(clip.pcm, "<i2") / 32768, speech)
    assert clip.ended
    assert clip.header is not None
    assert clip.header.audio_header.samples_per_second == 16_000
    assert not clip.header.HasField("emotion_post_processing_params")  # The service keeps its own defaults.
    provider.free()


@pytest.mark.parametrize("chunk", [1, 7, 160, 533, 4096, 20_960])
def test_chunk_size_changes_nothing(server: AwkwardServer, speech: NDArray[np.float32], chunk: int) -> None:
    provider = provider_for(server)
    short = speech[:4000] if chunk == 1 else speech
    frames = played(provider.open(StreamSettings()), short, chunk)
    np.testing.assert_allclose(weights(frames), wanted(short, Fraction(30), ARKIT), atol=1e-6)
    assert bytes(server.clips[0].pcm) == np.round(short * 32768).astype("<i2").tobytes()
    assert max(server.clips[0].chunks) <= 32_000  # No message longer than a second.
    provider.free()


def test_frames_come_while_the_clip_is_still_being_sent(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    session = provider_for(server).open(StreamSettings())
    frames = list(session.push(speech[:8000]))
    deadline = time.monotonic() + 20
    while len(frames) < 14 and time.monotonic() < deadline:
        frames += session.take(0.5)
    assert [frame.index for frame in frames] == list(range(14))
    assert not server.clips[0].ended
    frames += session.push(speech[8000:])
    frames += session.finish()
    np.testing.assert_allclose(weights(frames), wanted(speech, Fraction(30), ARKIT), atol=1e-6)


AWKWARD = {
    "68 names": (Habits(names=NAMES_68), Fraction(30), CHANNELS),
    "reversed names": (Habits(names=NAMES_68[::-1]), Fraction(30), CHANNELS),
    "names of a rig": (Habits(names=("HeadRoll", *NAMES_68[:52], "HeadPitch_deprecated")), Fraction(30), ARKIT),
    "60 frames a second": (Habits(rate=Fraction(60)), Fraction(60), ARKIT),
    "television rate": (Habits(rate=Fraction(30_000, 1001)), Fraction(30_000, 1001), ARKIT),
    "milliseconds at 60": (
        Habits(rate=Fraction(60), time_code=lambda index, rate: round(index / float(rate), 3)),
        Fraction(60),
        ARKIT,
    ),
    "float32 time codes": (
        Habits(time_code=lambda index, rate: float(np.float32(index / float(rate)))),
        Fraction(30),
        ARKIT,
    ),
    "seven frames a message": (Habits(frames_per_message=7), Fraction(30), ARKIT),
    "no echo": (Habits(echo=False), Fraction(30), ARKIT),
    "no emotions": (Habits(emotions=False), Fraction(30), ARKIT),
    "infos in between": (Habits(infos=True), Fraction(30), ARKIT),
    "no event": (Habits(event=False), Fraction(30), ARKIT),
    "no status": (Habits(status=False, event=False), Fraction(30), ARKIT),
    "call left open": (Habits(stays_open=True), Fraction(30), ARKIT),
    "all at once": (
        Habits(names=NAMES_68, rate=Fraction(60), frames_per_message=5, echo=False, infos=True, event=False),
        Fraction(60),
        CHANNELS,
    ),
}


@pytest.mark.parametrize("case", AWKWARD)
def test_an_awkward_service_gives_the_same_frames(
    server: AwkwardServer, speech: NDArray[np.float32], case: str
) -> None:
    habits, rate, channels = AWKWARD[case]
    server.habits = habits
    provider = provider_for(server)
    session = provider.open(StreamSettings())
    frames = played(session, speech, 1000)
    assert session.info.frame_rate == rate
    assert [frame.index for frame in frames] == list(range(len(frames)))
    np.testing.assert_allclose(weights(frames), wanted(speech, rate, channels), atol=1e-6)
    assert session.sent_channels == channels
    assert provider.info.frame_rate == rate
    animation = Animation.from_frames(session.info, frames)
    assert (animation.emotions is not None) == habits.emotions
    if habits.infos:
        assert "INFO from the service: warming up" in session.notices
        assert "WARNING from the service: nearly there" in session.notices
    provider.free()


def test_a_clip_shorter_than_a_frame_has_one_frame(server: AwkwardServer) -> None:
    session = provider_for(server).open(StreamSettings())
    frames = played(session, np.full(100, 0.25, np.float32), 100)
    assert [frame.index for frame in frames] == [0]
    assert frames[0].weights[CHANNELS.index("jawOpen")] == pytest.approx(0.25)


def test_a_clip_without_samples_has_no_frames_and_needs_no_call(server: AwkwardServer) -> None:
    session = provider_for(server).open(StreamSettings())
    assert list(session.push(np.zeros(0, np.float32))) == []
    assert list(session.finish()) == []
    assert session.done


def test_frames_the_service_lost_are_interpolated_and_reported(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    server.habits = Habits(lost=frozenset({10, 11, 20}))
    session = provider_for(server).open(StreamSettings())
    frames = played(session, speech, 1000)
    want = wanted(speech, Fraction(30), ARKIT)
    for lost, before, after, share in ((10, 9, 12, 1 / 3), (11, 9, 12, 2 / 3), (20, 19, 21, 0.5)):
        want[lost] = want[before] + share * (want[after] - want[before])
    np.testing.assert_allclose(weights(frames), want, atol=1e-6)
    assert any("lost" in note for note in session.notices)


def test_weights_that_are_not_numbers_become_zero_and_are_reported(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    server.habits = Habits(edit=lambda index, row: [float("nan"), *row[1:]] if index == 3 else row)
    session = provider_for(server).open(StreamSettings())
    frames = played(session, speech, 1000)
    assert np.isfinite(weights(frames)).all()
    assert frames[3].weights[0] == 0
    assert any("not numbers" in note for note in session.notices)


@pytest.mark.parametrize(
    ("habits", "words"),
    [
        (Habits(edit=lambda index, row: row[:51]), "51 weights, expected 52"),
        (Habits(names=("Left", "Right")), "no blend shape we know"),
        (Habits(no_header=True), "before the header"),
        (Habits(time_code=lambda index, rate: 0.0), "seconds that increase"),
        (Habits(time_code=lambda index, rate: index * 0.03 + 0.012 * (index % 3 == 2)), "time codes: found"),
        (Habits(time_code=lambda index, rate: index / 30 if index < 8 else index / 30 - 0.2), "time codes: found"),
        (Habits(time_code=lambda index, rate: index / 30 if index < 8 else float("nan")), "expected seconds"),
        (Habits(time_code=lambda index, rate: index / 30 + 60 * (index > 7)), "frames are missing"),
    ],
)
def test_what_is_not_an_animation_is_an_error_that_names_the_service(
    server: AwkwardServer, speech: NDArray[np.float32], habits: Habits, words: str
) -> None:
    server.habits = habits
    session = provider_for(server).open(StreamSettings())
    with pytest.raises(RemoteError, match=words) as caught:
        played(session, speech, 1000)
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert server.clips[0].over.wait(10)


def test_emotions_parameters_and_shaping_travel(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    settings = StreamSettings(
        emotion=EmotionSettings(strength=0.0, max_detected=6, override_strength=1.0, overrides={"fear": 0.25}),
        emotion_track=EmotionTrack.from_keys([(0.0, {"joy": 1.0}), (1.0, {"sadness": 0.5})]),
        face_parameters={"lowerFaceStrength": 0.0},
        multipliers={"jawOpen": 0.5},
        offsets={"mouthClose": 0.0},
        clamp=True,
    )
    session = provider_for(server).open(settings)
    frames = played(session, speech, 1000)
    header = server.clips[0].header
    assert header is not None
    emotion = header.emotion_post_processing_params
    assert emotion.HasField("emotion_strength")  # 0.0 is a value, not an absence.
    assert emotion.emotion_strength == 0.0
    assert emotion.max_emotions == 6
    assert emotion.enable_preferred_emotion
    assert dict(header.face_params.float_params) == {"lowerFaceStrength": 0.0}
    assert dict(header.blendshape_params.bs_weight_multipliers) == {"JawOpen": 0.5}
    assert dict(header.blendshape_params.bs_weight_offsets) == {"MouthClose": 0.0}
    assert header.blendshape_params.enable_clamping_bs_weight
    assert server.clips[0].keys == {
        0.0: {"joy": 1.0, "fear": 0.25},
        1.0: {"sadness": 0.5, "fear": 0.25},
    }
    assert frames[15].emotion is not None
    assert frames[15].emotion[EMOTIONS.index("joy")] == pytest.approx(0.5)


def test_a_new_track_replaces_the_old_one_from_its_first_key_on(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    old = EmotionTrack.from_keys([(0.0, {"joy": 1.0}), (0.5, {"joy": 1.0}), (1.2, {"joy": 0.0})])
    new = EmotionTrack.from_keys([(0.6, {"anger": 0.5}), (1.0, {"anger": 1.0})])
    session = provider_for(server).open(StreamSettings(emotion_track=old))
    frames = list(session.push(speech[:4000]))
    frames += session.push(speech[4000:], new)
    frames += session.finish()
    reported = np.stack([frame.emotion for frame in frames if frame.emotion is not None])
    samples = np.array([frame.sample for frame in frames])
    np.testing.assert_allclose(reported, replaced_from(old, new).at(samples), atol=1e-5)


def test_an_emotion_vector_of_a_models_own_is_refused(server: AwkwardServer) -> None:
    own = EmotionTrack(np.array([0]), np.ones((1, 26), np.float32))
    provider = provider_for(server)
    with pytest.raises(SettingsError, match="26 values"):
        provider.open(StreamSettings(emotion_track=own))
    session = provider.open(StreamSettings())
    with pytest.raises(SettingsError, match="26 values"):
        session.push(np.zeros(10, np.float32), own)
    session.cancel()


def test_a_rate_the_service_does_not_have_is_an_error(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    provider = provider_for(server)
    with pytest.raises(SettingsError, match="30 or 60"):
        provider.open(StreamSettings(frame_rate=Fraction(24)))
    session = provider.open(StreamSettings(frame_rate=Fraction(60)))
    with pytest.raises(RemoteError, match="animates at 30 frames per second, the stream was opened for 60"):
        played(session, speech, 1000)
    frames = played(provider.open(StreamSettings(frame_rate=Fraction(30))), speech, 1000)
    assert len(frames) == frames_in(len(speech), Fraction(30))
    with pytest.raises(SettingsError, match="animates at 30 frames"):  # By now the rate is known.
        provider.open(StreamSettings(frame_rate=Fraction(60)))


@pytest.mark.parametrize("bad", [np.zeros((4, 2), np.float32), np.array([0, np.nan], np.float32)])
def test_bad_audio_is_refused_and_the_stream_goes_on(
    server: AwkwardServer, speech: NDArray[np.float32], bad: NDArray[np.float32]
) -> None:
    session = provider_for(server).open(StreamSettings())
    with pytest.raises(AudioError):
        session.push(bad)
    assert len(played(session, speech, 4000)) == frames_in(len(speech), Fraction(30))


def test_calls_after_the_end_are_refused(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    session = provider_for(server).open(StreamSettings())
    played(session, speech, 4000)
    for call in (session.finish, lambda: session.push(speech)):
        with pytest.raises(SessionError, match="finished"):
            call()
    session.cancel()
    session.cancel()
    with pytest.raises(SessionError, match="cancelled"):
        session.push(speech)


def test_an_early_error_gives_the_frames_before_it_first(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    server.habits = Habits(fail_after=6, failure=(grpc.StatusCode.INVALID_ARGUMENT, "bad clip"))
    session = provider_for(server).open(StreamSettings())
    got: list[Frame] = []

    def talk() -> None:
        for start in range(0, 1 << 30, 1000):
            got.extend(session.push(speech[start % 16_000 : start % 16_000 + 1000]))
            got.extend(session.take(0.2))

    with pytest.raises(RemoteError, match=r"INVALID_ARGUMENT: bad clip") as caught:
        talk()
    assert not caught.value.retryable
    assert [frame.index for frame in got] == list(range(6))
    with pytest.raises(RemoteError):
        session.finish()
    assert len(server.clips) == 1  # Half a clip is never sent again.


def test_finish_that_fails_keeps_the_frames_that_came(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    server.habits = Habits(fail_after=20, error_status="the model fell over")
    session = provider_for(server).open(StreamSettings())
    got = list(session.push(speech[:300]))  # Less than a frame: nothing can fail yet.
    got += session.push(speech[300:])
    with pytest.raises(RemoteError, match="the model fell over"):
        session.finish()
    with contextlib.suppress(RemoteError):  # Nothing is left where all frames had come before the end.
        got += session.take()
    assert [frame.index for frame in got] == list(range(20))


def test_a_stall_is_an_error_after_the_given_time_and_releases_the_service(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    server.habits = Habits(stall_after=10)
    session = provider_for(server, QUICK).open(StreamSettings())
    with pytest.raises(RemoteError, match=r"nothing came for 1 s after \d+ frames") as caught:
        played(session, speech, 4000)
    assert caught.value.retryable
    assert server.clips[0].over.wait(10)


def test_a_service_that_falls_silent_is_noticed_while_speech_goes_on(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    server.habits = Habits(stall_after=10)
    session = provider_for(server, QUICK).open(StreamSettings())

    def talk() -> None:
        for _ in range(400):
            session.push(np.zeros(800, np.float32))
            session.take(0.05)

    with pytest.raises(RemoteError, match=r"nothing came for 1 s after \d+ frames"):
        talk()


def test_a_speaker_who_pauses_is_no_failure(
    server: AwkwardServer, speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s)
    monkeypatch.setattr(session_module, "time", clock)
    session = provider_for(server).open(StreamSettings())
    frames = [*session.push(speech[:8000]), *session.take(20.0)]
    passed_s = 10 * PATIENT.stall_timeout_s
    frames += session.take()
    frames += [*session.push(speech[8000:]), *session.finish()]
    np.testing.assert_allclose(weights(frames), wanted(speech, Fraction(30), ARKIT), atol=1e-6)


def test_a_stream_that_ends_early_without_a_status_is_an_error(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    server.habits = Habits(end_after=10)
    session = provider_for(server).open(StreamSettings())
    with pytest.raises(RemoteError, match="10 frames of 40"):
        played(session, speech, 40_000)


def test_a_service_that_takes_no_audio_does_not_eat_the_memory(server: AwkwardServer) -> None:
    server.habits = Habits(reads_nothing=True)
    session = provider_for(server, QUICK).open(StreamSettings())

    def talk_for_40_minutes() -> None:
        for _ in range(40):
            session.push(np.zeros(960_000, np.float32))

    with pytest.raises(RemoteError, match="has not taken audio for 1 s"):
        talk_for_40_minutes()
    assert server.clips[0].over.wait(10)


def test_cancel_frees_the_services_stream_at_once(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    session = provider_for(server).open(StreamSettings())
    session.push(speech[:8000])
    session.take(10.0)
    session.cancel()
    assert server.clips[0].over.wait(10)
    assert session.done
    assert list(session.take()) == []


@pytest.mark.parametrize("doing", ["finish", "take"])
def test_cancel_from_another_thread_ends_the_waiting(
    server: AwkwardServer, speech: NDArray[np.float32], doing: str
) -> None:
    server.habits = Habits(stall_after=10)
    session = provider_for(server).open(StreamSettings())
    got = [*session.push(speech)]
    while len(got) < 10:
        got += session.take(20.0)
    results: list[list[Frame]] = []
    waiting = session.finish if doing == "finish" else lambda: session.take(60.0)
    thread = threading.Thread(target=lambda: results.append(list(waiting())))
    thread.start()
    time.sleep(0.2)
    session.cancel()
    thread.join(20)
    assert results == [[]]
    assert session.done
    assert server.clips[0].over.wait(10)


def test_a_service_without_a_free_stream_is_asked_again_from_the_first_sample(
    server: AwkwardServer, speech: NDArray[np.float32], caplog: pytest.LogCaptureFixture
) -> None:
    server.habits = Habits(refuse_first=2)
    frames = played(provider_for(server).open(StreamSettings()), speech, 1000)
    np.testing.assert_allclose(weights(frames), wanted(speech, Fraction(30), ARKIT), atol=1e-6)
    assert len(server.clips) == 3
    assert bytes(server.clips[2].pcm) == np.round(speech * 32768).astype("<i2").tobytes()
    assert caplog.text.count("nothing was used, trying again") == 2


def test_tries_end(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    server.habits = Habits(refuse_first=99)
    with pytest.raises(RemoteError, match="no free stream") as caught:
        played(provider_for(server).open(StreamSettings()), speech, 1000)
    assert caught.value.retryable
    assert len(server.clips) == 3


def test_a_refusal_that_cannot_change_is_not_asked_again(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    server.habits = Habits(refuse_first=99, refusal=(grpc.StatusCode.UNAUTHENTICATED, "who are you"))
    with pytest.raises(RemoteError, match="set api_key"):
        played(provider_for(server).open(StreamSettings()), speech, 1000)
    assert len(server.clips) == 1


def test_a_cut_in_the_middle_is_an_error_and_the_next_clip_reconnects(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    cable = Cable(server.port)
    provider = provider_for(cable)
    session = provider.open(StreamSettings())
    session.push(speech[:8000])
    assert session.take(10.0)
    cable.cut()

    def talk() -> None:
        for _ in range(1000):
            session.push(speech[:160])
            session.take(0.05)

    with pytest.raises(RemoteError, match="animating") as caught:
        talk()
    assert caught.value.retryable
    assert len(server.clips) == 1
    frames = played(provider.open(StreamSettings()), speech, 1000)
    np.testing.assert_allclose(weights(frames), wanted(speech, Fraction(30), ARKIT), atol=1e-6)
    assert cable.connections == 2
    provider.free()
    cable.close()


def test_a_peer_that_vanished_without_a_word_is_noticed_by_pings(
    server: AwkwardServer, speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dict(connection_module._CHANNEL_OPTIONS)
    assert 5_000 <= options["grpc.keepalive_time_ms"] <= 30_000
    assert options["grpc.http2.ping_timeout_ms"] <= 10_000
    hurried = {**options, "grpc.keepalive_time_ms": 1000, "grpc.http2.ping_timeout_ms": 1000}
    monkeypatch.setattr(connection_module, "_CHANNEL_OPTIONS", tuple(hurried.items()))
    cable = Cable(server.port)
    provider = provider_for(cable)
    session = provider.open(StreamSettings())
    frames = [*session.push(speech[:8000]), *session.take(20.0)]
    assert frames
    cable.freeze()

    def talk() -> None:
        for _ in range(300):
            session.push(speech[:160])
            session.take(0.1)

    with pytest.raises(RemoteError, match=r"ping|keepalive") as caught:
        talk()
    assert caught.value.retryable
    provider.free()
    cable.close()


def test_a_whole_clip_is_sent_again_only_where_that_was_asked_for(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    provider = provider_for(server)
    server.habits = Habits(fail_after=20, failure=(grpc.StatusCode.UNAVAILABLE, "moving house"))
    with pytest.raises(RemoteError, match="moving house"):
        animate_clip(provider, speech, StreamSettings())
    assert len(server.clips) == 1

    seen: list[int] = []

    def recover(frames: int) -> None:
        seen.append(frames)
        if len(server.clips) == 3:
            server.habits = Habits()

    take = animate_clip(provider, speech, StreamSettings(), attempts=5, progress=recover)
    np.testing.assert_allclose(take.animation.weights, wanted(speech, Fraction(30), ARKIT), atol=1e-6)
    assert take.attempts == len(server.clips) - 1
    assert len(server.clips) in (3, 4)  # The recovery may come a moment too late for the third.
    assert seen[-1] == len(take.animation)
    assert 0 < take.first_frame_s <= take.spent_s


def test_allocate_connects_and_free_waits_for_the_last_session(
    server: AwkwardServer, speech: NDArray[np.float32]
) -> None:
    cable = Cable(server.port)
    provider = provider_for(cable)
    assert not loaded(provider)
    provider.allocate()
    provider.allocate()
    assert loaded(provider)
    assert cable.connections == 1
    session = provider.open(StreamSettings())
    provider.free()
    provider.free()
    assert not loaded(provider)
    assert len(played(session, speech, 1000)) == frames_in(len(speech), Fraction(30))
    assert len(played(provider.open(StreamSettings()), speech, 1000)) == frames_in(len(speech), Fraction(30))
    assert cable.connections == 2
    provider.free()
    cable.close()


def test_an_override_takes_effect_with_the_next_clip(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    with AwkwardServer(Habits(rate=Fraction(60))) as other:
        provider = RemoteA2F(Connection(url=server.url, function_id="first", api_key="k1"), PATIENT)
        running = provider.open(StreamSettings())
        provider.override(Connection(url=other.url, api_key="k2"))
        moved = provider.open(StreamSettings())
        assert len(played(running, speech, 1000)) == frames_in(len(speech), Fraction(30))
        assert len(played(moved, speech, 1000)) == frames_in(len(speech), Fraction(60))
        assert server.clips[0].metadata["authorization"] == "Bearer k1"
        assert other.clips[0].metadata["authorization"] == "Bearer k2"
        assert other.clips[0].metadata["function-id"] == "first"  # A blank field falls back.
        provider.override(Connection())
        assert provider.connection.url == server.url
        provider.free()


def test_streams_side_by_side_do_not_disturb_each_other(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    provider = provider_for(server)
    clips = [speech[: 6000 + 900 * number] for number in range(8)]
    results: dict[int, list[Frame]] = {}

    def run(number: int) -> None:
        results[number] = played(provider.open(StreamSettings()), clips[number], 700 + 31 * number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, clip in enumerate(clips):
        np.testing.assert_allclose(weights(results[number]), wanted(clip, Fraction(30), ARKIT), atol=1e-6)
    provider.free()


def test_no_thread_of_a_stream_outlives_it(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    provider = provider_for(server)

    def streams() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("facewave-stream")]

    sessions = [provider.open(StreamSettings()) for _ in range(4)]
    assert len(streams()) >= 4
    played(sessions[0], speech, 4000)
    sessions[1].cancel()
    sessions[2].push(speech)
    sessions[2].cancel()
    sessions[3].finish()
    wait_until(lambda: not streams())
    provider.free()


def test_the_tongue_is_zero_where_the_service_has_none(server: AwkwardServer, speech: NDArray[np.float32]) -> None:
    frames = played(provider_for(server).open(StreamSettings()), speech, 4000)
    tongue = [CHANNELS.index(name) for name in TONGUE]
    assert not weights(frames)[:, tongue].any()


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
