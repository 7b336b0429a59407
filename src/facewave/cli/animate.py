"""`facewave animate`: audio files to animation files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..providers.base import Provider
    from ..streams import StreamSettings


def animate(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="IN...", help="Audio files (wav, flac, ogg, opus, aiff, mp3) or folders of them."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT", help="File to write, or a folder for several inputs."),
    ],
    fps: Annotated[
        str | None, typer.Option(help="Frames per second: 60, 29.97, 30000/1001. Default: the provider's, 60.")
    ] = None,
    provider: Annotated[
        str, typer.Option("--provider", "-p", help="Who animates; `facewave providers` lists them.")
    ] = "",
    emotion: Annotated[
        list[str] | None, typer.Option(metavar="NAME=0..1", help="Emotion for the whole clip, as joy=0.8. Repeatable.")
    ] = None,
    emotion_keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Emotions over time: JSON keys, or NVIDIA's YAML.")
    ] = None,
    emotion_strength: Annotated[float, typer.Option(help="Overall emotion strength, 0 to 1.")] = 0.6,
    override_strength: Annotated[
        float, typer.Option(help="Given against detected emotion: 0 detected only, 1 given only.")
    ] = 0.5,
    face_parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Face parameter, as lowerFaceStrength=1.2. Repeatable."),
    ] = None,
    multiplier: Annotated[
        list[str] | None, typer.Option(metavar="CHANNEL=X", help="Multiply a channel, as jawOpen=0.8. Repeatable.")
    ] = None,
    offset: Annotated[
        list[str] | None, typer.Option(metavar="CHANNEL=X", help="Add to a channel, as mouthSmileLeft=0.1. Repeatable.")
    ] = None,
    clamp: Annotated[bool, typer.Option("--clamp", help="Limit weights to 0..1 at the end.")] = False,
    no_idle: Annotated[
        bool, typer.Option("--no-idle", help="No blinks, glances, brow raises and breaths of the model's own.")
    ] = False,
    seed: Annotated[int, typer.Option(help="When the idle life blinks and glances.")] = 0,
    no_tongue: Annotated[bool, typer.Option("--no-tongue", help="Write the 52 ARKit channels only.")] = False,
    emotions: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also write the emotion track to this CSV (one input).")
    ] = None,
    visemes: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Also write a viseme track: 15 OVR names, Azure ids (one input)."),
    ] = None,
    avatar: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Put it on a model: a file for glTF, VRMA and USD, an object for Blender, a path for Unity.",
        ),
    ] = None,
    file_format: Annotated[
        str, typer.Option("--format", metavar="EXT", help="Format of the files in an output folder.")
    ] = "csv",
    model: Annotated[
        str, typer.Option(metavar="PATH", help="LocalA2F: a model folder, or a model's name in the store.")
    ] = "",
    emotion_model: Annotated[
        str, typer.Option(metavar="PATH", help="LocalA2F: Audio2Emotion folder or name; `none` for no detection.")
    ] = "",
    device: Annotated[
        str, typer.Option(help="LocalA2F: cpu, cuda, tensorrt, coreml or directml. Default: models.device, cpu.")
    ] = "",
    geometry: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="LocalA2F: also write vertices, jaw and eyes: .npz, .usda, .usdc (one input)."
        ),
    ] = None,
) -> None:
    """Animate speech: one file, several, or whole folders.

    The extension of OUT names the format: .csv (NVIDIA's sample client), .livelink.csv (Live Link Face), .json
    (Audio2Face export), .glb and .gltf, .vrma, .usda and .usdc, .blender.py, .anim (Unity), .html or .npz. A file
    appears whole or not at all.
    """
    from ..providers import open_provider
    from .options import model_settings, stream_settings

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
        visemes=visemes is not None or output.suffix == ".npz",
        geometry=geometry is not None,
    )
    jobs = _jobs(inputs, output, file_format)
    for option, track in (("--emotions", emotions), ("--visemes", visemes), ("--geometry", geometry)):
        if track is not None and len(jobs) > 1:
            raise typer.BadParameter("takes one input; each input has a track of its own", param_hint=option)
    chosen = open_provider(provider, model_settings(model, emotion_model, device))
    for source, target in jobs:
        _animate_one(
            source,
            target,
            chosen,
            settings,
            no_tongue=no_tongue,
            emotions=emotions,
            visemes=visemes,
            avatar=avatar,
            geometry=geometry,
        )


def _jobs(inputs: list[Path], output: Path, file_format: str) -> list[tuple[Path, Path]]:
    """(audio, animation) for every input; a folder as output keeps the inputs' names."""
    from ..audio.files import audio_files
    from ..errors import AudioError

    sources: list[Path] = []
    for path in inputs:
        found = audio_files(path) if path.is_dir() else [path]
        if not found:
            raise AudioError(f"{path}: the folder holds no audio files")
        sources += found
    single = len(inputs) == 1 and not inputs[0].is_dir() and not output.is_dir()
    if single:
        return [(sources[0], output)]
    if output.exists() and not output.is_dir():
        raise typer.BadParameter(f"{output} is a file; several inputs need a folder", param_hint="--output")
    output.mkdir(parents=True, exist_ok=True)
    targets = [output / f"{path.stem}.{file_format.lstrip('.')}" for path in sources]
    twice = {target for target in targets if targets.count(target) > 1}
    if twice:
        names = ", ".join(sorted(str(path) for path, target in zip(sources, targets, strict=True) if target in twice))
        raise typer.BadParameter(
            f"{names} would be written to one file; animate them one by one", param_hint="--output"
        )
    return list(zip(sources, targets, strict=True))


def _animate_one(
    source: Path,
    target: Path,
    provider: Provider,
    settings: StreamSettings,
    *,
    no_tongue: bool,
    emotions: Path | None,
    visemes: Path | None,
    avatar: Path | None,
    geometry: Path | None,
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from ..blendshapes import TONGUE
    from ..outputs import check_extension
    from ..outputs.geometry import GeometryFile
    from ..pipeline import animate as run

    check_extension(target, avatar=avatar)
    also = None if geometry is None else GeometryFile(geometry)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(source.name, total=1.0)
        began = time.perf_counter()
        take = run(
            source,
            provider=provider,
            settings=settings,
            progress=lambda share: progress.update(task, completed=share),
            also=also,
        )
        if no_tongue:
            take = take.with_channels([name for name in take.channels if name not in TONGUE])
        told = take.save(target, emotions=emotions, visemes=visemes, avatar=avatar)
        spent = time.perf_counter() - began
    console.print(
        f"{source} -> {target}: {len(take)} frames at {float(take.frame_rate):g} fps, {take.duration_s:.1f} s "
        f"of speech in {spent:.2f} s (real-time factor {spent / max(take.duration_s, 1e-9):.3f})",
        soft_wrap=True,
        highlight=False,
    )
    if told is not None:
        console.print("\n".join(told.lines()), soft_wrap=True, highlight=False, markup=False)
