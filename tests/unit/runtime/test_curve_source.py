"""Playing: start rules, events, sync, stalls, interruption, volume; on a clock that is advanced by hand."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.audio.clip import AudioClip
from facewave.errors import OutputError, ProviderError, SettingsError
from facewave.providers.base import Provider
from facewave.runtime.curve_source import AudioCurveSource
from facewave.runtime.devices import NullDevice
from facewave.runtime.runtime import Runtime
from facewave.runtime.workers import Stepped
from facewave.settings import FacewaveSettings
from tests.unit.runtime.parts import JAW, ScriptedProvider, ramp_audio, ramp_provider

MINUTES = float(os.environ.get("FACEWAVE_TEST_MINUTES", "1"))
"""Length of the clips of which sound and face are compared; 10 is the length for which the figures are published."""


@dataclass
class Stage:
    """A runtime, a source on a recording null device, and the clock that drives both."""

    workers: Stepped = field(default_factory=Stepped)
    events: list[str] = field(default_factory=list)
    heard: list[tuple[float, NDArray[np.float32]]] = field(default_factory=list)
    read: list[tuple[float, float]] = field(default_factory=list)
    runtime: Runtime = field(init=False)
    source: AudioCurveSource = field(init=False)

    def __post_init__(self) -> None:
        self.runtime = Runtime(FacewaveSettings(), workers=self.workers)
        self.source = self.another()

    def another(self, **options: object) -> AudioCurveSource:
        given: dict[str, object] = {
            "device": NullDevice(lambda at, block: self.heard.append((at, block.copy()))),
            "on_started": lambda: self.events.append("started"),
            "on_ended": lambda ending: self.events.append(ending.reason),
            "workers": self.workers,
        }
        return AudioCurveSource(**(given | options))  # type: ignore[arg-type]

    def run(self, seconds: float, fps: float = 60.0) -> None:
        """Let time pass and read the face once per picture."""
        for _ in range(round(seconds * fps)):
            self.workers.advance(1 / fps)
            now = self.workers.now()
            self.read.append((now, float(self.source.weights()[JAW])))

    def state(self) -> str:
        return self.source.state

    def heard_at(self, rate: int = 16_000) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Times and values of all samples the device took, first channel."""
        times = np.concatenate([at + np.arange(len(block)) / rate for at, block in self.heard])
        return times, np.concatenate([block[:, 0] for _, block in self.heard])


@pytest.fixture
def stage() -> Stage:
    return Stage()


def offsets_ms(stage: Stage, seconds: float, rate: int = 16_000) -> NDArray[np.float64]:
    """Face minus sound at every picture: both the audio and the jaw tell the time of the clip they belong to."""
    times, values = stage.heard_at(rate)
    content = values.astype(np.float64) * seconds
    sounding = values > 0
    out = []
    for at, jaw in stage.read:
        i = int(np.searchsorted(times, at, side="right")) - 1
        if i < 0 or not sounding[i] or content[i] > seconds - 0.05:
            continue
        out.append((jaw * seconds - (content[i] + (at - times[i]))) * 1000)
    return np.array(out)


def test_face_and_sound_agree_over_a_long_clip(stage: Stage) -> None:
    seconds = MINUTES * 60
    stage.runtime.start_clip(stage.source, ramp_audio(seconds), provider=ramp_provider(seconds))
    stage.run(seconds + 1.0, fps=30)
    offsets = offsets_ms(stage, seconds)
    assert len(offsets) > seconds * 29
    assert abs(offsets).max() <= 20
    assert abs(np.median(offsets)) < 1
    assert stage.source.underruns == 0
    assert stage.events == ["started", "finished"]


