"""What callers hand to the runtime, checked and copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..audio.clip import MAX_CHANNELS, as_float32
from ..audio.resample import MAX_RATE, MIN_RATE
from ..emotions import EmotionSettings, EmotionTrack
from ..errors import AudioError
from .sessions import Emotion

EmotionLike = EmotionSettings | EmotionTrack | Mapping[str, float]


def emotion_of(emotion: EmotionLike | None) -> Emotion | None:
    """Values by name become overrides; settings and tracks stay as they are."""
    return EmotionSettings(overrides=emotion) if isinstance(emotion, Mapping) else emotion


def checked_rate(sample_rate: int) -> int:
    """Hertz that the resampler takes.

    Raises:
        AudioError: Outside that range.
    """
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise AudioError(f"sample rate: found {sample_rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz")
    return int(sample_rate)


def checked_samples(samples: ArrayLike, channels: int) -> NDArray[Any]:
    """A copy of the samples as (n, channels), int16 or float32.

    Raises:
        AudioError: Another type or shape, or samples that are not finite.
    """
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"audio samples: found {channels} channels, expected 1 or 2")
    array = np.asarray(samples)
    if array.ndim == 1:
        if len(array) % channels:
            raise AudioError(f"audio samples: found {len(array)} values, expected a multiple of {channels} channels")
        array = array.reshape(-1, channels)
    if array.ndim != 2 or array.shape[1] != channels:
        raise AudioError(f"audio samples: found shape {array.shape}, expected (n,) or (n, {channels})")
    return array.copy() if array.dtype == np.int16 else as_float32(array.copy())
