"""The head, measured: what is in the file, and what each shape does to lips, lids, jaw and skin. Millimetres."""

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.blendshapes import ARKIT, MIRRORED_PAIRS, TONGUE
from tools.head import build as head_build
from tools.head.build import HEAD_GLB, Skin, build_parts, build_skin, skin_motions
from tools.head.cage import EYE_CENTRE, EYE_RADIUS, UNIT_M
from tools.head.glb import Part
from tools.head.limits import limited
from tools.head.motions import JAW_HINGE

MM = UNIT_M * 1000


@dataclass
class Head:
    skin: Skin
    motions: dict[str, NDArray[np.float64]]
    parts: list[Part]

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    def pose(self, weights: dict[str, float], limits: bool = False) -> NDArray[np.float64]:
        applied = limited(weights) if limits else weights
        return self.skin.points + sum((w * self.motions[name] for name, w in applied.items()), np.zeros(3))

    def lip_gap(self, weights: dict[str, float], limits: bool = False) -> NDArray[np.float64]:
        p = self.pose(weights, limits)
        return (p[self.skin.lips["upper"]] - p[self.skin.lips["lower"]])[:, 1] * MM

    def lid_gap(self, weights: dict[str, float], side: int, limits: bool = False) -> NDArray[np.float64]:
        p = self.pose(weights, limits)
        return (p[self.skin.upper_margins[side]] - p[self.skin.lower_margins[side]])[:, 1] * MM


@pytest.fixture(scope="module")
def head() -> Head:
    skin = build_skin()
    motions = skin_motions(skin)
    return Head(skin, motions, build_parts(skin, motions))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    data = HEAD_GLB.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    found: dict[str, Any] = json.loads(data[20 : 20 + size])
    return found


def shapes_of(document: dict[str, Any], mesh: str) -> list[str]:
    return list(next(m for m in document["meshes"] if m["name"] == mesh)["extras"]["targetNames"])


def test_file_is_small_and_names_all_shapes(document: dict[str, Any]) -> None:
    assert HEAD_GLB.stat().st_size <= 4_000_000
    assert shapes_of(document, "Face") == list(ARKIT)
    assert set(TONGUE) | {"tongueOut", "jawOpen"} <= set(shapes_of(document, "Tongue"))
    assert {"jawOpen", "jawForward", "jawLeft", "jawRight"} == set(shapes_of(document, "TeethLower"))
    for side in ("Left", "Right"):
        assert set(shapes_of(document, f"Eye{side}")) == {f"eyeLook{way}{side}" for way in ("Up", "Down", "In", "Out")}
    used = {name for m in document["meshes"] for name in m.get("extras", {}).get("targetNames", [])}
    assert used == set(ARKIT) | set(TONGUE)
    assert document["nodes"][-1]["extras"]["limits"]["caps"] == [["mouthClose", "jawOpen"]]


def test_file_is_what_the_sources_build(head: Head, document: dict[str, Any]) -> None:
    face = head.part("Face")
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    view = document["bufferViews"][accessor["bufferView"]]
    data = HEAD_GLB.read_bytes()
    start = 20 + struct.unpack_from("<I", data, 12)[0] + 8 + view["byteOffset"]
    stored = np.frombuffer(data, np.float32, accessor["count"] * 3, start).reshape(-1, 3)
    np.testing.assert_allclose(stored, face.points, atol=1e-6)


def test_normals_and_colours_are_valid(head: Head) -> None:
    for part in head.parts:
        np.testing.assert_allclose(np.linalg.norm(part.normals, axis=1), 1, atol=1e-6)
        assert part.colours.min() >= 0
        assert part.colours.max() <= 1
        assert part.triangles.max() < len(part.points) < 65536


def test_head_is_symmetric(head: Head) -> None:
    from scipy.spatial import cKDTree

    tree = cKDTree(head.skin.points)
    distance, partner = tree.query(head.skin.points * (-1, 1, 1))
    assert distance.max() * MM < 1e-6
    for left, right in MIRRORED_PAIRS:
        if left not in head.motions:
            continue
        np.testing.assert_allclose(head.motions[right][partner] * (-1, 1, 1), head.motions[left], atol=1e-4)


