"""The low-poly cage of the head: quads in rows and columns, with edge loops round the eyes and the mouth.

One unit is the distance between the eyeball centres. The origin lies midway between them; x points to the person's
left, y up, z forward. Rows run up from the neck, columns round the head from the front midline (0) to the back (16);
the right half mirrors the left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

UNIT_M = 0.062
"""Metres in one unit."""

COLUMNS = 16
ROWS = 21
EYE_CENTRE = np.array([0.5, 0.0, 0.0])
EYE_RADIUS = 0.265

GRID: dict[int, dict[int, tuple[float, float, float]]] = {
    0: {0: (0, -3.05, -0.62), 4: (0.46, -3.05, -0.70), 8: (0.86, -3.05, -1.02), 10: (0.93, -3.05, -1.28),
        12: (0.88, -3.05, -1.62), 14: (0.55, -3.05, -1.96), 16: (0, -3.05, -2.08)},
    1: {0: (0, -2.50, -0.44), 4: (0.39, -2.50, -0.54), 8: (0.72, -2.45, -0.86), 10: (0.81, -2.42, -1.14),
        12: (0.80, -2.40, -1.46), 14: (0.55, -2.38, -1.84), 16: (0, -2.36, -2.00)},
    2: {0: (0, -2.06, -0.20), 4: (0.34, -2.04, -0.32), 8: (0.64, -1.93, -0.66), 10: (0.77, -1.82, -0.96),
        12: (0.86, -1.70, -1.32), 14: (0.68, -1.60, -1.78), 16: (0, -1.55, -2.04)},
    3: {0: (0, -1.91, 0.20), 2: (0.20, -1.89, 0.14), 4: (0.37, -1.84, -0.04), 6: (0.53, -1.75, -0.30),
        8: (0.68, -1.63, -0.57), 10: (0.86, -1.41, -0.86), 12: (0.97, -1.25, -1.24), 14: (0.78, -1.15, -1.82),
        16: (0, -1.10, -2.14)},
    4: {0: (0, -1.80, 0.43), 2: (0.23, -1.78, 0.36), 4: (0.46, -1.69, 0.15), 6: (0.67, -1.57, -0.12),
        8: (0.84, -1.42, -0.38), 10: (0.99, -1.15, -0.66), 11: (1.06, -1.0, -0.85), 12: (1.09, -0.9, -1.2),
        14: (0.85, -0.8, -1.88), 16: (0, -0.75, -2.27)},
    5: {0: (0, -1.63, 0.53), 2: (0.23, -1.61, 0.47), 4: (0.46, -1.55, 0.27), 6: (0.70, -1.45, 0.0),
        8: (0.90, -1.28, -0.28), 10: (1.05, -0.99, -0.60), 11: (1.11, -0.85, -0.85), 12: (1.15, -0.72, -1.2),
        14: (0.93, -0.58, -1.95), 16: (0, -0.5, -2.40)},
    6: {0: (0, -1.455, 0.495), 2: (0.25, -1.44, 0.455), 4: (0.47, -1.37, 0.32), 6: (0.72, -1.27, 0.11),
        8: (0.93, -1.10, -0.18), 10: (1.08, -0.83, -0.55), 11: (1.14, -0.7, -0.85), 12: (1.19, -0.56, -1.2),
        14: (0.98, -0.38, -1.98), 16: (0, -0.3, -2.48)},
    8: {4: (0.56, -1.13, 0.365), 6: (0.75, -1.04, 0.20), 8: (0.965, -0.88, -0.08), 10: (1.10, -0.66, -0.5),
        11: (1.16, -0.55, -0.85), 12: (1.21, -0.42, -1.2), 14: (1.02, -0.2, -2.01), 16: (0, -0.1, -2.55)},
    10: {0: (0, -0.87, 0.605), 1: (0.11, -0.87, 0.605), 2: (0.25, -0.86, 0.54), 3: (0.37, -0.87, 0.455),
         4: (0.475, -0.87, 0.40), 5: (0.60, -0.85, 0.33), 6: (0.745, -0.80, 0.235), 8: (0.985, -0.66, -0.01),
         10: (1.12, -0.48, -0.45), 11: (1.18, -0.38, -0.85), 12: (1.23, -0.27, -1.2), 14: (1.05, -0.02, -2.02),
         16: (0, 0.06, -2.59)},
    11: {0: (0, -0.785, 0.60), 1: (0.09, -0.775, 0.585), 2: (0.225, -0.735, 0.475), 3: (0.335, -0.735, 0.415),
         4: (0.47, -0.73, 0.395), 5: (0.60, -0.71, 0.345), 6: (0.755, -0.66, 0.255), 8: (1.0, -0.52, 0.01),
         10: (1.14, -0.35, -0.42), 12: (1.25, -0.15, -1.2), 14: (1.08, 0.1, -2.02), 16: (0, 0.2, -2.62)},
    12: {0: (0, -0.71, 0.785), 1: (0.105, -0.705, 0.735), 2: (0.262, -0.665, 0.52), 3: (0.318, -0.635, 0.395),
         4: (0.47, -0.61, 0.375), 5: (0.605, -0.59, 0.345), 6: (0.765, -0.54, 0.265), 8: (1.01, -0.40, 0.01),
         10: (1.15, -0.25, -0.42)},
    13: {0: (0, -0.555, 0.875), 1: (0.105, -0.56, 0.800), 2: (0.235, -0.535, 0.545), 3: (0.305, -0.49, 0.385),
         4: (0.475, -0.47, 0.345), 5: (0.62, -0.455, 0.325), 6: (0.775, -0.41, 0.255), 8: (1.015, -0.29, -0.01),
         10: (1.155, -0.15, -0.43)},
    14: {0: (0, -0.34, 0.725), 1: (0.085, -0.35, 0.665), 2: (0.175, -0.34, 0.47), 3: (0.295, -0.335, 0.355),
         4: (0.46, -0.36, 0.30), 5: (0.61, -0.365, 0.29), 6: (0.77, -0.32, 0.225), 7: (0.90, -0.25, 0.12),
         8: (1.02, -0.17, -0.03), 10: (1.16, -0.05, -0.45)},
    15: {0: (0, -0.15, 0.595), 1: (0.08, -0.16, 0.54), 2: (0.18, -0.17, 0.375), 3: (0.31, -0.22, 0.295),
         4: (0.42, -0.25, 0.275), 5: (0.54, -0.27, 0.27), 6: (0.68, -0.25, 0.235), 7: (0.82, -0.19, 0.15),
         8: (0.92, -0.11, 0.06), 9: (1.05, -0.06, -0.17), 10: (1.165, 0.02, -0.48), 11: (1.23, 0.08, -0.85),
         12: (1.275, 0.15, -1.25), 14: (1.1, 0.35, -2.02), 16: (0, 0.45, -2.65)},
    16: {0: (0, 0.04, 0.495), 1: (0.08, 0.03, 0.455), 2: (0.185, 0.0, 0.335), 8: (0.935, 0.05, 0.035),
         9: (1.06, 0.10, -0.19), 10: (1.17, 0.15, -0.5)},
    17: {0: (0, 0.21, 0.465), 1: (0.10, 0.21, 0.455), 2: (0.215, 0.21, 0.405), 3: (0.34, 0.255, 0.395),
         4: (0.45, 0.285, 0.385), 5: (0.57, 0.30, 0.36), 6: (0.70, 0.285, 0.305), 7: (0.82, 0.235, 0.205),
         8: (0.92, 0.17, 0.085), 9: (1.06, 0.26, -0.16), 10: (1.175, 0.32, -0.52)},
    18: {0: (0, 0.38, 0.485), 1: (0.12, 0.39, 0.485), 2: (0.24, 0.41, 0.465), 4: (0.46, 0.44, 0.41),
         5: (0.58, 0.445, 0.37), 6: (0.72, 0.43, 0.285), 7: (0.85, 0.39, 0.16), 8: (0.955, 0.36, 0.03),
         9: (1.07, 0.43, -0.18), 10: (1.18, 0.5, -0.54), 12: (1.285, 0.55, -1.28), 14: (1.1, 0.7, -2.0),
         16: (0, 0.8, -2.60)},
    19: {0: (0, 0.72, 0.41), 4: (0.42, 0.73, 0.33), 6: (0.68, 0.73, 0.18), 8: (0.92, 0.72, -0.07),
         10: (1.14, 0.80, -0.58), 12: (1.25, 0.85, -1.28), 14: (1.03, 1.0, -1.95), 16: (0, 1.08, -2.45)},
    20: {0: (0, 1.10, 0.24), 4: (0.37, 1.11, 0.16), 6: (0.60, 1.10, 0.0), 8: (0.80, 1.08, -0.2),
         10: (1.0, 1.13, -0.64), 12: (1.09, 1.18, -1.27), 14: (0.87, 1.28, -1.86), 16: (0, 1.34, -2.20)},
    21: {0: (0, 1.44, -0.08), 4: (0.32, 1.45, -0.14), 6: (0.50, 1.445, -0.28), 8: (0.62, 1.44, -0.45),
         10: (0.75, 1.45, -0.78), 12: (0.80, 1.47, -1.25), 14: (0.60, 1.53, -1.68), 16: (0, 1.56, -1.88)},
}  # fmt: skip
"""Control points of the rows, left half; what lies between is interpolated, up the columns, then along the rows."""

NODES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Where lip control points stand: share of the way from the midline (0) to the corner (1)."""

