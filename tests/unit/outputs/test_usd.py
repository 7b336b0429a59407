"""USD, opened and evaluated by usd-core: baked points against the sums they stand for."""

from __future__ import annotations

import shutil
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facewave.errors import AnimationFileError, OutputError
from facewave.frames import Animation, Frame, Geometry, StreamInfo
from facewave.outputs.geometry import GeometryFile
from tests.avatars import a_take

Usd = pytest.importorskip("pxr.Usd", reason="usd-core is not installed")
Gf = pytest.importorskip("pxr.Gf")
UsdGeom = pytest.importorskip("pxr.UsdGeom")
UsdSkel = pytest.importorskip("pxr.UsdSkel")

AVATAR = """#usda 1.0
(
    defaultPrim = "Robot"
    endTimeCode = 96
    metersPerUnit = 0.01
    startTimeCode = 0
    timeCodesPerSecond = 24
    upAxis = "Z"
)
def SkelRoot "Robot" (
    customData = {
        string keep = "me"
    }
)
{
    def Skeleton "Rig" (prepend apiSchemas = ["SkelBindingAPI"])
    {
        uniform token[] joints = ["neck"]
        uniform matrix4d[] bindTransforms = [((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))]
        uniform matrix4d[] restTransforms = [((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))]
        rel skel:animationSource = </Robot/Idle>
    }
    def SkelAnimation "Idle"
    {
        uniform token[] joints = ["neck"]
        float3[] translations.timeSamples = {0: [(0, 0, 0)], 24: [(10, 0, 0)]}
        quatf[] rotations = [(1, 0, 0, 0)]
        half3[] scales = [(1, 1, 1)]
        uniform token[] blendShapes = ["antenna", "JawOpen"]
        float[] blendShapeWeights.timeSamples = {0: [0, 1], 24: [1, 1]}
    }
    def Mesh "Face" (prepend apiSchemas = ["SkelBindingAPI"])
    {
        point3f[] points = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
        int[] faceVertexCounts = [3]
        int[] faceVertexIndices = [0, 1, 2]
        int[] primvars:skel:jointIndices = [0] (elementSize = 1; interpolation = "constant")
        float[] primvars:skel:jointWeights = [1] (elementSize = 1; interpolation = "constant")
        rel skel:skeleton = </Robot/Rig>
        uniform token[] skel:blendShapes = ["JawOpen", "mouthSmile_L", "antenna", "bolt"]
        rel skel:blendShapeTargets = [</Robot/Face/a>, </Robot/Face/b>, </Robot/Face/c>, </Robot/Face/d>]
        def BlendShape "a" {
            uniform vector3f[] offsets = [(0, 0, 1)]
            uniform int[] pointIndices = [0]
        }
        def BlendShape "b" {
            uniform vector3f[] offsets = [(0, 0, 1)]
            uniform int[] pointIndices = [1]
        }
        def BlendShape "c" {
            uniform vector3f[] offsets = [(0, 0, 1)]
            uniform int[] pointIndices = [2]
        }
        def BlendShape "d" {
            uniform vector3f[] offsets = [(0, 9, 0)]
            uniform int[] pointIndices = [2]
        }
    }
    def Mesh "Loose" (prepend apiSchemas = ["SkelBindingAPI"])
    {
        uniform token[] skel:blendShapes = ["other"]
    }
}
"""


def bake(stage: Any, root: str, last: float) -> None:
    """Turn shapes and joints into points over time."""
    assert UsdSkel.BakeSkinning(UsdSkel.Root(stage.GetPrimAtPath(root)), Gf.Interval(0, last))


def points_at(stage: Any, mesh: str, time: float) -> np.ndarray[Any, Any]:
    """Points in the space of the mesh's parent: what follows one joint as a whole is baked to a transform."""
    prim = UsdGeom.Mesh(stage.GetPrimAtPath(mesh))
    moved = np.array(prim.GetLocalTransformation(time))
    points = np.array(prim.GetPointsAttr().Get(time))
    return np.asarray(points @ moved[:3, :3] + moved[3, :3])


