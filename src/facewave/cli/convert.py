"""`facewave convert`: animation files to other formats, frame rates, lengths and channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def convert(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="IN... [OUT]", help="Animation files; without --output, one and the file to write."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="File to write; several inputs follow one another in it."),
    ] = None,
    fps: Annotated[
        str | None, typer.Option(help="Frames per second to write: 60, 29.97, 30000/1001. Default: the first input's.")
    ] = None,
    start: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Leave out what comes before.")] = 0.0,
    end: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Leave out what comes from here on.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="A=B", help="Channel A of the input is called B. Repeatable.")
    ] = None,
    channel_map: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE.toml", help="Table [channels]: other names, factors, channels left out."),
    ] = None,
    no_tongue: Annotated[bool, typer.Option("--no-tongue", help="Leave the 16 tongue channels out.")] = False,
) -> None:
    """Turn animation files into another format, frame rate, length or set of channels.

    What an input is, its content tells; the extension of OUT names the format to write. Times are those of the
    inputs one after the other.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ..blendshapes import TONGUE
    from ..frames import Animation
    from ..outputs import check_extension, read_animation
    from ..timing import frame_rate

    inputs, target = _inputs_and_target(files, output)
    check_extension(target)
    rate = None if fps is None else frame_rate(fps)
    channels = _channel_map(rename or (), channel_map)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=len(inputs) + 2)
        takes = []
        for path in inputs:
            progress.update(task, description=path.name)
            takes.append(read_animation(path, keep=tuple(channels)))
            progress.advance(task)
        progress.update(task, description="converting")
        take = Animation.joined(takes, rate)
        if start or end is not None:
            take = take.trimmed(start, end)
        if channels:
            take = take.mapped(channels)
        if no_tongue:
            take = take.with_channels([name for name in take.channels if name not in TONGUE])
        progress.update(task, description=target.name, advance=1)
        take.save(target)
    console.print(
        f"{', '.join(map(str, inputs))} -> {target}: {len(take)} frames at {float(take.frame_rate):g} fps, "
        f"{take.duration_s:.1f} s, {len(take.channels)} channels",
        soft_wrap=True,
        highlight=False,
    )


def _inputs_and_target(files: list[Path], output: Path | None) -> tuple[list[Path], Path]:
    if output is not None:
        return files, output
    if len(files) != 2:
        raise typer.BadParameter(
            f"found {len(files)} file{'s' * (len(files) != 1)} and no --output, expected IN OUT, or IN... -o OUT",
            param_hint="IN... [OUT]",
        )
    return files[:1], files[1]


def _channel_map(pairs: Sequence[str], file: Path | None) -> dict[str, dict[str, float]]:
    """Channel -> what it moves with which factor, from the options; --rename comes after --map."""
    from ..blendshapes import canonical
    from ..channel_maps import read_channel_map

    channels: dict[str, dict[str, float]] = {} if file is None else read_channel_map(file)
    for pair in pairs:
        name, equals, other = (part.strip() for part in pair.partition("="))
        if not name or not equals or not other:
            raise typer.BadParameter(f"found {pair!r}, expected A=B", param_hint="--rename")
        channels[canonical(name) or name] = {canonical(other) or other: 1.0}
    return channels