LIPS: dict[str, dict[str, tuple[tuple[float, float, float], ...]]] = {
    "border": {
        "upper": ((0, -1.005, 0.648), (0.10, -0.990, 0.632), (0.205, -1.007, 0.585), (0.30, -1.040, 0.522),
                  (0.372, -1.082, 0.452), (0.420, -1.132, 0.385)),
        "lower": ((0, -1.293, 0.592), (0.10, -1.288, 0.583), (0.20, -1.271, 0.553), (0.285, -1.240, 0.500),
                  (0.355, -1.196, 0.436), (0.420, -1.132, 0.385)),
    },
    "full": {
        "upper": ((0, -1.060, 0.672), (0.095, -1.056, 0.662), (0.19, -1.066, 0.612), (0.278, -1.086, 0.545),
                  (0.348, -1.110, 0.468), (0.395, -1.133, 0.388)),
        "lower": ((0, -1.205, 0.642), (0.095, -1.202, 0.632), (0.19, -1.192, 0.592), (0.275, -1.175, 0.528),
                  (0.345, -1.155, 0.455), (0.395, -1.133, 0.388)),
    },
    "contact": {
        "upper": ((0, -1.120, 0.600), (0.09, -1.116, 0.594), (0.18, -1.116, 0.556), (0.258, -1.123, 0.502),
                  (0.325, -1.130, 0.442), (0.372, -1.135, 0.376)),
        "lower": ((0, -1.126, 0.598), (0.09, -1.122, 0.592), (0.18, -1.121, 0.554), (0.258, -1.127, 0.500),
                  (0.325, -1.133, 0.440), (0.372, -1.135, 0.376)),
    },
    "wet": {
        "upper": ((0, -1.085, 0.530), (0.09, -1.083, 0.522), (0.175, -1.085, 0.488), (0.25, -1.095, 0.436),
                  (0.315, -1.115, 0.375), (0.36, -1.135, 0.330)),
        "lower": ((0, -1.165, 0.515), (0.09, -1.163, 0.507), (0.175, -1.160, 0.475), (0.25, -1.155, 0.424),
                  (0.315, -1.146, 0.365), (0.36, -1.135, 0.330)),
    },
    "vestibule": {
        "upper": ((0, -0.93, 0.50), (0.11, -0.93, 0.49), (0.22, -0.94, 0.44), (0.32, -0.96, 0.33),
                  (0.41, -1.02, 0.21), (0.46, -1.13, 0.16)),
        "lower": ((0, -1.31, 0.43), (0.11, -1.31, 0.42), (0.21, -1.30, 0.375), (0.30, -1.28, 0.29),
                  (0.40, -1.22, 0.19), (0.46, -1.13, 0.16)),
    },
    "cheek": {
        "upper": ((0, -0.80, 0.10), (0.12, -0.80, 0.08), (0.25, -0.81, 0.04), (0.38, -0.85, -0.02),
                  (0.50, -0.95, -0.08), (0.55, -1.12, -0.12)),
        "lower": ((0, -1.52, 0.12), (0.12, -1.52, 0.10), (0.25, -1.50, 0.06), (0.38, -1.45, 0.0),
                  (0.50, -1.32, -0.06), (0.55, -1.12, -0.12)),
    },
    "throat": {
        "upper": ((0, -0.98, -0.55), (0.05, -0.98, -0.55), (0.10, -0.99, -0.55), (0.15, -1.01, -0.55),
                  (0.18, -1.05, -0.55), (0.20, -1.12, -0.55)),
        "lower": ((0, -1.27, -0.55), (0.05, -1.27, -0.55), (0.10, -1.26, -0.55), (0.15, -1.23, -0.55),
                  (0.18, -1.19, -0.55), (0.20, -1.12, -0.55)),
    },
}  # fmt: skip
"""Loops of the mouth from the border of the red inwards; the skin loop outside them is made from its neighbours."""

