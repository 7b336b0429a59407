"""What the skin does not cover: teeth, gums, tongue, ears and a shirt, each made from numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from .subdivide import Face, catmull_clark, triangulate

Points = NDArray[np.float64]


@dataclass
class Shell:
    """Geometry before it becomes a part of the file."""

    points: Points
    triangles: NDArray[np.int64]
    colours: Points
    """sRGB 0..1."""


def rgb(text: str) -> Points:
    """`#rrggbb` as sRGB 0..1."""
    return np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def grid_triangles(rows: int, columns: int, closed: bool) -> NDArray[np.int64]:
    """Triangles of a grid of points numbered row by row; `closed` joins the last column to the first."""
    quads: list[Face] = []
    for r in range(rows - 1):
        for c in range(columns if closed else columns - 1):
            d = (c + 1) % columns
            quads.append((r * columns + c, r * columns + d, (r + 1) * columns + d, (r + 1) * columns + c))
    return triangulate(quads)


ARCH_T = (0.0, 0.10, 0.25, 0.45, 0.7, 1.0)
ARCH = np.array([(0.0, 0.435), (0.095, 0.422), (0.215, 0.322), (0.325, 0.145), (0.405, -0.08), (0.445, -0.36)])
"""Half the dental arch in x and z, from the midline back."""

TOOTH_WIDTHS_UPPER = (0.136, 0.112, 0.118, 0.112, 0.108, 0.155, 0.150)
TOOTH_WIDTHS_LOWER = (0.092, 0.100, 0.112, 0.114, 0.114, 0.165, 0.155)
TOOTH_HEIGHTS_UPPER = (0.170, 0.150, 0.165, 0.140, 0.130, 0.125, 0.120)
TOOTH_HEIGHTS_LOWER = (0.140, 0.140, 0.155, 0.138, 0.130, 0.120, 0.115)


def _arch(distance: float, inset: float) -> tuple[Points, Points]:
    """Point (x, z) and unit direction of the arch at an arc length from the midline."""
    curve = PchipInterpolator(ARCH_T, ARCH)
    t = np.linspace(0, 1, 400)
    line = curve(t)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
    at = np.interp(distance, length, t)
    along = curve(min(at + 0.004, 1.0)) - curve(max(at - 0.004, 0.0))
    along /= np.linalg.norm(along)
    inward = np.array([-along[1], along[0]])
    inward *= np.sign(-inward[1]) if abs(inward[1]) > 0.3 else np.sign(-inward[0])
    return curve(at) + inset * inward, along


def teeth(upper: bool) -> Shell:
    """Fourteen rounded teeth along the arch."""
    widths = TOOTH_WIDTHS_UPPER if upper else TOOTH_WIDTHS_LOWER
    heights = TOOTH_HEIGHTS_UPPER if upper else TOOTH_HEIGHTS_LOWER
    edge_y = -1.192 if upper else -1.182
    enamel, root = rgb("#f4efe2"), rgb("#e3d6bd")
    points, triangles, colours = [], [], []
    start = 0
    for sign in (1, -1):
        distance = 0.0
        for number, (width, height) in enumerate(zip(widths, heights, strict=True)):
            (x, z), (dx, dz) = _arch(distance + width / 2, 0.0 if upper else 0.035)
            distance += width * (0.97 if upper else 0.965)
            depth = 0.075 if number < 3 else 0.135
            box, faces = _tooth(
                width, height, depth, chisel=number < 3, levels=2 if number < (3 if upper else 1) else 1
            )
            along = np.array([dx * sign, 0, dz])
            up = np.array([0, 1.0 if upper else -1.0, 0])
            out = np.cross(along, [0, 1, 0]) * sign
            out *= np.sign(out[2]) if abs(out[2]) > 0.4 else np.sign(out[0] * sign)
            drop = 0.006 * (number == 1) - 0.004 * (number == 2) + 0.010 * (number > 2)
            centre = np.array([x * sign, edge_y + (drop if upper else -drop), z])
            p = centre + box[:, :1] * along + box[:, 1:2] * up + box[:, 2:] * out
            t = triangulate(faces)
            a, b, c = p[t[0]]
            middle = p.mean(axis=0)
            if np.dot(np.cross(b - a, c - a), p[t[0]].mean(axis=0) - middle) < 0:
                t = t[:, ::-1]
            points.append(p)
            triangles.append(t + start)
            share = np.clip(box[:, 1:2] / height, 0, 1)
            shade = 1.0 - 0.05 * number / 6
            colours.append((enamel * (1 - share**2) + root * share**2) * shade)
            start += len(p)
    return Shell(np.vstack(points), np.vstack(triangles), np.vstack(colours))


def _tooth(width: float, height: float, depth: float, chisel: bool, levels: int) -> tuple[Points, list[Face]]:
    """A box that tapers to the biting edge, subdivided; y = 0 is the edge, y = height in the gum."""
    w, d = width * 0.60, depth * 0.6
    edge_d = d * (0.45 if chisel else 0.9)
    layers = ((0.0, 0.94, edge_d), (height * 0.12, 1.0, edge_d * 1.15), (height * 0.6, 0.98, d), (height, 0.8, d))
    p = [(sx * w * k, y, sz * dd) for y, k, dd in layers for sx, sz in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    faces: list[Face] = [(3, 2, 1, 0)]
    for layer in range(3):
        for i in range(4):
            j = (i + 1) % 4
            faces.append((layer * 4 + i, layer * 4 + j, layer * 4 + 4 + j, layer * 4 + 4 + i))
    faces.append((12, 13, 14, 15))
    points = np.array(p)
    for _ in range(levels):
        level = catmull_clark(len(points), faces)
        points, faces = level.matrix @ points, level.faces
    return points, faces


def gums(upper: bool) -> Shell:
    """A bead along the roots of the teeth, with the palate or the mouth floor behind it left to the skin."""
    pink = rgb("#c4686b")
    inset = 0.02 if upper else 0.05
    stations = np.linspace(-1, 1, 41)
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    points = []
    for s in stations:
        (x, z), (dx, dz) = _arch(abs(s) * 0.88, inset)
        sign = 1 if s >= 0 else -1
        out = np.array([dz * -1.0, 0, dx])
        out = np.array([abs(out[0]) * sign if abs(out[0]) > 1e-9 else 0.0, 0, abs(out[2])])
        out /= np.linalg.norm(out)
        y = -1.032 if upper else -1.322
        scallop = 0.012 * np.cos(abs(s) * 0.88 / 0.118 * 2 * np.pi)
        half = 0.046 + 0.03 * abs(s)
        ring = np.array([x * sign, y + (scallop if upper else -scallop), z])
        points.append(ring + np.cos(turn)[:, None] * out * half + np.sin(turn)[:, None] * np.array([0, 0.070, 0]))
    triangles = grid_triangles(len(stations), len(turn), closed=True)
    allp = np.vstack(points)
    return Shell(allp, _outward(allp, triangles, len(turn)), np.tile(pink, (len(allp), 1)))


def _outward(points: Points, triangles: NDArray[np.int64], ring: int) -> NDArray[np.int64]:
    """Turn the triangles of a swept tube so that they face away from its middle line."""
    middle = points.reshape(-1, ring, 3).mean(axis=1)
    t = triangles[0]
    a, b, c = points[t]
    faces_out = np.dot(np.cross(b - a, c - a), points[t].mean(axis=0) - middle[0]) > 0
    return triangles if faces_out else triangles[:, ::-1]


TONGUE_STATIONS = 18
TONGUE_SEGMENTS = 20
TONGUE_T = (0.0, 0.06, 0.2, 0.4, 0.65, 0.85, 1.0)
TONGUE_LINE = np.array([(0, -1.262, 0.315), (0, -1.260, 0.295), (0, -1.246, 0.20), (0, -1.225, 0.02),
                        (0, -1.225, -0.26), (0, -1.31, -0.46), (0, -1.43, -0.56)])  # fmt: skip
TONGUE_HALF_WIDTH = (0.01, 0.10, 0.195, 0.25, 0.27, 0.24, 0.20)
TONGUE_HALF_HEIGHT = (0.006, 0.030, 0.050, 0.066, 0.085, 0.10, 0.10)


def tongue() -> tuple[Shell, Points]:
    """The tongue at rest behind the lower teeth, and (vertices, 2): share of the way to the root, and side -1..1."""
    t = np.linspace(0, 1, TONGUE_STATIONS) ** 1.25
    line = PchipInterpolator(TONGUE_T, TONGUE_LINE)(t)
    width = PchipInterpolator(TONGUE_T, TONGUE_HALF_WIDTH)(t)
    height = PchipInterpolator(TONGUE_T, TONGUE_HALF_HEIGHT)(t)
    turn = np.linspace(0, 2 * np.pi, TONGUE_SEGMENTS, endpoint=False)
    points, colours, where = [], [], []
    top, under = rgb("#d98187"), rgb("#b85a62")
    for i in range(TONGUE_STATIONS):
        along = line[min(i + 1, TONGUE_STATIONS - 1)] - line[max(i - 1, 0)]
        along /= np.linalg.norm(along)
        up = np.cross(along, [-1, 0, 0])
        up *= np.sign(up[1])
        x = np.cos(turn) * width[i]
        y = np.sin(turn) * height[i] * np.where(np.sin(turn) > 0, 0.9, 1.1)
        # A shallow groove along the middle of the back of the tongue.
        y -= np.where(np.sin(turn) > 0, 0.25 * height[i] * np.exp(-((x / (0.3 * width[i] + 1e-6)) ** 2)), 0)
        points.append(line[i] + x[:, None] * np.array([1, 0, 0]) + y[:, None] * up)
        mix = (0.5 + 0.5 * np.sin(turn))[:, None]
        colours.append(mix * top + (1 - mix) * under)
        where.append(np.stack([np.full(TONGUE_SEGMENTS, t[i]), np.cos(turn)], axis=1))
    triangles = grid_triangles(TONGUE_STATIONS, TONGUE_SEGMENTS, closed=True)
    allp = np.vstack(points)
    return Shell(allp, _outward_all(allp, triangles), np.vstack(colours)), np.vstack(where)


def _outward_all(points: Points, triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn a closed shape's triangles so that its signed volume is positive."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    centre = points.mean(axis=0)
    volume = np.einsum("ij,ij->i", np.cross(b - a, c - a), (a + b + c) / 3 - centre).sum()
    return triangles if volume > 0 else triangles[:, ::-1]


def ear(sign: int) -> Shell:
    """A simplified outer ear: bowl, inner ridge, rim and lobe, with a back that runs into the head."""
    profile = ((0.0, -0.075), (0.16, -0.075), (0.30, -0.055), (0.42, 0.0), (0.52, 0.028), (0.62, 0.022), (0.74, -0.004),
               (0.84, 0.020), (0.92, 0.050), (0.985, 0.050), (1.02, 0.018), (0.99, -0.035), (0.88, -0.075),
               (0.66, -0.12), (0.40, -0.17))  # fmt: skip
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    centre = np.array([1.235, -0.22, -1.04])
    up = np.array([0.10, 0.97, -0.22])
    back = np.array([0.50, 0.06, -0.86])
    up, back = up / np.linalg.norm(up), back / np.linalg.norm(back)
    out = np.cross(back, up)
    out *= np.sign(out[0])
    points, colours = [], []
    skin, warm = rgb("#e6b090"), rgb("#d98f78")
    for rho, depth in profile:
        b = 0.44 * np.sin(turn) * rho
        a = 0.245 * np.cos(turn) * rho * (1 + 0.28 * np.sin(turn)) + 0.02 * np.sin(turn)
        front = np.clip(-np.cos(turn), 0, 1)
        lobe = np.clip(-np.sin(turn) - 0.55, 0, 1) / 0.45
        d = depth * (1 - 0.55 * lobe * (rho > 0.3)) - 0.05 * front * rho
        points.append(centre + a[:, None] * back + b[:, None] * up + d[:, None] * out)
        share = np.clip((depth + 0.08) / 0.13, 0, 1)
        colours.append(np.tile(warm * (1 - share) + skin * share, (len(turn), 1)))
    allp = np.vstack(points)
    triangles = _outward_all(allp, grid_triangles(len(profile), len(turn), closed=True))
    if sign < 0:
        allp, triangles = allp * (-1, 1, 1), triangles[:, ::-1]
    return Shell(allp, triangles, np.vstack(colours))


COLLAR = ((0.055, -2.50), (0.075, -2.44), (0.115, -2.42), (0.150, -2.46), (0.160, -2.55), (0.165, -2.62))
"""Profile of the ribbed collar: distance from the neck and height at its side."""

SHOULDERS = (
    (0.20, -2.66),
    (0.42, -2.80),
    (0.85, -3.02),
    (1.40, -3.26),
    (1.95, -3.50),
    (2.35, -3.85),
    (2.52, -4.35),
    (2.55, -5.0),
)
"""Profile of the shoulder at its side, below the collar."""


def shirt() -> Shell:
    """A plain crew-neck that ends the neck."""
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    across, forward = np.cos(turn), np.sin(turn)
    profile = np.array(COLLAR + SHOULDERS)
    cloth, rib = rgb("#4b5a6b"), rgb("#424f60")
    points, colours = [], []
    for i, (away, y) in enumerate(profile):
        # The neck leans: its ring is higher at the back and lower in front.
        neck_x, neck_z = 0.93, 0.80
        flat = np.clip(away / 2.0, 0, 1)
        x = across * (neck_x + away)
        depth = np.where(forward > 0, 0.42, 0.30)
        z = -1.20 + forward * (neck_z + np.minimum(away, 0.35) + depth * np.maximum(away - 0.35, 0)) - 0.10 * flat
        drop = -0.36 * np.clip(forward, 0, 1) ** 2 + 0.16 * np.clip(-forward, 0, 1)
        # Chest and back fall away steeply, the shoulders gently.
        steep = 0.55 * away * np.abs(forward) ** 3
        points.append(np.stack([x, y + drop - steep * (i >= len(COLLAR)), z], axis=1))
        ribbed = 1 + 0.10 * np.sign(np.sin(turn * 32)) if i < len(COLLAR) - 1 else np.ones_like(turn)
        colours.append((rib if i < len(COLLAR) else cloth) * ribbed[:, None])
    allp = np.vstack(points)
    triangles = grid_triangles(len(profile), len(turn), closed=True)
    a, b, c = allp[triangles[len(COLLAR) * 2 * len(turn)]]
    if np.cross(b - a, c - a)[1] < 0:
        triangles = triangles[:, ::-1]
    return Shell(allp, triangles, np.vstack(colours))
