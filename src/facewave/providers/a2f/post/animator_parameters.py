"""The parameters of the animators and of the blend-shape solver: one table, five frozen groups.

Every value lives in float32, as in NVIDIA's SDK, and is checked when a group is made: an animator can therefore never
hold an illegal one, and a refused change leaves the old group in place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from ....errors import SettingsError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of a parameter table."""

    name: str
    """Field of the group, snake_case of `api_name`."""

    api_name: str
    """NVIDIA's spelling in its API and on the wire (camelCase)."""

    config_key: str | None
    """Key in a model's configuration file; None where no file has it."""

    default: float
    minimum: float
    maximum: float
    unit: str
    """"" for a plain factor."""

    meaning: str


_INFINITE = float(np.finfo(np.float32).max)

SKIN_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("lower_face_smoothing", "lowerFaceSmoothing", "lower_face_smoothing", 0.0023, 0, 0.1, "s",
              "half-life of each of the two low-pass stages of the lower face"),
    Parameter("upper_face_smoothing", "upperFaceSmoothing", "upper_face_smoothing", 0.001, 0, 0.1, "s",
              "half-life of each of the two low-pass stages of the upper face"),
    Parameter("lower_face_strength", "lowerFaceStrength", "lower_face_strength", 1.3, 0, 2, "",
              "gain of the lower face, after smoothing"),
    Parameter("upper_face_strength", "upperFaceStrength", "upper_face_strength", 1.0, 0, 2, "",
              "gain of the upper face, after smoothing"),
    Parameter("face_mask_level", "faceMaskLevel", "face_mask_level", 0.6, 0, 1, "head height",
              "height of the border between lower and upper face"),
    Parameter("face_mask_softness", "faceMaskSoftness", "face_mask_softness", 0.0085, 0.001, 0.5, "head height",
              "width of that border"),
    Parameter("skin_strength", "skinStrength", "skin_strength", 1.0, 0, 2, "",
              "gain of the network's motion, before smoothing"),
    Parameter("blink_strength", "blinkStrength", "blink_strength", 1.0, 0, 2, "",
              "factor on blink_offset alone; predicted blinks are not scaled"),
    Parameter("eyelid_open_offset", "eyelidOpenOffset", "eyelid_open_offset", 0.06, -1, 1, "eye-close pose",
              "positive opens the eyes by that share of the eyes-closed pose"),
    Parameter("lip_open_offset", "lipOpenOffset", "lip_open_offset", -0.03, -0.2, 0.2, "lip-open pose",
              "positive opens the lips by that share of the lips-open pose"),
    Parameter("blink_offset", "blinkOffset", None, 0.0, 0, 1, "eye-close pose",
              "closes the eyes by that share, times blink_strength"),
)  # fmt: skip
"""Parameters of the skin, in the order of NVIDIA's API."""

TONGUE_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("tongue_strength", "tongueStrength", "tongue_strength", 1.5, 0, 3, "", "gain of the tongue's motion"),
    Parameter("tongue_height_offset", "tongueHeightOffset", "tongue_height_offset", 0.2, -3, 3, "mesh units",
              "moves the whole tongue up (y)"),
    Parameter("tongue_depth_offset", "tongueDepthOffset", "tongue_depth_offset", 0.13, -3, 3, "mesh units",
              "moves the whole tongue forward (z)"),
)  # fmt: skip
"""Parameters of the tongue, in the order of NVIDIA's API."""

TEETH_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("lower_teeth_strength", "lowerTeethStrength", "lower_teeth_strength", 1.0, 0, 2, "",
              "gain of the jaw points' motion, before the rigid fit"),
    Parameter("lower_teeth_height_offset", "lowerTeethHeightOffset", "lower_teeth_height_offset", 0.0, -3, 3,
              "mesh units", "moves the lower teeth up (y)"),
    Parameter("lower_teeth_depth_offset", "lowerTeethDepthOffset", "lower_teeth_depth_offset", 0.0, -3, 3,
              "mesh units", "moves the lower teeth forward (z)"),
)  # fmt: skip
"""Parameters of the lower teeth, in the order of NVIDIA's API."""

