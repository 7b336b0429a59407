"""Build `head.glb`: `python -m tools.head.build [FILE]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from . import eyes, hair, parts
from .cage import UNIT_M, Cage, build_cage, lip_name
from .glb import Part, write_glb
from .limits import as_extras
from .motions import Shaper, eyeball_motion, jaw_motion, tongue_motions
from .occlusion import disc_areas, openness
from .subdivide import Face, catmull_clark, refine_path, thin_out, triangulate, vertex_normals

HEAD_GLB = Path(__file__).resolve().parents[2] / "src" / "facewave" / "studio" / "static" / "head.glb"
LEVELS = 2
FRINGE = (0.004, 0.012)
"""Units: skin that moves less than the first stands still, more than the second moves in full."""


@dataclass
class Skin:
    """The subdivided skin and how it came from the cage."""

    cage: Cage
    control: NDArray[np.float64]
    """Cage points moved so that the smooth surface passes through the ones designed."""

    matrix: csr_matrix
    """Shape (fine vertices, cage vertices)."""

    points: NDArray[np.float64]
    triangles: NDArray[np.int64]
    normals: NDArray[np.float64]
    upper_margins: dict[int, list[int]]
    """Side (1 left, -1 right) -> fine vertices along the upper lid margin from the outer corner inwards."""

    lower_margins: dict[int, list[int]]

    lips: dict[str, list[int]]
    """`upper`, `lower`: fine vertices along the line where the lips meet, from the left corner to the right."""

    exported: NDArray[np.int64]
    """Fine vertices that go into the file: all round eyes, nose and lips, every other one elsewhere."""

    exported_triangles: NDArray[np.int64]
    """Triangles numbered within `exported`."""


def build_skin() -> Skin:
    """Subdivide the cage."""
    cage = build_cage()
    margins: dict[tuple[int, str], list[int]] = {
        (side, half): [cage.names[f"{'-' if side < 0 else ''}margin.{k % 16}"] for k in span]
        for side in (1, -1)
        for half, span in (("upper", range(9)), ("lower", range(16, 7, -1)))
    }
    faces = cage.faces
    matrix = csr_matrix(np.eye(len(cage.points)))
    plain = {vertex: name.removeprefix("-") for name, vertex in cage.names.items()}
    margins |= {
        (0, half): [cage.names[lip_name("contact", k % 24)] for k in span]
        for half, span in (("upper", range(13)), ("lower", range(24, 11, -1)))
    }
    wanted = np.array([_is_feature(cage, plain, face) for face in faces])
    coarse: list[Face] = []
    for step in range(LEVELS):
        if step:
            wanted = np.repeat(wanted, [len(face) for face in coarse])
        coarse = faces
        level = catmull_clark(matrix.shape[0], faces)
        matrix, faces = level.matrix @ matrix, level.faces
        margins = {key: refine_path(path, level) for key, path in margins.items()}
    control = fit_control(cage.points, matrix)
    points = matrix @ control
    triangles = triangulate(faces)
    exported, exported_triangles = thin_out(coarse, level, wanted)
    return Skin(
        cage, control, matrix, points, triangles, vertex_normals(points, triangles),
        {side: margins[side, "upper"] for side in (1, -1)}, {side: margins[side, "lower"] for side in (1, -1)},
        {half: margins[0, half] for half in ("upper", "lower")}, exported, exported_triangles,
    )  # fmt: skip


def _is_feature(cage: Cage, plain: dict[int, str], face: Face) -> bool:
    """Whether a cage face lies where detail is seen: lids, nose, lips and the skin next to them."""
    for vertex in face:
        kind, number = cage.ring_of.get(vertex, ("", 0.0))
        if (kind == "eye" and number <= 4) or (kind == "mouth" and number <= 5) or kind == "nostril":
            return True
        name = plain[vertex]
        if name.startswith("g"):
            r, c = (int(x) for x in name[1:].split("."))
            if 10 <= r <= 14 and c <= 2:
                return True
    return False


def fit_control(
    wanted: NDArray[np.float64], matrix: csr_matrix, steps: int = 12, share: float = 0.7
) -> NDArray[np.float64]:
    """Control values whose subdivision takes the wanted values at the cage's own vertices (nearly; it stays smooth)."""
    control = wanted.copy()
    at_cage = matrix[: len(wanted)]
    for _ in range(steps):
        control += share * (wanted - at_cage @ control)
    return control


