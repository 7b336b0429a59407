"""The one place that loads Pixar's library, and what every layer of ours says at its head."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ...errors import OutputError
from ...frames import StreamInfo


def pxr() -> Any:
    """The modules of usd-core by name: `Usd`, `UsdGeom`, `UsdSkel`, `UsdMedia`, `Sdf`, `Gf`, `Vt`.

    Raises:
        OutputError: The extra `usd` is not installed.
    """
    try:
        from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdMedia, UsdSkel, Vt
    except ModuleNotFoundError as error:
        raise OutputError("USD needs usd-core: install it with  pip install 'facewave[usd]'") from error
    return SimpleNamespace(Gf=Gf, Sdf=Sdf, Tf=Tf, Usd=Usd, UsdGeom=UsdGeom, UsdMedia=UsdMedia, UsdSkel=UsdSkel, Vt=Vt)


def set_time(stage: Any, rate: Fraction, frames: int) -> None:
    """Time codes count frames from 0."""
    stage.SetTimeCodesPerSecond(float(rate))
    stage.SetFramesPerSecond(float(rate))
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(max(frames - 1, 0))


def note(layer: Any, info: StreamInfo) -> None:
    """What the layer is made of: the exact rate, and the audio file's name where there was one."""
    told: dict[str, Any] = {"frameRate": f"{info.frame_rate.numerator}/{info.frame_rate.denominator}"}
    if info.audio is not None:
        told["audio"] = info.audio.name
    layer.customLayerData = {"facewave": told}


def exported(layer: Any, extension: str) -> bytes:
    """The layer as a file of this kind, `usda` or `usdc`."""
    if extension == "usda":
        return str(layer.ExportToString()).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"layer.{extension}"
        if not layer.Export(str(path)):
            raise OutputError(f"USD: the library could not write a {extension} layer")
        return path.read_bytes()
