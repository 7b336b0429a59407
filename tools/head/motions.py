"""The shapes: what every vertex of the cage and every loose part does at weight 1.

Named points get their displacement from `motions.txt` or from a rule below; the rest of the skin follows by the
smoothest field along the mesh, which the mouth and eye openings cut by themselves.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from facewave.blendshapes import ARKIT, TONGUE, mirrored

from .cage import EYE_CENTRE, EYE_RADIUS, UNIT_M, Cage, laplacian, spread

Field = NDArray[np.float64]
"""Shape (vertices, 3): displacements in units."""

MM = 0.001 / UNIT_M
JAW_HINGE = np.array([0.0, -0.669, -0.975])
JAW_OPEN_DEGREES = 25.3
GAZE_DEGREES = {"Down": 25.0, "Up": 20.0, "In": 30.0, "Out": 30.0}

LIP_STEPS = {"u": (0, 2, 5, 6), "l": (0, 2, 5, 6)}
"""Positions (0 midline .. 6 corner) at which `motions.txt` gives a lip loop's motion."""

INWARD_SHARE = {"wet": 0.95, "vestibule": 0.6, "cheek": 0.0, "throat": 0.0}
"""How much of the contact line's motion the loops inside the mouth take, other than the jaw's."""

INNER_JAW = {"wet": 1.0, "vestibule": 1.0, "cheek": 0.6, "throat": 0.1}
"""How much of the jaw's own swing the lower halves of those loops take."""

LIDS: dict[str, tuple[float, float, float]] = {
    # upper lid turn, lower lid turn (degrees, up positive), yaw towards the nose
    "eyeWide": (11.0, -2.0, 0.0),
    "eyeSquint": (-1.5, 7.5, 0.0),
    "eyeLookDown": (-21.0, -6.5, 0.0),
    "eyeLookUp": (9.0, 5.0, 0.0),
    "eyeLookIn": (-1.0, 0.0, 6.0),
    "eyeLookOut": (-1.0, 0.0, -6.0),
}
LOOP_SHARE = {"crease": 0.22, "plate": 0.68, "margin": 1.0, "back": 1.0, "inner": 1.0}
"""How much of the margin's turn each lid loop takes."""


CLOSE_RETURN = {"g6.0": 0.50, "g6.3": 0.62, "g5.0": 0.27, "g4.0": 0.13, "g4.4": 0.13, "g6.6": 0.5, "g8.6": 0.5,
                "g10.3": 0.5, "g9.4": 0.75}  # fmt: skip
"""How much of the jaw's pull mouthClose takes back at points of the skin."""


def rotation(axis: str, degrees: float) -> NDArray[np.float64]:
    """Right-handed rotation matrix about x, y or z."""
    a = np.radians(degrees)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    out = np.eye(3)
    out[i, i] = out[j, j] = np.cos(a)
    out[i, j], out[j, i] = -np.sin(a), np.sin(a)
    return out


def jaw_motion(shape: str, points: Field) -> Field:
    """What the bone of the lower jaw does to points fixed to it; zero for shapes that leave the jaw alone."""
    if shape == "jawOpen":
        return np.asarray((points - JAW_HINGE) @ rotation("x", JAW_OPEN_DEGREES).T + JAW_HINGE - points)
    if shape == "jawForward":
        return np.tile(np.array([0.0, -1.7, 8.9]) * MM, (len(points), 1))
    if shape in ("jawLeft", "jawRight"):
        sign = 1 if shape == "jawLeft" else -1
        turned = (points - JAW_HINGE) @ rotation("y", 1.9 * sign).T + JAW_HINGE
        return np.asarray(turned - points + np.array([4.2 * sign, 0, 0]) * MM)
    return np.zeros_like(points)


