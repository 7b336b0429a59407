from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facewave.blendshapes import ARKIT
from facewave.errors import SettingsError
from facewave.frames import Animation, StreamInfo


def take(
    frames: int = 10, fps: int | Fraction = 30, channels: tuple[str, ...] = ("jawOpen", "mouthClose")
) -> Animation:
    weights = np.linspace(0, 1, frames * len(channels), dtype=np.float32).reshape(frames, len(channels))
    return Animation(StreamInfo(Fraction(fps), channels), weights, np.zeros((frames, 10), np.float32))


def test_times_and_duration() -> None:
    animation = take(4, Fraction(30000, 1001))
    assert animation.times[3] == 3 * 1001 / 30000
    assert animation.samples.tolist() == [0, 533, 1067, 1601]
    assert animation.duration_s == pytest.approx(4 * 1001 / 30000)


def test_frames_survive_the_way_through_single_frames() -> None:
    animation = take()
    again = Animation.from_frames(animation.info, animation.frames())
    assert np.array_equal(again.weights, animation.weights)
    assert again.emotions is not None


def test_slicing_renumbers_and_refuses_steps() -> None:
    part = take()[2:5]
    assert len(part) == 3
    assert next(iter(part.frames())).index == 0
    assert np.array_equal(part.weights, take().weights[2:5])
    with pytest.raises(SettingsError, match="resampled"):
        take()[::2]


@pytest.mark.parametrize("rate", [24, 25, 60, 120, "30000/1001"])
def test_resampling_keeps_duration_and_shape(rate: object) -> None:
    animation = take(31, 30)
    other = animation.resampled(rate)  # type: ignore[arg-type]
    assert len(other) == -(-31 * other.frame_rate // 30)
    expected = np.interp(other.times, animation.times, animation.channel("jawOpen"))
    np.testing.assert_allclose(other.channel("jawOpen"), expected, atol=1e-6)


def test_resampling_there_and_back_returns_the_frames() -> None:
    animation = take(30, 30)
    np.testing.assert_allclose(animation.resampled(60).resampled(30).weights, animation.weights, atol=1e-6)


def test_other_channels_by_name() -> None:
    wide = take().with_channels(ARKIT)
    assert np.array_equal(wide.channel("jawOpen"), take().channel("jawOpen"))
    assert not wide.channel("eyeBlinkLeft").any()
    with pytest.raises(SettingsError, match="browDownLeft"):
        take().channel("browDownLeft")


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"\(3, 5\)"):
        Animation(StreamInfo(Fraction(30), ("jawOpen",)), np.zeros((3, 5), np.float32))
    with pytest.raises(SettingsError, match="emotion rows"):
        Animation(StreamInfo(Fraction(30), ("jawOpen",)), np.zeros((3, 1), np.float32), np.zeros((2, 10), np.float32))


def test_an_empty_take() -> None:
    empty = Animation.from_frames(StreamInfo(Fraction(30)), [])
    assert len(empty) == len(empty.resampled(60)) == 0


def test_trimming_keeps_frames_between_the_times_and_the_sound_only_from_the_start() -> None:
    info = StreamInfo(Fraction(30000, 1001), ("jawOpen",), Path("a.wav"))
    animation = Animation(info, np.arange(90, dtype=np.float32)[:, None])
    late = animation.trimmed(1.001, 2.002)
    assert late.weights[:, 0].tolist() == list(range(30, 60))
    assert late.info.audio is None
    assert animation.trimmed(end_s=0.5).info.audio == Path("a.wav")
    assert len(animation.trimmed()) == 90
    for start_s, end_s in ((-1.0, 1.0), (1.0, 1.0), (0.01, 0.02), (9.0, 10.0)):
        with pytest.raises(SettingsError, match="animation trim"):
            animation.trimmed(start_s, end_s)


def test_joining_takes_of_other_rates_and_channels() -> None:
    tracks = np.ones((3, 10), np.float32)
    first = Animation(StreamInfo(Fraction(30), ("jawOpen",), Path("a.wav"), "P"), np.ones((3, 1), np.float32), tracks)
    second = Animation(StreamInfo(Fraction(60), ("jawLeft",), None, "P"), np.full((4, 1), 2, np.float32))
    joined = Animation.joined([first, second])
    assert joined.info == StreamInfo(Fraction(30), ("jawOpen", "jawLeft"), None, "P")
    assert joined.weights.tolist() == [[1, 0]] * 3 + [[0, 2]] * 2
    assert joined.emotions is None
    both = Animation.joined([first, first], rate=60).emotions
    assert both is not None
    assert both.shape == (12, 10)
    with pytest.raises(SettingsError, match="no takes"):
        Animation.joined([])


def test_mapping_channels() -> None:
    weights = np.array([[0.5, 1.0, 0.25]], np.float32)
    animation = Animation(StreamInfo(Fraction(30), ("jawOpen", "jawLeft", "jawRight")), weights)
    mapped = animation.mapped({"jawLeft": {"side": -1.0}, "jawRight": {"side": 2.0, "extra": 1.0}})
    assert mapped.channels == ("jawOpen", "side", "extra")
    assert mapped.weights.tolist() == [[0.5, -0.5, 0.25]]
    assert animation.mapped({"jawOpen": {}}).channels == ("jawLeft", "jawRight")
    with pytest.raises(SettingsError, match="no channel 'jawopen'; did you mean jawOpen"):
        animation.mapped({"jawopen": {}})
    with pytest.raises(SettingsError, match="leaves no channel"):
        animation.mapped({name: {} for name in animation.channels})