LID_UPPER = ((0.712, 0.034, 0.0), (0.664, 0.067, 0.0), (0.602, 0.088, 0.0), (0.530, 0.096, 0.0),
             (0.457, 0.085, 0.0), (0.391, 0.051, 0.0), (0.333, -0.002, 0.0))  # fmt: skip
LID_LOWER = ((0.337, -0.072, 0.0), (0.399, -0.097, 0.0), (0.464, -0.115, 0.0), (0.532, -0.122, 0.0),
             (0.598, -0.115, 0.0), (0.659, -0.096, 0.0), (0.709, -0.062, 0.0))  # fmt: skip
CORNER_OUTER = (0.750, -0.014, 0.118)
CORNER_INNER = (0.277, -0.052, 0.212)
"""The lid margin of the left eye: upper from the outer corner inwards, lower back again; z follows from the eyeball."""

LID_LIFT = 0.030
"""How far the lids stand off the eyeball."""


@dataclass
class Cage:
    """Vertices and faces, and the names by which the motions find them."""

    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    faces: list[tuple[int, ...]] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    """`g10.5` row 10, column 5; `border.u3` upper lip, `border.l3` lower, 0 midline to 6 corner; `margin.3` lid loop
    position 3 of 16 from the outer corner over the top; a leading `-` is the person's right."""

    ring_of: dict[int, tuple[str, float]] = field(default_factory=dict)
    """Vertex -> (`mouth` or `eye`, loop number from outside in), for colours."""

    def add(self, name: str, point: tuple[float, float, float] | NDArray[np.float64]) -> int:
        if name in self.names:
            return self.names[name]
        self.names[name] = len(self.points)
        self.points = np.vstack([self.points, np.asarray(point, float)[None]])
        return self.names[name]

    def mirror_index(self) -> NDArray[np.int64]:
        """Vertex -> its mirror image; midline vertices are their own."""
        out = np.arange(len(self.points))
        for name, i in self.names.items():
            out[i] = self.names.get(name[1:] if name.startswith("-") else "-" + name, i)
        return out


