"""Playing a clip, as arithmetic: what the speaker gets, where in the clip it is, and the face at any time.

Knows no threads, devices or clocks. A device asks for blocks and says when they will be heard; a ticker says what time
it is; whoever draws the face asks for its weights.
"""

from __future__ import annotations

import bisect
import logging
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS
from ..frames import StreamInfo
from ..timing import SAMPLE_RATE
from .consumers import AudioFormat, Chunk
from .delivery import GRACEFUL, Ending

log = logging.getLogger("facewave.runtime")

State = Literal["idle", "starting", "playing", "ending"]
"""idle: at rest. starting: audio is being collected. playing. ending: the mouth is closing."""

SNAP_S = 1 / 60
"""A position further than this from the device's is corrected at once, a closer one gradually."""

NUDGE_S = 0.2
"""Time constant in seconds of the gradual correction: the steps of a device's report are smoothed away."""

_AUDIO_FADE_S = 0.02
"""Seconds over which interrupted audio goes silent: short, and without a click."""

_HISTORY_S = 2.0
"""Seconds of frames kept behind the position, for those who ask about the past."""

_STILL = np.zeros(3, np.float32)


@dataclass(frozen=True, slots=True)
class Started:
    """The first sample of a clip is being heard."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A clip is over and the mouth is closed."""

    ending: Ending
    """Why."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What is heard and seen at one time, all of it read at once."""

    clip: int
    """Which clip, counted from 1 since the beginning; 0 before the first."""

    position_s: float | None
    """Seconds of the clip that have been heard; None where nothing sounds."""

    channels: tuple[str, ...]
    """Names of the weights."""

    weights: NDArray[np.float32]
    """Shape (channels,): the face."""

    head: NDArray[np.float32]
    """Shape (3,): yaw, pitch and roll of the head, degrees, as in `Frame.head`; 0 where the provider makes none."""


class AudioTrack:
    """The audio of one clip as a device pulls it. Its timeline counts samples played, inserted silence included."""

    def __init__(self, audio: AudioFormat, buffer_s: float) -> None:
        self.format = audio
        """Rate and channels."""
        self.underruns = 0
        """Times at which samples were missing."""
        self.silence = 0
        """Zero samples inserted for them."""
        self._needed = max(1, round(buffer_s * audio.sample_rate))
        self._queue: deque[NDArray[np.float32]] = deque()
        self._queued = 0
        self._timeline = 0
        self._closed = False
        self._started = False
        self._in_gap = False
        self._fade: int | None = None
        self._gap_starts: list[int] = []  # On the timeline.
        self._gap_totals: list[int] = [0]  # Zeros inserted before gap i.
        self._blocks: deque[tuple[int, int, float]] = deque(maxlen=256)  # Start, length, heard at.

    @property
    def queued(self) -> int:
        """Samples waiting."""
        return self._queued

    @property
    def length(self) -> int | None:
        """Samples of the whole timeline; None while more may come."""
        return self._timeline + self._queued if self._closed else None

    def push(self, audio: NDArray[np.float32]) -> None:
        """Add audio, shape (n, channels); kept, not copied."""
        if len(audio) and self._fade is None:
            self._queue.append(audio)
            self._queued += len(audio)

    def close(self) -> None:
        """No more audio comes: what follows is silence and no underrun."""
        self._closed = True

    def fade_out(self) -> None:
        """Go silent within a few milliseconds and drop the rest."""
        self._closed = True
        keep = round(_AUDIO_FADE_S * self.format.sample_rate) if self._started else 0
        self._fade = keep
        rest = self._pop(min(keep, self._queued))
        ramp = np.linspace(1, 0, keep, endpoint=False, dtype=np.float32)[: len(rest), None]
        self._queue = deque([rest * ramp] if len(rest) else [])
        self._queued = len(rest)

    def render(self, count: int, heard_at: float) -> NDArray[np.float32]:
        """The next block, shape (count, channels), which will be heard from `heard_at` on."""
        if not self._started:
            if not (self._queued >= self._needed or (self._closed and self._queued)):
                return self._zeros(count)
            self._started = True
        real = self._pop(min(count, self._queued))
        missing = count - len(real)
        start = self._timeline
        if missing and not self._closed:
            if not self._in_gap or len(real):
                self.underruns += 1
                self._gap_starts.append(start + len(real))
                self._gap_totals.append(self._gap_totals[-1])
            self._gap_totals[-1] += missing
            self.silence += missing
            self._in_gap = True
            self._timeline += count
        else:
            self._in_gap = False
            self._timeline += len(real)
        if self._timeline > start:
            self._blocks.append((start, self._timeline - start, heard_at))
        return np.concatenate([real, self._zeros(missing)]) if missing else real

    def position(self, now: float) -> float | None:
        """Where on the timeline the device is, in samples; None before the first sample is heard."""
        for start, length, heard_at in reversed(self._blocks):
            if heard_at <= now:
                # Not past the block: a device that asks for no more plays no more.
                return start + min((now - heard_at) * self.format.sample_rate, float(length))
        return None

    def content(self, timeline: float) -> float:
        """The sample of the clip that lies at a place of the timeline; it stands still in inserted silence."""
        gap = bisect.bisect_right(self._gap_starts, timeline) - 1
        if gap < 0:
            return timeline
        start, before, after = self._gap_starts[gap], self._gap_totals[gap], self._gap_totals[gap + 1]
        return max(start - before, timeline - after)

    def _zeros(self, count: int) -> NDArray[np.float32]:
        return np.zeros((count, self.format.channels), np.float32)

    def _pop(self, count: int) -> NDArray[np.float32]:
        parts: list[NDArray[np.float32]] = []
        while count:
            part = self._queue.popleft()
            if len(part) > count:
                self._queue.appendleft(part[count:])
                part = part[:count]
            parts.append(part)
            count -= len(part)
            self._queued -= len(part)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else self._zeros(0)


