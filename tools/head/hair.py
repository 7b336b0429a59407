"""Hair: locks combed over the painted scalp, brows and lashes as single strokes. All made from numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

from .cage import EYE_CENTRE
from .parts import Points, Shell, rgb

SKULL = np.array([0.0, 0.30, -1.0])
"""Middle of the skull: the scalp is described by directions seen from here."""

HAIRLINE_AZIMUTH = (0.0, 0.30, 0.55, 0.72, 0.86, 1.00, 1.14, 1.30, 1.44, 1.60, 1.80, 2.0, 2.4, np.pi)
HAIRLINE_Y = (1.06, 1.10, 1.08, 0.92, 0.66, 0.46, 0.28, -0.02, -0.08, 0.22, -0.15, -0.70, -0.98, -1.05)
"""Height of the hairline by azimuth round the head, front to back."""

DARK, LIGHT = rgb("#3a271d"), rgb("#80573a")
PART_X = 0.42
"""Where the hair parts, on the person's left."""

OVERLAP = 0.05
"""Units by which roots lie beyond the parting."""

FILLED = 0.4
"""Share of the hair's height that the scalp is raised under it on the top of the head."""


@dataclass
class Attached:
    """Geometry glued to the skin: it takes the weighted mean of the motion of the skin vertices named."""

    shell: Shell
    anchors: NDArray[np.int64]
    """Shape (vertices, k)."""

    shares: Points
    """Shape (vertices, k), rows sum to 1."""


def above_hairline(points: Points) -> NDArray[np.float64]:
    """Units above the hairline; negative on the face and the neck."""
    azimuth = np.arctan2(np.abs(points[:, 0]), points[:, 2] + 1.0)
    above = points[:, 1] - PchipInterpolator(HAIRLINE_AZIMUTH, HAIRLINE_Y)(azimuth)
    return np.asarray(np.where(points[:, 1] < -1.45, -1.0, above))


def padding(points: Points) -> NDArray[np.float64]:
    """How far the scalp is raised under the hair, units, so that no light falls through beneath the locks."""
    rim = np.clip((above_hairline(points) - 0.02) / 0.33, 0, 1)
    top = np.clip((points[:, 1] - 0.5) / 0.9, 0, 1)
    return np.asarray((0.05 + FILLED * top * volume(points)) * rim * rim * (3 - 2 * rim))


class Scalp:
    """The skin of the head as a height over directions from the middle of the skull."""

    def __init__(self, skin: Points) -> None:
        away = skin - SKULL
        self.radius = np.linalg.norm(away, axis=1)
        upper = (skin[:, 1] > -1.6) & ((skin[:, 2] < 0.0) | (skin[:, 1] > 0.6))
        self.radius = self.radius[upper]
        self.tree = cKDTree(away[upper] / self.radius[:, None])

    def at(self, directions: Points) -> Points:
        """Points on the skin in these directions."""
        distance, near = self.tree.query(directions, k=5)
        share = 1 / (distance + 1e-3) ** 2
        share /= share.sum(axis=1, keepdims=True)
        return np.asarray(SKULL + directions * (self.radius[near] * share).sum(axis=1)[:, None])


def _flow(points: Points, side: float) -> Points:
    """The way the comb went, by place; `side` is -1 to the right of the parting, 1 to its left."""
    x, y, z = points.T
    top = np.clip((y - 0.75) / 0.5, 0, 1)
    back = np.clip((-1.35 - z) / 0.7, 0, 1)
    beside = side * np.maximum(np.abs(np.tanh((x - PART_X) / 0.10)), 0.35)
    # From the parting: over the crown to the right and back, or down the left side.
    combed = np.stack([np.where(beside < 0, 0.95 * beside, 0.75 * beside), np.full_like(x, -0.2),
                       np.where(beside < 0, -0.62, -0.55)], axis=1)  # fmt: skip
    sides = np.stack([0.1 * np.sign(x), np.full_like(x, -0.75), np.full_like(x, -0.72)], axis=1)
    nape = np.stack([-0.25 * x, np.full_like(x, -1.0), np.full_like(x, 0.05)], axis=1)
    flow = top[:, None] * combed + (1 - top[:, None]) * sides
    return np.asarray((1 - back[:, None]) * flow + back[:, None] * nape)


