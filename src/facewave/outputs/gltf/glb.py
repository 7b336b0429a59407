"""Binary glTF: a head, or a model of the user's, with the take as an animation of its morph targets."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import IO

from ...errors import AnimationFileError
from ...frames import Animation
from ..avatar import AvatarReport
from .document import MAGIC, open_document
from .expressions import EXTENSION, expressions_animation
from .weights import animated, weights_animation


def write(animation: Animation, file: IO[bytes], avatar: Path | None = None) -> AvatarReport:
    """Write the bundled head, or the model `avatar`, with the take added to all it holds.

    Raises:
        OutputError: No frames, or no morph target of the model is named as a channel.
        AnimationFileError: The model cannot be read.
    """
    document, found = animated(animation, avatar)
    file.write(document.to_glb())
    return found


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format."""
    return head.startswith(MAGIC)


def read(path: Path, data: bytes, keep: Collection[str] = ()) -> Animation:
    """Read the animation of named morph targets in a file, or of the expressions of a VRMA; those in `keep` too.

    Raises:
        AnimationFileError: Says what of the file is wrong, or that nothing in it is animated.
    """
    document = open_document(str(path), data, path.parent)
    extensions = document.content.get("extensions")
    if isinstance(extensions, dict) and EXTENSION in extensions:
        found, what = expressions_animation(document, keep), "custom expressions"
    else:
        found, what = weights_animation(document, keep), "morph targets"
    if found is None:
        raise AnimationFileError(f"{path}: no animation in it moves {what} with ARKit names such as jawOpen")
    return found
