"""One clip on its way through a session: input bytes in, encoded frames out. No sockets, no clock, no threads.

Two sides use it. The network side calls `receive`, `end` and `take`; the computing side calls `next_input` and
`accept`. They may run in different threads, because all that passes between them is two queues.

Memory is bounded without ever refusing to read, which would deadlock clients that write a whole clip before they read:
what has not been computed waits as the received bytes, at most one clip long; nothing is computed while enough frames
wait for delivery.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..animation.interpolate import GridInterpolator
from ..audio.resample import StreamResampler
from ..blendshapes import ARKIT
from ..emotions import EMOTIONS, EmotionTrack
from ..frames import Frame
from ..providers.base import Session
from ..timing import seconds_of
from ..wire.a2f import BYTES_PER_SAMPLE, emotion_messages, emotion_track, samples_of
from ..wire.animation import FrameEncoder, echo_start, frames_of_clip

Keys = Mapping[float, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What every frame sent looks like."""

    channels: tuple[str, ...] = ARKIT
    """Announced names in the order of the weights."""

    fps: Fraction = Fraction(30)
    """Frames per second on the wire."""

    inactive: tuple[str, ...] = ()
    """Channels held at zero."""

    combined_emotion: bool = False
    """Whether `a2e_output` is filled; NVIDIA's sample clients stop with an error on it."""


@dataclass(frozen=True, slots=True)
class Input:
    """What a session gets next."""

    samples: NDArray[np.float32]
    """16 kHz mono."""

    track: EmotionTrack | None
    """Emotion keys that arrived with it."""

    last: bool
    """Whether the audio ends here."""


