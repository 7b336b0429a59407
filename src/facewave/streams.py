"""What a stream is asked to be: the settings a session is opened with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from .blendshapes import require
from .emotions import EmotionSettings, EmotionTrack
from .errors import SettingsError
from .parameters import face_parameters


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words spoken in a recording.

    Raises:
        SettingsError: No text.
    """

    text: str
    """Ordinary spelling; what is not spoken must not be in it."""

    language: str = "en"
    """ISO code, or the name of an espeak-ng voice."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise SettingsError("transcript: found no text, expected the words that are spoken")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Everything that shapes one stream of animation besides its audio.

    Raises:
        SettingsError: Unknown names or values outside their range, here rather than in the middle of a stream.
    """

    frame_rate: Fraction | None = None
    """Frames per second; None asks for the provider's own rate."""

    emotion: EmotionSettings = field(default_factory=EmotionSettings)
    """How detected and given emotions combine."""

    emotion_track: EmotionTrack | None = None
    """Emotion keys in time; `emotion.overrides` take precedence over the track for the emotions they name."""

    face_parameters: Mapping[str, float] = field(default_factory=dict)
    """Face-parameter name -> value; a parameter not named keeps the model's own value."""

    multipliers: Mapping[str, float] = field(default_factory=dict)
    """Channel -> factor, 1 where absent: weight * multiplier + offset, then the clamp."""

    offsets: Mapping[str, float] = field(default_factory=dict)
    """Channel -> number added, 0 where absent."""

    clamp: bool = False
    """Limit weights to 0..1 at the very end."""

    idle: bool = True
    """Blinks, glances, brows on accents and breaths, from providers that speak with the mouth alone."""

    seed: int = 0
    """What the idle life does when; the same seed and audio give the same face."""

    geometry: bool = False
    """Also give vertices, jaw and eyes in `Frame.geometry`, from providers that compute them; costs time and memory."""

    visemes: bool = False
    """Also fill `Frame.visemes`, from providers that can."""

    transcript: Transcript | None = None
    """The words, where they are known: `Embedded` times them and gives all frames at the end; others hear alone."""

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise SettingsError(f"seed: found {self.seed!r}, expected a whole number from 0")
        object.__setattr__(self, "face_parameters", face_parameters(self.face_parameters))
        object.__setattr__(self, "multipliers", _by_channel(self.multipliers, "multiplier"))
        object.__setattr__(self, "offsets", _by_channel(self.offsets, "offset"))


def _by_channel(values: Mapping[str, float], what: str) -> dict[str, float]:
    checked = {}
    for name, value in values.items():
        channel = require(name)
        if not math.isfinite(value):
            raise SettingsError(f"blend-shape {what} {channel}: found {value}, expected a finite number")
        checked[channel] = float(value)
    return checked