def build_cage() -> Cage:
    """The whole skin: head, neck, lids to behind their margin, lips and the inside of the mouth."""
    cage = Cage()
    grid = _grid_points()
    for r in range(ROWS + 1):
        for c in range(COLUMNS + 1):
            if _inside_mouth(r, c) or _inside_eye(r, c):
                continue
            cage.add(f"g{r}.{c}", grid[r, c])
            if 0 < c < COLUMNS:
                cage.add(f"-g{r}.{c}", grid[r, c] * (-1, 1, 1))
    _grid_faces(cage)
    _cap(cage)
    for sign in ("", "-"):
        _eye_loops(cage, sign)
        _nostril(cage, sign)
    _mouth_loops(cage)
    _fair(cage)
    return cage


def _fair(cage: Cage) -> None:
    """Smooth the broad areas (cheeks, jaw, skull) a little, where control points are guesses; features stay put."""
    n = len(cage.points)
    hold = np.full(n, 40.0)
    for name, vertex in cage.names.items():
        plain = name.removeprefix("-")
        if plain.startswith("cap"):
            hold[vertex] = 0.02
        elif plain.startswith("g"):
            r, c = (int(x) for x in plain[1:].split("."))
            if c >= 5 and not (14 <= r <= 18 and c <= 8):
                hold[vertex] = 0.03
            elif c >= 3 and not (14 <= r <= 18):
                hold[vertex] = 0.25
            elif r <= 6 or r >= 19:
                hold[vertex] = 0.3
            if c >= 11 or r <= 1:
                hold[vertex] = 0.3
    system = laplacian(cage, cage.points)
    weights = coo_matrix((hold, (np.arange(n), np.arange(n))), shape=(n, n)).tocsr()
    cage.points = np.asarray(spsolve((system.T @ system + weights).tocsc(), weights @ cage.points))


def lip_point(loop: str, side: str, k: int) -> NDArray[np.float64]:
    """Point k (0 midline .. 6 corner) of a lip loop, left half."""
    points = np.array(LIPS[loop][side])
    return np.asarray(PchipInterpolator(NODES, points)(k / 6.0))


