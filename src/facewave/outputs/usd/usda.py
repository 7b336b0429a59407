"""USD as text."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from ...frames import Animation
from ..avatar import AvatarReport
from . import scene


def write(animation: Animation, file: IO[bytes], avatar: Path | None = None) -> AvatarReport | None:
    """Write what `scene.write` writes.

    Raises:
        OutputError: No frames, usd-core is not installed, or no blend shape of the stage is named as a channel.
        AnimationFileError: The stage cannot be opened.
    """
    return scene.write(animation, file, "usda", avatar)
