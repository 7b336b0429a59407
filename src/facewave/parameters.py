"""The face parameters: one table that validation, help texts and documentation read.

Source: names, ranges and defaults of NVIDIA's Audio2Face-3D service and Unreal plugin. A model folder may bring other
defaults of its own; a parameter that nobody sets keeps the model's.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import SettingsError, shown


@dataclass(frozen=True, slots=True)
class FaceParameter:
    """One row of the table."""

    name: str
    """Spelling on the wire."""

    yaml_name: str
    """Spelling in NVIDIA's deployment files."""

    default: float
    """Value that leaves the face as the model made it."""

    minimum: float
    """Smallest value accepted."""

    maximum: float
    """Largest value accepted."""

    unit: str
    """Unit, or `x` for a plain gain."""

    meaning: str
    """What a larger value does."""


FACE_PARAMETERS: tuple[FaceParameter, ...] = (
    FaceParameter("skinStrength", "skin_strength", 1.0, 0, 2, "x", "amplitude of all skin motion"),
    FaceParameter("upperFaceStrength", "upper_face_strength", 1.0, 0, 2, "x", "amplitude of brows, lids and cheeks"),
    FaceParameter("lowerFaceStrength", "lower_face_strength", 1.0, 0, 2, "x", "amplitude of jaw and lips"),
    FaceParameter("eyelidOpenOffset", "eyelid_offset", 0.0, -1, 1, "pose", "lids at rest: -1 closed, 1 wide open"),
    FaceParameter("blinkStrength", "blink_strength", 1.0, 0, 2, "x", "amplitude of blinks"),
    FaceParameter("lipOpenOffset", "lip_close_offset", 0.0, -0.2, 0.2, "pose", "lips at rest: above 0 parted"),
    FaceParameter("upperFaceSmoothing", "upper_face_smoothing", 0.001, 0, 0.1, "s", "smoothing of the upper face"),
    FaceParameter("lowerFaceSmoothing", "lower_face_smoothing", 0.006, 0, 0.1, "s", "smoothing of the lower face"),
    FaceParameter("faceMaskLevel", "face_mask_level", 0.6, 0, 1, "height", "border between lower and upper face"),
    FaceParameter("faceMaskSoftness", "face_mask_softness", 0.0085, 0.001, 0.5, "height", "width of that border"),
    FaceParameter("tongueStrength", "tongue_strength", 1.3, 0, 3, "x", "amplitude of the tongue"),
    FaceParameter("tongueHeightOffset", "tongue_height_offset", 0.0, -3, 3, "pose", "tongue at rest: above 0 higher"),
    FaceParameter("tongueDepthOffset", "tongue_depth_offset", 0.0, -3, 3, "pose", "tongue at rest: above 0 forward"),
)
"""The thirteen parameters every provider understands."""

EXTRA_PARAMETERS: tuple[FaceParameter, ...] = (
    FaceParameter("blinkOffset", "blink_offset", 0.0, 0, 1, "pose", "lids closed by this much, times blinkStrength"),
    FaceParameter("inputStrength", "input_strength", 1.0, 0, 10, "x", "gain on the audio before the model"),
)
"""Two more that some clients send; providers without a use for them accept and ignore them."""

_BY_SPELLING: Mapping[str, FaceParameter] = {
    spelling.lower(): row for row in FACE_PARAMETERS + EXTRA_PARAMETERS for spelling in (row.name, row.yaml_name)
}


def face_parameter(name: str) -> FaceParameter | None:
    """The row that a wire or YAML spelling names (capitals do not matter), or None."""
    return _BY_SPELLING.get(name.lower())


def face_parameters(values: Mapping[str, float]) -> dict[str, float]:
    """Validate parameters by name and return them under their wire names.

    Raises:
        SettingsError: An unknown name, or a value outside the parameter's range; the message states the range.
    """
    checked = {}
    for name, value in values.items():
        row = face_parameter(name)
        if row is None:
            known = [row.name for row in FACE_PARAMETERS]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise SettingsError(f"unknown face parameter {shown(name)}{hint}, expected one of: {', '.join(known)}")
        if not (math.isfinite(value) and row.minimum <= value <= row.maximum):
            raise SettingsError(
                f"face parameter {row.name}: found {value}, expected {row.minimum:g} to {row.maximum:g}"
            )
        checked[row.name] = float(value)
    return checked