class FollowingClock:
    """A position in seconds that runs with the clock and keeps close to what a device reports."""

    def __init__(self, position: float, now: float) -> None:
        self._position, self._now = position, now

    def follow(self, reported: float, now: float) -> None:
        """Advance to `now`, then correct: a small error bit by bit, a large one at once."""
        elapsed = max(0.0, now - self._now)
        self._position += elapsed
        self._now = max(self._now, now)
        error = reported - self._position
        self._position += error if abs(error) > SNAP_S else error * (1 - math.exp(-elapsed / NUDGE_S))

    def at(self, now: float) -> float:
        """The position at a time, also one before or after the last report."""
        return self._position + now - self._now


class CurveTrack:
    """The frames of one clip, read at any time between them: weights, then the head's three angles."""

    def __init__(self, info: StreamInfo, interpolate: bool) -> None:
        self.channels = info.channels
        """Names of the weights."""
        self._interpolate = interpolate
        self._samples: list[int] = []
        self._weights: list[NDArray[np.float32]] = []
        self._warned = False

    def add(self, sample: int, weights: NDArray[np.float32], head: NDArray[np.float32] | None = None) -> None:
        """Add the next frame; weights that are no numbers become 0."""
        weights = np.concatenate([weights, _STILL if head is None else head])
        if not np.isfinite(weights).all():
            if not self._warned:
                self._warned = True
                log.warning("a frame at %.3f s has weights that are not finite: taken for 0", sample / SAMPLE_RATE)
            weights = np.where(np.isfinite(weights), weights, np.float32(0))
        self._samples.append(sample)
        self._weights.append(weights)

    def at(self, sample: float) -> NDArray[np.float32] | None:
        """The pose at a 16 kHz sample, shape (channels + 3,); the first or last one outside; None without any."""
        if not self._samples:
            return None
        after = bisect.bisect_right(self._samples, sample)
        if after == 0:
            return self._weights[0]
        if after == len(self._samples):
            return self._weights[-1]
        low, high = self._samples[after - 1], self._samples[after]
        share = (sample - low) / (high - low)
        if not self._interpolate:
            return self._weights[after if share >= 0.5 else after - 1]
        before = self._weights[after - 1]
        return before + np.float32(share) * (self._weights[after] - before)

    def forget_before(self, sample: float) -> None:
        """Drop frames that nobody will ask for."""
        drop = bisect.bisect_left(self._samples, sample) - 1
        if drop >= 256:  # Now and then, in one go.
            del self._samples[:drop], self._weights[:drop]


