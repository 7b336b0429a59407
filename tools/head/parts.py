"""What the skin does not cover: eyeballs, teeth, gums, tongue, ears, brows, lashes and hair, each made from numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

from .cage import EYE_CENTRE, EYE_RADIUS
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


def eyeball(sign: int) -> Shell:
    """A ball that looks along +z, with pupil, iris and the dark ring round it painted on."""
    white, rim, iris, bright, pupil = (rgb(c) for c in ("#f3efe9", "#26333c", "#4f7f96", "#86b4c0", "#0b0d10"))
    pink = rgb("#dcb3a6")
    rings = [(0.0, pupil), (11.0, pupil), (12.5, iris * 0.75), (17.0, bright), (23.0, iris), (26.5, iris * 0.7),
             (28.5, rim), (30.0, rim), (32.0, white * 0.92), (38.0, white), (52.0, white),
             (68.0, white * 0.97 + pink * 0.03), (85.0, 0.5 * (white + pink)), (110.0, pink)]  # fmt: skip
    segments = 40
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    points, colours = [], []
    for degrees, colour in rings:
        theta = np.radians(degrees)
        # The iris lies a little flatter than the ball, which gives the highlight a place to sit.
        radius = EYE_RADIUS * (1.0 - 0.012 * max(0.0, 1 - degrees / 30.0))
        ring = np.stack(
            [np.cos(turn) * np.sin(theta), np.sin(turn) * np.sin(theta), np.full(segments, np.cos(theta))], 1
        )
        points.append(EYE_CENTRE * (sign, 1, 1) + radius * ring)
        streak = 1 + 0.10 * np.sin(turn * 13 + degrees) * (12 < degrees < 27)
        colours.append(np.clip(colour[None] * streak[:, None], 0, 1))
    triangles = grid_triangles(len(rings), segments, closed=True)[:, ::-1]
    return Shell(np.vstack(points), triangles, np.vstack(colours))


ARCH_T = (0.0, 0.10, 0.25, 0.45, 0.7, 1.0)
ARCH = np.array([(0.0, 0.455), (0.095, 0.445), (0.225, 0.375), (0.345, 0.20), (0.425, -0.03), (0.455, -0.32)])
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
                width, height, depth, chisel=number < 3, levels=2 if number < (4 if upper else 2) else 1
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
        y = -1.050 if upper else -1.302
        scallop = 0.012 * np.cos(abs(s) * 0.88 / 0.118 * 2 * np.pi)
        half = 0.055 + 0.03 * abs(s)
        ring = np.array([x * sign, y + (scallop if upper else -scallop), z])
        points.append(ring + np.cos(turn)[:, None] * out * half + np.sin(turn)[:, None] * np.array([0, 0.085, 0]))
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
TONGUE_LINE = np.array([(0, -1.225, 0.335), (0, -1.222, 0.315), (0, -1.200, 0.21), (0, -1.175, 0.02),
                        (0, -1.18, -0.26), (0, -1.28, -0.46), (0, -1.42, -0.56)])  # fmt: skip
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
    top, under = rgb("#d3727a"), rgb("#b4525c")
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
    centre = np.array([1.245, -0.36, -1.06])
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


@dataclass
class Attached:
    """Geometry glued to the skin: it takes the weighted mean of the motion of the skin vertices named."""

    shell: Shell
    anchors: NDArray[np.int64]
    """Shape (vertices, k)."""

    shares: Points
    """Shape (vertices, k), rows sum to 1."""


BROW_LINE = np.array([(0.165, 0.352), (0.27, 0.388), (0.42, 0.428), (0.58, 0.446), (0.74, 0.415), (0.90, 0.315)])
BROW_T = (0.0, 0.14, 0.36, 0.58, 0.79, 1.0)
BROW_HALF = (0.030, 0.043, 0.044, 0.038, 0.027, 0.006)


def brow(sign: int, skin: Points, normals: Points) -> Attached:
    """A soft wedge of hair lying on the brow ridge."""
    t = np.linspace(0, 1, 28)
    line = PchipInterpolator(BROW_T, BROW_LINE)(t)
    half = PchipInterpolator(BROW_T, BROW_HALF)(t)
    across = np.array([-1.0, -0.6, 0.0, 0.6, 1.0])
    lift = np.array([-0.006, 0.016, 0.024, 0.016, -0.006])
    front = np.flatnonzero((skin[:, 2] > -0.35) & (skin[:, 1] > 0.15) & (skin[:, 1] < 0.75) & (normals[:, 2] > -0.2))
    tree = cKDTree(skin[front][:, :2] * (sign, 1))
    points, anchors, shares = [], [], []
    for i, (x, y) in enumerate(line):
        before, after = line[max(i - 1, 0)], line[min(i + 1, len(line) - 1)]
        along = (after - before) / np.linalg.norm(after - before)
        normal2 = np.array([-along[1], along[0]])
        taper = np.clip(min(i / 2.0, (len(line) - 1 - i) / 3.0), 0, 1)
        for a, up in zip(across, lift, strict=True):
            at = np.array([x, y]) + normal2 * a * half[i]
            distance, near = tree.query(at, k=6)
            w = 1 / (distance + 1e-4) ** 2
            w /= w.sum()
            ids = front[near]
            base = (skin[ids] * w[:, None]).sum(axis=0)
            n = (normals[ids] * w[:, None]).sum(axis=0)
            base[:2] = at * (sign, 1)
            points.append(base + n / np.linalg.norm(n) * (up * taper - 0.004 * (1 - taper)))
            anchors.append(ids)
            shares.append(w)
    triangles = grid_triangles(len(line), len(across), closed=False)
    triangles = triangles if sign < 0 else triangles[:, ::-1]
    p = np.array(points)
    a, b, c = p[triangles[len(triangles) // 2]]
    if np.cross(b - a, c - a)[2] < 0:
        triangles = triangles[:, ::-1]
    return Attached(Shell(p, triangles, np.tile(rgb("#4a3226"), (len(p), 1))), np.array(anchors), np.array(shares))


def lashes(sign: int, margin: list[int], skin: Points) -> Attached:
    """A dark fringe along the upper lid margin, longer towards the outer corner; one sheet, seen from both sides."""
    base = skin[margin]
    n = len(margin)
    s = np.linspace(0, 1, n)  # 0 at the outer corner
    length = 0.040 * np.clip(np.sin(np.pi * np.clip(s * 0.9 + 0.12, 0, 1)) ** 0.5, 0, 1) * (1 - 0.55 * s)
    away = base - EYE_CENTRE * (sign, 1, 1)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    rows, anchors = [], []
    for share, rise in ((0.0, 0.0), (0.5, 0.10), (1.0, 0.55)):
        up = np.array([0.25 * sign, 0.75, 0.0])
        rows.append(base + away * 0.002 + length[:, None] * share * (away + rise * up))
        anchors.append(margin)
    p = np.vstack(rows)
    triangles = grid_triangles(3, n, closed=False)
    ids = np.concatenate([np.array(a) for a in anchors])[:, None]
    return Attached(Shell(p, triangles, np.tile(rgb("#1d1512"), (len(p), 1))), ids, np.ones((len(p), 1)))


HAIRLINE_AZIMUTH = (0.0, 0.35, 0.62, 0.80, 0.95, 1.10, 1.24, 1.36, 1.46, 1.60, 1.80, 2.0, 2.4, np.pi)
HAIRLINE_Y = (1.02, 1.04, 0.98, 0.78, 0.50, 0.36, 0.20, -0.12, -0.18, 0.02, -0.20, -0.72, -1.05, -1.15)


def hair(skin: Points, normals: Points, triangles: NDArray[np.int64]) -> Shell:
    """A close-cropped cap of hair over the scalp, thickest on the crown, with combed grooves."""
    azimuth = np.arctan2(np.abs(skin[:, 0]), skin[:, 2] + 1.0)
    above = skin[:, 1] - PchipInterpolator(HAIRLINE_AZIMUTH, HAIRLINE_Y)(azimuth)
    above = np.where(skin[:, 1] < -1.3, -1, above)
    rise = 1 - np.exp(-np.maximum(above, 0) / 0.10)
    thick = np.where(above > 0, 0, 0.5 * above) + rise * (0.075 + 0.085 * np.clip((skin[:, 1] - 0.6) / 1.0, 0, 1))
    side = np.arctan2(skin[:, 0] - 0.25, skin[:, 2] + 1.9)
    groove = np.sin(side * 46 + 2.2 * np.sin(skin[:, 1] * 3.1)) * 0.5 + np.sin(side * 23 + skin[:, 1] * 2.0) * 0.5
    thick += 0.016 * groove * rise
    p = skin + normals * thick[:, None]
    keep = triangles[(above[triangles] > -0.10).any(axis=1) & (skin[triangles][:, :, 1] > -1.4).all(axis=1)]
    used = np.unique(keep)
    renumber = np.full(len(skin), -1)
    renumber[used] = np.arange(len(used))
    colour = rgb("#3a261c") * (1 + 0.22 * groove[used, None])
    return Shell(p[used], renumber[keep], np.clip(colour, 0, 1))
