"""Which shapes of somebody's model follow which channels, and the report of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..blendshapes import CHANNELS, canonical
from ..errors import OutputError

_LISTED = 12
"""Names written out in a report before it only counts."""


@dataclass(frozen=True, slots=True)
class MeshMatch:
    """One mesh of the model."""

    mesh: str
    """Its name in the file."""

    matched: tuple[tuple[str, str], ...]
    """(shape, channel) pairs that will move."""

    unmatched: tuple[str, ...]
    """Shapes that no channel means, or whose channel another shape of the mesh has taken; they stay as they are."""


@dataclass(frozen=True, slots=True)
class AvatarReport:
    """What of a model follows an animation."""

    avatar: str
    """The model as the user named it."""

    meshes: tuple[MeshMatch, ...]
    """Meshes with shapes."""

    missing: tuple[str, ...]
    """Channels of the animation that no mesh has a shape for."""

    def lines(self) -> list[str]:
        """The report as text."""
        moving = sum(1 for mesh in self.meshes if mesh.matched)
        lines = [f"{self.avatar}: {moving} of {len(self.meshes)} meshes with shapes follow the animation"]
        for mesh in self.meshes:
            count = len(mesh.matched) + len(mesh.unmatched)
            rest = f"; not: {_some(mesh.unmatched)}" if mesh.unmatched else ""
            lines.append(f"  {mesh.mesh}: {len(mesh.matched)} of {count} shapes{rest}")
        if self.missing:
            lines.append(f"  channels without a shape: {_some(self.missing)}")
        return lines


def match_shapes(names: Sequence[str], channels: Iterable[str] = CHANNELS) -> dict[int, str]:
    """Position of a shape -> the channel it means; each channel moves one shape of a mesh.

    A shape that is spelled as the channel wins over another spelling (`eyeBlink_L`), and that over a name with words
    in front (`Head_jawOpen`), because a model may carry correctives such as `fix_jawOpen` beside the shape itself.
    """
    wanted = set(channels)
    found: dict[int, str] = {}
    taken: set[str] = set()
    for spell in (_exactly, canonical, _sided, _prefixed):
        for i, name in enumerate(names):
            channel = spell(name)
            if i not in found and channel in wanted and channel not in taken:
                found[i] = channel
                taken.add(channel)
    return dict(sorted(found.items()))


def mesh_match(mesh: str, names: Sequence[str], found: dict[int, str]) -> MeshMatch:
    """The report's entry for one mesh, of what `match_shapes` found."""
    return MeshMatch(
        mesh,
        tuple((names[i], channel) for i, channel in found.items()),
        tuple(name for i, name in enumerate(names) if i not in found),
    )


def report(avatar: str, meshes: Sequence[MeshMatch], channels: Sequence[str]) -> AvatarReport:
    """The whole report.

    Raises:
        OutputError: No shape of the model follows any channel.
    """
    moved = {channel for mesh in meshes for _, channel in mesh.matched}
    if not moved:
        shapes = [name for mesh in meshes for name in mesh.unmatched]
        found = f"found the shapes {_some(shapes)}" if shapes else "found no mesh with named shapes"
        raise OutputError(f"{avatar}: nothing to animate: {found}, expected ARKit names such as jawOpen, eyeBlinkLeft")
    return AvatarReport(avatar, tuple(meshes), tuple(name for name in channels if name not in moved))


def _exactly(name: str) -> str | None:
    return name


def _sided(name: str) -> str | None:
    """`L_eyeBlink`, `left_eye_blink` and `LeftEyeBlink`: the side stands in front."""
    found = re.fullmatch(r"(?:(l|r)[_\-\s]|(left|right))[_\-\s]?(.+)", name.rsplit(".", 1)[-1], re.IGNORECASE)
    return None if found is None else canonical(f"{found[3]}_{(found[1] or found[2])[0]}")


def _prefixed(name: str) -> str | None:
    """`Head_jawOpen`, `face:jawOpen`: words in front, up to a mark that separates them."""
    for mark in re.finditer(r"[_:|\-.\s]", name):
        rest = name[mark.end() :]
        if (channel := canonical(rest) or _sided(rest)) is not None:
            return channel
    return None


def _some(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
