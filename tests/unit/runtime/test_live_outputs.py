"""Frames for live targets: at their time on the playing clock, steady, and at rest in the end whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest

from facewave.blendshapes import ARKIT, CHANNELS
from facewave.errors import OutputError, ProviderError, SettingsError
from facewave.frames import Animation, Frame, StreamInfo
from facewave.outputs.base import Output
from facewave.providers.replay import ReplayProvider
from facewave.runtime.curve_source import AudioCurveSource
from facewave.runtime.devices import NullDevice
from facewave.runtime.live_outputs import LiveOutputs
from facewave.runtime.runtime import Runtime
from facewave.runtime.workers import Stepped, Threads
from facewave.settings import FacewaveSettings
from tests.unit.outputs.live.receivers import Udp, read_live_link
from tests.unit.runtime.parts import JAW, ScriptedProvider, ramp_audio, ramp_provider


@dataclass
class Target:
    """An output that keeps what it gets, with the time, and fails when a test wants it to."""

    clock: Callable[[], float] = lambda: 0.0
    fails: bool = False
    infos: list[StreamInfo] = field(default_factory=list)
    frames: list[tuple[float, Frame]] = field(default_factory=list)
    tries: int = 0
    closed: int = 0

    def start(self, info: StreamInfo) -> None:
        self.infos.append(info)

    def write(self, frame: Frame) -> None:
        self.tries += 1
        if self.fails:
            raise OutputError("target: the line is dead")
        self.frames.append((self.clock(), frame))

    def close(self) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.close()

    @property
    def indices(self) -> list[int]:
        return [frame.index for _, frame in self.frames]

    @property
    def jaw(self) -> list[float]:
        return [float(frame.weights[JAW]) for _, frame in self.frames]


class Stage:
    """A runtime and a source on stepped time, and targets that follow it."""

    def __init__(self) -> None:
        self.workers = Stepped()
        self.runtime = Runtime(FacewaveSettings(), workers=self.workers)
        self.runtime.override_burst_mode("burst")
        self.heard: list[float] = []
        self.source = AudioCurveSource(device=NullDevice(self._heard), workers=self.workers)
        self.failures: list[tuple[str, Exception]] = []
        self.following: list[LiveOutputs] = []

    def _heard(self, at: float, block: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        if block.any():
            self.heard.append(at)

    def target(self, fails: bool = False) -> Target:
        return Target(self.workers.now, fails)

    def follow(self, *targets: str | Output, fps: int | str | Fraction = 60) -> LiveOutputs:
        made = LiveOutputs(
            self.source, targets, fps=fps, workers=self.workers,
            on_failed=lambda name, error: self.failures.append((name, error)),
        )  # fmt: skip
        self.following.append(made)
        return made


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    for targets in made.following:
        targets.close()


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30), Fraction(60), Fraction(100), Fraction(30000, 1001)])
def test_every_frame_leaves_when_its_sound_is_heard(stage: Stage, rate: Fraction) -> None:
    seconds = 4.0
    target = stage.target()
    stage.follow(target, fps=rate)
    stage.workers.advance(0.123)
    stage.runtime.start_clip(stage.source, ramp_audio(seconds), provider=ramp_provider(seconds))
    stage.workers.advance(5.0)
    speaking = [(at, frame) for at, frame in target.frames if frame.index < seconds * rate]
    assert [frame.index for _, frame in speaking] == list(range(int(np.ceil(seconds * rate))))
    assert target.infos == [StreamInfo(rate, CHANNELS)]
    expected = np.array([float(frame.index / rate) for _, frame in speaking])
    late = np.array([at for at, _ in speaking]) - stage.heard[0] - expected
    # The beginning of a clip is noticed a little later; from then on frames are on their time.
    assert late.min() >= -0.001
    assert late[0] <= 0.005
    assert abs(late[1:]).max() <= 0.001
    # The jaw tells the time that each frame shows, up to the provider's last frame, which is held.
    shown = np.array([frame.weights[JAW] for _, frame in speaking]) * seconds
    assert abs(shown - np.minimum(expected, seconds - 1 / 60))[1:].max() <= 0.002
    assert [frame.sample for _, frame in speaking] == [int(frame.index * 16_000 / rate) for _, frame in speaking]


def test_each_target_has_its_own_rate(stage: Stage) -> None:
    slow, quick = stage.target(), stage.target()
    with Udp() as receiver:
        stage.follow(quick, fps=60)
        stage.follow(slow, f"livelink://127.0.0.1:{receiver.port}?fps=24&timecode=stream", fps=30)
        stage.runtime.start_clip(stage.source, ramp_audio(1.0), provider=ramp_provider(1.0))
        stage.workers.advance(1.05)
        counts = [len([i for i in target.indices if i < limit]) for target, limit in ((quick, 60), (slow, 30))]
        assert counts == [60, 30]
        packets = [read_live_link(packet) for packet in receiver.rest()]
        assert [packet.frame for packet in packets if packet.frame < 24] == list(range(24))
        assert {packet.rate for packet in packets} == {Fraction(24)}


def test_the_rest_pose_is_last_and_then_there_is_quiet(stage: Stage) -> None:
    target = stage.target()
    stage.follow(target)
    stage.runtime.start_clip(stage.source, ramp_audio(1.0), provider=ramp_provider(1.0))
    stage.workers.advance(10.0)
    assert target.indices == list(range(len(target.indices)))
    assert max(target.jaw) > 0.95
    assert target.jaw[-3:] == [0, 0, 0], "three times: one may be lost"
    assert target.jaw[-4] > 0
    assert target.frames[-1][0] < 1.3
    assert target.closed == 0


@pytest.mark.parametrize("how", ["cancel", "stop", "close", "failure"])
def test_however_speech_ends_the_rest_pose_is_last(stage: Stage, how: str) -> None:
    def fail(received: int) -> None:
        if received > 24_000:
            raise ProviderError("line cut")

    with Udp() as receiver:
        address = f"livelink://127.0.0.1:{receiver.port}?timecode=stream"
        if how == "failure":
            provider = ScriptedProvider(on_push=fail)
            stage.runtime.override_burst_mode("default")
        targets = stage.follow(address)
        stage.runtime.start_clip(
            stage.source, ramp_audio(10.0), provider=provider if how == "failure" else ramp_provider(10.0)
        )
        stage.workers.advance(2.0 if how != "failure" else 0.5)
        speaking = [read_live_link(packet) for packet in receiver.rest()]
        if how == "cancel":
            stage.runtime.cancel(stage.source)
        elif how == "stop":
            stage.source.stop()
        elif how == "close":
            assert any(speaking[-1].values)
        if how != "close":
            stage.workers.advance(5.0)
            ended = [read_live_link(packet) for packet in receiver.rest()]
            assert not any(ended[-1].values)
            if how != "failure":
                assert ended[-1].frame - speaking[-1].frame < 0.1 * 60 + 5, "within a tenth of a second"
        targets.close()
        targets.close()
        last = [read_live_link(packet) for packet in receiver.rest()]
        assert len(last) == 3
        assert not any(value for packet in last for value in packet.values)
        assert last[0].frame > speaking[-1].frame


def test_frames_wait_with_sound_that_has_to_wait(stage: Stage) -> None:
    target = stage.target()
    stage.follow(target, fps=30)
    audio = ramp_audio(2.0)
    stage.runtime.animate_samples(stage.source, audio[:16_000], provider=ramp_provider(2.0))
    stage.workers.advance(3.0)
    waiting = len(target.frames)
    assert waiting == pytest.approx(30, abs=1)
    stage.workers.advance(1.0)
    assert len(target.frames) == waiting
    stage.runtime.animate_samples(stage.source, audio[16_000:], end_of_samples=True)
    stage.workers.advance(3.0)
    assert target.indices == list(range(len(target.frames))), "no index is missing, none comes twice"
    shown = [frame.weights[JAW] * 2 for _, frame in target.frames if frame.index < 60]
    assert np.abs(np.array(shown) - np.arange(60) / 30).max() <= 0.02


def test_after_a_stall_the_newest_frame_is_sent_and_no_burst(stage: Stage) -> None:
    target = stage.target()
    stage.follow(target, fps=60)
    stage.runtime.start_clip(stage.source, ramp_audio(4.0), provider=ramp_provider(4.0))
    stage.workers.advance(1.0)
    before = len(target.frames)
    stage.workers.stall(0.09)  # Short enough for the device to go on where it would be.
    stage.workers.advance(0.5)
    after = target.frames[before:]
    gaps = np.diff(target.indices)
    assert (gaps > 1).sum() == 1, "once some are left out"
    assert len(after) <= 32
    assert (np.diff([at for at, _ in after]) > 0.01).sum() >= len(after) - 2, "and not made up for"


def test_clips_one_after_the_other_are_one_stream(stage: Stage) -> None:
    target = stage.target()
    stage.follow(target, fps=30)
    for _ in range(3):
        stage.runtime.start_clip(stage.source, ramp_audio(3.0), provider=ramp_provider(3.0))
        stage.workers.advance(1.0)
    stage.workers.advance(5.0)
    assert len(target.infos) == 1
    assert (np.diff(target.indices) >= 1).all()
    assert target.jaw[-1] == 0
    assert sum(value > 0.9 for value in target.jaw) >= 2, "the last clip came to its end"


def test_a_later_clip_of_other_channels_is_sent_by_name(stage: Stage) -> None:
    target = stage.target()
    stage.follow(target, fps=30)
    stage.runtime.start_clip(stage.source, ramp_audio(0.5), provider=ramp_provider(0.5))
    stage.workers.advance(2.0)
    some = tuple(reversed(ARKIT))
    weights = np.zeros((60, len(some)), np.float32)
    weights[:, some.index("jawOpen")] = 0.75
    other = ReplayProvider(Animation(StreamInfo(Fraction(30), some), weights))
    begun = len(target.frames)
    stage.runtime.start_clip(stage.source, ramp_audio(1.0), provider=other)
    stage.workers.advance(1.0)
    assert {len(frame.weights) for _, frame in target.frames} == {len(CHANNELS)}
    assert max(target.jaw[begun:]) == 0.75


def test_the_head_comes_along_and_goes_to_rest(stage: Stage) -> None:
    weights = np.zeros((61, len(CHANNELS)), np.float32)
    head = np.outer(np.arange(61) / 60, [10, -20, 5]).astype(np.float32)
    take = Animation(StreamInfo(Fraction(60)), weights, head=head)
    target = stage.target()
    stage.follow(target, fps=20)
    stage.runtime.start_clip(stage.source, ramp_audio(1.0), provider=ReplayProvider(take))
    stage.workers.advance(2.0)
    heads = np.array([frame.head for _, frame in target.frames if frame.index < 20])
    np.testing.assert_allclose(heads[1:], np.outer(np.arange(1, 20) / 20, [10, -20, 5]), atol=0.05)
    last = target.frames[-1][1].head
    assert last is not None
    assert not last.any()


def test_a_dead_target_is_reported_once_and_stops_nobody(stage: Stage) -> None:
    dead, alive = stage.target(fails=True), stage.target()
    targets = stage.follow(dead, alive)
    stage.runtime.start_clip(stage.source, ramp_audio(1.0), provider=ramp_provider(1.0))
    stage.workers.advance(2.0)
    assert len(alive.frames) > 60
    assert alive.jaw[-1] == 0
    assert [(name, str(error)) for name, error in stage.failures] == [("Target", "target: the line is dead")]
    assert dead.tries == len(alive.frames), "it may come back"
    assert targets.sent == [0, len(alive.frames)]
    dead.fails = False
    targets.close()
    assert (dead.closed, alive.closed) == (1, 1)


def test_what_foreign_outputs_raise_is_named(stage: Stage) -> None:
    class Foreign(Target):
        def write(self, frame: Frame) -> None:
            raise ZeroDivisionError("oops")

    stage.follow(Foreign())
    stage.runtime.start_clip(stage.source, ramp_audio(0.5), provider=ramp_provider(0.5))
    stage.workers.advance(1.0)
    assert [str(error) for _, error in stage.failures] == ["Foreign: failed (oops)"]


def test_a_target_that_cannot_be_opened_closes_the_others(stage: Stage) -> None:
    target = stage.target()
    with pytest.raises(OutputError, match="not the address"):
        stage.follow(target, "nowhere")
    assert target.closed == 1
    with pytest.raises(SettingsError, match="frame rate"):
        stage.follow(fps=0)


def test_a_target_that_blocks_holds_up_only_itself() -> None:
    """Real threads: one target never returns from its first frame."""
    stuck, release = threading.Event(), threading.Event()

    class Stuck(Target):
        def write(self, frame: Frame) -> None:
            stuck.set()
            release.wait(60)

    alive, workers = Target(), Threads()
    with (
        Runtime(FacewaveSettings(), workers=workers) as runtime,
        AudioCurveSource(device="null", workers=workers) as source,
    ):
        targets = LiveOutputs(source, [Stuck(), alive], workers=workers)
        runtime.start_clip(source, ramp_audio(1.0), provider=ramp_provider(1.0))
        assert stuck.wait(60)
        source.wait(60)
        release.set()
        targets.close()
    assert max(alive.jaw) > 0.5
    assert alive.closed == 1
