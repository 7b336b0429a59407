"""Whole clips, sessions of many calls, cancelling and replacing, on a clock that is advanced by hand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.audio.clip import AudioClip
from facewave.emotions import EMOTIONS, EmotionSettings, EmotionTrack
from facewave.errors import (
    AudioError,
    FacewaveError,
    ProviderError,
    ProviderUnavailableError,
    SessionError,
    SettingsError,
    UnknownProviderError,
)
from facewave.runtime.consumers import OutputConsumer
from facewave.runtime.runtime import Runtime
from facewave.runtime.workers import Stepped
from facewave.settings import FacewaveSettings, RemoteSettings
from facewave.streams import StreamSettings
from facewave.timing import frames_in
from tests.unit.runtime.parts import JAW, Recorder, ScriptedProvider, ramp_audio, ramp_provider


@pytest.fixture
def workers() -> Stepped:
    return Stepped()


@pytest.fixture
def runtime(workers: Stepped) -> Runtime:
    return Runtime(FacewaveSettings(), workers=workers)


# Whole clips


def test_a_clip_gives_every_frame_and_its_own_audio(runtime: Runtime) -> None:
    consumer, provider = Recorder(), ramp_provider(3.0)
    clip = AudioClip(ramp_audio(3.0, 44_100)[:, None], 44_100)
    delivery = runtime.start_clip(consumer, clip, provider=provider)
    assert delivery.result()
    assert delivery.result().samples == 48_000
    assert delivery.ending().reason == "finished"
    assert consumer.log[0] == "start"
    assert consumer.reasons == ["finished"]
    assert consumer.formats[0].sample_rate == 44_100
    assert np.array_equal(consumer.audio, clip.samples)
    assert [frame.index for frame in consumer.frames] == list(range(180))


def test_sending_takes_as_long_as_pacing_says(runtime: Runtime, workers: Stepped) -> None:
    consumer = Recorder()
    runtime.animate_clip(consumer, ramp_audio(10.0), provider=ramp_provider(10.0))
    assert workers.now() == pytest.approx((10 - 0.5) / 1.05, abs=0.1)
    runtime.override_burst_mode("burst")
    began = workers.now()
    runtime.animate_clip(consumer, ramp_audio(10.0), provider=ramp_provider(10.0))
    assert workers.now() == began
    runtime.override_burst_mode("default")
    runtime.override_max_initial_chunk(4.0)
    runtime.animate_clip(consumer, ramp_audio(10.0), provider=ramp_provider(10.0))
    assert workers.now() - began == pytest.approx((10 - 4) / 1.05, abs=0.1)


def test_twenty_minutes_in_many_calls_take_twenty_minutes_of_the_clock(workers: Stepped) -> None:
    runtime = Runtime(FacewaveSettings(), workers=workers)
    provider = ScriptedProvider()
    minute = np.zeros(60 * 16_000, np.int16)
    consumer = Recorder()
    for i in range(20):
        delivery = runtime.animate_samples(consumer, minute, end_of_samples=i == 19, provider=provider)
    assert delivery.result()
    assert workers.now() == pytest.approx((1200 - 0.5) / 1.05, abs=0.1)
    assert len(consumer.frames) == 1200 * 30
    assert sum(provider.pushes) == 1200 * 16_000


def test_audio_is_handed_on_only_as_far_as_frames_are_known(runtime: Runtime, workers: Stepped) -> None:
    provider, consumer = ScriptedProvider(look_ahead=4000), Recorder()
    delivery = runtime.start_clip(consumer, ramp_audio(4.0), provider=provider)
    while not delivery.done:
        workers.advance(0.05)
        known = consumer.frames[-1].sample if consumer.frames else 0
        if not consumer.endings:
            assert sum(len(chunk.audio) for chunk in consumer.chunks) <= known
    workers.advance(1.0)
    assert len(consumer.audio) == 64_000


def test_a_file_is_read_in_the_background(runtime: Runtime, demo_clip: Path) -> None:
    consumer = Recorder()
    assert runtime.animate_file(consumer, demo_clip, provider=ScriptedProvider())
    assert len(consumer.frames) > 100


def test_a_missing_file_is_told_to_the_caller_and_to_the_consumer(runtime: Runtime, tmp_path: Path) -> None:
    consumer = Recorder()
    with pytest.raises(AudioError, match="no such file"):
        runtime.animate_file(consumer, tmp_path / "none.wav", provider=ScriptedProvider())
    assert consumer.reasons == ["failed"]
    assert isinstance(consumer.endings[0].error, AudioError)


def test_any_output_can_be_a_consumer(runtime: Runtime, workers: Stepped, tmp_path: Path) -> None:
    from facewave.frames import Animation
    from facewave.outputs import open_file_output

    path = tmp_path / "take.csv"
    delivery = runtime.start_clip(
        OutputConsumer(open_file_output(path)), ramp_audio(2.0), provider=ramp_provider(2.0, 30)
    )
    assert delivery.ending().reason == "finished"
    assert len(Animation.load(path)) == 60
    other = OutputConsumer(open_file_output(tmp_path / "cancelled.csv"))
    runtime.start_clip(other, ramp_audio(2.0), provider=ramp_provider(2.0, 30))
    workers.advance(0.5)
    assert runtime.cancel(other)
    assert not (tmp_path / "cancelled.csv").exists()


# Sessions of many calls


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("kind", [np.float32, np.int16])
@pytest.mark.parametrize("channels", [1, 2])
def test_pieces_of_any_size_make_one_clip(rate: int, kind: type, channels: int) -> None:
    workers = Stepped()
    runtime = Runtime(FacewaveSettings(), workers=workers)
    whole = ramp_audio(1.0, rate)
    samples: NDArray[Any] = (whole * 32767).astype(np.int16) if kind is np.int16 else whole
    samples = np.repeat(samples[:, None], channels, axis=1)
    consumer, provider = Recorder(), ScriptedProvider()
    sizes = [1, 7, 160, 533, 4096]
    at = i = 0
    while at < len(samples):
        piece = samples[at : at + sizes[i % len(sizes)]]
        at += len(piece)
        i += 1
        runtime.animate_samples(
            consumer, piece.ravel() if i % 2 else piece, channels, rate, at >= len(samples), provider=provider
        )
    workers.advance(5.0)
    assert consumer.reasons == ["finished"]
    assert consumer.formats[0].channels == channels
    expected = samples.astype(np.float32) / 32768 if kind is np.int16 else samples
    assert np.array_equal(consumer.audio, expected)
    assert sum(provider.pushes) == -(-len(samples) * 16_000 // rate)
    assert len(consumer.frames) == frames_in(sum(provider.pushes), provider.fps)


def test_how_the_pieces_are_cut_does_not_change_what_the_provider_hears(runtime: Runtime, workers: Stepped) -> None:
    whole = np.random.default_rng(1).uniform(-1, 1, 44_100).astype(np.float32)
    heard = []
    for cuts in ([44_100], [1, 99, 44_000], [512] * 86 + [68]):
        consumer, provider, at = Recorder(), ScriptedProvider(), 0
        for i, size in enumerate(cuts):
            runtime.animate_samples(
                consumer, whole[at : at + size], 1, 44_100, i == len(cuts) - 1, provider=provider,
            )  # fmt: skip
            at += size
        workers.advance(3.0)
        heard.append(np.concatenate(provider.pushed))
    assert np.array_equal(heard[0], heard[1])
    assert np.array_equal(heard[0], heard[2])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sample_rate": 48_000}, "sample rate"),
        ({"channels": 2}, "channels"),
        ({"samples": np.zeros(160, np.int16)}, "sample type"),
        ({"provider": ScriptedProvider("other")}, "provider"),
        ({"provider": "Embedded"}, "provider"),
    ],
)
def test_a_later_call_that_differs_from_the_first_is_an_error(
    runtime: Runtime, workers: Stepped, change: dict[str, object], named: str
) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    first: dict[str, object] = {"samples": np.zeros(160, np.float32), "channels": 1, "sample_rate": 16_000}
    runtime.animate_samples(consumer, **first, provider=provider)  # type: ignore[arg-type]
    with pytest.raises(SessionError, match=f"{named}.*found.*expected.*first call"):
        runtime.animate_samples(consumer, **(first | change))  # type: ignore[arg-type]
    assert runtime.animate_samples(consumer, **first, end_of_samples=True)  # type: ignore[arg-type]
    workers.advance(1.0)
    assert consumer.reasons == ["finished"], "the clip goes on as if the wrong call had not been made"


def test_pacing_is_fixed_by_the_first_call(runtime: Runtime, workers: Stepped) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    runtime.animate_samples(consumer, ramp_audio(1.0), provider=provider)
    runtime.override_burst_mode("burst")
    delivery = runtime.animate_samples(consumer, ramp_audio(9.0), end_of_samples=True)
    delivery.result()
    assert workers.now() == pytest.approx((10 - 0.5) / 1.05, abs=0.1)


def test_ending_without_a_clip_is_a_warning_and_false(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not runtime.end_samples(Recorder()).result()
    assert "no clip open" in caplog.text


def test_end_samples_sends_what_the_resampler_and_the_pacer_hold_back(runtime: Runtime, workers: Stepped) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    delivery = runtime.animate_samples(consumer, ramp_audio(1.01, 44_100), 1, 44_100, provider=provider)
    assert delivery.result()
    assert sum(provider.pushes) < 16_160
    assert runtime.end_samples(consumer).result().samples == 16_160
    assert sum(provider.pushes) == 16_160


def test_a_new_clip_replaces_the_one_before(runtime: Runtime, workers: Stepped) -> None:
    consumer = Recorder()
    first = runtime.start_clip(consumer, ramp_audio(10.0), provider=ramp_provider(10.0))
    workers.advance(1.0)
    second = runtime.start_clip(consumer, ramp_audio(1.0), provider=ramp_provider(1.0))
    workers.advance(2.0)
    result = first.result()
    assert not result
    assert result.ending is not None
    assert result.ending.reason == "replaced"
    assert second.result()
    assert consumer.reasons == ["replaced", "finished"]
    assert consumer.log.count("start") == 2
    assert not consumer.wrong


def test_samples_after_the_end_begin_a_new_clip(runtime: Runtime, workers: Stepped) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    for _ in range(2):
        runtime.animate_samples(consumer, ramp_audio(0.2), end_of_samples=True, provider=provider)
        workers.advance(1.0)
    assert consumer.reasons == ["finished", "finished"]
    assert provider.calls.count("open") == 2


def test_a_one_shot_replaces_an_open_session(runtime: Runtime, workers: Stepped) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    runtime.animate_samples(consumer, ramp_audio(0.2), provider=provider)
    runtime.start_clip(consumer, ramp_audio(0.5), provider=provider)
    workers.advance(2.0)
    assert consumer.reasons == ["replaced", "finished"]


def test_cancel_swallows_until_the_clip_is_ended(runtime: Runtime, workers: Stepped) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    runtime.animate_samples(consumer, ramp_audio(1.0), provider=provider)
    workers.advance(0.1)
    assert runtime.cancel(consumer)
    assert consumer.reasons == ["cancelled"], "at once, without waiting for the worker"
    pushed = sum(provider.pushes)
    swallowed = runtime.animate_samples(consumer, ramp_audio(1.0)).result()
    assert not swallowed
    assert swallowed.ending is not None
    assert swallowed.ending.reason == "cancelled"
    assert not runtime.end_samples(consumer).result()
    workers.advance(1.0)
    assert sum(provider.pushes) == pushed
    assert provider.calls == ["open", "cancel"]
    assert runtime.animate_samples(consumer, ramp_audio(0.1), end_of_samples=True, provider=provider).result()
    assert consumer.reasons == ["cancelled", "finished"]


def test_the_last_swallowed_samples_may_also_end_the_clip(runtime: Runtime, workers: Stepped) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    runtime.animate_samples(consumer, ramp_audio(1.0), provider=provider)
    runtime.cancel(consumer)
    assert not runtime.animate_samples(consumer, ramp_audio(1.0), end_of_samples=True).result()
    assert runtime.animate_samples(consumer, ramp_audio(0.1), end_of_samples=True, provider=provider).result()


def test_cancel_of_a_clip_on_its_way(runtime: Runtime, workers: Stepped) -> None:
    consumer = Recorder()
    delivery = runtime.start_clip(consumer, ramp_audio(10.0), provider=ramp_provider(10.0))
    workers.advance(2.0)
    assert runtime.cancel(consumer)
    assert not runtime.cancel(consumer), "once is enough"
    workers.advance(0.1)
    assert not delivery.result()
    assert consumer.reasons == ["cancelled"]
    assert not runtime.cancel(Recorder())


def test_a_clip_that_gets_nothing_is_ended(
    runtime: Runtime, workers: Stepped, caplog: pytest.LogCaptureFixture
) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    runtime.animate_samples(consumer, ramp_audio(1.0), provider=provider)
    workers.advance(29.0)
    assert not consumer.endings
    workers.advance(2.0)
    assert consumer.reasons == ["idle"]
    assert provider.calls == ["open", "finish"], "the face gets the frames of what was said"
    assert len(consumer.audio) == 16_000
    assert "end_samples" in caplog.text
    assert not runtime.end_samples(consumer).result()
    assert runtime.animate_samples(consumer, ramp_audio(0.1), end_of_samples=True, provider=provider).result(), (
        "what comes later is a clip of its own"
    )


def test_a_long_clip_is_not_idle_while_it_is_paced(workers: Stepped) -> None:
    runtime = Runtime(FacewaveSettings(), workers=workers, idle_timeout_s=2.0)
    consumer = Recorder()
    runtime.animate_samples(consumer, ramp_audio(20.0), provider=ScriptedProvider())
    workers.advance(19.0)
    assert not consumer.endings
    workers.advance(3.0)
    assert consumer.reasons == ["idle"]


def test_a_consumer_that_wants_no_more_ends_its_clip(runtime: Runtime, workers: Stepped) -> None:
    provider = ScriptedProvider()
    consumer = Recorder(wants=lambda chunk: len(consumer.chunks) < 3)
    delivery = runtime.start_clip(consumer, ramp_audio(10.0), provider=provider)
    workers.advance(20.0)
    assert consumer.reasons == ["stopped"]
    assert not delivery.result()
    assert len(consumer.chunks) == 3
    assert provider.calls == ["open", "cancel"]


def test_a_consumer_may_cancel_from_within_take(runtime: Runtime, workers: Stepped) -> None:
    consumer = Recorder()
    consumer.wants = lambda chunk: runtime.cancel(consumer)
    runtime.start_clip(consumer, ramp_audio(1.0), provider=ScriptedProvider())
    workers.advance(2.0)
    assert consumer.log == ["start", "take", "cancelled"]
    assert not consumer.wrong


def test_consumers_do_not_disturb_each_other(runtime: Runtime, workers: Stepped) -> None:
    one, two, provider = Recorder(), Recorder(), ramp_provider(2.0)
    runtime.start_clip(one, ramp_audio(2.0), provider=provider)
    runtime.start_clip(two, ramp_audio(2.0), provider=provider)
    workers.advance(1.0)
    runtime.cancel(one)
    workers.advance(3.0)
    assert one.reasons == ["cancelled"]
    assert two.reasons == ["finished"]
    assert len(two.frames) == 120
    jaw = np.array([frame.weights[JAW] for frame in two.frames])
    assert np.allclose(jaw, np.arange(120) / 120)


# Emotion and face parameters


def test_settings_reach_the_provider(runtime: Runtime) -> None:
    provider = ScriptedProvider()
    runtime.animate_clip(
        Recorder(), ramp_audio(0.1), provider=provider, emotion={"joy": 0.7}, face_parameters={"tongueStrength": 0.5},
        settings=StreamSettings(multipliers={"jawOpen": 0.5}),
    )  # fmt: skip
    (settings,) = provider.settings
    assert settings.emotion.overrides == {"joy": 0.7}
    assert settings.face_parameters == {"tongueStrength": 0.5}
    assert settings.multipliers == {"jawOpen": 0.5}


def test_without_emotion_the_providers_own_settings_hold(runtime: Runtime) -> None:
    provider = ScriptedProvider()
    runtime.animate_clip(Recorder(), ramp_audio(0.1), provider=provider)
    assert provider.settings == [StreamSettings()]


@pytest.mark.parametrize("strength", [0.0, 0.0001])
def test_overrides_without_strength_are_not_sent(runtime: Runtime, strength: float) -> None:
    provider = ScriptedProvider()
    emotion = EmotionSettings(overrides={"joy": 1.0}, override_strength=strength)
    runtime.animate_clip(Recorder(), ramp_audio(0.1), provider=provider, emotion=emotion)
    assert not provider.settings[0].emotion.overrides


def test_an_emotion_holds_from_its_calls_audio_on(runtime: Runtime, workers: Stepped) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    runtime.override_burst_mode("burst")
    runtime.animate_samples(consumer, ramp_audio(1.0, 48_000), 1, 48_000, provider=provider, emotion={"joy": 1.0})
    runtime.animate_samples(consumer, ramp_audio(1.0, 48_000), 1, 48_000)
    runtime.animate_samples(consumer, ramp_audio(1.0, 48_000), 1, 48_000, True, emotion={"anger": 0.5})
    workers.advance(1.0)
    first = provider.settings[0].emotion_track
    assert first is not None
    (later,) = provider.tracks
    joy, anger = EMOTIONS.index("joy"), EMOTIONS.index("anger")
    from facewave.emotions import replaced_from

    track = replaced_from(first, later)
    assert track.at(31_998)[joy] == 1.0
    assert track.at(31_999)[anger] == 0.0
    assert track.at(32_000)[joy] == 0.0
    assert track.at(32_000)[anger] == 0.5


def test_a_track_given_later_counts_from_its_calls_audio(runtime: Runtime, workers: Stepped) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    runtime.animate_samples(consumer, ramp_audio(1.0), provider=provider)
    track = EmotionTrack.from_keys([(0.0, {"joy": 0.0}), (1.0, {"joy": 1.0})])
    runtime.animate_samples(consumer, ramp_audio(1.0), end_of_samples=True, emotion=track)
    workers.advance(3.0)
    assert provider.tracks[0].at(24_000)[EMOTIONS.index("joy")] == pytest.approx(0.5)


def test_face_parameters_of_a_later_call_are_left_out_aloud(
    runtime: Runtime, workers: Stepped, caplog: pytest.LogCaptureFixture
) -> None:
    consumer, provider = Recorder(), ScriptedProvider()
    given = {"tongueStrength": 0.5}
    runtime.animate_samples(consumer, ramp_audio(0.1), provider=provider, face_parameters=given)
    runtime.animate_samples(consumer, ramp_audio(0.1), face_parameters=given)
    assert not caplog.text
    runtime.animate_samples(consumer, ramp_audio(0.1), end_of_samples=True, face_parameters={"tongueStrength": 1.0})
    assert "face parameters hold for a whole clip" in caplog.text


# Providers, connections, resources


def test_the_default_provider_comes_first() -> None:
    assert Runtime(FacewaveSettings()).available_providers()[0] == "Embedded"
    names = Runtime(FacewaveSettings()).available_providers()
    assert len(names) == len(set(names))
    last = names[-1]
    assert Runtime(FacewaveSettings(provider=last)).available_providers()[0] == last


@pytest.mark.parametrize("call", ["animate_clip", "animate_samples", "allocate", "connection_info"])
def test_an_unknown_provider_is_an_error_that_lists_the_known_ones(runtime: Runtime, call: str) -> None:
    consumer = Recorder()
    given = (consumer, ramp_audio(0.1)) if call.startswith("animate") else ()
    with pytest.raises(UnknownProviderError, match=r"'Embeded' \(did you mean Embedded\?\), expected one of: Embedded"):
        getattr(runtime, call)(*given, provider="Embeded")
    assert not consumer.log, "a call that cannot be made changes nothing"


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> list[FacewaveSettings]:
    """Makes RemoteA2F known and keeps the settings with which it is opened, whether or not it is installed."""
    opened: list[FacewaveSettings] = []

    def fake_open(name: str = "", settings: FacewaveSettings | None = None) -> ScriptedProvider:
        assert settings is not None
        opened.append(settings)
        return ScriptedProvider(name)

    monkeypatch.setattr("facewave.runtime.providers.provider_names", lambda: ["Embedded", "RemoteA2F", "LegacyA2F"])
    monkeypatch.setattr("facewave.runtime.providers.open_provider", fake_open)
    return opened


@pytest.mark.usefixtures("remote")
def test_a_remote_provider_without_address_says_how_to_set_it(workers: Stepped) -> None:
    runtime = Runtime(FacewaveSettings(), workers=workers)
    with pytest.raises(ProviderUnavailableError, match=r"set_connection_info.*\[legacy\].*FACEWAVE_LEGACY_URL"):
        runtime.start_clip(Recorder(), ramp_audio(0.1), provider="LegacyA2F")
    with pytest.raises(ProviderUnavailableError, match="FACEWAVE_REMOTE_URL"):
        runtime.allocate("RemoteA2F")


def test_connection_overrides_win_field_by_field(workers: Stepped, remote: list[FacewaveSettings]) -> None:
    project = RemoteSettings(url="https://grpc.nvcf.nvidia.com:443", api_key="nvapi-secret", function_id="abc")
    runtime = Runtime(FacewaveSettings(remote=project), workers=workers)
    runtime.set_connection_info("remotea2f", url="  host:52000 ", api_key="", function_version="7")
    info = runtime.connection_info("RemoteA2F")
    assert (info.url, info.function_id, info.function_version) == ("http://host:52000", "abc", "7")
    assert info.api_key == "***"
    assert "secret" not in repr(info)
    runtime.animate_clip(Recorder(), ramp_audio(0.1), provider="RemoteA2F")
    assert remote[-1].remote == RemoteSettings(
        url="host:52000", api_key="nvapi-secret", function_id="abc", function_version="7"
    )
    runtime.set_connection_info("RemoteA2F", api_key=info.api_key)
    runtime.animate_clip(Recorder(), ramp_audio(0.1), provider="RemoteA2F")
    assert remote[-1].remote == project, "a blank override falls back, a masked key is no key"
    assert runtime.connection_info("LegacyA2F").url == "", "overrides belong to one provider"


def test_a_changed_connection_holds_for_the_next_clip(workers: Stepped, remote: list[FacewaveSettings]) -> None:
    runtime = Runtime(FacewaveSettings(remote=RemoteSettings(url="http://a:1")), workers=workers)
    one, two = Recorder(), Recorder()
    runtime.start_clip(one, ramp_audio(5.0), provider="RemoteA2F")
    workers.advance(1.0)
    runtime.set_connection_info("RemoteA2F", url="http://b:2", timeout_s=3.0)
    runtime.start_clip(two, ramp_audio(1.0), provider="RemoteA2F")
    workers.advance(9.0)
    assert one.reasons == two.reasons == ["finished"]
    assert [settings.remote.url for settings in remote] == ["http://a:1", "http://b:2"]
    assert remote[1].remote.timeout_s == 3.0


def test_connection_info_of_a_local_provider_is_the_projects(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    assert runtime.connection_info("Embedded") == RemoteSettings()
    assert "not a remote provider" in caplog.text
    caplog.clear()
    runtime.set_connection_info("Embedded", url="http://a:1")
    assert "no effect" in caplog.text


def test_a_burst_mode_that_is_none_is_refused(runtime: Runtime) -> None:
    with pytest.raises(SettingsError, match="'turbo', expected 'default', 'burst' or 'real time'"):
        runtime.override_burst_mode("turbo")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="initial chunk"):
        runtime.override_max_initial_chunk(-1.0)


def test_allocate_and_free_are_hints(runtime: Runtime, workers: Stepped) -> None:
    provider, consumer = ScriptedProvider(), Recorder()
    runtime.free(provider)
    runtime.allocate(provider)
    runtime.allocate(provider)
    workers.advance(0.1)
    assert provider.calls == ["allocate", "allocate"]
    runtime.start_clip(consumer, ramp_audio(3.0), provider=provider)
    workers.advance(0.5)
    runtime.free(provider)
    workers.advance(0.5)
    assert provider.calls[-1] == "open", "not while a clip is on its way"
    workers.advance(5.0)
    assert provider.calls[-2:] == ["finish", "free"]
    runtime.animate_clip(consumer, ramp_audio(0.1), provider=provider)
    workers.advance(1.0)
    assert provider.calls[-2:] == ["open", "finish"], "the next use withdraws the wish to free"
    assert not provider.freed_while_active


def test_use_between_free_and_the_end_keeps_the_provider(runtime: Runtime, workers: Stepped) -> None:
    provider = ScriptedProvider()
    runtime.start_clip(Recorder(), ramp_audio(1.0), provider=provider)
    workers.advance(0.1)
    runtime.free(provider)
    workers.advance(0.1)
    runtime.start_clip(Recorder(), ramp_audio(3.0), provider=provider)
    workers.advance(9.0)
    assert "free" not in provider.calls


# Failures


def fail(message: str) -> None:
    raise ProviderError(message)


def test_a_failure_to_open_reaches_the_caller_and_the_consumer_once(runtime: Runtime) -> None:
    consumer = Recorder()
    with pytest.raises(ProviderError, match="no memory"):
        runtime.animate_clip(consumer, ramp_audio(1.0), provider=ScriptedProvider(on_open=lambda: fail("no memory")))
    assert consumer.log == ["failed"]
    assert "no memory" in str(consumer.endings[0].error)


def test_a_failure_on_the_way_is_raised_once_and_the_rest_is_swallowed(runtime: Runtime, workers: Stepped) -> None:
    provider = ScriptedProvider(on_push=lambda received: fail("line cut") if received > 8000 else None)
    consumer = Recorder()
    one = runtime.animate_samples(consumer, ramp_audio(0.5), provider=provider)
    two = runtime.animate_samples(consumer, ramp_audio(0.5))
    three = runtime.animate_samples(consumer, ramp_audio(0.5))
    assert one.result()
    with pytest.raises(ProviderError, match="line cut"):
        two.result()
    later = three.result()
    assert not later
    assert later.ending is not None
    assert later.ending.reason == "failed"
    assert not runtime.animate_samples(consumer, ramp_audio(0.5)).result()
    assert not runtime.end_samples(consumer).result()
    assert consumer.reasons == ["failed"]
    assert provider.calls == ["open", "cancel"]


def test_an_exception_that_is_not_ours_is_wrapped_and_named(runtime: Runtime) -> None:
    def crash(_: int) -> None:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ProviderError, match=r"scripted: failed unexpectedly .ZeroDivisionError") as caught:
        runtime.animate_clip(Recorder(), ramp_audio(1.0), provider=ScriptedProvider(on_push=crash))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_consumer_that_fails_ends_its_clip(runtime: Runtime) -> None:
    def crash(chunk: object) -> bool:
        raise ValueError("screen is gone")

    consumer = Recorder(wants=crash)
    with pytest.raises(FacewaveError, match=r"consumer Recorder: failed .screen is gone"):
        runtime.animate_clip(consumer, ramp_audio(1.0), provider=ScriptedProvider())
    assert consumer.reasons == ["failed"]


@pytest.mark.parametrize(
    ("samples", "channels", "rate", "message"),
    [
        (np.zeros(10, np.float32), 3, 16_000, "3 channels"),
        (np.zeros(11, np.float32), 2, 16_000, "multiple of 2"),
        (np.zeros((10, 2), np.float32), 1, 16_000, r"\(10, 2\)"),
        (np.zeros(10, np.int32), 1, 16_000, "int32"),
        (np.array([0, np.nan], np.float32), 1, 16_000, "sample 1 is not a finite"),
        (np.zeros(10, np.float32), 1, 10, "10 Hz"),
        (np.zeros(10, np.float32), 1, 2_000_000, "2000000 Hz"),
    ],
)
def test_audio_that_cannot_be_used_is_refused_at_the_call(
    runtime: Runtime, samples: np.ndarray, channels: int, rate: int, message: str
) -> None:
    consumer = Recorder()
    with pytest.raises(AudioError, match=message):
        runtime.animate_samples(consumer, samples, channels, rate, provider=ScriptedProvider())
    assert not consumer.log


def test_a_closed_runtime_ends_everything_and_takes_no_more(workers: Stepped) -> None:
    provider, consumer = ScriptedProvider(), Recorder()
    with Runtime(FacewaveSettings(), workers=workers) as runtime:
        delivery = runtime.start_clip(consumer, ramp_audio(10.0), provider=provider)
        workers.advance(1.0)
    assert consumer.reasons == ["closed"]
    assert not delivery.result()
    assert provider.calls == ["open", "cancel", "free"]
    with pytest.raises(SessionError, match="closed"):
        runtime.start_clip(consumer, ramp_audio(1.0))
    runtime.close()


def test_finished_clips_leave_nothing_behind(runtime: Runtime, workers: Stepped) -> None:
    provider = ScriptedProvider()
    for _ in range(20):
        runtime.start_clip(Recorder(), ramp_audio(0.1), provider=provider)
    workers.advance(5.0)
    assert not runtime._entries
    assert not runtime._running


def test_samples_are_copied(runtime: Runtime, workers: Stepped) -> None:
    samples, consumer = ramp_audio(0.2), Recorder()
    expected = samples.copy()
    runtime.animate_samples(consumer, samples, end_of_samples=True, provider=ScriptedProvider())
    samples[:] = 0
    workers.advance(1.0)
    assert np.array_equal(consumer.audio[:, 0], expected)