@pytest.mark.parametrize("kind", ["caller", "process"])
def test_face_and_sound_agree_after_three_stalls(stage: Stage, kind: str) -> None:
    seconds = MINUTES * 60
    audio, provider = ramp_audio(seconds), ramp_provider(seconds)
    stage.runtime.override_burst_mode("burst")
    stalls = {round(share * seconds, 6): stall for share, stall in ((0.1, 0.7), (0.3, 2.5), (0.7, 0.13))}
    at, step = 0, 1600
    while at < len(audio):
        stall = stalls.get(round(at / 16_000, 6), 0.0)
        if kind == "caller":
            stage.run(stall, fps=30)
        else:
            stage.workers.stall(stall)
        stage.runtime.animate_samples(
            stage.source, audio[at : at + step], end_of_samples=at + step >= len(audio), provider=provider
        )
        at += step
        stage.run(0.1, fps=30)
    stage.run(2.0, fps=30)
    offsets = offsets_ms(stage, seconds)
    assert len(offsets) > seconds * 29 - 100
    assert abs(offsets).max() <= 20
    assert stage.events == ["started", "finished"]
    times, values = stage.heard_at()
    played = values[values > 0]
    assert len(played) == len(audio), "every sample is heard, once"
    assert (np.diff(played) > 0).all(), "and in order"
    if kind == "caller":
        # Each stall is one; a caller who then delivers exactly as fast as it is played has no reserve against another.
        assert stage.source.underruns >= 3
        silent = ((values == 0) & (times > 1) & (times < times[values > 0][-1])).sum() / 16_000
        assert silent == pytest.approx(stage.source.inserted_silence_s, abs=1e-9)


def test_original_quality_is_what_is_heard(stage: Stage) -> None:
    clip = AudioClip(np.random.default_rng(3).uniform(-1, 1, (48_000, 2)).astype(np.float32), 48_000)
    stage.runtime.start_clip(stage.source, clip, provider=ramp_provider(1.0))
    stage.run(3.0)
    heard = np.concatenate([block for _, block in stage.heard])
    first = int(np.argmax(heard.any(axis=1)))
    assert np.array_equal(heard[first : first + 48_000], clip.samples)


def test_playback_waits_for_the_buffer(stage: Stage) -> None:
    stage.runtime.override_burst_mode("burst")
    provider = ramp_provider(10.0)
    stage.runtime.animate_samples(stage.source, ramp_audio(0.08), provider=provider)
    stage.run(1.0)
    assert stage.state() == "starting"
    stage.runtime.animate_samples(stage.source, ramp_audio(0.05))
    stage.run(0.05)
    assert stage.state() == "playing"
    assert stage.events == ["started"]


def test_a_clip_shorter_than_the_buffer_is_played(stage: Stage) -> None:
    stage.runtime.start_clip(stage.source, ramp_audio(0.03), provider=ramp_provider(0.03))
    stage.run(1.0)
    assert stage.events == ["started", "finished"]
    assert (stage.heard_at()[1] > 0).sum() == 480


def test_a_clip_without_samples_ends_without_having_started(stage: Stage) -> None:
    stage.runtime.animate_samples(stage.source, np.zeros(0, np.float32), end_of_samples=True, provider=ramp_provider(1))
    stage.run(1.0)
    assert stage.events == ["finished"]


def test_the_mouth_closes_at_the_end(stage: Stage) -> None:
    stage.runtime.start_clip(stage.source, ramp_audio(1.0), provider=ramp_provider(1.0))
    stage.run(3.0)
    jaw = np.array([value for _, value in stage.read])
    assert jaw.max() > 0.95
    last_open = int(np.flatnonzero(jaw > 0.95)[-1])
    closing = jaw[last_open : last_open + 8]
    assert (np.diff(closing) <= 0).all(), "without a bounce"
    assert closing[-1] == 0, "within 0.1 s"
    assert stage.source.state == "idle"
    assert not stage.source.weights().any()