EYES_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("eyeballs_strength", "eyeballsStrength", "eyeballs_strength", 1.0, 0, 2, "",
              "gain of the predicted eye rotations"),
    Parameter("saccade_strength", "saccadeStrength", "saccade_strength", 1.0, 0, 2, "",
              "gain of the saccade table"),
    Parameter("right_eyeball_rotation_offset_x", "rightEyeballRotationOffsetX", "right_eye_rot_x_offset",
              0.0, -10, 10, "degrees", "turns the right eye about x"),
    Parameter("right_eyeball_rotation_offset_y", "rightEyeballRotationOffsetY", "right_eye_rot_y_offset",
              0.0, -10, 10, "degrees", "turns the right eye about y"),
    Parameter("left_eyeball_rotation_offset_x", "leftEyeballRotationOffsetX", "left_eye_rot_x_offset",
              0.0, -10, 10, "degrees", "turns the left eye about x"),
    Parameter("left_eyeball_rotation_offset_y", "leftEyeballRotationOffsetY", "left_eye_rot_y_offset",
              0.0, -10, 10, "degrees", "turns the left eye about y"),
    Parameter("saccade_seed", "saccadeSeed", "eye_saccade_seed", 0.0, 0, 4999, "rows of 1/30 s",
              "row of the saccade table at time 0; not the seed of a random generator"),
)  # fmt: skip
"""Parameters of the eyes, in the order of NVIDIA's API."""

SOLVER_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("l1_reg", "L1Reg", "strengthL1regularization", 1.0, 0, _INFINITE, "",
              "penalty on the square of the sum of the weights; enters squared"),
    Parameter("l2_reg", "L2Reg", "strengthL2regularization", 3.5, 0, _INFINITE, "", "penalty on the squared weights"),
    Parameter("symmetry_reg", "SymmetryReg", "strengthSymmetry", 100.0, 0, _INFINITE, "",
              "penalty on the difference within symmetry pairs"),
    Parameter("temporal_reg", "TemporalReg", "strengthTemporalSmoothing", 0.0, 0, _INFINITE, "",
              "shrinkage with a weak pull to the previous frame's weights"),
    Parameter("template_bb_size", "templateBBSize", "templateBBSize", 54.7, 1, _INFINITE, "mesh units",
              "bounding-box diagonal for which the strengths were tuned"),
)  # fmt: skip
"""Checked parameters of the blend-shape solver, in the order of NVIDIA's API."""


@dataclass(frozen=True, slots=True)
class SkinParameters:
    """How the skin follows the network. See `SKIN_PARAMETERS` for units, ranges and meanings.

    Raises:
        SettingsError: A value that is not a number or lies outside its range.
    """

    lower_face_smoothing: float = 0.0023
    upper_face_smoothing: float = 0.001
    lower_face_strength: float = 1.3
    upper_face_strength: float = 1.0
    face_mask_level: float = 0.6
    face_mask_softness: float = 0.0085
    skin_strength: float = 1.0
    blink_strength: float = 1.0
    eyelid_open_offset: float = 0.06
    lip_open_offset: float = -0.03
    blink_offset: float = 0.0

    def __post_init__(self) -> None:
        check_group(self, SKIN_PARAMETERS)

    @property
    def eye_close(self) -> float:
        """Share of the eyes-closed pose that is always added."""
        # The product in float32 first, as the SDK's kernel computes it.
        return float(
            np.float32(-self.eyelid_open_offset) + np.float32(self.blink_offset) * np.float32(self.blink_strength)
        )


@dataclass(frozen=True, slots=True)
class TongueParameters:
    """How the tongue follows the network. See `TONGUE_PARAMETERS`.

    Raises:
        SettingsError: A value that is not a number or lies outside its range.
    """

    tongue_strength: float = 1.5
    tongue_height_offset: float = 0.2
    tongue_depth_offset: float = 0.13

    def __post_init__(self) -> None:
        check_group(self, TONGUE_PARAMETERS)


@dataclass(frozen=True, slots=True)
class TeethParameters:
    """How the lower teeth follow the network. See `TEETH_PARAMETERS`.

    Raises:
        SettingsError: A value that is not a number or lies outside its range.
    """

    lower_teeth_strength: float = 1.0
    lower_teeth_height_offset: float = 0.0
    lower_teeth_depth_offset: float = 0.0

    def __post_init__(self) -> None:
        check_group(self, TEETH_PARAMETERS)


