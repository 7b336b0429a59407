"""Emotion keys towards a service, which can be told more keys but never to forget one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...emotions import EMOTIONS, EmotionTrack, emotion_vector
from ...errors import SettingsError
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE
from ...wire.a2f import EmotionKeys, keys_of_settings


class KeyLedger:
    """The emotion keys that the service has been told or will be told with the next audio.

    Of two keys at one time the service takes the later one, and between keys it is linear. So a new track is made to
    replace an old one by telling, besides its own keys, its value at the time of each old key that comes after its
    first, and the old track's value right before that.
    """

    def __init__(self, settings: StreamSettings) -> None:
        overrides = settings.emotion.overrides
        self._override_names = [EMOTIONS.index(name) for name in overrides]
        self._override_values = np.array(list(overrides.values()), np.float32)
        self._told = {
            round(time * SAMPLE_RATE): emotion_vector(values) for time, values in keys_of_settings(settings).items()
        }
        self._pending = dict(self._told)

    def replace(self, track: EmotionTrack) -> None:
        """Make `track` the one in force from its first key on.

        Raises:
            SettingsError: Not a track of the ten named emotions.
        """
        if track.values.shape[1] != len(EMOTIONS):
            raise SettingsError(
                f"emotion track: found {track.values.shape[1]} values a key; a service takes the "
                f"{len(EMOTIONS)} named emotions"
            )
        first = int(track.samples[0])
        news = {int(sample): self._overridden(row) for sample, row in zip(track.samples, track.values, strict=True)}
        for sample in self._told:
            if sample > first and sample not in news:
                news[sample] = self._overridden(track.at(sample))
        before = first - 1
        if before >= 0 and before not in self._told:
            news[before] = self._at(before)
        self._told.update(news)
        self._pending.update(news)

    def take(self) -> EmotionKeys:
        """The keys not told yet, by seconds; they count as told from now on."""
        keys = {
            sample / SAMPLE_RATE: {name: float(value) for name, value in zip(EMOTIONS, row, strict=True) if value != 0}
            for sample, row in sorted(self._pending.items())
        }
        self._pending.clear()
        return keys

    def _at(self, sample: int) -> NDArray[np.float32]:
        if not self._told:
            return np.zeros(len(EMOTIONS), np.float32)
        order = sorted(self._told)
        track = EmotionTrack(np.array(order, np.int64), np.stack([self._told[key] for key in order]))
        return np.asarray(track.at(sample), np.float32)

    def _overridden(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.array(values, np.float32)
        out[self._override_names] = self._override_values
        return out
