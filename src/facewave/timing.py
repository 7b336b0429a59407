"""Samples, frame indices and seconds: exact conversion, and the schedule of network windows.

Time inside facewave is an integer number of 16 kHz samples. Everything here is computed from an absolute index with
integers, so that nothing drifts: frame 107,892 of a 29.97 fps stream lies where frame 0 of a second hour begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .errors import SettingsError, shown

SAMPLE_RATE = 16_000
"""Samples per second of all audio inside facewave."""

MIN_FPS, MAX_FPS = Fraction(1), Fraction(1000)
"""Frame rates outside this range are refused as mistakes."""

_NTSC_DENOMINATOR = 1001


def frame_rate(value: int | float | str | Fraction) -> Fraction:
    """Turn a frame rate as people write it into an exact fraction of frames per second.

    Args:
        value: `60`, `"30000/1001"`, `29.97` (understood as 30000/1001, like 23.976 and 59.94), or a Fraction.

    Raises:
        SettingsError: Not a number, or outside 1..1000 frames per second.
    """
    try:
        rate = Fraction(value)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise SettingsError(
            f"frame rate: found {shown(value)}, expected a number or a ratio such as 30, 29.97 or 30000/1001"
        ) from error
    if rate.denominator != 1 and rate.denominator != _NTSC_DENOMINATOR:
        # Television rates are N * 1000/1001; two or three written digits are enough to recognise one.
        television = Fraction(round(rate) * 1000, _NTSC_DENOMINATOR)
        if abs(television - rate) < Fraction(1, 100):
            rate = television
        else:
            rate = rate.limit_denominator(100_000)
    if not MIN_FPS <= rate <= MAX_FPS:
        raise SettingsError(f"frame rate: found {shown(value)} frames per second, expected {MIN_FPS} to {MAX_FPS}")
    return rate


def sample_of(index: int, fps: Fraction) -> int:
    """The sample at which frame `index` lies: floor(index * 16000 / fps)."""
    return index * SAMPLE_RATE * fps.denominator // fps.numerator


def frames_in(n_samples: int, fps: Fraction) -> int:
    """Number of frames of a clip: ceil(duration * fps), that is every frame whose sample is inside the clip."""
    return -(-n_samples * fps.numerator // (SAMPLE_RATE * fps.denominator))


def seconds_of(index: int, fps: Fraction) -> float:
    """Time of frame `index` in seconds, correctly rounded: index / fps."""
    return index * fps.denominator / fps.numerator


def samples_in(seconds: float) -> int:
    """Seconds to the nearest sample, for the edges where people and protocols speak in seconds."""
    return round(seconds * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class WindowSchedule:
    """Which samples a network sees at its i-th run, and when it may run.

    All offsets and counts are integers; the floor is taken of the product with the absolute index before the offset
    is added, so rounding never accumulates. This is the schedule of NVIDIA's SDK.
    """

    size: int
    """Samples in one window."""

    start_offset: int
    """Added to every start; negative where the first window begins before the audio does."""

    target_offset: int
    """From a window's start to the sample its first frame describes."""

    stride: Fraction
    """Samples between two windows."""

    frames_per_window: int = 1
    """Animation frames that one window yields."""

    def start(self, index: int) -> int:
        """First sample of window `index`; may be negative."""
        return index * self.stride.numerator // self.stride.denominator + self.start_offset

    def target(self, index: int) -> int:
        """Sample described by the window's first frame."""
        return self.start(index) + self.target_offset

    def end(self, index: int) -> int:
        """One past the last sample of the window."""
        return self.start(index) + self.size

    def available(self, n_samples: int, *, closed: bool, done: int = 0) -> int:
        """Windows that may run now, beyond the `done` first ones.

        While audio may still arrive, a window needs all its samples. Once it is closed, a window runs when the
        sample it describes exists; what it sees past the end is silence.
        """
        reach = self.target_offset if closed else self.size - 1
        return max(0, self._count_below(n_samples - self.start_offset - reach) - done)

    def frame(self, index: int) -> int:
        """Sample of frame `index`, on the fine grid of `frames_per_window` frames a stride."""
        fine = self.stride / self.frames_per_window
        return index * fine.numerator // fine.denominator + self.start_offset + self.target_offset

    def frames_total(self, n_samples: int) -> int:
        """Frames of closed audio of `n_samples`: those whose sample lies inside it."""
        fine = WindowSchedule(self.size, self.start_offset, self.target_offset, self.stride / self.frames_per_window)
        return fine.available(n_samples, closed=True)

    def _count_below(self, limit: int) -> int:
        """How many i >= 0 have floor(i * stride) < limit."""
        return max(0, -(-limit * self.stride.denominator // self.stride.numerator))

    @classmethod
    def regression(cls, *, buffer_length: int, buffer_offset: int, fps: Fraction) -> WindowSchedule:
        """One window a frame, centred by `buffer_offset` on the frame's sample; any rational frame rate."""
        return cls(buffer_length, -buffer_offset, buffer_offset, SAMPLE_RATE / fps)

    @classmethod
    def diffusion(
        cls, *, buffer_length: int, padding_left: int, frames_left: int, frames_center: int, frames_right: int
    ) -> WindowSchedule:
        """Windows of `frames_left + frames_center + frames_right` frames, of which the centre is kept.

        The frame rate is not free: it is the number of frames over the length of the buffer.
        """
        frames = frames_left + frames_center + frames_right
        samples_per_frame = Fraction(buffer_length, frames)
        return cls(
            buffer_length,
            -padding_left,
            int(frames_left * samples_per_frame),
            frames_center * samples_per_frame,
            frames_center,
        )

    @classmethod
    def classifier(cls, *, buffer_length: int, fps: Fraction, inferences_to_skip: int = 0) -> WindowSchedule:
        """Audio2Emotion: a window centred on the frame, run only at every `inferences_to_skip + 1`-th frame."""
        every = inferences_to_skip + 1
        half = buffer_length // 2
        return cls(buffer_length, -half, half, SAMPLE_RATE / fps * every, every)