@cache
def table() -> dict[str, dict[str, NDArray[np.float64]]]:
    """`motions.txt`: shape -> point -> displacement in units."""
    out: dict[str, dict[str, NDArray[np.float64]]] = {}
    shape = ""
    for line in (Path(__file__).parent / "motions.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            shape = line.strip()
            out[shape] = {}
            continue
        for item in filter(None, (part.strip() for part in line.split(","))):
            name, *numbers = item.split()
            out[shape][name] = np.array([float(x) for x in numbers]) * MM
    return out


class Shaper:
    """Turns named motions into fields over the cage."""

    def __init__(self, cage: Cage) -> None:
        self.cage = cage
        self.points = cage.points
        self.system = laplacian(cage, cage.points)
        self.mirror = cage.mirror_index()
        self.anchors = sorted(
            {name.removeprefix("-") for moves in table().values() for name in moves if name.strip("-")[0] == "g"}
        )
        self.still = [
            i for name, i in cage.names.items()
            if (m := re.fullmatch(r"-?g(\d+)\.(\d+)", name)) and (int(m[1]) <= 1 or int(m[1]) == 21 or int(m[2]) >= 11)
        ]  # fmt: skip
        self.still += [i for name, i in cage.names.items() if name.startswith(("cap", "-cap"))]

    def fields(self) -> dict[str, Field]:
        """Every ARKit shape that moves the skin."""
        out: dict[str, Field] = {}
        for shape in ARKIT:
            if shape.endswith("Right") or shape in ("mouthClose", "tongueOut"):
                continue
            out[shape] = self.field(shape)
        out["mouthClose"] = self._close(out["jawOpen"])
        for shape in ARKIT:
            if shape.endswith("Right"):
                out[shape] = out[mirrored(shape)][self.mirror] * (-1, 1, 1)
        # The tongue leans on the lower lip as it comes out.
        out["tongueOut"] = np.zeros_like(self.points)
        for index in ("border.l0", "full.l0", "contact.l0"):
            out["tongueOut"][self.cage.names[index]] = np.array([0, -0.5, 0.5]) * MM
        return {shape: out[shape] for shape in ARKIT}

    def field(self, shape: str) -> Field:
        """One left or middle shape from the table and the rules."""
        moves = dict(table().get(shape, {}))
        if not shape.endswith("Left"):
            moves |= {"-" + name: v * (-1, 1, 1) for name, v in moves.items()}
        pinned: dict[int, NDArray[np.float64]] = {}
        for name in self.anchors:
            for sign in ("", "-"):
                if sign + name in self.cage.names:
                    pinned[self.cage.names[sign + name]] = moves.get(sign + name, np.zeros(3))
        for sign in ("", "-"):
            pinned |= self._lips(shape, moves, sign)
            pinned |= self._lids(shape, moves, sign)
            pinned |= self._nostril(pinned, sign)
        for name, motion in moves.items():
            if "skin." in name and name in self.cage.names:
                pinned[self.cage.names[name]] = motion
        pinned |= {i: np.zeros(3) for i in self.still}
        return self._solve(pinned)

    def _nostril(self, pinned: dict[int, NDArray[np.float64]], sign: str) -> dict[int, NDArray[np.float64]]:
        """The nostril rides between the base and the wing of the nose; left free, the lip's motion would fold it."""
        names = self.cage.names
        base, wing = pinned[names["g11.0"]], pinned[names[f"{sign}g12.2"]]
        out = {names[f"{sign}g11.1"]: 0.7 * base + 0.3 * wing, names[f"{sign}g11.2"]: 0.25 * base + 0.75 * wing}
        for loop in ("rim", "deep"):
            out |= {names[f"{sign}nostril{loop}.{k}"]: 0.5 * (base + wing) for k in range(4)}
        return out

    def _solve(self, pinned: dict[int, NDArray[np.float64]]) -> Field:
        ids = np.array(sorted(pinned))
        return spread(self.system, ids, np.array([pinned[i] for i in ids]), smooth=0.93)

    def _lips(self, shape: str, moves: dict[str, NDArray[np.float64]], sign: str) -> dict[int, NDArray[np.float64]]:
        out: dict[int, NDArray[np.float64]] = {}
        for half in "ul":
            curves = {loop: self._along(loop, half, moves, sign) for loop in ("border", "contact")}
            curves["full"] = 0.5 * (curves["border"] + curves["contact"])
            if shape in ("mouthRollLower", "mouthRollUpper"):
                # The red turns inwards as one sheet: its fullest line travels furthest down and under.
                curves["full"] = 0.35 * curves["border"] + 0.65 * curves["contact"]
            for loop, inward in INWARD_SHARE.items():
                ids = [self._lip_vertex(sign, loop, half, k) for k in range(7)]
                jaw = jaw_motion(shape, self.points[ids])
                share = INNER_JAW[loop] * (1.0 if half == "l" else 0.0)
                # The corner of each loop swings half as far as the middle of its lower lip.
                share_k = np.full(7, share)
                share_k[6] = 0.5 * INNER_JAW[loop]
                if shape.startswith("jaw"):
                    curves[loop] = inward * curves["contact"] + (1 - inward) * jaw * share_k[:, None]
                else:
                    curves[loop] = inward * curves["contact"]
            for loop, curve in curves.items():
                for k in range(7):
                    out[self._lip_vertex(sign, loop, half, k)] = curve[k]
        return out

    def _along(self, loop: str, half: str, moves: dict[str, NDArray[np.float64]], sign: str) -> Field:
        steps = LIP_STEPS[half]
        names = [f"{loop}.c" if k == 6 else f"{loop}.{half}{k}" for k in steps]
        own = [moves.get((sign if k else "") + name, np.zeros(3)) for k, name in zip(steps, names, strict=True)]
        other = moves.get(("" if sign else "-") + names[1], np.zeros(3))
        # One point beyond the midline makes the curve pass it smoothly in one-sided shapes.
        return np.asarray(PchipInterpolator([-2, *steps], np.array([other, *own]))(np.arange(7)))

    def _lip_vertex(self, sign: str, loop: str, half: str, k: int) -> int:
        if k == 6:
            return self.cage.names[f"{sign}{loop}.c"]
        return self.cage.names[f"{sign if k else ''}{loop}.{half}{k}"]

    def _lids(self, shape: str, moves: dict[str, NDArray[np.float64]], sign: str) -> dict[int, NDArray[np.float64]]:
        mine = not sign and shape.endswith("Left")
        kind = shape.removesuffix("Left")
        if mine and kind == "eyeBlink":
            return self._blink()
        turns = LIDS.get(kind) if mine else None
        out: dict[int, NDArray[np.float64]] = {}
        extra = self._margin_extra(moves, sign)
        for loop, share in LOOP_SHARE.items():
            for k in range(16):
                vertex = self.cage.names[f"{sign}{loop}.{k}"]
                if turns is None:
                    out[vertex] = extra[k] * share
                    continue
                swing = np.sin(np.pi * (k % 8) / 8) ** 0.8
                turn = turns[0] if k < 8 else turns[1]
                p = self.points[vertex] - EYE_CENTRE
                moved = p @ rotation("x", -turn * swing * share).T @ rotation("y", -turns[2] * share * swing).T
                out[vertex] = moved - p
        return out

    def _margin_extra(self, moves: dict[str, NDArray[np.float64]], sign: str) -> Field:
        """The lids' part in shapes of brow and cheek, given at three points of the lower margin."""
        out = np.zeros((16, 3))
        given = [moves.get(f"{sign}margin.{k}", np.zeros(3)) for k in (10, 12, 14)]
        out[8:16] = PchipInterpolator([8, 10, 12, 14, 16], np.array([np.zeros(3), *given, np.zeros(3)]))(
            np.arange(8, 16)
        )
        return out

    def _blink(self) -> dict[int, NDArray[np.float64]]:
        """The upper lid comes down to the lower along the eyeball and meets it along the whole line."""
        out: dict[int, NDArray[np.float64]] = {}
        names = self.cage.names
        point = {(loop, k): self.points[names[f"{loop}.{k}"]] for loop in LOOP_SHARE for k in range(16)}
        for k in range(16):
            for loop in LOOP_SHARE:
                out[names[f"{loop}.{k}"]] = np.zeros(3)
        for k in range(9, 16):
            swing = np.sin(np.pi * (k - 8) / 8)
            for loop, share in (("margin", 1.0), ("back", 1.0), ("inner", 1.0), ("plate", 0.6), ("crease", 0.2)):
                out[names[f"{loop}.{k}"]] = np.array([-1.2, 0.5, 0.0]) * MM * swing * share
        for k in range(1, 8):
            partner = 16 - k
            for loop in ("margin", "back"):
                meet = point[loop, partner] + out[names[f"{loop}.{partner}"]]
                out[names[f"{loop}.{k}"]] = meet - point[loop, k]
            start, end = point["margin", k] - EYE_CENTRE, point["margin", k] + out[names[f"margin.{k}"]] - EYE_CENTRE
            angle = np.degrees(np.arctan2(start[1], start[2]) - np.arctan2(end[1], end[2]))
            for loop, share in (("inner", 1.0), ("plate", 0.70), ("crease", 0.24)):
                p = point[loop, k] - EYE_CENTRE
                moved = p @ rotation("x", angle * share).T
                if loop == "plate":
                    least = EYE_RADIUS + 0.055
                    moved *= max(1.0, least / np.linalg.norm(moved))
                out[names[f"{loop}.{k}"]] = moved - p
        return out

    def _close(self, jaw_open: Field) -> Field:
        """Bring the lips together under an open jaw: equal weights of jawOpen and mouthClose leave the neutral gap.

        Solved for the sum of the two shapes, which is the one that is seen.
        """
        names = self.cage.names
        both: dict[int, NDArray[np.float64]] = {}
        for name in self.anchors:
            for sign in ("", "-"):
                if sign + name in names:
                    vertex = names[sign + name]
                    both[vertex] = jaw_open[vertex] * (1 - CLOSE_RETURN.get(name, 0.0))
        for sign in ("", "-"):
            for k in range(7):
                # The upper lip's middle keeps what little the jaw gave it; the corners go home.
                keep = 1 - 0.95 * (k / 6) ** 1.5
                contact = jaw_open[self._lip_vertex(sign, "contact", "u", k)] * keep
                for loop in ("border", "full", "contact", "wet"):
                    both[self._lip_vertex(sign, loop, "u", k)] = contact
                for loop, slack in (("border", 0.10), ("full", 0.02), ("contact", 0.0), ("wet", 0.02)):
                    if k < 6:
                        vertex = self._lip_vertex(sign, loop, "l", k)
                        both[vertex] = contact + slack * (1 - k / 6) * (jaw_open[vertex] - contact)
                for loop, share in (("vestibule", 0.65), ("cheek", 1.0), ("throat", 1.0)):
                    for half in "ul":
                        vertex = self._lip_vertex(sign, loop, half, k)
                        both[vertex] = jaw_open[vertex] * share
            for loop in LOOP_SHARE:
                for k in range(16):
                    vertex = names[f"{sign}{loop}.{k}"]
                    both[vertex] = jaw_open[vertex]
        both |= {i: np.zeros(3) for i in self.still}
        return self._solve(both) - jaw_open


def eyeball_motion(shape: str, sign: int, points: Field) -> Field | None:
    """The turn of one eyeball in its four gaze shapes, else None."""
    side = "Left" if sign > 0 else "Right"
    for way, degrees in GAZE_DEGREES.items():
        if shape == f"eyeLook{way}{side}":
            centre = EYE_CENTRE * (sign, 1, 1)
            axis, turn = {"Down": ("x", degrees), "Up": ("x", -degrees), "In": ("y", -degrees * sign),
                          "Out": ("y", degrees * sign)}[way]  # fmt: skip
            return (points - centre) @ rotation(axis, turn).T + centre - points
    return None


def tongue_motions(points: Field, where: NDArray[np.float64]) -> dict[str, Field]:
    """The sixteen tongue shapes, tongueOut and the jaw's, for points with (share to the root, side) in `where`."""
    t, side = where.T
    tip = np.clip(1 - t / 0.30, 0, 1) ** 1.3
    blade = np.clip(1 - t / 0.62, 0, 1) ** 1.1
    body = np.exp(-(((t - 0.38) / 0.26) ** 2))
    front = np.clip(1 - t / 0.85, 0, 1)
    line_y = points[:, 1] - _centre_of_rings(points)[:, 1]
    x, zero = points[:, 0], np.zeros(len(points))

    def move(dx: Field | float = 0.0, dy: Field | float = 0.0, dz: Field | float = 0.0) -> Field:
        return np.stack([zero + dx, zero + dy, zero + dz], axis=1)

    edge = np.abs(side) ** 1.5
    out = {
        "tongueTipUp": move(dy=0.17 * tip + 0.03 * blade, dz=-0.03 * tip),
        "tongueTipDown": move(dy=-0.12 * tip, dz=-0.02 * tip),
        "tongueTipLeft": move(dx=0.16 * tip, dz=-0.03 * tip),
        "tongueTipRight": move(dx=-0.16 * tip, dz=-0.03 * tip),
        "tongueRollUp": move(dy=0.13 * edge * blade, dx=-0.25 * x * blade),
        "tongueRollDown": move(dy=-0.11 * edge * blade, dx=-0.22 * x * blade),
        "tongueRollLeft": move(dy=0.11 * side * blade, dx=-0.3 * line_y * blade),
        "tongueRollRight": move(dy=-0.11 * side * blade, dx=0.3 * line_y * blade),
        "tongueUp": move(dy=0.14 * body + 0.04 * front),
        "tongueDown": move(dy=-0.12 * body - 0.04 * front),
        "tongueLeft": move(dx=0.17 * blade),
        "tongueRight": move(dx=-0.17 * blade),
        "tongueIn": move(dz=-0.20 * front, dy=0.03 * body),
        "tongueStretch": move(dz=0.26 * front, dx=-0.10 * x * front),
        "tongueWide": move(dx=0.26 * x * front, dy=-0.15 * line_y * front),
        "tongueNarrow": move(dx=-0.30 * x * front, dy=0.20 * line_y * front),
        "tongueOut": move(dz=0.62 * front**0.8, dy=-0.10 * tip + 0.05 * body, dx=-0.10 * x * front),
    }
    for shape in ("jawOpen", "jawForward", "jawLeft", "jawRight"):
        out[shape] = jaw_motion(shape, points)
    order = [*(s for s in ARKIT if s in out), *TONGUE]
    return {shape: out[shape] for shape in order}


def _centre_of_rings(points: Field) -> Field:
    from .parts import TONGUE_SEGMENTS

    rings = points.reshape(-1, TONGUE_SEGMENTS, 3).mean(axis=1)
    return np.repeat(rings, TONGUE_SEGMENTS, axis=0)