@pytest.mark.parametrize("how", ["cancel", "stop", "replace", "cancel what is only played any more"])
def test_an_interruption_is_at_rest_and_silent_within_a_tenth_of_a_second(stage: Stage, how: str) -> None:
    if how.startswith("cancel what"):
        stage.runtime.override_burst_mode("burst")
    stage.runtime.start_clip(stage.source, ramp_audio(10.0), provider=ramp_provider(10.0))
    stage.run(6.0)
    assert stage.read[-1][1] > 0.5
    at = stage.workers.now()
    if how == "stop":
        stage.source.stop()
        reason = "stopped"
    elif how == "replace":
        stage.runtime.start_clip(stage.source, ramp_audio(10.0), provider=ramp_provider(1000.0))
        reason = "replaced"
    else:
        assert stage.runtime.cancel(stage.source)
        reason = "cancelled"
    stage.run(0.5, fps=200)
    after = [(now - at, jaw) for now, jaw in stage.read if now > at]
    assert all(jaw < 0.01 for late, jaw in after if late >= 0.1)
    assert all(earlier > later - 1e-3 for (_, earlier), (_, later) in itertools.pairwise(after[:17])), "no jump up"
    if how != "replace":
        times, values = stage.heard_at()
        assert not values[times > at + 0.05].any()
        assert stage.events == ["started", reason]
        assert stage.source.state == "idle"
    else:
        assert stage.events == ["started", reason, "started"]


def test_stopping_also_stops_the_sending(stage: Stage) -> None:
    provider = ScriptedProvider()
    delivery = stage.runtime.start_clip(stage.source, ramp_audio(10.0), provider=provider)
    stage.run(2.0)
    stage.source.stop()
    stage.run(1.0)
    result = delivery.result()
    assert not result
    assert result.ending is not None
    assert result.ending.reason == "stopped"
    assert provider.calls == ["open", "cancel"]
    assert stage.events == ["started", "stopped"]
    stage.runtime.start_clip(stage.source, ramp_audio(0.5), provider=provider)
    stage.run(2.0)
    assert stage.events[2:] == ["started", "finished"], "the next clip is wanted again"


def test_a_failure_ends_the_animation_with_its_reason_after_what_had_come(stage: Stage) -> None:
    def fail(received: int) -> None:
        if received > 24_000:
            raise ProviderError("line cut")

    delivery = stage.runtime.start_clip(stage.source, ramp_audio(10.0), provider=ScriptedProvider(on_push=fail))
    stage.run(5.0)
    assert stage.events == ["started", "failed"]
    assert (stage.heard_at()[1] > 0).sum() > 20_000
    with pytest.raises(ProviderError, match="line cut"):
        delivery.result()


def test_a_clip_that_never_began_is_reported_too(stage: Stage) -> None:
    def fail() -> None:
        raise ProviderError("no memory")

    stage.runtime.start_clip(stage.source, ramp_audio(1.0), provider=ScriptedProvider(on_open=fail))
    stage.run(1.0)
    assert stage.events == ["failed"]


def test_restart_while_playing_reports_each_clip_once(stage: Stage) -> None:
    for _ in range(3):
        stage.runtime.start_clip(stage.source, ramp_audio(5.0), provider=ramp_provider(5.0))
        stage.run(1.0)
    stage.run(6.0)
    assert stage.events == ["started", "replaced", "started", "replaced", "started", "finished"]


def test_a_clip_of_another_rate_replaces_one_that_plays(stage: Stage) -> None:
    stage.runtime.start_clip(stage.source, ramp_audio(5.0), provider=ramp_provider(5.0))
    stage.run(1.0)
    stereo = np.repeat(ramp_audio(1.0, 44_100)[:, None], 2, axis=1)
    stage.runtime.start_clip(stage.source, stereo, sample_rate=44_100, provider=ramp_provider(1.0))
    stage.run(3.0)
    assert stage.events == ["started", "replaced", "started", "finished"]
    assert sum(len(block) for _, block in stage.heard if block.shape[1] == 2 and block.any()) >= 44_100


def test_underrun_and_recovery_shift_the_curves(stage: Stage) -> None:
    audio, provider = ramp_audio(2.0), ramp_provider(2.0)
    stage.runtime.override_burst_mode("burst")
    stage.runtime.animate_samples(stage.source, audio[:16_000], provider=provider)
    stage.run(2.0)
    assert stage.source.underruns == 1
    held = stage.source.position_s
    stage.run(0.5)
    assert stage.source.position_s == pytest.approx(held, abs=0.001), "the face waits with the sound"
    stage.runtime.animate_samples(stage.source, audio[16_000:], end_of_samples=True)
    stage.run(2.0)
    assert stage.source.underruns == 1
    assert abs(offsets_ms(stage, 2.0)).max() <= 20
    assert stage.events == ["started", "finished"]


