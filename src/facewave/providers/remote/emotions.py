"""Emotion keys towards a service, which can be told more keys but never to forget one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...emotions import EMOTIONS, EmotionTrack, emotion_vector, replaced_from
from ...errors import SettingsError
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE
from ...wire.a2f import EmotionKeys, keys_of_settings


class KeyLedger:
    """The emotion keys that the service has been told or will be told with the next audio.

    Of two keys at one time the service takes the later one, and between keys it is linear. So a key that is no longer
    wanted is told once more with the value that the track in force has at its time: it lies on the track and changes
    nothing.
    """

    def __init__(self, settings: StreamSettings) -> None:
        overrides = settings.emotion.overrides
        self._override_names = [EMOTIONS.index(name) for name in overrides]
        self._override_values = np.array(list(overrides.values()), np.float32)
        self._track = settings.emotion_track
        self._told: dict[int, NDArray[np.float32]] = {}
        self._pending: dict[int, NDArray[np.float32]] = {}
        for time, values in keys_of_settings(settings).items():
            self._tell(round(time * SAMPLE_RATE), emotion_vector(values))

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
        self._track = replaced_from(self._track, track)
        for sample in {*self._told, *map(int, track.samples)}:
            values = np.array(self._track.at(sample), np.float32)
            values[self._override_names] = self._override_values
            self._tell(sample, values)

    def take(self) -> EmotionKeys:
        """The keys not told yet, by seconds; they count as told from now on."""
        keys = {
            sample / SAMPLE_RATE: {name: float(value) for name, value in zip(EMOTIONS, row, strict=True) if value != 0}
            for sample, row in sorted(self._pending.items())
        }
        self._pending.clear()
        return keys

    def _tell(self, sample: int, values: NDArray[np.float32]) -> None:
        known = self._told.get(sample)
        if known is None or not np.array_equal(known, values):
            self._told[sample] = self._pending[sample] = values