@pytest.mark.parametrize("extension", [".usda", ".usdc"])
def test_the_head_moves_as_the_take_says(tmp_path: Path, extension: str) -> None:
    take = a_take(frames=31, fps=Fraction(30000, 1001))
    take.save(tmp_path / f"head{extension}")
    stage = Usd.Stage.Open(str(tmp_path / f"head{extension}"))
    assert stage.GetTimeCodesPerSecond() == pytest.approx(30000 / 1001)
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, 30)
    assert (UsdGeom.GetStageUpAxis(stage), UsdGeom.GetStageMetersPerUnit(stage)) == ("Y", 1)
    assert stage.GetRootLayer().customLayerData["facewave"] == {"audio": "hello there.wav", "frameRate": "30000/1001"}
    expected = {}
    for name in ("Face", "Tongue", "TeethLower"):
        prim = stage.GetPrimAtPath(f"/Head/{name}")
        rest = np.array(UsdGeom.Mesh(prim).GetPointsAttr().Get())
        shapes = UsdSkel.BindingAPI(prim).GetBlendShapesAttr().Get()
        assert len(shapes) == {"Face": 52, "Tongue": 21, "TeethLower": 4}[name]
        moved = [rest.copy() for _ in range(3)]
        for shape in shapes:
            blend = UsdSkel.BlendShape(prim.GetChild(shape))
            indices, offsets = np.array(blend.GetPointIndicesAttr().Get()), np.array(blend.GetOffsetsAttr().Get())
            for points, frame in zip(moved, (0, 13, 30), strict=True):
                points[indices] += take.channel(shape)[frame] * offsets
        expected[name] = moved
    bake(stage, "/Head", 30)
    for name, moved in expected.items():
        for frame, wanted in zip((0, 13, 30), moved, strict=True):
            np.testing.assert_allclose(points_at(stage, f"/Head/{name}", frame), wanted, atol=2e-6)


def test_usd_finds_the_head_valid(tmp_path: Path) -> None:
    validation = pytest.importorskip("pxr.UsdValidation")
    a_take(frames=3).save(tmp_path / "head.usdc")
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    context = validation.ValidationContext(validators)
    problems = [
        (str(found.GetName()), found.GetMessage())
        for found in context.Validate(Usd.Stage.Open(str(tmp_path / "head.usdc")))
        if "kind" not in found.GetMessage().lower()
    ]
    assert problems == []


def test_a_users_stage_is_layered_over_and_keeps_its_own_motion(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "robot.usda").write_text(AVATAR)
    (tmp_path / "takes").mkdir()
    take = a_take(frames=61)
    told = take.save(tmp_path / "takes" / "speech.usda", avatar=tmp_path / "models" / "robot.usda")
    assert told is not None
    assert [(mesh.mesh, mesh.matched) for mesh in told.meshes] == [
        ("/Robot/Face", (("JawOpen", "jawOpen"), ("mouthSmile_L", "mouthSmileLeft"))),
        ("/Robot/Loose", ()),
    ]
    assert told.meshes[0].unmatched == ("antenna", "bolt")
    # Both move together to another place: the layer refers to the model by a relative path.
    shutil.move(tmp_path / "models", tmp_path / "elsewhere" / "models")
    shutil.move(tmp_path / "takes", tmp_path / "elsewhere" / "takes")
    path = tmp_path / "elsewhere" / "takes" / "speech.usda"
    assert "../models/robot.usda" in path.read_text()
    stage = Usd.Stage.Open(str(path))
    assert stage.GetTimeCodesPerSecond() == 60
    assert stage.GetEndTimeCode() == 240, "the four seconds of the model's own motion at our rate"
    assert (UsdGeom.GetStageUpAxis(stage), UsdGeom.GetStageMetersPerUnit(stage)) == ("Z", 0.01)
    assert stage.GetDefaultPrim().GetPath() == "/Robot"
    assert stage.GetDefaultPrim().GetCustomDataByKey("keep") == "me"
    bake(stage, "/Robot", 60)
    for frame in (0, 30, 60):
        points = points_at(stage, "/Robot/Face", frame)
        aside = frame / 60 * 10  # The neck of the model's own animation, one second at 24 codes a second.
        assert points[:, 0].tolist() == pytest.approx([aside, 1 + aside, aside], abs=1e-4)
        wanted = [take.channel("jawOpen")[frame], take.channel("mouthSmileLeft")[frame], frame / 60]
        assert points[:, 2].tolist() == pytest.approx([float(value) for value in wanted], abs=1e-5)
        assert points[2, 1] == 1, "bolt has no weight from anywhere"


