"""Skin: the network's vertex deltas, smoothed and composed with the neutral face.

State (two low-pass stages for each of two regions) is kept per track; a track is one stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelFormatError
from .animator_parameters import SkinParameters

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SkinData:
    """A face at rest and the two poses that are always at hand; vertices are flat x, y, z, y up.

    Raises:
        ModelFormatError: Sizes that disagree, or a face without height.
    """

    neutral: Array
    """Shape (3 V,), mesh units: the animator's neutral pose."""

    lip_open_delta: Array
    """Shape (3 V,): displacement of the lips-open pose."""

    eye_close_delta: Array
    """Shape (3 V,): displacement of the eyes-closed pose."""

    def __post_init__(self) -> None:
        for name in ("neutral", "lip_open_delta", "eye_close_delta"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float32).ravel())
        size = len(self.neutral)
        if not size or size % 3:
            raise ModelFormatError(f"skin neutral pose: found {size} values, expected 3 for each vertex")
        for name in ("lip_open_delta", "eye_close_delta"):
            if len(getattr(self, name)) != size:
                raise ModelFormatError(
                    f"skin {name}: found {len(getattr(self, name))} values, expected {size} as in the neutral pose"
                )


def lower_face_mask(neutral: Array, level: float, softness: float) -> Array:
    """Share of the lower face in each vertex: 1 at the bottom, 0 at the top, 0.5 at relative height `level`.

    Args:
        neutral: Shape (3 V,), flat x, y, z.
        level: Relative height of the border, 0..1.
        softness: Width of the border relative to the height of the mesh, above 0.

    Returns:
        Shape (V,).

    Raises:
        ModelFormatError: All vertices at one height.
    """
    height = np.asarray(neutral, np.float32)[1::3]
    low, high = height.min(), height.max()
    if high == low:
        raise ModelFormatError(f"skin neutral pose: found all vertices at height {low:g}, expected a face with height")
    relative = (height - low) / (high - low)
    with np.errstate(over="ignore"):  # exp overflows far above the border, where the mask is 0
        return np.asarray(
            np.float32(1) / (np.float32(1) + np.exp(-(np.float32(level) - relative) / np.float32(softness))), np.float32
        )


def smoothing_coefficient(half_life_s: float, step_s: float) -> float:
    """Share of the gap that one low-pass stage closes in a step; 1 without smoothing.

    Args:
        half_life_s: Time in which a stage closes half of a constant gap; 0 for no smoothing.
        step_s: Time since the previous frame; 0 holds the old value.
    """
    if half_life_s <= 0:
        return 1.0
    return float(np.float32(1) - np.float32(0.5) ** (np.float32(step_s) / np.float32(half_life_s)))


class SkinAnimator:
    """Turns network deltas into skin vertices, one frame of every track at a time.

    Both regions filter the whole mesh and the mask is applied after the filter, so the mask may change at any time.
    """

    def __init__(
        self, data: SkinData, step_s: float, n_tracks: int = 1, parameters: SkinParameters | None = None
    ) -> None:
        """Start `n_tracks` tracks at rest; `step_s` is the frame duration in seconds."""
        self.data = data
        self._step = float(np.float32(step_s))
        self._parameters = [parameters or SkinParameters()] * n_tracks
        self._masks: list[tuple[float, float, Array] | None] = [None] * n_tracks
        # (track, region lower/upper, stage, 3 V)
        self._state = np.zeros((n_tracks, 2, 2, len(data.neutral)), np.float32)
        self._started = np.zeros(n_tracks, bool)

    @property
    def n_tracks(self) -> int:
        """Number of tracks."""
        return len(self._parameters)

    def parameters(self, track: int = 0) -> SkinParameters:
        """Parameters in force for a track."""
        return self._parameters[track]

    def set_parameters(self, parameters: SkinParameters, track: int = 0) -> None:
        """Change a track's parameters from its next frame on; the filter's state stays."""
        self._parameters[track] = parameters

    def reset(self, track: int | None = None) -> None:
        """Let the next frame of a track, or of all, start the filter afresh."""
        self._started[slice(None) if track is None else track] = False

    def lower_face_mask(self, track: int = 0) -> Array:
        """Shape (V,): the lower face's share of each vertex under the track's parameters."""
        parameters = self._parameters[track]
        cached = self._masks[track]
        if cached is None or cached[:2] != (parameters.face_mask_level, parameters.face_mask_softness):
            level, softness = parameters.face_mask_level, parameters.face_mask_softness
            cached = (level, softness, lower_face_mask(self.data.neutral, level, softness))
            self._masks[track] = cached
        return cached[2]

    def animate(
        self,
        deltas: Array,
        out: Array | None = None,
        active: NDArray[np.bool_] | None = None,
        step_s: float | None = None,
    ) -> Array:
        """One frame of every active track.

        Args:
            deltas: Shape (tracks, 3 V): displacements from the neutral pose.
            out: Where to write, same shape; rows of inactive tracks stay as they are. None makes a new array.
            active: Shape (tracks,): tracks that have a frame now; None for all. Others keep state and output.
            step_s: Another frame duration for this frame; 0 then holds the smoothed face, whereas an animator made
                with a step of 0 does not smooth (both as in NVIDIA's SDK).

        Returns:
            Shape (tracks, 3 V): absolute vertex positions, mesh units.
        """
        result = np.zeros_like(deltas) if out is None else out
        for track in range(self.n_tracks) if active is None else np.flatnonzero(active):
            result[track] = self._frame(int(track), deltas[track], step_s)
        return result

    def _frame(self, track: int, delta: Array, step_s: float | None) -> Array:
        parameters, data = self._parameters[track], self.data
        raw = delta * np.float32(parameters.skin_strength)
        raw += data.eye_close_delta * np.float32(parameters.eye_close)
        raw += data.lip_open_delta * np.float32(parameters.lip_open_offset)
        lower, upper = self._state[track]
        self._smooth(lower, raw, parameters.lower_face_smoothing, step_s, track)
        self._smooth(upper, raw, parameters.upper_face_smoothing, step_s, track)
        self._started[track] = True
        mask = self.lower_face_mask(track)
        vertices = (
            data.neutral.reshape(-1, 3)
            + upper[1].reshape(-1, 3) * (np.float32(parameters.upper_face_strength) * (np.float32(1) - mask))[:, None]
        )
        vertices += lower[1].reshape(-1, 3) * (np.float32(parameters.lower_face_strength) * mask)[:, None]
        return np.asarray(vertices.ravel(), np.float32)

    def _smooth(self, stages: Array, raw: Array, half_life_s: float, step_s: float | None, track: int) -> None:
        if step_s is None:
            coefficient = smoothing_coefficient(half_life_s, self._step) if self._step > 0 else 1.0
        else:
            coefficient = smoothing_coefficient(half_life_s, step_s)
        if not self._started[track] or half_life_s <= 0 or (step_s is None and self._step <= 0):
            stages[:] = raw
            return
        stages[0] += (raw - stages[0]) * np.float32(coefficient)
        stages[1] += (stages[0] - stages[1]) * np.float32(coefficient)


def pca_deltas(coefficients: Array, basis: Array) -> Array:
    """Vertex deltas of PCA coefficients; no mean is added, it is the animator's neutral pose.

    Args:
        coefficients: Shape (frames, K).
        basis: Shape (K, 3 V).

    Returns:
        Shape (frames, 3 V), mesh units.
    """
    return np.asarray(coefficients @ basis, np.float32)
