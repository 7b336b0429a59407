"""Blender: a Python script that holds the take and keys the shape keys of a character in the open scene."""

from __future__ import annotations

import base64
import textwrap
import zlib
from importlib import resources
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import OutputError
from ...frames import Animation


def write(animation: Animation, file: IO[bytes], avatar: Path | None = None) -> None:
    """Write the script; `avatar` is the name of the Blender object, else the selected meshes are keyed, or all.

    Raises:
        OutputError: The take has no frames.
    """
    if not len(animation):
        raise OutputError("Blender script: the animation has no frames, expected at least one")
    audio, rate = animation.info.audio, animation.frame_rate
    packed = base64.b64encode(zlib.compress(np.ascontiguousarray(animation.weights.T, "<f4").tobytes(), 9)).decode()
    values = {
        "NAME": audio.stem if audio is not None else "speech",
        "OBJECT": "" if avatar is None else str(avatar),
        "AUDIO": "" if audio is None else str(audio),
        "RATE": (rate.numerator, rate.denominator),
        "FRAMES": len(animation),
        "CHANNELS": list(animation.channels),
    }
    script = resources.files(__name__).joinpath("script.txt").read_text(encoding="utf-8")
    head = "".join(f"{name} = {value!a}\n" for name, value in values.items())
    data = "\n".join(f'    "{line}"' for line in textwrap.wrap(packed, 100))
    file.write(script.replace("# {{VALUES}}\n", head + f"DATA = (\n{data}\n)\n").encode())