def test_jaw_opens_about_its_hinge(head: Head) -> None:
    points = head.part("TeethLower")
    motion = points.targets["jawOpen"][0]
    before = points.points / UNIT_M - JAW_HINGE
    after = before + motion / UNIT_M
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1), rtol=1e-9)
    turn = np.degrees(np.arctan2(before[:, 2], before[:, 1]) - np.arctan2(after[:, 2], after[:, 1]))
    assert np.abs(np.abs((turn + 180) % 360 - 180) - 25).max() < 1
    upper = head.part("TeethUpper")
    assert not upper.targets
    assert 28 < head.lip_gap({"jawOpen": 1}).max() < 38


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.75, 1.0])
def test_mouth_close_seals_the_lips_under_an_open_jaw(head: Head, weight: float) -> None:
    gap = head.lip_gap({"jawOpen": weight, "mouthClose": weight})
    assert gap.min() > -0.3
    assert gap.max() < 0.6


def test_mouth_close_without_an_open_jaw_is_held_back(head: Head) -> None:
    assert head.lip_gap({"jawOpen": 0.2, "mouthClose": 1.0}, limits=True).min() > -0.3


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [
        ("jawOpen", 28, 38),
        ("mouthFunnel", 9, 18),
        ("mouthShrugUpper", 3, 8),
        ("mouthUpperUpLeft", 2, 8),
        ("mouthLowerDownLeft", 2, 8),
        ("mouthPucker", -1, 1.5),
        ("mouthShrugLower", -9, -3),
        ("mouthRollLower", -6, -1),
        ("mouthPressLeft", -3, 0),
    ],
)
def test_lip_gap_in_the_middle_opens_or_closes(head: Head, shape: str, low: float, high: float) -> None:
    gap = head.lip_gap({shape: 1})
    assert low < gap[len(gap) // 2] < high


def test_lip_gap_follows_the_sum_that_closures_are_judged_by(head: Head) -> None:
    # gap = jawOpen + a little funnel - mouthClose + the lips' own raising and lowering, in units of the jaw's gap.
    open_mm = head.lip_gap({"jawOpen": 1})[24]
    for shape, share in (("mouthFunnel", 0.375), ("mouthLowerDownLeft", 0.10), ("mouthUpperUpLeft", 0.12)):
        assert head.lip_gap({shape: 1})[24] / open_mm == pytest.approx(share, abs=0.10), shape
    assert head.lip_gap({"mouthShrugLower": 1})[24] / open_mm == pytest.approx(-0.22, abs=0.08)


@pytest.mark.parametrize("side", [1, -1])
def test_blink_seals_the_lids_outside_the_eyeball(head: Head, side: int) -> None:
    name = f"eyeBlink{'Left' if side > 0 else 'Right'}"
    assert head.lid_gap({}, side)[16] > 9
    gap = head.lid_gap({name: 1}, side)
    assert gap.min() > -0.6
    assert gap.max() < 0.4
    for weight in (0, 0.25, 0.5, 0.75, 1):
        margin = head.pose({name: weight})[head.skin.upper_margins[side]]
        clearance = np.linalg.norm(margin - EYE_CENTRE * (side, 1, 1), axis=1) - EYE_RADIUS
        assert clearance.min() * MM > 0.1


@pytest.mark.parametrize("other", ["eyeSquint", "cheekSquint", "eyeWide", "eyeLookDown", "eyeLookUp"])
def test_blink_stays_closed_in_company(head: Head, other: str) -> None:
    gap = head.lid_gap({"eyeBlinkLeft": 1, f"{other}Left": 1}, 1, limits=True)
    assert gap.min() > -1.0
    assert gap.max() < 0.4


def test_funnel_and_pucker_differ(head: Head) -> None:
    corner, top = head.skin.lips["upper"][0], head.skin.lips["upper"][24]
    funnel, pucker = head.motions["mouthFunnel"], head.motions["mouthPucker"]
    assert pucker[corner, 0] < funnel[corner, 0] < 0
    assert head.lip_gap({"mouthFunnel": 1})[24] > head.lip_gap({"mouthPucker": 1})[24] + 8
    assert min(funnel[top, 2], pucker[top, 2]) * MM > 4


DIRECTIONS = {
    "browDownLeft": (1, -1), "browInnerUp": (1, 1), "browOuterUpLeft": (1, 1), "cheekPuff": (2, 1),
    "cheekSquintLeft": (1, 1), "eyeBlinkLeft": (1, -1), "eyeLookDownLeft": (1, -1), "eyeLookUpLeft": (1, 1),
    "eyeSquintLeft": (1, 1), "eyeWideLeft": (1, 1), "eyeLookInLeft": (0, -1), "eyeLookOutLeft": (0, 1),
    "jawForward": (2, 1), "jawLeft": (0, 1), "jawRight": (0, -1), "jawOpen": (1, -1), "mouthClose": (1, 1),
    "mouthDimpleLeft": (2, -1), "mouthFrownLeft": (1, -1), "mouthFunnel": (2, 1), "mouthLeft": (0, 1),
    "mouthRight": (0, -1), "mouthLowerDownLeft": (1, -1), "mouthPressLeft": (1, 1), "mouthPucker": (2, 1),
    "mouthRollLower": (2, -1), "mouthRollUpper": (2, -1), "mouthShrugLower": (1, 1), "mouthShrugUpper": (1, 1),
    "mouthSmileLeft": (1, 1), "mouthStretchLeft": (0, 1), "mouthUpperUpLeft": (1, 1), "noseSneerLeft": (1, 1),
}  # fmt: skip
REGIONS = {"brow": (0.2, 0.9), "eye": (-0.5, 0.45), "nose": (-1.3, 0.2), "mouth": (-2.0, -0.4), "jaw": (-2.0, -0.4)}


@pytest.mark.parametrize("shape", DIRECTIONS)
def test_every_shape_moves_its_region_its_way(head: Head, shape: str) -> None:
    motion = head.motions[shape]
    axis, sign = DIRECTIONS[shape]
    length = np.linalg.norm(motion, axis=1)
    peak = length.argmax()
    assert length[peak] * MM > 1.5
    strong = length > 0.5 * length[peak]
    assert sign * motion[strong, axis].mean() * MM > 0.3
    if shape.endswith("Left") and shape not in ("jawLeft", "mouthLeft"):
        assert head.skin.points[strong, 0].mean() > 0.05
    for word, (low, high) in REGIONS.items():
        if shape.startswith(word):
            assert low < head.skin.points[peak, 1] < high


def test_every_channel_moves_something(head: Head) -> None:
    moved: dict[str, float] = {}
    for part in head.parts:
        for shape, (motion, _) in part.targets.items():
            moved[shape] = max(moved.get(shape, 0.0), float(np.linalg.norm(motion, axis=1).max()) * 1000)
    assert set(moved) == set(ARKIT) | set(TONGUE)
    assert min(moved.values()) > 1.5


def test_tongue_shapes_point_their_way(head: Head) -> None:
    tongue = head.part("Tongue")
    tip = tongue.points[:, 2] > tongue.points[:, 2].max() - 0.006

    def tip_motion(shape: str) -> NDArray[np.float64]:
        return np.asarray(tongue.targets[shape][0][tip].mean(axis=0) * 1000)

    assert tip_motion("tongueTipUp")[1] > 3 > -3 > tip_motion("tongueTipDown")[1]
    assert tip_motion("tongueTipLeft")[0] > 3 > -3 > tip_motion("tongueTipRight")[0]
    assert tip_motion("tongueOut")[2] > 25
    assert tip_motion("tongueIn")[2] < -8 < 8 < tip_motion("tongueStretch")[2]


def folded_edges(
    points: NDArray[np.float64], triangles: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.float64]:
    a, b, c = (points[triangles[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return np.asarray(np.degrees(np.arccos(np.clip((normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(axis=1), -1, 1))))


def test_no_inverted_faces_in_500_random_poses(head: Head) -> None:
    """A face is inverted when the surface, smooth there at rest, folds back on itself across one of its edges.

    Within 6 mm of the corners of mouth and eyes two sheets of skin close on each other by design and are left out.
    """
    kept, triangles = head.skin.exported, head.skin.exported_triangles
    edges: dict[tuple[int, int], list[int]] = {}
    for index, t in enumerate(triangles):
        for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0])):
            edges.setdefault((min(a, b), max(a, b)), []).append(index)
    pairs = np.array([faces for faces in edges.values() if len(faces) == 2])
    rest = head.skin.points[kept]
    corners = [head.skin.lips["upper"][i] for i in (0, -1)]
    corners += [head.skin.upper_margins[side][i] for side in (1, -1) for i in (0, -1)]
    middles = rest[triangles].mean(axis=1)[pairs[:, 0]]
    away = np.min([np.linalg.norm(middles - head.skin.points[v], axis=1) for v in corners], axis=0) > 0.095
    judged = pairs[(folded_edges(rest, triangles, pairs) < 60) & away]
    assert len(judged) > 0.85 * len(pairs)
    motions = {name: motion[kept] for name, motion in head.motions.items()}
    random = np.random.default_rng(7)
    for _ in range(500):
        chosen = [str(name) for name in random.choice(list(motions), random.integers(1, 9), replace=False)]
        weights = limited({name: float(random.random()) for name in chosen})
        posed = rest + sum((w * motions[name] for name, w in weights.items()), np.zeros(3))
        assert folded_edges(posed, triangles, judged).max() < 155, weights


def test_fitted_surface_passes_through_the_cage(head: Head) -> None:
    away = np.linalg.norm(head.skin.points[: len(head.skin.cage.points)] - head.skin.cage.points, axis=1)
    assert np.median(away) < 0.002
    assert head_build.LEVELS == 2


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_lashes_and_the_lids_shade_ride_on_the_lids(head: Head, side: str) -> None:
    sign = 1 if side == "Left" else -1
    margin = head.pose({f"eyeBlink{side}": 1})[head.skin.upper_margins[sign]]
    for name in (f"Lashes{side}", f"EyeShade{side}"):
        part = head.part(name)
        blinked = (part.points + part.targets[f"eyeBlink{side}"][0]) / UNIT_M
        nearest = np.linalg.norm(blinked[:, None] - margin[None], axis=2).min(axis=1)
        assert np.median(nearest) * MM < 4, name
    shade = head.part(f"EyeShade{side}")
    out = np.linalg.norm(shade.points / UNIT_M - EYE_CENTRE * (sign, 1, 1), axis=1) - EYE_RADIUS
    assert out.min() > 0, "in front of the eyeball"
    assert shade.alpha is not None
    assert 0 <= shade.alpha.min() < 0.1 < 0.4 < shade.alpha.max() < 0.9


def test_hair_covers_the_scalp_and_leaves_the_face_free(head: Head) -> None:
    from scipy.spatial import cKDTree

    from tools.head.hair import above_hairline

    locks = head.part("Hair").points / UNIT_M
    before_the_face = (np.abs(locks[:, 0]) < 0.8) & (locks[:, 2] > 0.1)
    assert locks[before_the_face, 1].min() > 0.75
    scalp = head.skin.points[above_hairline(head.skin.points) > 0.25]
    distance, _ = cKDTree(locks).query(scalp)
    assert np.quantile(distance, 0.99) * MM < 20


def test_corners_see_less_of_the_sky() -> None:
    from tools.head.occlusion import disc_areas, openness

    steps = np.linspace(0, 1, 11)
    floor = np.array([(x, 0.0, z) for x in steps for z in steps])
    wall = np.array([(0.0, y + 0.05, z) for y in steps for z in steps])
    up, right = np.tile([0.0, 1.0, 0.0], (121, 1)), np.tile([1.0, 0.0, 0.0], (121, 1))
    areas = np.full(242, 0.01)
    free = openness(floor, up, np.vstack([floor, wall]), np.vstack([up, right]), areas).reshape(11, 11)
    assert free[1].max() < free[9].min() <= 1
    assert 0.2 < free[1, 5] < 0.75
    triangle = np.array([[0, 1, 2]])
    np.testing.assert_allclose(disc_areas(np.array([(0, 0, 0), (1.0, 0, 0), (0, 1, 0)]), triangle), 0.5 / 3)


def test_the_eyes_picture_has_a_dark_pupil_in_a_coloured_iris_on_white(document: dict[str, Any]) -> None:
    import zlib

    image = document["images"][0]
    view = document["bufferViews"][image["bufferView"]]
    data = HEAD_GLB.read_bytes()
    start = 20 + struct.unpack_from("<I", data, 12)[0] + 8 + view.get("byteOffset", 0)
    png = data[start : start + view["byteLength"]]
    width, height = struct.unpack_from(">II", png, 16)
    packed = png[png.index(b"IDAT") + 4 : png.index(b"IEND") - 8]
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * 3)
    assert set(rows[:, 0]) == {2}, "every row is stored as differences from the one above"
    pixels = np.cumsum(rows[:, 1:].reshape(height, width, 3), axis=0, dtype=np.uint8).astype(float)
    middle = width // 2
    assert pixels[middle, middle].max() < 30
    iris = pixels[middle, middle + int(0.5 * (19 / 110) ** 0.7 * width)]
    assert 40 < iris.mean() < 190
    white = pixels[middle, middle + int(0.5 * (45 / 110) ** 0.7 * width)]
    assert white.min() > 190