@dataclass(frozen=True, slots=True)
class EyesParameters:
    """How the eyes follow the network and the saccade table. See `EYES_PARAMETERS`.

    Raises:
        SettingsError: A value that is not a number or lies outside its range.
    """

    eyeballs_strength: float = 1.0
    saccade_strength: float = 1.0
    right_eyeball_rotation_offset_x: float = 0.0
    right_eyeball_rotation_offset_y: float = 0.0
    left_eyeball_rotation_offset_x: float = 0.0
    left_eyeball_rotation_offset_y: float = 0.0
    saccade_seed: float = 0.0

    def __post_init__(self) -> None:
        check_group(self, EYES_PARAMETERS)


@dataclass(frozen=True, slots=True)
class SolverParameters:
    """Regularisation of the blend-shape solve. See `SOLVER_PARAMETERS`.

    Raises:
        SettingsError: A value that is not a number or lies outside its range.
    """

    l1_reg: float = 1.0
    l2_reg: float = 3.5
    symmetry_reg: float = 100.0
    temporal_reg: float = 0.0
    template_bb_size: float = 54.7
    tolerance: float = 1e-10
    """Gradient size at which the reference's active-set method stops; see `solver.BlendshapeSolver`. Not checked."""

    def __post_init__(self) -> None:
        check_group(self, SOLVER_PARAMETERS)


_Group = TypeVar("_Group", SkinParameters, TongueParameters, TeethParameters, EyesParameters, SolverParameters)

PARAMETER_TABLES: Mapping[type, tuple[Parameter, ...]] = {
    SkinParameters: SKIN_PARAMETERS,
    TongueParameters: TONGUE_PARAMETERS,
    TeethParameters: TEETH_PARAMETERS,
    EyesParameters: EYES_PARAMETERS,
    SolverParameters: SOLVER_PARAMETERS,
}
"""Table of each group."""


def check_group(group: Any, table: tuple[Parameter, ...]) -> None:
    """Refuse a group with a value that is not a number or outside its range.

    Raises:
        SettingsError: Names the parameter, the value found and the range.
    """
    for row in table:
        found = getattr(group, row.name)
        if isinstance(found, bool) or not isinstance(found, int | float | np.floating | np.integer):
            raise SettingsError(f"parameter {row.name}: found {found!r}, expected a number")
        value = float(found)
        # Ranges are float32 numbers: 0.1 as float32 lies above 0.1 as float64 and is allowed.
        single = np.float32(value) if abs(value) <= _INFINITE else np.float32(math.nan)
        if not np.float32(row.minimum) <= single <= np.float32(row.maximum):
            raise SettingsError(
                f"parameter {row.name}: found {value:g}, expected {row.minimum:g} to {row.maximum:g}"
                + (f" {row.unit}" if row.unit else "")
            )


def from_config(group: type[_Group], config: Mapping[str, Any]) -> _Group:
    """A group from the keys of a model's configuration (`config` or `blendshape_params` object).

    Only `templateBBSize` may be missing; blink_offset and tolerance are in no file and keep their defaults.

    Raises:
        SettingsError: A missing key, a value that is no number, or one outside its range.
    """
    values: dict[str, float] = {}
    for row in PARAMETER_TABLES[group]:
        if row.config_key is None or (row.config_key == "templateBBSize" and row.config_key not in config):
            continue
        if row.config_key not in config:
            raise SettingsError(f"parameter {row.config_key}: found no such key, expected a number")
        values[row.name] = config[row.config_key]
    return group(**values)


def replace_by_api_name(group: _Group, values: Mapping[str, float]) -> _Group:
    """The group with some parameters changed, given by NVIDIA's camelCase names; names of other groups are ignored.

    Raises:
        SettingsError: A value outside its range.
    """
    rows = {row.api_name: row.name for row in PARAMETER_TABLES[type(group)]}
    changed = {field.name: getattr(group, field.name) for field in fields(group)}
    changed.update({rows[name]: value for name, value in values.items() if name in rows})
    return type(group)(**changed)