def test_volume_changes_while_playing_without_a_click(stage: Stage) -> None:
    stage.runtime.start_clip(stage.source, np.full(32_000, 0.5, np.float32), provider=ramp_provider(2.0))
    stage.run(1.0)
    stage.source.volume = 0.1
    stage.run(0.3)
    stage.source.volume = 4.0
    stage.run(0.3)
    values = stage.heard_at()[1]
    for expected in (0.5, 0.05, 1.0):
        assert (np.abs(values - expected) < 1e-6).sum() > 3000, expected
    steps = np.abs(np.diff(values[values > 0]))
    assert steps.max() < 0.02


def test_curves_can_be_asked_for_any_time(stage: Stage) -> None:
    stage.runtime.override_burst_mode("burst")
    stage.runtime.start_clip(stage.source, ramp_audio(10.0), provider=ramp_provider(10.0))
    stage.run(5.0)
    now = stage.workers.now()
    here = stage.source.weights(now)[JAW]
    for late in (-1.5, -0.25, 0.033, 1.0, 3.0):
        assert stage.source.weights(now + late)[JAW] == pytest.approx(here + late / 10, abs=0.002)
    assert stage.source.pose()["jawOpen"] == pytest.approx(here, abs=1e-5)


def test_two_sources_play_at_once(stage: Stage) -> None:
    ends: list[str] = []
    other = stage.another(device=NullDevice(), on_started=None, on_ended=lambda ending: ends.append(ending.reason))
    provider = ramp_provider(2.0)
    stage.runtime.start_clip(stage.source, ramp_audio(2.0), provider=provider)
    stage.run(0.5)
    stage.runtime.start_clip(other, ramp_audio(2.0), provider=provider)
    stage.run(0.5)
    assert stage.source.position_s - other.position_s == pytest.approx(0.5, abs=0.02)
    stage.runtime.cancel(stage.source)
    stage.run(3.0)
    assert stage.events == ["started", "cancelled"]
    assert ends == ["finished"]


def test_waiting_returns_when_the_face_is_at_rest(stage: Stage) -> None:
    stage.source.wait(0.0)
    delivery = stage.runtime.start_clip(stage.source, ramp_audio(1.0), provider=ramp_provider(1.0))
    assert delivery.ending().reason == "finished"
    stage.source.wait()
    assert stage.workers.now() == pytest.approx(1.0 + 0.08, abs=0.1)
    assert stage.events == ["started", "finished"]
    stage.source.close()


def test_a_callback_that_fails_harms_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    def crash() -> None:
        raise ValueError("oops")

    source = stage.another(on_started=crash)
    stage.runtime.start_clip(source, ramp_audio(0.5), provider=ramp_provider(0.5))
    stage.run(2.0)
    assert stage.events == ["finished"]
    assert "callback" in caplog.text


def test_a_device_that_cannot_play_leaves_the_animation_running(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(NullDevice):
        def open(self, *_: object) -> None:
            raise OutputError("audio output: cannot play 1 channels")

    source = stage.another(device=Broken())
    stage.runtime.start_clip(source, ramp_audio(0.5), provider=ramp_provider(0.5))
    stage.run(2.0)
    assert stage.events == ["started", "finished"]
    assert "unheard" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fade_s": 0.2}, "fade_s: found 0.2, expected 0 to 0.1"),
        ({"volume": -1.0}, "volume: found -1"),
        ({"buffer_s": float("nan")}, "buffer_s: found nan"),
        ({"device": "headphones"}, "'headphones', expected 'auto', 'speaker', 'null'"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        AudioCurveSource(**options)  # type: ignore[arg-type]


def test_a_provider_is_any_object_with_the_four_methods(stage: Stage) -> None:
    provider: Provider = ScriptedProvider()
    stage.runtime.start_clip(stage.source, ramp_audio(0.2), provider=provider)
    stage.run(1.0)
    assert stage.events == ["started", "finished"]
