"""The first seam: a provider is a loaded model or a remote service, a session is one stream of speech through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS
from ..emotions import EmotionTrack
from ..errors import AudioError
from ..frames import Frame, StreamInfo
from ..streams import StreamSettings

Kind = Literal["embedded", "local", "remote", "replay", "plugin"]


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """What a provider is, for choosing among them."""

    name: str
    """The name users choose it by."""

    kind: Kind
    """Where the work happens."""

    description: str
    """One line for a table."""

    frame_rate: Fraction = Fraction(60)
    """Frames per second where the stream's settings ask for none."""

    frame_rates: tuple[Fraction, Fraction] = (Fraction(60), Fraction(60))
    """Lowest and highest frame rate a stream may ask for."""

    channels: tuple[str, ...] = CHANNELS
    """Channels of its frames, in order."""

    look_ahead: int = 0
    """Samples after a frame's own that must have arrived before the frame can be made, at the default frame rate."""

    loaded: bool = False
    """Whether its weights are in memory or its connection is open."""

    memory: int | None = None
    """Bytes of weights it takes in memory, estimated from its files until it is loaded; None where nobody knows."""

    hint: str = ""
    """What would make it better on this machine, in words; blank where nothing would."""


class Session(Protocol):
    """One stream of speech turned into frames. Owns all its state; used from one thread at a time."""

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels of the frames this session makes."""
        ...

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        """Take audio and return the frames now ready.

        Args:
            samples: Shape (n,), mono in [-1, 1], 16 kHz; any n, also 0. Not kept after the call.
            emotion: Keys that replace, from their first time on, the emotion track in force.

        Raises:
            AudioError: Not one-dimensional, or with NaN or infinite samples.
            SessionError: The session has been finished or cancelled.
        """
        ...

    def finish(self) -> Sequence[Frame]:
        """Declare the end of the audio and return the remaining frames; once.

        Raises:
            SessionError: The session has been finished or cancelled.
        """
        ...

    def cancel(self) -> None:
        """Drop the stream: no more frames, resources released. Safe at any time and more than once."""
        ...


class Provider(Protocol):
    """A model or service ready to animate. Shared between threads; opens one session per stream."""

    @property
    def info(self) -> ProviderInfo:
        """Name, kind, rates, channels, look-ahead, and whether it is loaded; cheap, loads nothing."""
        ...

    def open(self, settings: StreamSettings) -> Session:
        """Start a stream; loads what is not loaded yet.

        Raises:
            SettingsError: Settings this provider cannot honour, such as a frame rate outside its range.
            ProviderError: The model or service cannot be used.
        """
        ...

    def allocate(self) -> None:
        """Load weights or connect now, so that the first stream starts at once. Idempotent."""
        ...

    def free(self) -> None:
        """Release weights or connections once the last open session has ended. Idempotent."""
        ...


class BatchSession(Session, Protocol):
    """A session that can be given audio now and computed later, together with others."""

    def feed(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> None:
        """Take audio without computing."""

    def end(self) -> None:
        """Declare the end of the audio without computing."""


class BatchProvider(Provider, Protocol):
    """A provider that computes what is due in many sessions at once."""

    def step(self, sessions: Sequence[BatchSession]) -> Sequence[Sequence[Frame]]:
        """The frames now ready of each session, in the order given."""


class EmotionEar(Protocol):
    """What has been heard of one stream, as scores of emotions. Owned by the stream's session."""

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Take the stream's next samples, shape (n,), 16 kHz; nothing is computed yet."""
        ...

    def at(self, heard: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores known once so many samples had been heard, shape (len(heard), n_scores): raw, before any softmax."""
        ...


class EmotionListener(Protocol):
    """A detector of emotion that a provider of another kind may use. Shared between streams."""

    @property
    def correspondence(self) -> Sequence[int]:
        """For each score the index of its emotion in `EMOTIONS`; -1 for one that moves none."""
        ...

    def open(self) -> EmotionEar:
        """Start listening to one stream."""
        ...

    def step(self, ears: Sequence[EmotionEar]) -> None:
        """Compute the scores of everything these streams have heard, as few batches."""
        ...


@runtime_checkable
class Versioned(Protocol):
    """A provider that can tell one model from another; results may be kept for as long as this stays the same."""

    def version(self) -> str:
        """A digest of the model's files, by content.

        Raises:
            ProviderError, ModelError: There is no model.
        """
        ...


def checked_samples(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """What every session asks of pushed samples: shape (n,), float32, finite.

    Raises:
        AudioError: Anything else; says what was found.
    """
    array = np.asarray(samples, np.float32)
    if array.ndim != 1:
        raise AudioError(f"pushed samples: found shape {array.shape}, expected (n,): mono at 16 kHz")
    if not np.isfinite(array).all():
        raise AudioError(
            f"pushed samples: sample {int(np.argmin(np.isfinite(array)))} of {len(array)} is not a finite number"
        )
    return array