def grid_name(r: int, c: int) -> str:
    """Name of a grid vertex; negative columns are the right half."""
    return f"-g{r}.{-c}" if -COLUMNS < c < 0 else f"g{r}.{abs(c)}"


def _inside_mouth(r: int, c: int) -> bool:
    return 6 < r < 10 and c < 4


def _inside_eye(r: int, c: int) -> bool:
    return r == 16 and 2 < c < 8


def _grid_points() -> NDArray[np.float64]:
    rows = {r: dict(points) for r, points in GRID.items()}
    for c in range(COLUMNS + 1):
        known = [r for r in GRID if c in GRID[r]]
        if len(known) < 4 or known[-1] != ROWS or known[0] != 0:
            continue
        along = PchipInterpolator(known, np.array([GRID[r][c] for r in known]))
        for r in range(ROWS + 1):
            if r not in known and c in (4, 6, 8, 10, 12, 14, 16):
                rows.setdefault(r, {})[c] = tuple(along(r))
    out = np.zeros((ROWS + 1, COLUMNS + 1, 3))
    for r in range(ROWS + 1):
        c_known = sorted(rows[r])
        p = np.array([rows[r][c] for c in c_known])
        # Mirrored on both ends, so that rows cross the midline at right angles.
        before = [-c for c in c_known[:0:-1] if c > 0]
        after = [2 * COLUMNS - c for c in c_known[-2::-1]]
        flip = np.array([-1, 1, 1])
        left = p[:0:-1] * flip if c_known[0] == 0 else p[:0] * flip
        xs = (before if c_known[0] == 0 else []) + c_known + after
        values = np.vstack([left, p, p[-2::-1] * flip])
        for axis in range(3):
            out[r, :, axis] = PchipInterpolator(xs, values[:, axis], extrapolate=True)(np.arange(COLUMNS + 1))
        for c in c_known:
            out[r, c] = rows[r][c]
    out[:, [0, COLUMNS], 0] = 0.0
    return out


def _grid_faces(cage: Cage) -> None:
    for r in range(ROWS):
        for c in range(-COLUMNS, COLUMNS):
            in_mouth = 6 <= r < 10 and -4 <= c < 4
            in_eye = 15 <= r < 17 and (2 <= c < 8 or -8 <= c < -2)
            nostril = r == 11 and c in (1, -2)
            if in_mouth or in_eye or nostril:
                continue
            corners = [(r, c), (r, c + 1), (r + 1, c + 1), (r + 1, c)]
            cage.faces.append(tuple(cage.names[grid_name(*corner)] for corner in corners))


def _cap(cage: Cage) -> None:
    """Close the crown: the ring of 32 becomes the border of an 8 x 8 patch."""
    ring = [cage.names[grid_name(ROWS, c)] for c in [*range(-4, 17), *range(-15, -4)]]
    square: dict[tuple[int, int], int] = {}
    walk = [(i, 0) for i in range(8)] + [(8, j) for j in range(8)]
    walk += [(8 - i, 8) for i in range(8)] + [(0, 8 - j) for j in range(8)]
    for (i, j), vertex in zip(walk, ring, strict=True):
        square[i, j] = vertex
    for j in range(1, 8):
        for i in range(1, 8):
            u, v = i / 8, j / 8
            p = [cage.points[square[k]] for k in ((i, 0), (i, 8), (0, j), (8, j))]
            q = [cage.points[square[k]] for k in ((0, 0), (8, 0), (0, 8), (8, 8))]
            flat = (1 - v) * p[0] + v * p[1] + (1 - u) * p[2] + u * p[3]
            flat -= (1 - u) * (1 - v) * q[0] + u * (1 - v) * q[1] + (1 - u) * v * q[2] + u * v * q[3]
            name = "cap" if i == 4 else ("cap" if i > 4 else "-cap")
            label = f"{name}{abs(i - 4)}.{j}"
            dome = 0.34 * (1 - (2 * u - 1) ** 2 * 0.92) * (1 - (2 * v - 1) ** 2 * 0.92)
            square[i, j] = cage.add(label, flat + np.array([0, dome, 0]))
    for j in range(8):
        for i in range(8):
            corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
            cage.faces.append(tuple(square[k] for k in corners))


def _band(cage: Cage, outer: list[int], inner: list[int], flip: bool) -> None:
    n = len(outer)
    for k in range(n):
        m = (k + 1) % n
        face = (outer[k], outer[m], inner[m], inner[k])
        cage.faces.append(face[::-1] if flip else face)


