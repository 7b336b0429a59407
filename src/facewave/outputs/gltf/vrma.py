"""VRM Animation: the take as expressions for any VRM avatar."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from ...errors import OutputError
from ...frames import Animation
from ..avatar import AvatarReport
from . import glb
from .expressions import document_of
from .weights import open_model


def write(animation: Animation, file: IO[bytes], avatar: Path | None = None) -> AvatarReport | None:
    """Write ARKit channels as custom expressions and VRM's vowels and blinks as presets.

    With `avatar`, a VRM model, only expressions that it has, and never two that do the same.

    Raises:
        OutputError: No frames, or the model has no expression that fits.
        AnimationFileError: The model cannot be read.
    """
    if not len(animation):
        raise OutputError("VRMA: the animation has no frames, expected at least one")
    document, told = document_of(animation, None if avatar is None else open_model(avatar))
    file.write(document.to_glb())
    return told


recognises = glb.recognises
read = glb.read