def test_stages_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "robot.usda").write_text(AVATAR.replace("JawOpen", "A").replace("mouthSmile_L", "B"))
    with pytest.raises(OutputError, match="nothing to animate: found the shapes A, B, antenna"):
        a_take().save(tmp_path / "out.usda", avatar=tmp_path / "robot.usda")
    (tmp_path / "broken.usda").write_text("#usda 1.0\nnonsense {")
    with pytest.raises(AnimationFileError, match=r"broken\.usda: not a USD stage"):
        a_take().save(tmp_path / "out.usda", avatar=tmp_path / "broken.usda")
    with pytest.raises(AnimationFileError, match="no such file"):
        a_take().save(tmp_path / "out.usda", avatar=tmp_path / "none.usda")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.usda", "robot.usda"]


def test_a_take_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frames"):
        Animation(StreamInfo(Fraction(60)), np.zeros((0, 68), np.float32)).save(tmp_path / "a.usda")


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(OutputError, match=r"pip install 'facewave\[usd\]'"):
        a_take().save(tmp_path / "a.usda")


@pytest.mark.parametrize("extension", [".usda", ".usdc"])
def test_geometry_becomes_a_point_cache(tmp_path: Path, extension: str) -> None:
    random = np.random.default_rng(5)
    output = GeometryFile(tmp_path / f"face{extension}")
    output.start(StreamInfo(Fraction(30)))
    made = []
    for index in range(4):
        jaw = np.eye(4, dtype=np.float32)
        jaw[:3, 3] = 1, 2, 3
        geometry = Geometry(
            random.random((7, 3), np.float32), random.random((5, 3), np.float32), jaw,
            np.array([[1, 2, 0], [3, 4, 0]], np.float32),
        )  # fmt: skip
        made.append(geometry)
        output.write(Frame(index, index * 533, np.zeros(68, np.float32), geometry=geometry))
    output.close()
    stage = Usd.Stage.Open(str(tmp_path / f"face{extension}"))
    assert (stage.GetTimeCodesPerSecond(), stage.GetEndTimeCode()) == (30, 3)
    for frame, geometry in enumerate(made):
        skin = UsdGeom.Mesh(stage.GetPrimAtPath("/Face/Skin")).GetPointsAttr().Get(frame)
        tongue = UsdGeom.Mesh(stage.GetPrimAtPath("/Face/Tongue")).GetPointsAttr().Get(frame)
        assert np.array_equal(np.array(skin), geometry.skin)
        assert np.array_equal(np.array(tongue), geometry.tongue)
    teeth = UsdGeom.Xformable(stage.GetPrimAtPath("/Face/LowerTeeth")).GetLocalTransformation(2)
    assert teeth.Transform(Gf.Vec3d(0, 0, 0)) == Gf.Vec3d(1, 2, 3)
    left = stage.GetPrimAtPath("/Face/EyeLeft").GetAttribute("xformOp:rotateXYZ").Get(1)
    assert tuple(left) == (3, 4, 0)
