"""One stream through the bundled model: its samples, features and recurrent state; `face.py` has what follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...blendshapes import CHANNELS
from ...emotions import EmotionTrack
from ...errors import SessionError
from ...features import log_mel
from ...features import prosody as prosodic
from ...features.windows import Unwindowed
from ...frames import Frame, StreamInfo
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE, frames_in
from ..base import checked_samples
from .face import Face, Hearing
from .feeling import CORRESPONDENCE

if TYPE_CHECKING:
    from .provider import EmbeddedProvider

STEP_HZ = Fraction(60)
"""Network steps per second; step j ends at sample (j + 1) * 16000 / 60 and sees two feature frames."""

_FEATURES_PER_STEP = 2


class EmbeddedSession:
    """One stream through the bundled model. `push` is `feed` and a step; servers feed many and step them together."""

    def __init__(self, provider: EmbeddedProvider, settings: StreamSettings, fps: Fraction) -> None:
        self._provider = provider
        self._settings = settings
        self._fps = fps
        self.samples = Unwindowed(log_mel.SPACING, prosodic.SPACING)
        """What the next energies and the next prosody still need of the audio."""
        self._unheard: list[NDArray[np.float32]] = []
        self._features = np.empty((0, log_mel.N_MELS), np.float32)
        self._heard = np.empty((0, len(prosodic.COLUMNS)), np.float32)
        self._received = 0
        self._limit: int | None = None
        self._ended = False
        self._released = False
        # A step with look-ahead L describes the time (j + 1) / 60 s - L: the first ones lie before the audio.
        self._lead = int(Fraction(provider.info.look_ahead, SAMPLE_RATE) * STEP_HZ) - 1
        self._skip = self._lead
        self._known: Callable[[int, int], NDArray[np.float32]] | None = None
        self._taken = 0
        listener = provider.listener
        self.ear = None if listener is None else listener.open()
        """What hears the stream's emotion in place of the hint from prosody."""

        scored = CORRESPONDENCE if listener is None else listener.correspondence
        self.face = Face(settings, fps, Hearing(provider.detects, scored, provider.info.look_ahead), self.ear)
        """What turns the network's output into frames."""

        self._info = StreamInfo(fps, CHANNELS)
        self.state = provider.initial_state()
        """Recurrent state of the network after the steps run so far."""

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels."""
        return self._info

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        """Take audio and return the frames now ready; see `Session.push`."""
        self.feed(samples, emotion)
        return self._provider.step([self])[0]

    def finish(self) -> Sequence[Frame]:
        """Return the remaining frames: ceil(duration * frame rate) in all."""
        self.end()
        return self._provider.step([self])[0]

    def cancel(self) -> None:
        """Drop the stream. Idempotent."""
        self._ended = True
        self._unheard = []
        self._features = self._features[:0]
        self.release_if_done()

    def feed(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> None:
        """Take audio without running the network yet.

        Raises:
            AudioError: Not shape (n,), or not finite.
            SessionError: The stream has ended.
        """
        if self._ended:
            raise SessionError("Embedded session: audio after finish or cancel; open a new session for a new clip")
        samples = checked_samples(samples)
        if emotion is not None:
            self.face.replace_from(emotion)
        self._received += len(samples)
        self._keep(samples.copy())

    def end(self) -> None:
        """Declare the end of the audio without running the network yet.

        Raises:
            SessionError: The stream has ended already.
        """
        if self._ended:
            raise SessionError("Embedded session: finished or cancelled already; open a new session for a new clip")
        self._limit = frames_in(self._received, self._fps)
        # Silence after the end carries the network past its look-ahead to the last frame.
        steps = self.face.grid.rows_needed(self._limit) + self._lead
        missing = -(-steps * SAMPLE_RATE // int(STEP_HZ)) - self._received
        if self._limit and missing > 0:
            self._keep(np.zeros(missing, np.float32))
        self._ended = True

    def follow(self, known: Callable[[int, int], NDArray[np.float32]]) -> None:
        """Show these rows, (first, stop) -> shape (stop - first, 12 + 24) at k / 60 s, instead of what is heard.

        Must come before any audio.
        """
        self._known = known

    def release_if_done(self) -> None:
        """Give the provider its network back once the stream has ended and nothing is left to run."""
        if self._ended and not self._unheard and not self.steps_due and not self._released:
            self._released = True
            self._provider.session_ended()

    def take_audio(self, most: int) -> NDArray[np.float32] | None:
        """Hand over the next audio to hear, at most so many samples; None when all has been handed over."""
        if not self._unheard:
            return None
        waiting = self._unheard[0] if len(self._unheard) == 1 else np.concatenate(self._unheard)
        self._unheard = [waiting[most:]] if len(waiting) > most else []
        return waiting[:most]

    def hear(self, features: NDArray[np.float32], prosody: NDArray[np.float32]) -> None:
        """Take back its energies, shape (m, 64), and its prosody, shape (n, 5)."""
        self._features = np.concatenate([self._features, features]) if len(self._features) else features
        self._heard = np.concatenate([self._heard, prosody]) if len(self._heard) else prosody

    def _keep(self, samples: NDArray[np.float32]) -> None:
        self._unheard.append(samples)
        if self.ear is not None:
            self.ear.hear(samples)

    @property
    def steps_due(self) -> int:
        """Network steps whose features are here."""
        return min(len(self._features) // _FEATURES_PER_STEP, len(self._heard))

    def take_features(self, steps: int) -> NDArray[np.float32]:
        """Hand over the features of the next steps, shape (steps, 128)."""
        count = steps * _FEATURES_PER_STEP
        # Copied, because a view would keep what was made for all streams together.
        taken, self._features = self._features[:count], self._features[count:].copy()
        return taken.reshape(steps, _FEATURES_PER_STEP * log_mel.N_MELS)

    def take_output(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Network output, shape (steps, 12 + 24), from the first moment of the audio on, and the steps' prosody."""
        prosody, self._heard = self._heard[: len(rows)], self._heard[len(rows) :].copy()
        before = min(self._skip, len(rows))
        self._skip -= before
        rows, prosody = rows[before:], prosody[before:]
        if self._known is not None:
            rows = self._known(self._taken, self._taken + len(rows))
        self._taken += len(rows)
        return rows, prosody

    @property
    def limit(self) -> int | None:
        """Frames of the clip; None while audio may come."""
        return self._limit
