"""The studio's web server: the page, the clip that a page sends in, the files it takes away, and live streams."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import tempfile
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from ..blendshapes import CHANNELS
from ..documents import parse
from ..emotions import EMOTIONS
from ..errors import FacewaveError, ProviderUnavailableError
from ..frames import Animation
from ..outputs import FORMATS
from ..outputs.html import as_wav
from ..parameters import FACE_PARAMETERS
from ..pipeline import animate
from ..providers import open_provider, provider_names
from .guard import App, Guard, Receive
from .options import stream_settings
from .stream import Streams

MAX_UPLOAD = 200 << 20
"""Bytes of one clip."""

_LONGEST_NAME = 60
"""Characters kept of a clip's name; file systems allow 255 bytes."""


def create_app(*, origins: tuple[str, ...] = (), token: str = "") -> App:
    """The studio as an ASGI application.

    Args:
        origins: Origins besides its own whose pages may use it, as `https://example.org`.
        token: Secret that requests must carry; blank for none.

    Raises:
        ProviderUnavailableError: The extra `studio` is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.routing import Mount, Route, WebSocketRoute
        from starlette.staticfiles import StaticFiles
    except ModuleNotFoundError as error:
        raise ProviderUnavailableError(
            f"the studio needs {error.name}: install it with  pip install 'facewave[studio]'"
        ) from error

    static = Path(str(resources.files("facewave").joinpath("studio", "static")))
    streams = Streams()
    routes = [
        Route("/", _page(static)),
        Route("/api/info", _info),
        Route("/api/sound", _told_in_words(_sound), methods=["POST"]),
        Route("/api/animate", _told_in_words(_animate), methods=["POST"]),
        Route("/api/export", _told_in_words(_export), methods=["POST"]),
        WebSocketRoute("/ws/stream", streams.__call__),
        Mount("/static", StaticFiles(directory=static)),
    ]
    return Guard(Starlette(routes=routes), origins, token)


def _page(static: Path) -> Callable[[Any], Any]:
    async def page(request: Any) -> Any:
        from starlette.responses import HTMLResponse

        text = (static / "studio.html").read_text(encoding="utf-8")
        for name in ("views", "transport"):
            text = text.replace("{{" + name + "}}", (static / f"{name}.html").read_text(encoding="utf-8"))
        return HTMLResponse(text, headers={"Cache-Control": "no-cache"})

    return page


async def _info(request: Any) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse(await asyncio.to_thread(_describe))


def _describe() -> dict[str, Any]:
    providers = []
    for name in provider_names():
        try:
            info = open_provider(name).info
        except FacewaveError as error:
            providers.append({"name": name, "usable": False, "description": str(error)})
            continue
        rates = [float(rate) for rate in info.frame_rates]
        providers.append({"name": name, "usable": True, "description": info.description, "rates": rates})
    return {
        "providers": providers,
        "channels": CHANNELS,
        "emotions": EMOTIONS,
        "parameters": [
            {"name": row.name, "default": row.default, "minimum": row.minimum, "maximum": row.maximum,
             "unit": row.unit, "meaning": row.meaning}
            for row in FACE_PARAMETERS
        ],
        "formats": [{"extension": row.extension, "summary": row.summary} for row in FORMATS],
    }  # fmt: skip


async def _sound(request: Any) -> Any:
    """A clip in any format facewave reads as a WAV file, for formats that the browser does not know."""
    from starlette.responses import Response

    with tempfile.TemporaryDirectory() as folder:
        path, *_ = await _form(request, Path(folder))
        return Response(await asyncio.to_thread(as_wav, path), media_type="audio/wav")


async def _animate(request: Any) -> Any:
    """A clip to frames: uint32 length of a JSON header, the header, then frames x channels float32, little-endian."""
    from starlette.responses import Response

    with tempfile.TemporaryDirectory() as folder:
        path, settings, provider, _ = await _form(request, Path(folder))
        take = await asyncio.to_thread(lambda: animate(path, provider=provider, settings=stream_settings(settings)))
    header = json.dumps({"channels": take.channels, "fps": float(take.frame_rate), "frames": len(take)}).encode()
    header += b" " * (-len(header) % 4)
    body = struct.pack("<I", len(header)) + header + take.weights.astype("<f4").tobytes()
    return Response(body, media_type="application/octet-stream")


async def _export(request: Any) -> Any:
    """A clip to a file of one of the output formats, as a download."""
    from starlette.responses import Response

    with tempfile.TemporaryDirectory() as folder:
        path, settings, provider, extension = await _form(request, Path(folder))
        target = Path(folder) / f"out{extension}"

        def work() -> bytes:
            take: Animation = animate(path, provider=provider, settings=stream_settings(settings))
            if extension != ".html":  # The page carries the sound itself.
                # The track is known to the user by its name, not by where the server kept it for a moment.
                take = replace(take, info=replace(take.info, audio=Path(path.name)))
            take.save(target)
            return target.read_bytes()

        data = await asyncio.to_thread(work)
    name = f"{path.stem}{extension}".encode("ascii", "replace").decode().replace('"', "_")
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/octet-stream", headers=disposition)


async def _form(request: Any, folder: Path) -> tuple[Path, Any, str, str]:
    """The clip (kept in `folder` under its own name), settings, provider and file extension of a form."""
    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    async with Request(request.scope, _bounded(request.receive)).form(max_files=1) as form:
        clip = form.get("audio")
        if clip is None or isinstance(clip, str):
            raise HTTPException(400, "the form holds no file called audio")
        path = folder / _safe_name(clip.filename or "")
        path.write_bytes(await clip.read())
        try:
            settings = parse(str(form.get("settings", "{}")), "JSON")
        except ValueError as error:
            raise HTTPException(400, f"settings are not JSON ({error})") from error
        return path, settings, str(form.get("provider", "")), str(form.get("format", ""))


def _bounded(receive: Receive) -> Receive:
    """A body that ends with an error at the limit, whatever length it has announced."""
    from starlette.exceptions import HTTPException

    left = MAX_UPLOAD

    async def counted() -> MutableMapping[str, Any]:
        nonlocal left
        event = await receive()
        left -= len(event.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"the clip is larger than {MAX_UPLOAD >> 20} MB; use `facewave animate` for it")
        return event

    return counted


def _safe_name(name: str) -> str:
    """A file name that cannot leave its folder, of what a browser calls the clip."""
    plain = re.sub(r"[^\w .()-]", "_", name.replace("\\", "/").rpartition("/")[2])
    return plain[-_LONGEST_NAME:].strip(" .") or "clip.wav"


def _told_in_words(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Errors of ours become status 400 with their message as text."""

    async def told(request: Any) -> Any:
        from starlette.responses import PlainTextResponse

        try:
            return await handler(request)
        except FacewaveError as error:
            # Where the server kept the clip for a moment tells the user nothing.
            kept = re.escape(tempfile.gettempdir()) + r"/[^/\s]+/"
            return PlainTextResponse(re.sub(kept, "", str(error)), status_code=400)

    return told