def _on_ball(x: float, y: float, radius: float) -> NDArray[np.float64]:
    dx, dy = x - EYE_CENTRE[0], y - EYE_CENTRE[1]
    return np.array([x, y, np.sqrt(max(radius**2 - dx * dx - dy * dy, 0.0025))])


def lid_margin() -> NDArray[np.float64]:
    """Shape (16, 3): the left eye's lid margin, outer corner, over the top to the inner corner, and back below."""
    r = EYE_RADIUS + LID_LIFT
    upper = [_on_ball(x, y, r) for x, y, _ in LID_UPPER]
    lower = [_on_ball(x, y, r) for x, y, _ in LID_LOWER]
    return np.array([CORNER_OUTER, *upper, CORNER_INNER, *lower])


def _eye_loops(cage: Cage, sign: str) -> None:
    side = np.array([-1 if sign else 1, 1, 1])
    path = [(16, 8), (17, 8), (17, 7), (17, 6), (17, 5), (17, 4), (17, 3), (17, 2), (16, 2)]
    path += [(15, c) for c in range(2, 9)]
    outer = [cage.names[f"{sign}g{r}.{c}"] for r, c in path]
    orbit = cage.points[outer] * side
    margin = lid_margin()
    outward = margin - EYE_CENTRE
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    upper = np.zeros(16)
    upper[1:8] = np.sin(np.arange(1, 8) / 8 * np.pi)
    lower = np.zeros(16)
    lower[9:] = np.sin(np.arange(1, 8) / 8 * np.pi)

    # The lid plate follows the ball; the crease sits back between plate and brow.
    plate = margin + 0.25 * (orbit - margin)
    crease = margin + 0.55 * (orbit - margin)
    for ring, stand_off in ((plate, LID_LIFT + 0.026), (crease, LID_LIFT + 0.016)):
        away = ring - EYE_CENTRE
        distance = np.linalg.norm(away, axis=1, keepdims=True)
        wanted = np.maximum(distance, EYE_RADIUS + stand_off)
        ring[:] = EYE_CENTRE + away / distance * wanted
    crease += upper[:, None] * np.array([0.0, -0.015, -0.035])
    plate += upper[:, None] * np.array([0.0, 0.0, 0.012])
    crease += lower[:, None] * np.array([0.0, 0.01, 0.008])
    back = EYE_CENTRE + outward * (np.linalg.norm(margin - EYE_CENTRE, axis=1, keepdims=True) - 0.026)
    back[[0, 8]] = margin[[0, 8]] + np.array([[-0.012, 0, -0.02], [0.012, 0, -0.02]])
    inner = back + np.array([0.0, 0.0, -0.03])
    inner[:, 1] += 0.06 * upper - 0.05 * lower
    away = inner - EYE_CENTRE
    inner = EYE_CENTRE + away / np.linalg.norm(away, axis=1, keepdims=True) * (EYE_RADIUS + 0.012)
    inner[[0, 8]] = margin[[0, 8]] + np.array([[0.02, 0, -0.09], [-0.005, 0, -0.07]])
    previous = outer
    for number, (label, ring) in enumerate(
        (("crease", crease), ("plate", plate), ("margin", margin), ("back", back), ("inner", inner)), start=1
    ):
        current = [cage.add(f"{sign}{label}.{k}", ring[k] * side) for k in range(16)]
        for vertex in current:
            cage.ring_of[vertex] = ("eye", float(number))
        _band(cage, previous, current, flip=bool(sign))
        previous = current


def _mouth_loops(cage: Cage) -> None:
    path = [(8, 4), (9, 4), (10, 4), *[(10, c) for c in range(3, -5, -1)], (9, -4), (8, -4), (7, -4), (6, -4)]
    path += [*[(6, c) for c in range(-3, 5)], (7, 4)]
    outer = [cage.names[grid_name(r, c)] for r, c in path]
    surround = cage.points[outer]
    previous = outer
    border = _lip_ring("border")
    skin = 0.5 * (border + surround)
    # The furrow under the lower lip and the gentle hollow of the philtrum.
    for k in range(24):
        s = min(abs(6 - k), abs(18 - k)) / 6
        skin[k, 2] += (0.012 if k < 12 else -0.020) * max(0.0, 1 - s)
    rings = [("skin", skin)] + [(name, _lip_ring(name)) for name in LIPS]
    for number, (label, ring) in enumerate(rings, start=1):
        current = []
        for k in range(24):
            name, point = lip_name(label, k), ring[k]
            current.append(cage.add(name, point))
            cage.ring_of[current[-1]] = ("mouth", float(number))
        _band(cage, previous, current, flip=False)
        previous = current
    # The throat is closed by a strip from the upper to the lower lip's half.
    for k in range(12):
        a, b = previous[k], previous[k + 1]
        c, d = previous[(24 - k - 1) % 24], previous[(24 - k) % 24]
        corners = [a, b, c, d]
        unique = [v for i, v in enumerate(corners) if v not in corners[:i]]
        cage.faces.append(tuple(unique))


