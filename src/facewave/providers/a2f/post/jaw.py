"""Lower teeth: one rigid motion fitted to a few predicted jaw points. Without state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .animator_parameters import TeethParameters

Array = NDArray[np.float32]


def jaw_transform(neutral_jaw: Array, deltas: Array, parameters: TeethParameters) -> Array:
    """The rigid motion that takes the neutral jaw points best to the predicted ones, for one or many frames.

    Strength and offsets act on the points before the fit, so a strength of 0.5 is not half the angle.

    Args:
        neutral_jaw: Shape (3 N,): jaw points at rest, mesh units.
        deltas: Shape (..., 3 N): predicted displacements.
        parameters: In force for all these frames.

    Returns:
        Shape (..., 16): 4x4 matrices in column-major order (translation in 12..14), acting on column vectors.

    Source: Kabsch (1976), "A solution for the best rotation to relate two sets of vectors".
    """
    source = np.asarray(neutral_jaw, np.float64).reshape(-1, 3)  # (N, 3)
    target = np.asarray(deltas, np.float64).reshape(*np.shape(deltas)[:-1], -1, 3) * parameters.lower_teeth_strength
    target = target + source + (0.0, parameters.lower_teeth_height_offset, parameters.lower_teeth_depth_offset)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=-2)
    covariance = np.swapaxes(target - target_mean[..., None, :], -1, -2) @ (source - source_mean)  # (..., 3, 3)
    left, _, right = np.linalg.svd(covariance)
    # A reflection fits pure noise best at times; turning the weakest axis back gives the best proper rotation.
    left[..., :, 2] *= np.sign(np.linalg.det(left) * np.linalg.det(right))[..., None]
    rotation = left @ right  # (..., target axis, source axis)
    matrix = np.zeros((*rotation.shape[:-2], 4, 4))
    matrix[..., :3, :3] = rotation
    matrix[..., :3, 3] = target_mean - rotation @ source_mean
    matrix[..., 3, 3] = 1.0
    return np.asarray(np.swapaxes(matrix, -1, -2).reshape(*matrix.shape[:-2], 16), np.float32)
