"""`facewave play`: a recording or an animation file, heard and sent in real time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .targets import To, ToFps

if TYPE_CHECKING:
    from ..audio.clip import AudioClip
    from ..frames import Animation
    from ..providers.base import Provider

_LOOK_S = 0.05


def play(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Audio, or an animation file; its sound is found beside it.")
    ],
    to: To = None,
    to_fps: ToFps = "60",
    audio: Annotated[
        Path | None, typer.Option("--audio", metavar="FILE", help="Sound of an animation file that names none.")
    ] = None,
    provider: Annotated[str, typer.Option("--provider", "-p", help="Who animates audio.")] = "",
    mute: Annotated[bool, typer.Option("--mute", help="Do not play the sound; only keep its time.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, until Ctrl-C.")] = False,
) -> None:
    """Play a file in real time and send its frames to Unreal, VTuber apps, OSC, web pages or a pipe.

    Every target gets frames at a steady rate, in step with the sound, and the rest pose at the end and on Ctrl-C.
    """
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from ..audio.files import read_audio
    from ..runtime.curve_source import AudioCurveSource
    from ..runtime.runtime import Runtime
    from ..runtime.workers import Threads
    from .targets import sending

    console = Console(stderr=True, highlight=False)
    take = _animation(file)
    if take is None and audio is not None:
        raise typer.BadParameter(f"{file} is audio itself", param_hint="--audio")
    animator: str | Provider = provider
    if take is None:
        clip = read_audio(file)
    else:
        from ..providers.replay import ReplayProvider

        clip, animator = _sound_of(take, file, audio), ReplayProvider(take)
    workers = Threads()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with (
        Runtime(workers=workers) as runtime,
        AudioCurveSource(device="null" if mute else "auto", workers=workers) as player,
        sending(player, to, to_fps, console, workers) as targets,
    ):
        try:
            again = True
            while again:
                with Progress(*columns, console=console, transient=True) as progress:
                    task = progress.add_task(file.name, total=clip.duration_s)
                    delivery = runtime.start_clip(player, clip, provider=animator)
                    while not delivery.done or player.state != "idle":
                        progress.update(task, completed=player.position_s)
                        time.sleep(_LOOK_S)
                delivery.result()
                ending = delivery.ending()
                if ending.error is not None:
                    raise ending.error
                again = loop
        except KeyboardInterrupt:
            console.print("stopped")
            runtime.cancel(player)
            player.wait(1.0)
            raise
    counts = ", ".join(f"{count} frames to {name}" for name, count in zip(targets.names, targets.sent, strict=True))
    console.print(f"{file}: {clip.duration_s:.1f} s" + (f", {counts}" if counts else ""), soft_wrap=True)


def _animation(file: Path) -> Animation | None:
    """The take in a file; None for audio."""
    from ..audio.files import EXTENSIONS
    from ..frames import Animation

    return None if file.suffix.lower() in EXTENSIONS else Animation.load(file)


def _sound_of(take: Animation, file: Path, audio: Path | None) -> AudioClip:
    """The sound of a take, or silence, as long as its frames at least."""
    import numpy as np

    from ..audio.clip import AudioClip
    from ..audio.files import read_audio
    from ..timing import SAMPLE_RATE

    found = audio
    if found is None and take.info.audio is not None:
        places = (take.info.audio, file.parent / take.info.audio.name)
        found = next((place for place in places if place.is_file()), None)
    clip = AudioClip(np.zeros((1, 1), np.float32), SAMPLE_RATE) if found is None else read_audio(found)
    missing = round(take.duration_s * clip.sample_rate) - len(clip.samples)
    if missing <= 0:
        return clip
    padded = np.pad(clip.samples, ((0, missing), (0, 0)))
    return AudioClip(padded, clip.sample_rate, clip.path)