def lip_name(label: str, k: int) -> str:
    """Name of position k of 24: 0 the left corner, 6 the upper midline, 12 the right corner, 18 the lower midline."""
    if k in (0, 12):
        return f"{'-' if k else ''}{label}.c"
    upper = k < 12
    steps = abs(6 - k) if upper else abs(18 - k)
    right = (k > 6) if upper else (k < 18)
    return f"{'-' if right and steps else ''}{label}.{'u' if upper else 'l'}{steps}"


def _lip_ring(loop: str) -> NDArray[np.float64]:
    out = np.zeros((24, 3))
    for k in range(24):
        upper = k <= 12
        offset = (6 - k) if upper else (k - 18)
        point = lip_point(loop, "upper" if upper else "lower", abs(offset))
        out[k] = point * (1 if offset >= 0 else -1, 1, 1)
        if offset == 0:
            out[k, 0] = 0.0
    return out


def _nostril(cage: Cage, sign: str) -> None:
    c = 1
    names = [f"{sign}g11.{c}", f"{sign}g11.{c + 1}", f"{sign}g12.{c + 1}", f"{sign}g12.{c}"]
    outer = [cage.names[name] for name in names]
    corners = cage.points[outer]
    centre = corners.mean(axis=0)
    rim = centre + 0.55 * (corners - centre)
    deep = centre + 0.40 * (corners - centre) + np.array([0.0, 0.09, -0.03])
    flip = bool(sign)
    previous = outer
    for number, (label, ring) in enumerate((("rim", rim), ("deep", deep)), start=1):
        current = [cage.add(f"{sign}nostril{label}.{k}", ring[k]) for k in range(4)]
        for vertex in current:
            cage.ring_of[vertex] = ("nostril", float(number))
        _band(cage, previous, current, flip=flip)
        previous = current
    cage.faces.append(tuple(previous[::-1] if flip else previous))


def laplacian(cage: Cage, points: NDArray[np.float64]) -> coo_matrix:
    """Graph Laplacian of the cage with weights 1 / edge length, rows normalised to 1."""
    edges = {tuple(sorted((f[i], f[(i + 1) % len(f)]))) for f in cage.faces for i in range(len(f))}
    a, b = np.array(sorted(edges)).T
    w = 1.0 / np.maximum(np.linalg.norm(points[a] - points[b], axis=1), 0.03)
    n = len(points)
    off = coo_matrix((np.r_[w, w], (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr()
    degree = np.asarray(off.sum(axis=1)).ravel()
    scale = coo_matrix((1 / degree, (np.arange(n), np.arange(n))), shape=(n, n)).tocsr()
    eye = coo_matrix((np.ones(n), (np.arange(n), np.arange(n))), shape=(n, n)).tocsr()
    return (eye - scale @ off).tocsr()


def spread(
    system: coo_matrix, pinned: NDArray[np.int64], values: NDArray[np.float64], smooth: float = 1.0
) -> NDArray[np.float64]:
    """The smoothest field that takes `values` at `pinned`: bi-Laplacian plus (1 - smooth) of the Laplacian.

    Args:
        system: From `laplacian`.
        pinned: Vertex indices.
        values: Shape (pinned, k).
        smooth: 1 for no overshoot control at all, lower for fields that stay nearer to linear.
    """
    n = system.shape[0]
    energy = (system.T @ system) * smooth + (system + system.T) * 0.5 * (1 - smooth)
    free = np.setdiff1d(np.arange(n), pinned)
    out = np.zeros((n, values.shape[1]))
    out[pinned] = values
    right = -(energy.tocsr()[free][:, pinned] @ values)
    out[free] = np.asarray(spsolve(energy.tocsr()[free][:, free].tocsc(), right)).reshape(len(free), -1)
    return out
