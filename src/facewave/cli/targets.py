"""Where `facewave live` and `facewave play` send frames while they are made."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..runtime.curve_source import AudioCurveSource
    from ..runtime.live_outputs import LiveOutputs
    from ..runtime.workers import Workers

To = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="URL",
        help="Send frames there: livelink://host:11111 (Unreal), vmc://host:39539 (VTuber apps), osc://host:9000, "
        "ws://127.0.0.1:8765 (web pages), stdout: (JSON lines). Options behind ?, as ?fps=30. Repeatable.",
    ),
]
ToFps = Annotated[str, typer.Option("--to-fps", help="Frames per second sent to targets that name no ?fps=.")]


@contextmanager
def sending(
    source: AudioCurveSource, urls: list[str] | None, fps: str, console: Console, workers: Workers
) -> Iterator[LiveOutputs]:
    """The targets, open; on the way out, whatever the reason, they get the rest pose.

    A termination signal counts as Ctrl-C while they are open.
    """
    from ..runtime.live_outputs import LiveOutputs

    def failed(name: str, error: Exception) -> None:
        console.print(f"warning: {error}; the other targets go on", soft_wrap=True)

    with (
        _terminated_is_interrupted(),
        LiveOutputs(source, urls or (), fps=fps, on_failed=failed, workers=workers) as to,
    ):
        for name in to.names:
            console.print(f"sending to {name}", soft_wrap=True)
        yield to


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
