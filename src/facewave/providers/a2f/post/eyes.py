"""Eyes: predicted rotations, fixed offsets and saccades from a table that plays at 30 rows a second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelFormatError
from .animator_parameters import EyesParameters

Array = NDArray[np.float32]

SACCADE_ROWS_PER_SECOND = 30
"""Rate of every saccade table, whatever the frame rate."""


class EyesAnimator:
    """Turns predicted eye angles into rotations; the place in the saccade table is kept per track."""

    def __init__(
        self, saccade: Array, step_s: float, n_tracks: int = 1, parameters: EyesParameters | None = None
    ) -> None:
        """Start at the table's row `saccade_seed`.

        Args:
            saccade: Shape (rows, 2), or flat: x and y in degrees, one row for each 1/30 s, for both eyes.
            step_s: Frame duration in seconds.
            n_tracks: Number of streams.
            parameters: In force for all tracks until changed.

        Raises:
            ModelFormatError: No rows, or an odd number of values.
        """
        flat = np.asarray(saccade, np.float32).ravel()
        if not len(flat) or len(flat) % 2:
            raise ModelFormatError(f"saccade table: found {len(flat)} values, expected two for each row")
        self.saccade = flat.reshape(-1, 2)
        self._step = np.float32(step_s)
        self._parameters = [parameters or EyesParameters()] * n_tracks
        # The clock runs in float32: at 25 or 50 fps its rounding decides which row is used near a change of row.
        self._live = np.zeros(n_tracks, np.float32)

    @property
    def n_tracks(self) -> int:
        """Number of tracks."""
        return len(self._parameters)

    def parameters(self, track: int = 0) -> EyesParameters:
        """Parameters in force for a track."""
        return self._parameters[track]

    def set_parameters(self, parameters: EyesParameters, track: int = 0) -> None:
        """Change a track's parameters from its next frame on."""
        self._parameters[track] = parameters

    def reset(self, track: int | None = None) -> None:
        """Set the saccade clock of a track, or of all, back to 0."""
        self._live[slice(None) if track is None else track] = 0

    def seek(self, time_s: float, track: int = 0) -> None:
        """Set a track's saccade clock to a time in seconds."""
        self._live[track] = np.float32(time_s) * np.float32(SACCADE_ROWS_PER_SECOND)

    def live_time(self, track: int = 0) -> float:
        """The track's saccade clock, in rows, before the seed is added."""
        return float(self._live[track])

    def row(self, track: int = 0) -> int:
        """Row of the saccade table that the track's next frame uses."""
        seed = np.float32(self._parameters[track].saccade_seed)
        return int(self._wrap(seed + self._live[track])) % len(self.saccade)

    def animate(
        self,
        angles: Array,
        out: Array | None = None,
        active: NDArray[np.bool_] | None = None,
        step_s: float | None = None,
        frame_index: int | None = None,
    ) -> Array:
        """One frame of every active track; then their clocks advance.

        Args:
            angles: Shape (tracks, 4): right x, right y, left x, left y in degrees.
            out: Where to write, shape (tracks, 6); rows of inactive tracks stay. None makes a new array.
            active: Shape (tracks,): tracks that have a frame now; None for all.
            step_s: Another frame duration for this frame.
            frame_index: Use row int(seed) + frame_index instead of the clock, which then stands still.

        Returns:
            Shape (tracks, 6): right x, y, 0, left x, y, 0 in degrees.
        """
        result = np.zeros((self.n_tracks, 6), np.float32) if out is None else out
        step = self._step if step_s is None else np.float32(step_s)
        for track in range(self.n_tracks) if active is None else np.flatnonzero(active):
            seed = int(self._parameters[track].saccade_seed)
            row = self.row(int(track)) if frame_index is None else (seed + frame_index) % len(self.saccade)
            result[track] = self._rotations(self._parameters[track], np.asarray(angles[track], np.float32), row)
            if frame_index is None:
                self._live[track] = self._wrap(self._live[track] + step * np.float32(SACCADE_ROWS_PER_SECOND))
        return result

    def _rotations(self, parameters: EyesParameters, angles: Array, row: int) -> Array:
        offsets = np.array(
            [
                parameters.right_eyeball_rotation_offset_x,
                parameters.right_eyeball_rotation_offset_y,
                parameters.left_eyeball_rotation_offset_x,
                parameters.left_eyeball_rotation_offset_y,
            ],
            np.float32,
        )
        turned = offsets + np.float32(parameters.eyeballs_strength) * angles
        turned += np.float32(parameters.saccade_strength) * np.tile(self.saccade[row], 2)
        return np.array([turned[0], turned[1], 0, turned[2], turned[3], 0], np.float32)

    def _wrap(self, rows: np.float32) -> np.float32:
        count = np.float32(len(self.saccade))
        rest = np.fmod(rows, count)
        return np.float32(rest + count) if rest < 0 else np.float32(rest)