def volume(points: Points) -> NDArray[np.float64]:
    """How high the hair stands off the skin."""
    x, y, z = points.T
    above = np.clip(above_hairline(points), 0, None)
    top = np.clip((y - 0.5) / 0.9, 0, 1)
    front = np.exp(-(((z - 0.15) / 0.45) ** 2)) * np.clip((y - 0.9) / 0.3, 0, 1)
    parted = 1 - 0.55 * np.exp(-(((x - PART_X) / 0.10) ** 2)) * top
    rise = 1 - np.exp(-above / 0.16)
    return np.asarray((0.06 + 0.16 * top + 0.04 * front) * rise * parted)


FRINGE_LOCKS = 17
STATIONS = 8
ACROSS = np.array([-1.0, -0.45, 0.45, 1.0])
ARCHED = np.array([-1.5, 0.5, 0.5, -1.5])


def locks(skin: Points, count: int = 370, seed: int = 5) -> Shell:
    """Tapered locks that start all over the scalp and follow the comb, each lying on those before it.

    `count` roots are spread over the whole head; those below the hairline fall away.
    """
    scalp = Scalp(skin)
    random = np.random.default_rng(seed)
    golden = np.pi * (3 - np.sqrt(5))
    k = np.arange(count)
    y = 1 - 2 * (k + 0.5) / len(k)
    round_ = np.sqrt(1 - y * y)
    directions = np.stack([round_ * np.cos(golden * k), y, round_ * np.sin(golden * k)], axis=1)
    roots = scalp.at(directions)
    roots = roots[above_hairline(roots) > 0.015]
    # A row along the forehead, or the comb would leave it bald.
    line = skin[np.abs(above_hairline(skin) - 0.05) < 0.05]
    turns = np.arctan2(line[:, 0], line[:, 2] + 1.0)
    wanted = np.linspace(-0.72, 0.72, FRINGE_LOCKS)
    fringe = line[np.abs(turns[None] - wanted[:, None]).argmin(axis=1)]
    # Both sides begin a little beyond the parting, or it would be a bald furrow.
    parted = (np.abs(roots[:, 0] - PART_X) < 0.17) & (roots[:, 1] > 0.95)
    sides = np.where(np.r_[roots[:, 0], fringe[:, 0]] < PART_X, -1.0, 1.0)
    roots[parted, 0] = PART_X - OVERLAP * sides[: len(roots)][parted]
    # The fringe keeps its places; where it parts, one more lock from either side crosses over.
    crossing = PART_X + OVERLAP * np.array([1.0, -1.0])
    front = line[line[:, 2] > 0]
    over = front[np.abs(front[:, 0] - crossing[:, None]).argmin(axis=1)]
    roots, sides = np.vstack([roots, fringe, over]), np.r_[sides, -1.0, 1.0]
    # Those whose tips lie on top come last and a little higher: the front and the top over the sides.
    order = np.argsort(roots[:, 1] + 0.25 * roots[:, 2])
    points: list[Points] = []
    colours: list[Points] = []
    triangles: list[NDArray[np.int64]] = []
    strip = _strip_triangles()
    for rank, (root, side) in enumerate(zip(roots[order], sides[order], strict=True)):
        near_line = float(above_hairline(root[None])[0])
        long = (0.80 + 0.35 * np.clip((root[1] - 0.5) / 0.8, 0, 1)) * random.uniform(0.8, 1.15)
        long *= 0.55 + 0.45 * np.clip(near_line / 0.5, 0, 1)
        path, at = [root], root
        bend = random.normal(0, 0.07)
        for _ in range(STATIONS - 1):
            way = _flow(at[None], side)[0]
            out = at - SKULL
            out /= np.linalg.norm(out)
            aside = np.cross(out, way)
            way = way - out * (way @ out)
            way = way / (np.linalg.norm(way) + 1e-9) + bend * aside / (np.linalg.norm(aside) + 1e-9)
            at = at + way / np.linalg.norm(way) * long / (STATIONS - 1)
            d = at - SKULL
            at = scalp.at((d / np.linalg.norm(d))[None])[0]
            path.append(at)
        line = np.array(path)
        s = np.linspace(0, 1, STATIONS)
        out = line - SKULL
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        layer = 0.75 + 0.25 * rank / len(roots) + random.normal(0, 0.06)
        height = volume(line) * layer * (0.25 + 0.75 * np.sin(np.pi * np.clip(s * 0.75 + 0.05, 0, 1)) ** 0.7)
        height = np.maximum(height, 0.012) + 0.012 * s
        along = np.gradient(line, axis=0)
        across = np.cross(out, along)
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
        wide = (
            random.uniform(0.095, 0.135) * np.clip(1.25 * (1 - s**2.2), 0.04, 1) * (0.55 + 0.45 * np.clip(s * 5, 0, 1))
        )
        strand = line + out * height[:, None]
        body = (
            strand[:, None]
            + ACROSS[None, :, None] * (wide[:, None] * across)[:, None]
            + ARCHED[None, :, None] * (0.30 * wide[:, None] * out)[:, None]
        )
        triangles.append(strip + len(points) * STATIONS * len(ACROSS))
        points.append(body.reshape(-1, 3))
        tone = np.clip(0.22 + random.normal(0, 0.10) + 0.40 * np.sin(np.pi * s * 0.8), 0, 1)[:, None, None]
        lit = np.array([0.72, 1.0, 1.0, 0.72])[None, :, None]
        colours.append(((DARK * (1 - tone) + LIGHT * tone) * lit).reshape(-1, 3))
    return Shell(np.vstack(points), np.vstack(triangles), np.vstack(colours))