class Clip:
    """The state of one clip between its client and its session."""

    def __init__(self, session: Session, sample_rate: int, shape: Shape, *, silence_padding_s: float = 0.0) -> None:
        """Args: an open session, the input's rate in hertz, the form of the output, silence added at the end."""
        self.session = session
        self._rate = sample_rate
        self._shape = shape
        self._padding = round(silence_padding_s * sample_rate)
        self._resampler = StreamResampler(sample_rate)
        self._encoder = FrameEncoder(len(shape.channels))
        self._columns = _columns(session.info.channels, shape)
        session_fps = session.info.frame_rate
        self._regrid = (
            None
            if session_fps == shape.fps
            else GridInterpolator(session_fps, shape.fps, len(session.info.channels) + 10)
        )
        self._last_row = np.zeros((1, len(session.info.channels) + len(EMOTIONS)), np.float32)
        self._inbox: deque[tuple[bytes, Keys] | None] = deque()
        self._outbox: deque[bytes] = deque()
        self._keys: dict[float, Mapping[str, float]] = {}
        self._unreported: list[tuple[float, int, Mapping[str, float]]] = []  # heap; the number keeps their order
        self._n_keys = 0
        self._received = 0
        self._fed = 0
        self._total_frames: int | None = None
        self._echo = bytearray()
        self._echo_start = 0
        self._held: deque[tuple[NDArray[np.float32], NDArray[np.float32] | None]] = deque()
        self._last: tuple[NDArray[np.float32], NDArray[np.float32] | None] | None = None
        self._next_frame = 0

    # The network side.

    def receive(self, pcm: bytes, keys: Keys) -> None:
        """Take checked audio and emotion keys."""
        self._received += len(pcm) // BYTES_PER_SAMPLE
        self._inbox.append((pcm, keys))

    def end(self) -> None:
        """Declare the end of the audio; silence follows where it is configured, with a neutral emotion."""
        if self._padding and self._received:
            self.receive(bytes(self._padding * BYTES_PER_SAMPLE), {self._received / self._rate: {}})
        self._inbox.append(None)

    @property
    def waiting_input(self) -> bool:
        """Whether there is something to compute."""
        return bool(self._inbox)

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that wait to be computed."""
        return (self._received - self._fed) / self._rate

    @property
    def waiting_frames(self) -> int:
        """Frames computed and not yet taken."""
        return len(self._outbox)

    def take(self) -> bytes | None:
        """The next encoded frame message, None where there is none now."""
        return self._outbox.popleft() if self._outbox else None

    @property
    def finished(self) -> bool:
        """Whether every frame has been computed and taken."""
        return self._total_frames is not None and self._next_frame >= self._total_frames and not self._outbox

    @property
    def frames(self) -> int:
        """Frames computed so far."""
        return self._next_frame

    # The computing side.

    def next_input(self, limit_s: float) -> Input:
        """What the session gets next: at most `limit_s` seconds of what has arrived."""
        limit = max(1, int(limit_s * self._rate))
        pieces: list[bytes] = []
        keys: dict[float, Mapping[str, float]] = {}
        taken, last = 0, False
        while self._inbox and taken < limit and not last:
            item = self._inbox.popleft()
            if item is None:
                last = True
                continue
            pcm, given = item
            keys.update(given)
            room = (limit - taken) * BYTES_PER_SAMPLE
            if len(pcm) > room:
                self._inbox.appendleft((pcm[room:], {}))
                pcm = pcm[:room]
            taken += len(pcm) // BYTES_PER_SAMPLE
            pieces.append(pcm)
        pcm = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._echo += pcm
        self._fed += taken
        samples = self._resampler.push(samples_of(pcm))
        if last:
            samples = np.concatenate([samples, self._resampler.finish()])
            self._total_frames = frames_of_clip(self._fed, self._rate, self._shape.fps)
        return Input(samples, self._merged(keys) if keys else None, last)

    def accept(self, frames: Iterable[Frame]) -> None:
        """Take what the session made of it; everything whose audio is complete becomes a message."""
        for frame in frames:
            self._held.append((frame.weights, frame.emotion))
        if self._regrid is not None:
            self._change_rate()
        if self._total_frames is not None:
            self._fill_up()
        while self._held and self._emit():
            pass

    def _merged(self, keys: Keys) -> EmotionTrack:
        """The track from the first new key on. Clients repeat and reorder keys; of equal times the last wins."""
        first = min(keys)
        later = {time: value for time, value in self._keys.items() if time > first} if self._keys else {}
        self._keys.update(keys)
        for key, value in keys.items():
            self._n_keys += 1
            heapq.heappush(self._unreported, (key, self._n_keys, value))
        return emotion_track(later | dict(keys))

    def _change_rate(self) -> None:
        """Replace the held frames by those at the output's rate."""
        assert self._regrid is not None
        rows = [
            np.concatenate([weights, np.zeros(len(EMOTIONS), np.float32) if emotion is None else emotion])
            for weights, emotion in self._held
        ]
        self._held.clear()
        block = np.stack(rows) if rows else self._last_row[:0]
        if rows:
            self._last_row = block[-1:]
        made = self._regrid.push(block)
        if self._total_frames is not None and self._regrid.next_frame < self._total_frames:
            # The frames after the session's last one hold its value.
            missing = (
                self._regrid.rows_needed(self._total_frames) - self._regrid.rows_needed(self._regrid.next_frame) + 2
            )
            made = np.concatenate(
                [made, self._regrid.push(np.repeat(self._last_row, missing, axis=0), self._total_frames)]
            )
        n_emotions = len(EMOTIONS)
        self._held.extend((row[:-n_emotions], row[-n_emotions:]) for row in made)

    def _fill_up(self) -> None:
        """Make the number of frames exact: the duration of the input decides."""
        assert self._total_frames is not None
        wanted = self._total_frames - self._next_frame
        while len(self._held) > max(0, wanted):
            self._held.pop()
        zeros = np.zeros(len(self.session.info.channels), np.float32)
        while len(self._held) < wanted:
            self._held.append(self._held[-1] if self._held else self._last or (zeros, None))

    def _emit(self) -> bool:
        """Encode the first held frame, unless audio of its slice is still to come."""
        index, fps = self._next_frame, self._shape.fps
        stop = echo_start(index + 1, self._rate, fps)
        size = (stop - self._echo_start) * BYTES_PER_SAMPLE
        if len(self._echo) < size:
            if self._total_frames is None:
                return False
            self._echo += bytes(size - len(self._echo))
        weights, emotion = self._last = self._held.popleft()
        time = seconds_of(index, fps)
        due = {}
        while self._unreported and self._unreported[0][0] <= time:
            key, _, value = heapq.heappop(self._unreported)
            due[key] = value
        picked = (
            weights[self._columns[0]] * self._columns[1] if self._columns[1] is not None else weights[self._columns[0]]
        )
        self._outbox.append(
            self._encoder.encode(
                time,
                picked,
                self._echo[:size],
                emotion,
                emotion_messages(due) if due else (),
                emotion if self._shape.combined_emotion else None,
            )
        )
        del self._echo[:size]
        self._echo_start = stop
        self._next_frame += 1
        return True


def _columns(have: Sequence[str], shape: Shape) -> tuple[slice | NDArray[np.intp], NDArray[np.float32] | None]:
    """Which of the session's weights are sent, and a factor for those that are not (0) where there are any."""
    wanted = shape.channels
    if tuple(have[: len(wanted)]) == wanted and not set(shape.inactive) & set(wanted):
        return slice(0, len(wanted)), None
    position = {name: i for i, name in enumerate(have)}
    source = np.array([position.get(name, 0) for name in wanted], np.intp)
    factor = np.array([name in position and name not in shape.inactive for name in wanted], np.float32)
    return source, factor
