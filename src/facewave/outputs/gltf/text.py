"""glTF as one text file with its data inside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from ...frames import Animation
from ..avatar import AvatarReport
from . import glb
from .weights import animated


def write(animation: Animation, file: IO[bytes], avatar: Path | None = None) -> AvatarReport:
    """Write what `glb.write` writes, as text.

    Raises:
        OutputError: No frames, or no morph target of the model is named as a channel.
        AnimationFileError: The model cannot be read.
    """
    document, found = animated(animation, avatar)
    file.write(document.to_text())
    return found


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format: JSON with one of glTF's own words."""
    words = rb'\s*\{.*"(asset|accessors|bufferViews|buffers|extensionsUsed|scenes|nodes|meshes)"\s*:'
    return re.match(words, head.removeprefix(b"\xef\xbb\xbf"), re.DOTALL) is not None


read = glb.read