def _strip_triangles() -> NDArray[np.int64]:
    n = len(ACROSS)
    out = []
    for r in range(STATIONS - 1):
        for c in range(n - 1):
            a, b = r * n + c, r * n + c + 1
            out += [(a, b, b + n), (a, b + n, a + n)]
    return np.array(out)


BROW_LINE = np.array([(0.175, 0.325), (0.27, 0.362), (0.42, 0.402), (0.58, 0.420), (0.74, 0.390), (0.905, 0.285)])
BROW_T = (0.0, 0.14, 0.36, 0.58, 0.79, 1.0)
BROW_HALF = (0.026, 0.040, 0.042, 0.034, 0.024, 0.008)
BROW_STROKES = 70


def brow(sign: int, skin: Points, normals: Points) -> Attached:
    """Short hairs, upright at the root of the nose and lying along the ridge further out."""
    random = np.random.default_rng(11)
    front = np.flatnonzero((skin[:, 2] > -0.35) & (skin[:, 1] > 0.1) & (skin[:, 1] < 0.75) & (normals[:, 2] > -0.2))
    tree = cKDTree(skin[front][:, :2] * (sign, 1))
    middle, half = PchipInterpolator(BROW_T, BROW_LINE), PchipInterpolator(BROW_T, BROW_HALF)
    points: list[Points] = []
    anchors, shares, triangles, colours = [], [], [], []

    def stand(at: Points, lift: float) -> None:
        distance, near = tree.query(at, k=4)
        w = 1 / (distance + 1e-3) ** 2
        w /= w.sum()
        ids = front[near]
        base = (skin[ids] * w[:, None]).sum(axis=0)
        n = (normals[ids] * w[:, None]).sum(axis=0)
        base[:2] = at * (sign, 1)
        points.append(base + n / np.linalg.norm(n) * lift)
        anchors.append(ids)
        shares.append(w)

    # A faint ground, so that no bare skin shines through between the hairs.
    steps = 18
    for t in np.linspace(0.02, 0.98, steps):
        along = middle(min(t + 0.01, 1)) - middle(max(t - 0.01, 0))
        up = np.array([-along[1], along[0]]) / np.linalg.norm(along)
        for row in (-0.8, 0.8):
            stand(middle(t) + up * row * half(t) * min(1, 0.25 + 6 * t), 0.006)
            colours.append(rgb("#8d6650"))
    for i in range(steps - 1):
        new = np.array([(2 * i, 2 * i + 2, 2 * i + 3), (2 * i, 2 * i + 3, 2 * i + 1)])
        triangles += list(new if sign > 0 else new[:, ::-1])
    for i in range(BROW_STROKES):
        t = (i + 0.5) / BROW_STROKES * 0.97
        row = (-0.75, 0.1, 0.8)[i % 3] + random.uniform(-0.2, 0.2)
        along = middle(min(t + 0.01, 1)) - middle(max(t - 0.01, 0))
        along /= np.linalg.norm(along)
        up = np.array([-along[1], along[0]])
        root = middle(t) + up * row * half(t)
        # Inner hairs rise steeply, outer ones lie flat; the upper row leans down, the lower up.
        lean = np.clip(0.85 - 2.0 * t, 0.04, 0.85) - 0.30 * row * min(1.0, 2 * t)
        way = along * np.cos(lean) + up * np.sin(lean)
        long = 0.105 * (0.60 + 0.5 * np.sin(np.pi * t)) * random.uniform(0.85, 1.1)
        wide = 0.0085
        across = np.array([-way[1], way[0]])
        first = len(points)
        stand(root - across * wide, 0.008)
        stand(root + across * wide, 0.008)
        stand(root + way * long * 0.55 + across * wide * 0.9, 0.016)
        stand(root + way * long * 0.55 - across * wide * 0.9, 0.016)
        stand(root + way * long, 0.010)
        new = np.array([(0, 3, 2), (0, 2, 1), (3, 4, 2)]) + first
        triangles += list(new if sign > 0 else new[:, ::-1])
        colours += [rgb("#4a3426") * random.uniform(0.85, 1.2)] * 5
    p = np.array(points)
    t3 = np.array(triangles)
    return Attached(Shell(p, t3, np.clip(np.array(colours), 0, 1)), np.array(anchors), np.array(shares))


