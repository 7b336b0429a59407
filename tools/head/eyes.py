"""Eyeballs with a painted iris, and the shade that the lids throw on them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from .cage import EYE_CENTRE, EYE_RADIUS
from .hair import Attached
from .parts import Points, Shell, grid_triangles, rgb

IRIS_DEGREES, PUPIL_DEGREES = 27.5, 9.5
PAINTED_DEGREES = 110.0
"""The texture's circle reaches this far round the ball; the rest is never seen."""

SPREAD = 0.7
"""Exponent from angle to distance in the texture: less than one gives the iris more of it."""

PIXELS = 320
RINGS = (0.0, 6.0, 9.5, 12.0, 18.0, 24.0, 27.5, 30.0, 34.0, 42.0, 52.0, 66.0, 84.0, 110.0)
SEGMENTS = 40


def eyeball(sign: int) -> tuple[Shell, Points]:
    """A ball that looks along +z with a bulging cornea, and its texture coordinates, shape (vertices, 2)."""
    turn = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    points, uv = [], []
    for degrees in RINGS:
        theta = np.radians(degrees)
        bulge = 1.0 + 0.030 * np.clip(np.cos(np.pi / 2 * degrees / 33.0), 0, 1) ** 1.5 * (degrees < 33)
        ring = np.stack(
            [np.cos(turn) * np.sin(theta), np.sin(turn) * np.sin(theta), np.full(SEGMENTS, np.cos(theta))], 1
        )
        points.append(EYE_CENTRE * (sign, 1, 1) + EYE_RADIUS * bulge * ring)
        far = 0.5 * (degrees / PAINTED_DEGREES) ** SPREAD
        uv.append(np.stack([0.5 + far * np.cos(turn) * sign, 0.5 - far * np.sin(turn)], 1))
    triangles = grid_triangles(len(RINGS), SEGMENTS, closed=True)[:, ::-1]
    allp = np.vstack(points)
    return Shell(allp, triangles, np.ones_like(allp)), np.vstack(uv)


def texture() -> bytes:
    """The eyeball's colours as a PNG: pupil, fibres of the iris, its dark rim, the white with a little red outwards."""
    random = np.random.default_rng(2)
    grid = (np.arange(PIXELS) + 0.5) / PIXELS - 0.5
    x, y = np.meshgrid(grid, grid)
    degrees = (np.hypot(x, y) * 2) ** (1 / SPREAD) * PAINTED_DEGREES
    turn = np.arctan2(-y, x)
    share = np.clip((degrees - PUPIL_DEGREES) / (IRIS_DEGREES - PUPIL_DEGREES), 0, 1)

    def step(low: float, high: float) -> NDArray[np.float64]:
        t = np.clip((degrees - low) / (high - low), 0, 1)
        return np.asarray((t * t * (3 - 2 * t))[..., None])

    fibres = np.zeros_like(turn)
    for count, amount in ((17, 0.16), (29, 0.16), (47, 0.18), (83, 0.16), (131, 0.12)):
        phase, twist = random.uniform(0, 2 * np.pi, 2)
        fibres += amount * np.sin(count * turn + phase + 2.0 * np.sin(3 * share + twist))
    crypts = 0.5 + 0.5 * np.sin(9 * turn + 1.3 + 4 * share) * np.sin(5 * turn + 0.4)
    inner, outer = rgb("#98875f"), rgb("#66828a")
    ring = np.exp(-(((share - 0.16) / 0.15) ** 2))[..., None]
    iris = outer * (1 - 0.62 * ring) + inner * 0.62 * ring
    iris = iris * (0.86 + 0.42 * fibres * (0.4 + 0.6 * share) - 0.14 * crypts * share)[..., None]
    iris = iris * (1.16 - 0.72 * np.clip(share - 0.62, 0, 1) ** 1.2 / 0.38)[..., None]
    # Light gathers in the iris opposite to where it came from.
    iris = iris * (1.0 + 0.22 * np.clip(-np.sin(turn), 0, 1) - 0.20 * np.clip(np.sin(turn), 0, 1))[..., None]
    white, warm, rim = rgb("#ece7e1"), rgb("#d69c8c"), rgb("#1f2c31")
    vein = np.clip(np.sin(7 * turn + 3 * np.sin(degrees / 9)) * np.sin(11 * turn + degrees / 6) - 0.55, 0, 1)
    ball = white * (1 - 0.7 * step(45, 110)) + warm * 0.7 * step(45, 110)
    ball = ball * (1 - 0.10 * vein[..., None] * step(34, 55) * np.array([0.2, 1.0, 1.0]))
    colour = iris * (1 - step(IRIS_DEGREES - 2.5, IRIS_DEGREES - 0.5)) + rim * step(
        IRIS_DEGREES - 2.5, IRIS_DEGREES - 0.5
    )
    colour = colour * (1 - step(IRIS_DEGREES - 0.5, IRIS_DEGREES + 2.5)) + ball * step(
        IRIS_DEGREES - 0.5, IRIS_DEGREES + 2.5
    )
    colour = rgb("#08090b") * (1 - step(PUPIL_DEGREES - 0.6, PUPIL_DEGREES + 0.9)) + colour * step(
        PUPIL_DEGREES - 0.6, PUPIL_DEGREES + 0.9
    )
    return png(np.clip(np.round(colour * 255), 0, 255).astype(np.uint8))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """An RGB picture, shape (height, width, 3), as a PNG file."""
    height, width, _ = pixels.shape
    # Each row as differences from the row above (filter 2), which packs smooth pictures better.
    rows = np.diff(pixels.astype(np.int16), axis=0, prepend=np.zeros((1, width, 3), np.int16)).astype(np.uint8)
    packed = b"".join(b"\x02" + row.tobytes() for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(packed, 9)) + chunk(b"IEND", b"")


