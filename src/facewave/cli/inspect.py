"""`facewave inspect`: what is in an audio or animation file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..audio.clip import AudioClip
    from ..frames import Animation


def inspect(
    file: Annotated[Path, typer.Argument(help="An audio or animation file.")],
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", "-c", help="Channel to plot. Repeatable. Default: jawOpen, mouthClose."),
    ] = None,
    width: Annotated[int, typer.Option(help="Width of the plots in characters.", min=8, max=400)] = 72,
) -> None:
    """Show what a file holds: duration, rate, channels, the range of each channel, and a plot."""
    from rich.console import Console

    from ..audio.files import EXTENSIONS, read_audio
    from ..frames import Animation

    console = Console(highlight=False)
    if file.suffix.lower() in EXTENSIONS:
        _show_audio(console, read_audio(file), width)
    else:
        _show_animation(console, file, Animation.load(file), channel, width)


def _show_audio(console: Console, clip: AudioClip, width: int) -> None:
    import numpy as np

    from .plot import curve

    level = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(clip.samples)))), 1e-10))
    peak = 20 * np.log10(max(float(np.abs(clip.samples).max()), 1e-10))
    console.print(f"{clip.path}: audio, {clip.duration_s:.3f} s, {clip.sample_rate} Hz, {clip.channels} channel(s)")
    console.print(f"level {level:.1f} dBFS RMS, peak {peak:.1f} dBFS")
    for line in curve(np.abs(clip.samples).max(axis=1), width):
        console.print(line)


def _show_animation(console: Console, file: Path, take: Animation, channels: list[str] | None, width: int) -> None:
    from rich.table import Table

    from ..blendshapes import require
    from ..visemes import timeline
    from .plot import curve

    console.print(
        f"{file}: animation, {take.duration_s:.3f} s, {len(take)} frames at {float(take.frame_rate):g} fps, "
        f"{len(take.channels)} channels"
    )
    if not len(take):
        return
    table = Table("channel", "min", "mean", "max", title="channels that move")
    for name, values in zip(take.channels, take.weights.T, strict=True):
        if values.any():
            table.add_row(name, f"{values.min():.3f}", f"{values.mean():.3f}", f"{values.max():.3f}")
    console.print(table)
    if take.visemes is not None:
        spoken = [(start, name) for start, _, name in timeline(take.visemes, take.frame_rate)]
        console.print("visemes: " + " ".join(f"{start:.2f} {name}" for start, name in spoken), soft_wrap=True)
    wanted = [require(name) for name in channels] if channels else ["jawOpen", "mouthClose"]
    for name in wanted:
        if channels or name in take.channels:
            console.print(f"{name}, 0 to 1")
            for line in curve(take.channel(name), width, top=1.0):
                console.print(line)