def lashes(sign: int, margin: list[int], skin: Points) -> Attached:
    """Single lashes along the upper lid's margin, longest outwards of the middle, on a dark line."""
    base = skin[margin]
    n = len(margin)
    random = np.random.default_rng(3)
    away = base - EYE_CENTRE * (sign, 1, 1)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    points: list[Points] = []
    anchors: list[int] = []
    triangles = []
    for i in range(2, n - 2):
        s = i / (n - 1)  # 0 at the outer corner
        long = 0.075 * np.sin(np.pi * (0.18 + 0.82 * s)) ** 0.6 * (0.75 + 0.45 * (1 - s)) * random.uniform(0.85, 1.1)
        way = away[i] * 0.9 + np.array([sign * (0.62 - 1.0 * s), 0.62, 0.55])
        way /= np.linalg.norm(way)
        wide = (base[i + 1] - base[i - 1]) * 0.26
        root = base[i] + away[i] * 0.003
        middle = root + way * long * 0.55 - np.array([0, 0.10 * long, 0])
        first = len(points)
        points += [root - wide, root + wide, middle + wide * 0.45, middle - wide * 0.45, root + way * long]
        anchors += [margin[i]] * 5
        triangles += [(first, first + 1, first + 2), (first, first + 2, first + 3), (first + 3, first + 2, first + 4)]
    first = len(points)
    rim = np.sin(np.linspace(0, np.pi, n)) ** 0.5 * 0.011
    for i in range(n):
        points += [base[i] + away[i] * 0.002 - np.array([0, 0.004, 0]), base[i] + away[i] * (0.004 + rim[i])]
        anchors += [margin[i]] * 2
    for a in range(first, first + 2 * (n - 1), 2):
        triangles += [(a, a + 2, a + 3), (a, a + 3, a + 1)]
    p = np.array(points)
    colours = np.tile(rgb("#1d1411"), (len(p), 1))
    return Attached(Shell(p, np.array(triangles), colours), np.array(anchors)[:, None], np.ones((len(p), 1)))
