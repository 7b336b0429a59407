"""How much of the sky every vertex sees: the soft dark in corners, painted into the colours of the vertices.

Each vertex of the head is also a small disc that hides a share of the sky from the others, by its area, its distance
and the angles between them. Source: Bunnell (2005), Dynamic ambient occlusion and indirect lighting, GPU Gems 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REACH = 1.6
"""Units beyond which nothing hides anything."""

Points = NDArray[np.float64]


def disc_areas(points: Points, triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    """A third of the area of the triangles round each vertex, shape (vertices,)."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return np.asarray(np.bincount(triangles.ravel(), np.repeat(area, 3), minlength=len(points)), np.float64)


def openness(
    points: Points, normals: Points, discs: Points, disc_normals: Points, areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The share of the sky that stays free, shape (points,), 0..1."""
    out = np.ones(len(points))
    p, n, q, m, area = (x.astype(np.float32) for x in (points, normals, discs, disc_normals, areas))
    for start in range(0, len(p), 256):
        way = q[None] - p[start : start + 256, None]  # (256, discs, 3)
        square = np.einsum("ijk,ijk->ij", way, way) + 1e-5
        distance = np.sqrt(square)
        up = np.einsum("ijk,ik->ij", way, n[start : start + 256]) / distance
        facing = -np.einsum("ijk,jk->ij", way, m) / distance
        hidden = np.clip(up, 0, 1) * np.clip(facing, 0, 1) * area / (np.pi * square + area)
        hidden *= np.clip(2 * (1 - distance / REACH), 0, 1)
        out[start : start + 256] = np.exp(-1.25 * hidden.sum(axis=1))
    return out
