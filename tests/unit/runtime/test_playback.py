"""Audio as a device pulls it, positions, curves: the arithmetic of playing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewave.blendshapes import CHANNELS
from facewave.frames import StreamInfo
from facewave.runtime.consumers import AudioFormat
from facewave.runtime.playback import SNAP_S, AudioTrack, CurveTrack, FollowingClock

MONO = AudioFormat(1000, 1)


def samples(start: int, stop: int) -> np.ndarray:
    return np.arange(start, stop, dtype=np.float32)[:, None] + 1


def test_nothing_is_played_before_the_buffer_is_full() -> None:
    track = AudioTrack(MONO, 0.1)
    track.push(samples(0, 99))
    assert not track.render(10, 0.0).any()
    assert track.position(5.0) is None
    track.push(samples(99, 100))
    assert track.render(10, 1.0)[0] == 1
    assert track.position(1.0) == 0


def test_a_clip_shorter_than_the_buffer_is_played_when_it_has_ended() -> None:
    track = AudioTrack(MONO, 0.1)
    track.push(samples(0, 20))
    assert not track.render(10, 0.0).any()
    track.close()
    assert track.render(10, 1.0)[0] == 1
    assert track.length == 20


def test_silence_is_exactly_as_long_as_what_is_missing() -> None:
    track = AudioTrack(MONO, 0.0)
    track.push(samples(0, 25))
    track.render(10, 0.0)
    track.render(10, 0.01)
    late = track.render(10, 0.02)[:, 0]
    assert late.tolist() == [21, 22, 23, 24, 25, 0, 0, 0, 0, 0]
    assert not track.render(10, 0.03).any()
    assert (track.underruns, track.silence) == (1, 15)
    track.push(samples(25, 40))
    assert track.render(10, 0.04)[:, 0].tolist() == list(range(26, 36)), "nothing is lost and nothing is repeated"
    track.close()
    assert track.render(10, 0.05)[:, 0].tolist() == [36, 37, 38, 39, 40, 0, 0, 0, 0, 0]
    assert (track.underruns, track.silence) == (1, 15), "the end is no underrun"
    assert track.length == 55
    assert [track.content(at) for at in (0, 24, 25, 30, 40, 41, 55)] == [0, 24, 25, 25, 25, 26, 40]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=40))
def test_every_sample_is_played_once_in_order_however_it_comes(steps: list[tuple[int, int]]) -> None:
    track = AudioTrack(MONO, 0.02)
    out, sent = [], 0
    for push, pull in steps:
        track.push(samples(sent, sent + push))
        sent += push
        out.append(track.render(pull, 0.0))
    track.close()
    out.append(track.render(sent, 0.0))
    played = np.concatenate(out)[:, 0]
    assert np.array_equal(played[played > 0], samples(0, sent)[:, 0])
    # `content` tells which sample lies where: the place of every sample gives that sample.
    first = int(np.argmax(played > 0)) if sent else 0
    for place in np.flatnonzero(played > 0):
        assert track.content(float(place - first)) == played[place] - 1


def test_interrupted_audio_fades_within_twenty_milliseconds() -> None:
    track = AudioTrack(MONO, 0.0)
    track.push(np.ones((500, 1), np.float32))
    track.render(10, 0.0)
    track.fade_out()
    faded = track.render(100, 0.01)[:, 0]
    assert faded[0] == 1
    assert (np.diff(faded[:20]) < 0).all()
    assert not faded[20:].any()
    assert track.queued == 0


def test_the_position_runs_with_the_clock_inside_a_block_and_stops_at_its_end() -> None:
    track = AudioTrack(MONO, 0.0)
    track.push(samples(0, 100))
    track.render(10, 5.0)
    assert track.position(4.999) is None
    assert track.position(5.004) == pytest.approx(4)
    assert track.position(6.0) == 10, "a device that asks for no more plays no more"
    track.render(10, 6.0)
    assert track.position(6.002) == pytest.approx(12)


def test_small_errors_are_nudged_and_large_ones_snapped() -> None:
    clock = FollowingClock(0.0, 0.0)
    clock.follow(0.01 + 0.01, 0.01)  # 10 ms behind the device.
    assert 0 < clock.at(0.01) - 0.01 < 0.002
    for i in range(2, 200):
        clock.follow(i * 0.01 + 0.01, i * 0.01)
    assert clock.at(1.99) == pytest.approx(2.0, abs=1e-4)
    clock.follow(1.0, 2.0)
    assert clock.at(2.0) == 1.0
    assert SNAP_S <= 1 / 30


def test_the_steps_of_a_device_are_smoothed() -> None:
    clock = FollowingClock(0.0, 0.0)
    positions = []
    for i in range(1, 600):
        now = i / 60
        clock.follow(np.floor(now / 0.012) * 0.012, now)
        positions.append(clock.at(now))
    steps = np.diff(positions)
    assert (steps > 0.015).all()
    assert (steps < 0.0185).all()


def curves(interpolate: bool = True) -> CurveTrack:
    track = CurveTrack(StreamInfo(Fraction(10)), interpolate)
    for i in range(3):
        track.add(i * 1600, np.full(len(CHANNELS), i, np.float32))
    return track


def value(track: CurveTrack, sample: float) -> float:
    weights = track.at(sample)
    assert weights is not None
    return float(weights[0])


def test_curves_are_linear_between_frames_and_held_outside() -> None:
    track = curves()
    assert [value(track, at) for at in (-500, 0, 400, 1600, 2400, 3200, 9999)] == [0, 0, 0.25, 1, 1.5, 2, 2]
    assert CurveTrack(StreamInfo(Fraction(10)), True).at(0) is None


def test_without_interpolation_the_nearest_frame_counts() -> None:
    assert [value(curves(False), at) for at in (0, 799, 800, 2399, 2400)] == [0, 0, 1, 1, 2]


def test_weights_that_are_no_numbers_become_zero_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    track = curves()
    for i in (3, 4):
        track.add(i * 1600, np.full(len(CHANNELS), np.nan, np.float32))
    assert value(track, 4800) == 0
    assert caplog.text.count("not finite") == 1


def test_weights_are_not_clamped() -> None:
    track = curves()
    track.add(4800, np.full(len(CHANNELS), 7.5, np.float32))
    assert value(track, 4800) == 7.5


def test_old_frames_are_forgotten() -> None:
    track = CurveTrack(StreamInfo(Fraction(60)), True)
    for i in range(6000):
        track.add(i * 16000 // 60, np.zeros(len(CHANNELS), np.float32))
        track.forget_before(i * 16000 / 60 - 32_000)
    assert len(track._samples) < 600
