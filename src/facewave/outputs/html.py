"""One self-contained web page: the head, the sound, the curves and a play bar, by the studio's own viewer modules.

It opens from a disk without a network. The page holds the audio file's own bytes where browsers know the format, and
the same sound as 16-bit WAV where they do not (AIFF).
"""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO

import numpy as np

from ..audio.files import read_audio, write_wav
from ..errors import AudioError, OutputError
from ..frames import Animation

BROWSER_AUDIO = (".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus")
"""Extensions of audio that current browsers decode."""

MODULES = ("clock.js", "coarse.js", "curves.js", "exported.js", "light.js", "morphs.js", "plain.js", "quality.js",
           "take.js", "transport.js", "viewer.js")  # fmt: skip
"""Viewer modules that the page carries."""

VENDORED = ("meshoptimizer", "three")
"""Modules of others that they need."""


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write the whole page.

    Raises:
        OutputError: The take has no frames, or its sound cannot be read.
    """
    if not len(animation):
        raise OutputError("html: the animation has no frames, expected at least one")
    static = resources.files("facewave").joinpath("studio", "static")
    audio, note = _sound(animation.info.audio)
    info = {
        "channels": list(animation.channels),
        "fps": float(animation.frame_rate),
        "audio": bool(audio),
        "note": f"{len(animation)} frames at {float(animation.frame_rate):g} fps, {animation.duration_s:.1f} s. {note}",
    }
    title = animation.info.audio.name if animation.info.audio else "Animation"
    frames = np.ascontiguousarray(animation.weights, "<f4").tobytes()
    values = {
        "title": html.escape(title),
        "style": _text(static, "style.css"),
        "imports": json.dumps({"imports": _imports(static)}),
        "views": _text(static, "views.html"),
        "transport": _text(static, "transport.html"),
        # "<" never stands plain inside a script element, whatever a file is called.
        "info": json.dumps(info).replace("<", "\\u003c"),
        "head": _packed(static.joinpath("head.glb").read_bytes()),
        "frames": _packed(frames),
        "audio": base64.b64encode(audio).decode(),
    }
    page = _text(static, "exported.html")
    for piece in page.split("{{"):
        name, closed, rest = piece.partition("}}")
        file.write((values[name] + rest if closed else piece).encode())


def _sound(path: Path | None) -> tuple[bytes, str]:
    """The encoded audio and a sentence about it; a take without sound plays silently and says so."""
    if path is None:
        return b"", "No sound came with this animation."
    if not path.is_file():
        return b"", f"Without sound: {path.name} was not found."
    try:
        if path.suffix.lower() in BROWSER_AUDIO:
            return path.read_bytes(), ""
        return as_wav(path), ""
    except (OSError, AudioError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: the sound cannot be read ({reason})") from error


def as_wav(path: Path) -> bytes:
    """The sound of any file facewave reads, as the bytes of a 16-bit WAV file.

    Raises:
        AudioError: Not audio that facewave reads.
    """
    clip = read_audio(path)
    file = io.BytesIO()
    write_wav(file, clip.samples, clip.sample_rate)
    return file.getvalue()


def _imports(static: Traversable) -> dict[str, str]:
    """Module name -> data address, so that the page's modules find each other without a server."""
    sources = {f"facewave/{name}": static.joinpath("js", name) for name in MODULES}
    sources |= {name: static.joinpath("vendor", f"{name}.js") for name in VENDORED}
    return {
        name: "data:text/javascript;base64," + base64.b64encode(source.read_bytes()).decode()
        for name, source in sources.items()
    }


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _text(static: Traversable, name: str) -> str:
    return static.joinpath(name).read_text(encoding="utf-8")
