"""Reading animations out of a glTF file: the curves of its samplers, and frames sampled from them.

Source: Khronos, glTF 2.0 specification, sections 3.11 and appendix C (interpolation).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blendshapes import CHANNELS, INDEX
from ...errors import SettingsError
from ...frames import Animation, StreamInfo
from ...timing import frame_rate
from .document import Document

MARK = "facewave"
"""Key of our notes in an animation's `extras`: `frameRate` (two whole numbers) and `audio` (a file name)."""

LONGEST_S = 7200.0
"""Seconds of animation that are sampled from uneven keys."""

_RATES = (24, 25, 30, 48, 50, 60, 90, 100, 120)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Some numbers over time, as one sampler gives them."""

    times: NDArray[np.float64]
    """Shape (keys,), seconds, increasing."""

    values: NDArray[np.float64]
    """Shape (keys, width)."""

    tangents: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    """Slopes into and out of each key, shape as the values, where the curve is a cubic spline."""

    stepped: bool = False
    """Whether each value holds until the next key."""

    def at(self, seconds: NDArray[np.float64], column: int) -> NDArray[np.float64]:
        """One column at any times, held before the first key and after the last."""
        known, values = self.times, self.values[:, column]
        if len(known) == 1:
            return np.full(len(seconds), values[0])
        if not self.stepped and self.tangents is None:
            return np.interp(seconds, known, values)
        # A key counts from just before its own time: times are stored with seven digits.
        left = np.clip(np.searchsorted(known, seconds + 1e-6, side="right") - 1, 0, len(known) - 1)
        if self.tangents is None:
            return values[left]
        left = np.minimum(left, len(known) - 2)
        span = known[left + 1] - known[left]
        t = np.clip((seconds - known[left]) / span, 0.0, 1.0)
        into, out_of = self.tangents[0][:, column], self.tangents[1][:, column]
        return (
            (2 * t**3 - 3 * t**2 + 1) * values[left]
            + (t**3 - 2 * t**2 + t) * span * out_of[left]
            + (3 * t**2 - 2 * t**3) * values[left + 1]
            + (t**3 - t**2) * span * into[left + 1]
        )


def curve(document: Document, animation: dict[str, Any], sampler: Any, width: int) -> Curve:
    """The curve of one sampler, `width` numbers a key.

    Raises:
        AnimationFileError: Accessors that do not fit each other, or times that do not increase.
    """
    samplers = document.inner(animation, "samplers", "an animation")
    if document.whole(sampler, "a channel's sampler") >= len(samplers):
        raise document.fail(f"a channel uses sampler {sampler}, its animation has {len(samplers)}")
    entry = samplers[sampler]
    times = document.array(entry.get("input")).astype(np.float64).ravel()
    if not len(times) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise document.fail(f"sampler {sampler} has key times that do not increase")
    mode = entry.get("interpolation", "LINEAR")
    if mode not in ("LINEAR", "STEP", "CUBICSPLINE"):
        raise document.fail(f"sampler {sampler} interpolates {str(mode)[:40]!r}, which glTF does not know")
    parts = 3 if mode == "CUBICSPLINE" else 1
    values = document.array(entry.get("output")).astype(np.float64).ravel()
    if len(values) != len(times) * width * parts:
        raise document.fail(
            f"sampler {sampler} has {len(values)} values for {len(times)} keys, expected {len(times) * width * parts}"
        )
    if not np.isfinite(values).all():
        raise document.fail(f"sampler {sampler} holds a value that is not a finite number")
    if mode == "CUBICSPLINE":
        into, key, out_of = values.reshape(len(times), 3, width).transpose(1, 0, 2)
        return Curve(times, key, (into, out_of))
    return Curve(times, values.reshape(len(times), width), stepped=mode == "STEP")


def note(animation: dict[str, Any]) -> dict[str, Any]:
    """What facewave wrote beside an animation; empty for those of others."""
    extras = animation.get("extras")
    found = extras.get(MARK) if isinstance(extras, dict) else None
    return found if isinstance(found, dict) else {}


def new_note(animation: Animation) -> dict[str, Any]:
    """The `extras` of an animation we write."""
    rate = animation.frame_rate
    told: dict[str, Any] = {"frameRate": [rate.numerator, rate.denominator]}
    if animation.info.audio is not None:
        told["audio"] = animation.info.audio.name
    return {MARK: told}


def frames_of(document: Document, told: dict[str, Any], found: Mapping[str, tuple[Curve, int]]) -> Animation:
    """An animation of curves by channel: key by key where keys are evenly spaced, else sampled.

    Args:
        document: The file, for messages.
        told: Our note beside the animation.
        found: Channel -> its curve and the column in it.

    Raises:
        AnimationFileError: An animation too long to sample.
    """
    names = (*(name for name in CHANNELS if name in found), *(name for name in found if name not in INDEX))
    first = found[names[0]][0].times
    same = all(np.array_equal(found[name][0].times, first) for name in names)
    rate = _noted_rate(told) or _rate(
        first if same else np.unique(np.concatenate([c.times for c, _ in found.values()]))
    )
    if same and np.abs(first - np.arange(len(first)) / float(rate)).max() < 0.5 / float(rate):
        columns = [found[name][0].values[:, found[name][1]] for name in names]
    else:
        last = max(float(found[name][0].times[-1]) for name in names)
        if last > LONGEST_S:
            raise document.fail(f"its animation ends at {last:g} s, expected at most {LONGEST_S:g} s")
        seconds = np.arange(math.floor(max(last, 0.0) * float(rate) + 1e-3) + 1) / float(rate)
        columns = [found[name][0].at(seconds, found[name][1]) for name in names]
    audio = told.get("audio")
    info = StreamInfo(rate, names, Path(audio) if isinstance(audio, str) and audio and "\0" not in audio else None)
    weights = np.stack(columns, axis=1).astype(np.float32)
    if not np.isfinite(weights).all():
        raise document.fail("its animation holds values beyond the range of a weight")
    return Animation(info, weights)


def _noted_rate(told: dict[str, Any]) -> Fraction | None:
    ratio = told.get("frameRate")
    if not isinstance(ratio, list) or len(ratio) != 2 or not all(type(part) is int and part > 0 for part in ratio):
        return None
    try:
        return frame_rate(Fraction(*ratio))
    except SettingsError:
        return None


def _rate(times: NDArray[np.float64]) -> Fraction:
    """The rate of even keys; for uneven ones, the usual rate that keeps the closest two apart; 60 for a single key."""
    if len(times) < 2:
        return Fraction(60)
    steps = np.diff(times)
    mean = (times[-1] - times[0]) / (len(times) - 1)
    if np.abs(times - times[0] - np.arange(len(times)) * mean).max() < mean / 4 and 1 <= 1 / mean <= 1000:
        exact = frame_rate(1 / mean)
        near = Fraction(round(exact))
        return near if abs(exact - near) < near / 2000 and exact.denominator != 1001 else exact
    wanted = 1 / max(float(steps.min()), 1e-3)
    return Fraction(next((rate for rate in _RATES if rate >= max(wanted * 0.99, 30)), _RATES[-1]))
