"""The values that leave the system: the description of a stream, one frame, and a whole animation."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .blendshapes import CHANNELS, reorder
from .errors import SettingsError
from .timing import SAMPLE_RATE, frame_rate, sample_of

if TYPE_CHECKING:
    from .outputs.avatar import AvatarReport


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What every frame of one stream has in common."""

    frame_rate: Fraction
    """Frames per second, exact."""

    channels: tuple[str, ...] = CHANNELS
    """Names of the weights, in order."""

    audio: Path | None = None
    """The file the audio came from, where there is one."""

    provider: str = ""
    """Name of the provider that made the frames, where it is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Vertices and transforms of one frame, from providers that compute them."""

    skin: NDArray[np.float32]
    """Shape (vertices, 3), model units."""

    tongue: NDArray[np.float32]
    """Shape (vertices, 3), model units."""

    jaw_transform: NDArray[np.float32]
    """Shape (4, 4), column vectors: moves the lower teeth from rest."""

    eye_rotations: NDArray[np.float32]
    """Shape (2, 3), degrees: right then left eye."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The face at one instant. Arrays are not written after construction."""

    index: int
    """Frame number, 0 at the start of the stream."""

    sample: int
    """16 kHz audio sample the frame belongs to: floor(index * 16000 / frame rate)."""

    weights: NDArray[np.float32]
    """Shape (n_channels,), nominally in [0, 1], in the order of `StreamInfo.channels`."""

    emotion: NDArray[np.float32] | None = None
    """Shape (10,), 0..1 in the order of `EMOTIONS`: the emotion that shaped this frame."""

    visemes: NDArray[np.float32] | None = None
    """Shape (15,), probabilities in the order of `VISEMES`, where they were asked for and the provider makes them."""

    head: NDArray[np.float32] | None = None
    """Shape (3,): yaw, pitch and roll of the head in degrees, where the provider makes them; to the face's own right,
    up, and towards its right shoulder. A track of its own: no channel contains it."""

    geometry: Geometry | None = None
    """Vertices, where the provider makes them and they were asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Animation:
    """A whole take: every frame of a stream as arrays.

    Raises:
        SettingsError: Weights whose shape does not fit the channels, or emotions whose length does not fit the weights.
    """

    info: StreamInfo
    """Frame rate, channel names and audio reference."""

    weights: NDArray[np.float32]
    """Shape (frames, channels), float32."""

    emotions: NDArray[np.float32] | None = None
    """Shape (frames, 10), or None."""

    visemes: NDArray[np.float32] | None = None
    """Shape (frames, 15), or None."""

    head: NDArray[np.float32] | None = None
    """Shape (frames, 3), degrees, or None."""

    def __post_init__(self) -> None:
        weights = np.ascontiguousarray(self.weights, np.float32)
        if weights.ndim != 2 or weights.shape[1] != len(self.info.channels):
            raise SettingsError(
                f"animation: found weights of shape {weights.shape}, expected (frames, {len(self.info.channels)})"
            )
        object.__setattr__(self, "weights", weights)
        for name, track in (("emotion", self.emotions), ("viseme", self.visemes), ("head", self.head)):
            if track is not None and len(track) != len(weights):
                raise SettingsError(f"animation: found {len(track)} {name} rows for {len(weights)} frames")

    @classmethod
    def from_frames(cls, info: StreamInfo, frames: Iterable[Frame]) -> Animation:
        """Collect frames that came out of a session in order."""
        taken = list(frames)
        weights = (
            np.stack([frame.weights for frame in taken]) if taken else np.zeros((0, len(info.channels)), np.float32)
        )
        tracks = (_stacked([getattr(frame, name) for frame in taken]) for name in ("emotion", "visemes", "head"))
        return cls(info, weights, *tracks)

    @classmethod
    def load(cls, path: str | Path) -> Animation:
        """Read any animation file facewave can read; the format is told by extension and content.

        Raises:
            AnimationFileError: Missing, or not an animation; the message says which line or key is wrong.
        """
        from .outputs import read_animation  # The one door from a value to the file formats.

        return read_animation(Path(path))

    def save(
        self,
        path: str | Path,
        *,
        emotions: str | Path | None = None,
        visemes: str | Path | None = None,
        avatar: str | Path | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> AvatarReport | None:
        """Write to the format the extension names (`.csv`, `.livelink.csv`, `.json`, `.glb`, `.npz`, ...).

        The file appears whole or not at all. `emotions` and `visemes` name CSV files for these two tracks. `avatar` is
        a model of yours that a 3D format puts the animation on; returned is then which of its shapes follow. `progress`
        is called with the share done, 0..1, where writing takes long (`.mp4`).

        Raises:
            OutputError: Unknown extension, no such track to write, nothing of the model fits, or the file cannot be
                written.
            AnimationFileError: The model cannot be read.
        """
        from .outputs import write_animation

        return write_animation(
            self,
            Path(path),
            emotions=Path(emotions) if emotions else None,
            visemes=Path(visemes) if visemes else None,
            avatar=Path(avatar) if avatar else None,
            progress=progress,
        )

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, frames: slice) -> Animation:
        """A run of consecutive frames, renumbered from 0.

        Raises:
            SettingsError: A step other than 1: use `resampled` to change the rate.
        """
        if frames.step not in (None, 1):
            raise SettingsError("animation slice: found a step, expected consecutive frames; use resampled() for rates")
        tracks = (None if track is None else track[frames] for track in self._tracks)
        return Animation(self.info, self.weights[frames], *tracks)

    @property
    def _tracks(self) -> tuple[NDArray[np.float32] | None, ...]:
        return self.emotions, self.visemes, self.head

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the weights, in order."""
        return self.info.channels

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exact."""
        return self.info.frame_rate

    @property
    def duration_s(self) -> float:
        """Seconds that the frames cover: frames / frame rate."""
        return float(len(self) / self.info.frame_rate)

    @property
    def times(self) -> NDArray[np.float64]:
        """Shape (frames,): seconds of each frame from the start of the audio."""
        rate = self.info.frame_rate
        return np.arange(len(self)) * rate.denominator / rate.numerator

    @property
    def samples(self) -> NDArray[np.int64]:
        """Shape (frames,): 16 kHz sample of each frame."""
        rate = self.info.frame_rate
        return np.arange(len(self), dtype=np.int64) * SAMPLE_RATE * rate.denominator // rate.numerator

    def channel(self, name: str) -> NDArray[np.float32]:
        """Shape (frames,): one channel's curve.

        Raises:
            SettingsError: The animation has no such channel.
        """
        if name not in self.info.channels:
            raise SettingsError(
                f"channel {name!r}: not in this animation, which has {len(self.info.channels)} channels"
            )
        return self.weights[:, self.info.channels.index(name)]

    def frames(self) -> Iterable[Frame]:
        """The frames one by one."""
        rate = self.info.frame_rate
        for index, weights in enumerate(self.weights):
            tracks = (None if track is None else track[index] for track in self._tracks)
            yield Frame(index, sample_of(index, rate), weights, *tracks)

    def with_channels(self, channels: Sequence[str]) -> Animation:
        """The same motion in another set or order of channels; channels this take lacks are 0."""
        info = replace(self.info, channels=tuple(channels))
        return Animation(info, reorder(self.weights, self.info.channels, channels), *self._tracks)

    def resampled(self, rate: int | float | str | Fraction) -> Animation:
        """The same motion at another frame rate, linear between frames; it lasts as long as before.

        Raises:
            SettingsError: Not a frame rate.
        """
        target = frame_rate(rate)
        times = np.arange(math.ceil(len(self) * target / self.frame_rate)) / float(target)
        info = replace(self.info, frame_rate=target)
        tracks = (None if track is None else _interpolated(times, self.times, track) for track in self._tracks)
        return Animation(info, _interpolated(times, self.times, self.weights), *tracks)

    def trimmed(self, start_s: float = 0.0, end_s: float | None = None) -> Animation:
        """The frames from `start_s` to before `end_s`, renumbered from 0; seconds, None for the end.

        The audio reference stays only where the beginning does.

        Raises:
            SettingsError: An end not after the start, or no frame between them.
        """
        end_s = self.duration_s if end_s is None else end_s
        if not 0 <= start_s < end_s:
            raise SettingsError(f"animation trim: found {start_s:g} to {end_s:g} s, expected 0 <= start < end")
        first, stop = (
            math.ceil(Fraction(second).limit_denominator(10**6) * self.frame_rate) for second in (start_s, end_s)
        )
        if first >= min(stop, len(self)):
            raise SettingsError(
                f"animation trim: no frame from {start_s:g} to {end_s:g} s; the animation has {self.duration_s:.3f} s"
            )
        part = self[first:stop]
        return part if first == 0 else replace(part, info=replace(part.info, audio=None))

    @classmethod
    def joined(cls, takes: Sequence[Animation], rate: int | float | str | Fraction | None = None) -> Animation:
        """Takes one after the other.

        Channels are those of all; where a take lacks one it is 0. Emotions, visemes and head motion stay where every
        take has them.

        Args:
            takes: At least one.
            rate: Frames per second of the result; None takes that of the first.

        Raises:
            SettingsError: No takes, or not a frame rate.
        """
        if not takes:
            raise SettingsError("animation join: found no takes, expected at least one")
        target = takes[0].frame_rate if rate is None else frame_rate(rate)
        parts = [take if take.frame_rate == target else take.resampled(target) for take in takes]
        if len(parts) == 1:
            return parts[0]
        channels = tuple(dict.fromkeys(name for part in parts for name in part.channels))
        parts = [part.with_channels(channels) for part in parts]
        tracks = [_joined([getattr(part, name) for part in parts]) for name in ("emotions", "visemes", "head")]
        makers = {part.info.provider for part in parts}
        info = StreamInfo(target, channels, None, makers.pop() if len(makers) == 1 else "")
        return cls(info, np.concatenate([part.weights for part in parts]), *tracks)

    def mapped(self, channels: Mapping[str, Mapping[str, float]]) -> Animation:
        """The same motion on other channels.

        Args:
            channels: Channel -> the channels it moves instead, each with its factor; none at all leaves it out.
                Channels not named stay as they are. What moves one channel adds up.

        Raises:
            SettingsError: A channel this animation does not have, or nothing is left.
        """
        absent = [name for name in channels if name not in self.channels]
        if absent:
            near = difflib.get_close_matches(absent[0], self.channels, n=3, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise SettingsError(f"channel map: this animation has no channel {absent[0]!r}{hint}")
        targets = [channels.get(name, {name: 1.0}) for name in self.channels]
        names = tuple(dict.fromkeys(target for moved in targets for target in moved))
        if not names:
            raise SettingsError("channel map: leaves no channel, expected at least one")
        matrix = np.zeros((len(self.channels), len(names)), np.float32)
        for row, moved in enumerate(targets):
            for target, factor in moved.items():
                matrix[row, names.index(target)] = factor
        return replace(self, info=replace(self.info, channels=names), weights=self.weights @ matrix)


def _joined(tracks: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    """The tracks one after the other; None unless every take has one."""
    present = [track for track in tracks if track is not None]
    return np.concatenate(present) if len(present) == len(tracks) else None


def _stacked(rows: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    """The rows as one array; None unless every frame has one."""
    present = [row for row in rows if row is not None]
    return np.stack(present) if present and len(present) == len(rows) else None


def _interpolated(
    times: NDArray[np.float64], known: NDArray[np.float64], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    columns = [np.interp(times, known, column) for column in values.T] if len(known) else []
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((0, values.shape[1]), np.float32)