SHADE_DEPTH = 0.125
"""Units from the upper lid margin down the ball over which its shade fades."""


def shade(sign: int, upper: list[int], lower: list[int], skin: Points) -> tuple[Attached, NDArray[np.float64]]:
    """A dark film over the ball below the upper lid and along the lower one, and its opacity, shape (vertices,)."""
    ball = EYE_CENTRE * (sign, 1, 1)
    points, anchors, shares, alpha = [], [], [], []
    # Not the corners themselves, where upper and lower lid are one point.
    upper, lower = upper[1:-1:2], lower[1:-1:2]
    n = len(upper)
    rows = (0.0, 0.15, 0.35, 0.6, 0.85, 1.0)
    for i in range(n):
        a, b = skin[upper[i]], skin[lower[i]]
        tall = np.linalg.norm(a - b)
        for r in rows:
            p = a * (1 - r) + b * r - ball
            p *= (EYE_RADIUS * 1.030 + 0.004) / np.linalg.norm(p)
            points.append(ball + p)
            anchors.append((upper[i], lower[i]))
            shares.append((1 - r, r))
            top = np.clip(1 - r * tall / SHADE_DEPTH, 0, 1) ** 1.4 * 0.62
            bottom = np.clip(1 - (1 - r) * tall / 0.04, 0, 1) ** 1.5 * 0.30
            corner = np.clip(1 - min(i, n - 1 - i) / (n * 0.22), 0, 1) ** 1.5 * 0.45
            alpha.append(1 - (1 - top) * (1 - bottom) * (1 - corner))
    triangles = grid_triangles(n, len(rows), closed=False)
    triangles = triangles if sign > 0 else triangles[:, ::-1]
    p = np.array(points)
    x, y, z = p[triangles[len(triangles) // 2]]
    if np.cross(y - x, z - x)[2] < 0:
        triangles = triangles[:, ::-1]
    shell = Shell(p, triangles, np.tile(rgb("#2a120c"), (len(p), 1)))
    return Attached(shell, np.array(anchors), np.array(shares)), np.array(alpha)
