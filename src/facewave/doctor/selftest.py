"""The bundled clip through the bundled model, and through a server on this machine, with timings."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..audio.files import read_audio
from ..errors import FacewaveError
from ..pipeline import animate
from ..providers import open_provider
from ..settings import FacewaveSettings
from ..streams import StreamSettings
from ..timing import SAMPLE_RATE, frames_in

if TYPE_CHECKING:
    from ..providers.base import Provider

_FIRST, _REST = SAMPLE_RATE // 50, SAMPLE_RATE // 10
"""Samples pushed at once: little until the first frame, whose delay is measured, then what clients send."""

_SERVER_PACKAGES = ("grpc_health", "grpc_reflection")


def run(progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every test: name, `ok` (None where it was left out), what it found, and why it failed or was left out.

    Args:
        progress: Told what begins.
    """
    tests: dict[str, Callable[[], dict[str, float]]] = {"bundled model": bundled_model, "loopback server": server}
    rows = []
    for name, test in tests.items():
        row: dict[str, Any] = {"name": name, "ok": True, "found": {}, "why": ""}
        if test is server and not server_extra_is_here():
            row |= {"ok": None, "why": "left out: pip install 'facewave[server]'"}
        else:
            progress(name)
            try:
                row["found"] = test()
            except FacewaveError as error:
                row |= {"ok": False, "why": str(error)}
            except Exception as error:  # whatever is broken here, the report must come out
                row |= {"ok": False, "why": f"{type(error).__name__}: {error}"}
        rows.append(row)
    return rows


def server_extra_is_here() -> bool:
    """Whether a server can be started."""
    return all(find_spec(package) is not None for package in _SERVER_PACKAGES)


def bundled_model() -> dict[str, float]:
    """Load it, push the clip as a microphone would, but at once, and count the frames."""
    clip = read_audio(demo_clip())
    samples = clip.mono_16k()
    began = time.perf_counter()
    provider = open_provider("Embedded", FacewaveSettings())
    provider.allocate()
    loaded = time.perf_counter()
    session = provider.open(StreamSettings())
    count, first, heard, first_heard = 0, loaded, 0, 0
    while heard < len(samples):
        chunk = samples[heard : heard + (_REST if count else _FIRST)]
        heard += len(chunk)
        frames = len(session.push(chunk))
        if frames and not count:
            first, first_heard = time.perf_counter(), heard
        count += frames
    count += len(session.finish())
    ended = time.perf_counter()
    expected = frames_in(len(samples), provider.info.frame_rate)
    _counted(count, expected)
    return {
        "load_s": round(loaded - began, 3),
        "first_frame_s": round(first - loaded, 4),
        "first_frame_after_audio_s": round(first_heard / SAMPLE_RATE, 3),
        "real_time_factor": round((ended - loaded) / clip.duration_s, 4),
        "frames": count,
    }


def server() -> dict[str, float]:
    """Serve the bundled model on a free port of this machine and send it the clip."""
    from ..providers.remote.connection import Connection
    from ..providers.remote.provider import RemoteA2F

    began = time.perf_counter()
    with _serving(open_provider("Embedded", FacewaveSettings())) as port:
        ready = time.perf_counter()
        client = RemoteA2F(Connection(url=f"http://127.0.0.1:{port}"))
        try:
            take = animate(demo_clip(), provider=client)
        finally:
            client.free()
        ended = time.perf_counter()
    _counted(len(take), frames_in(len(read_audio(demo_clip()).mono_16k()), take.frame_rate))
    return {
        "start_s": round(ready - began, 3),
        "call_s": round(ended - ready, 3),
        "real_time_factor": round((ended - ready) / take.duration_s, 4),
        "frames": len(take),
    }


def demo_clip() -> Path:
    """The bundled speech."""
    return Path(str(resources.files("facewave") / "data" / "demo.wav"))


def _counted(found: int, expected: int) -> None:
    if found != expected:
        raise FacewaveError(f"found {found} frames, expected {expected}")


@contextmanager
def _serving(provider: Provider) -> Iterator[int]:
    from dataclasses import replace

    from ..server.config import load_config
    from ..server.server import ServeOptions, Server

    config = load_config()
    config = replace(config, endpoint=replace(config.endpoint, address="127.0.0.1:0"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="facewave-doctor")
    thread.start()
    try:
        server = Server(provider, config, ServeOptions(http_address=None))
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(60)
        try:
            yield server.ports["grpc"]
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
