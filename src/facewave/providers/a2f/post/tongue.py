"""Tongue: deltas scaled and moved as a whole. Without state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .animator_parameters import TongueParameters

Array = NDArray[np.float32]


def animate_tongue(neutral: Array, deltas: Array, parameters: TongueParameters) -> Array:
    """Tongue vertices of one or many frames.

    Args:
        neutral: Shape (3 V,): the animator's neutral tongue, mesh units.
        deltas: Shape (..., 3 V): displacements from the neutral pose.
        parameters: In force for all these frames.

    Returns:
        Shape (..., 3 V): absolute positions.
    """
    vertices = neutral + np.float32(parameters.tongue_strength) * np.asarray(deltas, np.float32)
    vertices[..., 1::3] += np.float32(parameters.tongue_height_offset)
    vertices[..., 2::3] += np.float32(parameters.tongue_depth_offset)
    return np.asarray(vertices, np.float32)