def linear(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB to linear light."""
    return np.asarray(np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4))


def smoothstep(x: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def skin_colours(skin: Skin) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is painted on the skin.

    Returns:
        Shape (vertices, 3), sRGB: warmer cheeks, nose and lids, the red of the lips, the dark of the mouth, the ground
        of the hair; and shape (vertices,): 1 where the skin is dry, 0 where it is wet.
    """
    n = len(skin.cage.points)
    mouth, eye, nostril = np.zeros((n, 1)), np.zeros((n, 1)), np.zeros((n, 1))
    for vertex, (kind, number) in skin.cage.ring_of.items():
        {"mouth": mouth, "eye": eye, "nostril": nostril}[kind][vertex] = number
    mouth, eye, nostril = ((skin.matrix @ x)[:, 0] for x in (mouth, eye, nostril))
    p = skin.points
    out = np.tile(parts.rgb("#e3b599"), (len(p), 1))
    dry = np.ones(len(p))

    def mix(colour: str, amount: NDArray[np.float64]) -> None:
        out[:] = out * (1 - amount[:, None]) + parts.rgb(colour) * amount[:, None]

    def spot(x: float, y: float, z: float, radius: float) -> NDArray[np.float64]:
        d = np.linalg.norm(np.abs(p) * (1, 0, 0) + p * (0, 1, 1) - np.array([x, y, z]), axis=1)
        return np.asarray(np.exp(-((d / radius) ** 2)))

    mix("#dc8a76", 0.40 * spot(0.66, -0.55, 0.30, 0.30))
    mix("#dc8a76", 0.34 * spot(0.0, -0.60, 0.86, 0.20))
    mix("#dc8a76", 0.16 * spot(0.0, -1.66, 0.5, 0.24))
    mix("#d9907a", 0.22 * spot(1.2, -0.3, -1.0, 0.35))
    mix("#bf7c66", 0.28 * spot(0.5, 0.17, 0.32, 0.15))
    mix("#b98078", 0.14 * spot(0.42, -0.19, 0.28, 0.13))
    mix("#c98870", 0.14 * spot(0.0, -2.3, -0.2, 0.6))
    mix("#c47f70", 0.70 * smoothstep(eye, 2.35, 3.1))
    mix("#b3726a", 0.55 * smoothstep(eye, 2.9, 3.4))
    mix("#bd6c63", 0.85 * smoothstep(mouth, 1.45, 2.35))
    mix("#a85d58", 0.55 * smoothstep(mouth, 2.9, 4.0))
    mix("#9c4447", smoothstep(mouth, 3.8, 4.8))
    mix("#5c1f22", smoothstep(mouth, 4.8, 6.4))
    mix("#1c0608", smoothstep(mouth, 6.2, 7.6))
    mix("#4c221b", smoothstep(nostril, 0.35, 1.4))
    # Above the forehead the ground sets in sharply, or bare skin would show behind the fringe.
    soft = 0.16 - 0.09 * np.clip((p[:, 1] - 0.9) / 0.15, 0, 1)
    mix("#3a271d", smoothstep((hair.above_hairline(p) + 0.03) / soft, 0.0, 1.0))
    dry -= 0.38 * smoothstep(mouth, 1.9, 2.6) + 0.62 * smoothstep(mouth, 3.4, 4.4)
    dry -= 0.75 * smoothstep(eye, 2.7, 3.2)
    dry -= 0.16 * spot(0.0, -0.56, 0.86, 0.16) + 0.10 * spot(0.0, 0.75, 0.42, 0.40)
    return out, np.clip(dry, 0, 1)


def material(roughness: float, **more: Any) -> dict[str, Any]:
    return {
        "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": roughness, **more.pop("pbr", {})},
        **more,
    }


MATERIALS: dict[str, dict[str, Any]] = {
    "skin": material(0.52),
    "eye": material(0.10, pbr={"baseColorTexture": {"index": 0}}),
    "shade": material(1.0, alphaMode="BLEND"),
    "teeth": material(0.22),
    "wet": material(0.30),
    "lash": material(0.9, doubleSided=True),
    "hair": material(0.55, doubleSided=True),
    "cloth": material(0.95, doubleSided=True),
}


def part_of(
    name: str, shell: parts.Shell, material: str, targets: dict[str, NDArray[np.float64]] | None = None
) -> Part:
    normals = vertex_normals(shell.points, shell.triangles)
    shapes = {}
    for shape, motion in (targets or {}).items():
        turned = vertex_normals(shell.points + motion, shell.triangles)
        shapes[shape] = (motion * UNIT_M, turned - normals)
    return Part(name, shell.points * UNIT_M, normals, shell.triangles, linear(shell.colours), material, targets=shapes)


def skin_motions(skin: Skin) -> dict[str, NDArray[np.float64]]:
    """Shape -> displacement of every fine skin vertex, units."""
    out = {}
    for shape, field in Shaper(skin.cage).fields().items():
        motion = skin.matrix @ fit_control(field, skin.matrix)
        # The far fringe of a shape fades to nothing, so that it need not be stored.
        length = np.linalg.norm(motion, axis=1)
        out[shape] = motion * smoothstep(length, FRINGE[0], FRINGE[1])[:, None]
    return out


