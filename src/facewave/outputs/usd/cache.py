"""Vertices over time as USD: skin and tongue as meshes, lower teeth and eyes as transforms.

The meshes have points and no faces: put your own mesh with the model's topology at the same path in a layer below, or
read the points as a point cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...frames import StreamInfo
from .core import exported, note, pxr, set_time

_METERS_PER_UNIT = 0.01
"""Model units are centimetres in the published NVIDIA models."""


def write(info: StreamInfo, arrays: Mapping[str, NDArray[Any]], file: IO[bytes], extension: str) -> None:
    """Write arrays as `outputs.geometry` describes them.

    Raises:
        OutputError: usd-core is not installed.
    """
    usd = pxr()
    layer = usd.Sdf.Layer.CreateAnonymous()
    stage = usd.Usd.Stage.Open(layer)
    frames = len(arrays["sample"])
    set_time(stage, info.frame_rate, frames)
    note(layer, info)
    usd.UsdGeom.SetStageUpAxis(stage, usd.UsdGeom.Tokens.y)
    usd.UsdGeom.SetStageMetersPerUnit(stage, _METERS_PER_UNIT)
    stage.SetDefaultPrim(usd.UsdGeom.Xform.Define(stage, "/Face").GetPrim())
    for name, key in (("Skin", "skin"), ("Tongue", "tongue")):
        mesh = usd.UsdGeom.Mesh.Define(stage, f"/Face/{name}")
        points, extent = mesh.CreatePointsAttr(), mesh.CreateExtentAttr()
        for frame, rows in enumerate(np.ascontiguousarray(arrays[key], np.float32)):
            points.Set(usd.Vt.Vec3fArray.FromNumpy(rows), frame)
            if len(rows):
                extent.Set(usd.Vt.Vec3fArray.FromNumpy(np.stack([rows.min(axis=0), rows.max(axis=0)])), frame)
    teeth = usd.UsdGeom.Xform.Define(stage, "/Face/LowerTeeth").AddTransformOp()
    for frame, matrix in enumerate(arrays["jaw_transform"]):
        # Ours acts on columns, USD's on rows.
        teeth.Set(usd.Gf.Matrix4d(matrix.T.astype(float).tolist()), frame)
    for i, name in enumerate(("EyeRight", "EyeLeft")):
        turn = usd.UsdGeom.Xform.Define(stage, f"/Face/{name}").AddRotateXYZOp()
        for frame, angles in enumerate(arrays["eye_rotations"]):
            turn.Set(usd.Gf.Vec3f(*angles[i].astype(float).tolist()), frame)
    file.write(exported(layer, extension))
