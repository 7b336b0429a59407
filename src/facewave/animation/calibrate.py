"""A first profile for a rig from its target names alone: by the words in them, or by a convention they follow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..blendshapes import ARKIT, CHANNELS
from ..errors import SettingsError
from ..rig_names import NameMatch, match_names
from .rig import Rig, load_rig, shipped

ARKIT_PROFILE = "arkit"
_ENOUGH = 20
"""A rig with this many of ARKit's shapes is driven by them, whatever else it has."""

_DECORATION = re.compile(r"^(viseme_|vrc\.v_|v_)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A profile and how it was found."""

    rig: Rig
    """Ready to use and to edit."""

    profile: str
    """The shipped profile whose convention the names follow."""

    match: NameMatch
    """What the names mean by their words; where the profile is not ARKit's, `rows` are the profile's."""


def calibrate(targets: Sequence[str], name: str, profile: str = "") -> Calibration:
    """Make a profile for a rig.

    Args:
        targets: The rig's names, in its order.
        name: What to call it.
        profile: A shipped profile whose convention the names follow; blank to tell by the names.

    Raises:
        SettingsError: An unknown profile, or names of which none is understood.
    """
    if profile and profile not in shipped():
        raise SettingsError(f"profile: found {profile!r}, expected one of: {', '.join(shipped())}")
    words = match_names(targets)
    conventions = {other: _renamed(targets, load_rig(other)) for other in shipped() if other != ARKIT_PROFILE}
    conventions[ARKIT_PROFILE] = dict(words.rows)
    if not profile:
        arkit = sum(len(row) == 1 and next(iter(row)) in ARKIT for row in words.rows.values())
        fullest = max(conventions, key=lambda other: (len(conventions[other]), other == ARKIT_PROFILE))
        profile = ARKIT_PROFILE if arkit >= _ENOUGH else fullest
    rows = conventions[profile]
    if not rows:
        raise SettingsError(
            f"rig {name}: none of its {len(targets)} target names is understood, among them "
            f"{', '.join(repr(target) for target in list(targets)[:5])}; name them in [targets] of a profile by hand, "
            f"starting from one that is shipped: {', '.join(shipped())}"
        )
    base = load_rig(profile)
    rig = replace(base, name=name, targets=rows, limits={}, profile=profile)
    return Calibration(rig, profile, words if profile == ARKIT_PROFILE else _outcome(targets, rows, words))


def _renamed(targets: Sequence[str], profile: Rig) -> dict[str, Mapping[str, float]]:
    """The profile's rows under the rig's spelling of their names."""
    known = {_plain(name): row for name, row in profile.targets.items()}
    return {name: known[_plain(name)] for name in dict.fromkeys(targets) if _plain(name) in known}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _DECORATION.sub("", name).lower())


def _outcome(targets: Sequence[str], rows: Mapping[str, Mapping[str, float]], words: NameMatch) -> NameMatch:
    """The report of a rig that follows another convention than ARKit's."""
    served = {channel for row in rows.values() for channel in row}
    return NameMatch(
        rows=rows,
        unmatched=tuple(name for name in dict.fromkeys(targets) if name not in rows),
        doubled={},
        missing=tuple(channel for channel in CHANNELS if channel not in served),
        nearest={name: near for name, near in words.nearest.items() if name not in rows},
    )