def glued_motions(glued: hair.Attached, motions: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The motions of geometry that rides on the skin; shapes that leave it still are left out."""
    out = {}
    for shape, motion in motions.items():
        moved = (motion[glued.anchors] * glued.shares[:, :, None]).sum(axis=1)
        if np.abs(moved).max() > 0.002:
            out[shape] = moved
    return out


def build_parts(skin: Skin, motions: dict[str, NDArray[np.float64]]) -> list[Part]:
    """Every mesh of the head."""
    colours, dry = skin_colours(skin)
    padded = skin.points + skin.normals * hair.padding(skin.points)[:, None]
    whole = part_of("Face", parts.Shell(padded, skin.triangles, colours), "skin", motions)
    whole.alpha = dry
    out = [whole.thinned(skin.exported, skin.exported_triangles)]
    for sign, side in ((1, "Left"), (-1, "Right")):
        eye, uv = eyes.eyeball(sign)
        turns = {shape: eyeball_motion(shape, sign, eye.points) for shape in motions}
        ball = part_of(f"Eye{side}", eye, "eye", {s: m for s, m in turns.items() if m is not None})
        ball.uv = uv
        out.append(ball)
        out.append(part_of(f"Ear{side}", parts.ear(sign), "skin"))
        upper, lower = skin.upper_margins[sign], skin.lower_margins[sign]
        film, opacity = eyes.shade(sign, upper, lower, skin.points)
        shade = part_of(f"EyeShade{side}", film.shell, "shade", glued_motions(film, motions))
        shade.alpha = opacity
        out.append(shade)
        for name, stuff, glued in (
            ("Brow", "lash", hair.brow(sign, skin.points, skin.normals)),
            ("Lashes", "lash", hair.lashes(sign, upper, skin.points)),
        ):
            out.append(part_of(f"{name}{side}", glued.shell, stuff, glued_motions(glued, motions)))
    for name, above in (("Upper", True), ("Lower", False)):
        for kind, shell, stuff in (("Teeth", parts.teeth(above), "teeth"), ("Gums", parts.gums(above), "wet")):
            shapes = ("jawForward", "jawLeft", "jawRight", "jawOpen") if not above else ()
            out.append(part_of(f"{kind}{name}", shell, stuff, {s: jaw_motion(s, shell.points) for s in shapes}))
    tongue, where = parts.tongue()
    out.append(part_of("Tongue", tongue, "wet", tongue_motions(tongue.points, where)))
    out.append(part_of("Hair", hair.locks(skin.points), "hair"))
    out.append(part_of("Shirt", parts.shirt(), "cloth"))
    shade_corners(out)
    return out


OPEN_MOUTH = {"jawOpen": 0.45}
"""The pose in which the dark of the mouth is judged; at rest it would all be black."""

UNSHADED = ("Eye", "Lashes", "Brow", "Hair")
"""Parts that neither get the painted shade nor throw it; what is under the hair is painted dark already."""

LEAST_LIGHT = {"skin": 0.30, "wet": 0.50}
"""Light that reaches even the darkest corner, having been scattered by skin or gums; 0.3 on other materials."""


def shade_corners(built: list[Part]) -> None:
    """Darken the colours where other parts hide the sky, least in the red on skin. The right half mirrors the left."""
    chosen = [part for part in built if not part.name.startswith(UNSHADED)]
    posed = []
    for part in chosen:
        moved = [part.targets[s][0] * w for s, w in OPEN_MOUTH.items() if s in part.targets]
        posed.append((part.points + sum(moved, np.zeros(3))) / UNIT_M)
    normals = [vertex_normals(points, part.triangles) for points, part in zip(posed, chosen, strict=True)]
    areas = [disc_areas(points, part.triangles) for points, part in zip(posed, chosen, strict=True)]
    where, facing = np.vstack(posed), np.vstack(normals)
    left = np.flatnonzero(where[:, 0] > -1e-6)
    free = openness(where[left], facing[left], where, facing, np.concatenate(areas))
    _, image = cKDTree(where[left]).query(where * np.where(where[:, :1] < 0, (-1, 1, 1), 1))
    whole = free[image, None]
    start = 0
    for part in chosen:
        bleed = np.array([0.80, 1.0, 1.06]) if part.material in ("skin", "wet") else np.ones(3)
        least = LEAST_LIGHT.get(part.material, 0.30)
        part.colours = part.colours * (least + (1 - least) * whole[start : start + len(part.points)]) ** bleed
        start += len(part.points)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HEAD_GLB
    skin = build_skin()
    built = build_parts(skin, skin_motions(skin))
    size = write_glb(
        path, built, MATERIALS, eyes.texture(), {"limits": as_extras()}, least_motion_m=2e-4, least_turn=0.05
    )
    for part in built:
        print(
            f"{part.name:12} {len(part.points):6} vertices {len(part.triangles):6} triangles "
            f"{len(part.targets):3} shapes"
        )
    print(f"{path}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
