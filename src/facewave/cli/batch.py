"""`facewave batch`: many clips, in parallel and resumable."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    Clamp,
    Device,
    Emotion,
    EmotionKeysFile,
    EmotionModel,
    EmotionStrength,
    FaceParameter,
    Fps,
    Model,
    Multiplier,
    NoIdle,
    NoTongue,
    Offset,
    OverrideStrength,
    ProviderName,
    Seed,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ..batch.local import Summary
    from ..batch.plan import Plan

_ERRORS_SHOWN = 20


class Engine(StrEnum):
    """Where a batch runs."""

    LOCAL = "local"
    RAY = "ray"


def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Audio files, folders with all in them, patterns ('takes/**/*.wav'), or @FILE, a list of those.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Folder for the animations and the manifest.")
    ],
    file_format: Annotated[
        str, typer.Option("--format", metavar="EXT", help="Format of the animations. Ray: always Parquet.")
    ] = "csv",
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Processes at the same time. Default: one a core.")
    ] = None,
    fps: Fps = None,
    provider: ProviderName = "",
    emotion: Emotion = None,
    emotion_keys: EmotionKeysFile = None,
    emotion_strength: EmotionStrength = 0.6,
    override_strength: OverrideStrength = 0.5,
    face_parameter: FaceParameter = None,
    multiplier: Multiplier = None,
    offset: Offset = None,
    clamp: Clamp = False,
    no_idle: NoIdle = False,
    seed: Seed = 0,
    no_tongue: NoTongue = False,
    model: Model = "",
    emotion_model: EmotionModel = "",
    device: Device = "",
    engine: Annotated[
        Engine, typer.Option(help="local: processes of this machine. ray: Ray Data, on this machine or a cluster.")
    ] = Engine.LOCAL,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Ray: cluster to join; `auto` for the one at hand. Default: own.")
    ] = "",
) -> None:
    """Animate many clips, each into a file of its own, on all cores.

    What is there already for the same audio, settings and model is not done again, so that a batch which was stopped
    or killed goes on where it was. One clip's error does not stop the others; DIR/manifest.jsonl tells what became of
    each. Exit code 1: some clips failed.
    """
    from ..batch.plan import Plan
    from ..outputs import shows_visemes
    from .options import model_settings, stream_settings

    extension = ".parquet" if engine is Engine.RAY else f".{file_format.lstrip('.')}"
    settings = stream_settings(
        fps=fps,
        emotion=emotion or (),
        emotion_strength=emotion_strength,
        override_strength=override_strength,
        emotion_keys=emotion_keys,
        face_parameter=face_parameter or (),
        multiplier=multiplier or (),
        offset=offset or (),
        clamp=clamp,
        idle=not no_idle,
        seed=seed,
        visemes=shows_visemes(f"take{extension}"),
    )
    plan = Plan(provider, model_settings(model, emotion_model, device), settings, extension, no_tongue)
    if engine is Engine.RAY:
        _with_ray(inputs, output, plan, workers, address)
    else:
        _on_this_machine(inputs, Path(output), plan, workers)


def _on_this_machine(inputs: list[str], output: Path, plan: Plan, workers: int | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from ..batch.local import animate_files

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    latest: Summary | None = None
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("starting", total=None)

            def show(done: float, so_far: Summary) -> None:
                nonlocal latest
                latest = so_far
                failed = f", {len(so_far.failed)} failed" if so_far.failed else ""
                text = f"{so_far.done} of {so_far.total} clips{failed}"
                bar.update(task, total=so_far.total, completed=done, description=text)

            summary = animate_files(inputs, output, plan, workers=workers, progress=show)
    except KeyboardInterrupt:
        if latest is not None:
            console.print(
                f"stopped: {latest.done} of {latest.total} clips are done; the same command goes on from here"
            )
        raise
    _report(console, summary, output)
    if summary.failed:
        raise typer.Exit(1)


def _with_ray(inputs: list[str], output: str, plan: Plan, workers: int | None, address: str) -> None:
    from rich.console import Console

    from ..batch.ray import animate_with_ray

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    summary = animate_with_ray(inputs, output, plan, workers=workers, address=address)
    console.print(
        f"{summary.total} clips: {summary.animated} animated, {summary.skipped} there before, "
        f"{len(summary.failed)} failed; {output} holds them as Parquet"
    )
    _show_errors(console, summary.failed)
    if summary.failed:
        raise typer.Exit(1)


def _report(console: Console, summary: Summary, output: Path) -> None:
    speed = f" ({summary.speech_s / summary.spent_s:.0f} times real time)" if summary.animated else ""
    console.print(
        f"{summary.total} clips: {summary.animated} animated, {summary.skipped} there before, "
        f"{len(summary.failed)} failed; {summary.speech_s:.1f} s of speech in {summary.spent_s:.1f} s{speed} "
        f"by {summary.workers} process{'es' * (summary.workers != 1)}; {output / 'manifest.jsonl'} tells each"
    )
    _show_errors(console, [row.error or "" for row in summary.failed])


def _show_errors(console: Console, errors: list[str]) -> None:
    for error in errors[:_ERRORS_SHOWN]:
        console.print(f"failed: {error}", style="red", markup=False)
    if len(errors) > _ERRORS_SHOWN:
        console.print(f"... and {len(errors) - _ERRORS_SHOWN} more")