class Playback:
    """One clip after the other, each played from its first sample to the closed mouth."""

    def __init__(self, *, buffer_s: float, fade_s: float, interpolate: bool, volume: float) -> None:
        self.state: State = "idle"
        """What is going on."""
        self.channels = CHANNELS
        """Names of the weights."""
        self.volume = volume
        """Gain of what is rendered from now on."""
        self.underruns = 0
        """Underruns of all clips."""
        self.silence_s = 0.0
        """Seconds of silence inserted in all clips."""
        self._buffer_s, self._fade_s, self._interpolate = buffer_s, fade_s, interpolate
        self._gain = volume
        self._track: AudioTrack | None = None
        self._tail: AudioTrack | None = None
        self._curves: CurveTrack | None = None
        self._clock: FollowingClock | None = None
        self._ending: Ending | None = None
        self._events: list[Started | Ended] = []
        self._clips = 0
        self._left_over = np.zeros(len(CHANNELS) + 3, np.float32)  # Of an interrupted or ended clip; fades away.
        self._left_at = -math.inf

    @property
    def at_rest(self) -> bool:
        """Whether nothing is played and nothing moves any more."""
        return self.state == "idle" and not self._events

    @property
    def audio(self) -> AudioFormat | None:
        """The form of the running clip's audio; None between clips."""
        return self._track.format if self._track is not None else None

    def start(self, info: StreamInfo, audio: AudioFormat, now: float) -> None:
        """A new clip; what is left of the one before is dropped."""
        self.interrupt(Ending("replaced"), now)
        self._close_clip()
        if info.channels != self.channels:
            self._left_over = np.zeros(len(info.channels) + 3, np.float32)
        self.channels = info.channels
        self._track, self._curves = AudioTrack(audio, self._buffer_s), CurveTrack(info, self._interpolate)
        self.state = "starting"
        self._clips += 1

    def receive(self, chunk: Chunk) -> None:
        """The next piece of the clip; ignored where the clip was interrupted."""
        if self._track is None or self._curves is None or self._ending is not None:
            return
        for frame in chunk.frames:
            self._curves.add(frame.sample, frame.weights, frame.head)
        self._track.push(chunk.audio)

    def end(self, ending: Ending, now: float) -> None:
        """No more comes of the clip: what there is will be played, or dropped, as the reason demands."""
        if ending.reason not in GRACEFUL:
            self.interrupt(ending, now)
        elif self._track is not None and self._ending is None:
            self._ending = ending
            self._track.close()

    def failed_before_start(self, ending: Ending) -> None:
        """A clip of which nothing ever came is over."""
        self._events.append(Ended(ending))

    def interrupt(self, ending: Ending, now: float) -> bool:
        """Drop the clip: audio fades out, the face goes to rest. False where there was none to interrupt."""
        if self._track is None or self.state in ("idle", "ending"):
            return False
        self._ending = ending
        self._track.fade_out()
        self._begin_ending(now)
        return True

    def render(self, count: int, audio: AudioFormat, heard_at: float) -> NDArray[np.float32]:
        """A block for the device, shape (count, channels), in -1..1; silence where there is nothing to play."""
        block: NDArray[np.float32] | None = None
        for track in (self._track, self._tail):
            if track is not None and track.format == audio:
                before = track.underruns, track.silence
                part = track.render(count, heard_at)
                block = part if block is None else block + part
                self.underruns += track.underruns - before[0]
                self.silence_s += (track.silence - before[1]) / audio.sample_rate
        if block is None:
            return np.zeros((count, audio.channels), np.float32)
        if self._gain != self.volume:
            # A changed volume is reached within the block: a jump would click.
            block = block * np.linspace(self._gain, self.volume, count, dtype=np.float32)[:, None]
            self._gain = self.volume
        elif self.volume != 1:
            block = block * np.float32(self.volume)
        return np.clip(block, -1, 1)

    def tick(self, now: float) -> list[Started | Ended]:
        """Move on to `now`; returns what has happened, in order."""
        if self._track is not None:
            self._follow(self._track, now)
        if self.state == "ending" and now >= self._left_at + self._fade_s:
            self._close_clip()
            self.state = "idle"
        events, self._events = self._events, []
        return events

    def position_s(self, now: float) -> float:
        """Seconds of the clip that have been heard; inserted silence does not count."""
        if self._track is None:
            return 0.0
        rate = self._track.format.sample_rate
        # Between the first sample and the tick that notices it, the device's own report has to do.
        timeline = self._track.position(now) if self._clock is None else self._clock.at(now) * rate
        return max(0.0, self._track.content(timeline or 0.0) / rate)

    def weights(self, now: float) -> NDArray[np.float32]:
        """The face at a time, shape (channels,); at rest where nothing is played."""
        return self._pose(now)[:-3]

    def moment(self, now: float) -> Moment:
        """What is heard and seen at a time."""
        pose = self._pose(now)
        position = self.position_s(now) if self._sounding(now) else None
        return Moment(self._clips, position, self.channels, pose[:-3], pose[-3:])

    def _pose(self, now: float) -> NDArray[np.float32]:
        target = None
        if self._sounding(now) and self._curves is not None:
            target = self._curves.at(self.position_s(now) * SAMPLE_RATE)
        if target is None:
            target = np.zeros(len(self.channels) + 3, np.float32)
        share = (now - self._left_at) / self._fade_s if self._fade_s else 1.0
        if share >= 1:
            return target.copy()
        share = max(share, 0.0)
        # Added, not blended: a clip that begins while the last pose fades is itself shown in full from its start.
        keep = np.float32(1 - share * share * (3 - 2 * share))
        pose: NDArray[np.float32] = target + self._left_over * keep
        return pose

    def _sounding(self, now: float) -> bool:
        if self.state == "starting" and self._track is not None:
            return self._track.position(now) is not None
        return self.state == "playing"

    def _follow(self, track: AudioTrack, now: float) -> None:
        position = track.position(now)
        if position is not None and self.state in ("starting", "playing"):
            seconds = position / track.format.sample_rate
            if self.state == "starting":
                self.state = "playing"
                self._clock = FollowingClock(seconds, now)
                self._events.append(Started())
            assert self._clock is not None
            self._clock.follow(seconds, now)
            assert self._curves is not None
            self._curves.forget_before((self.position_s(now) - _HISTORY_S) * SAMPLE_RATE)
        over = track.length is not None and (position or 0.0) >= track.length
        if self._ending is not None and over and self.state in ("starting", "playing"):
            self._begin_ending(now)

    def _begin_ending(self, now: float) -> None:
        self._left_over, self._left_at = self._pose(now), now
        self.state = "ending"

    def _close_clip(self) -> None:
        if self._track is not None:
            self._events.append(Ended(self._ending or Ending("finished")))
            self._tail = self._track if self._track.queued else None
        self._track = self._curves = self._clock = self._ending = None
