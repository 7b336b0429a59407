"""`facewave animate`: audio files to animation files."""

from __future__ import annotations

import time
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
    from ..animation.rig import Rig
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
    rig: Annotated[
        str,
        typer.Option(metavar="RIG", help="Write a rig's own values: its profile from `facewave calibrate`, or vrm1."),
    ] = "",
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
    transcript: Annotated[
        str,
        typer.Option(
            metavar="TEXT|FILE", help="Embedded: the words spoken; the mouth then follows them exactly (one input)."
        ),
    ] = "",
    language: Annotated[str, typer.Option(help="Language of the transcript: en, de, zh, an espeak-ng voice.")] = "en",
    model: Model = "",
    emotion_model: EmotionModel = "",
    device: Device = "",
    geometry: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="LocalA2F: also write vertices, jaw and eyes: .npz, .usda, .usdc (one input)."
        ),
    ] = None,
) -> None:
    """Animate speech: one file, several, or whole folders.

    The extension of OUT names the format: .csv (NVIDIA's sample client), .livelink.csv (Live Link Face), .json
    (Audio2Face export), .glb, .vrma, .usda, .blender.py, .anim (Unity), .html, .mp4, .npz, .parquet and others that
    README lists. A file appears whole or not at all.
    """
    from ..animation.rig import load_rig
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
        visemes=visemes is not None or _shows_visemes(output, file_format),
        geometry=geometry is not None,
        transcript=transcript,
        language=language,
    )
    jobs = _jobs(inputs, output, file_format)
    for option, track in (("--emotions", emotions), ("--visemes", visemes), ("--geometry", geometry),
                          ("--transcript", transcript or None)):  # fmt: skip
        if track is not None and len(jobs) > 1:
            raise typer.BadParameter("takes one input; each input has a track of its own", param_hint=option)
    driven = load_rig(rig) if rig else None
    if driven is not None:
        _check_names(driven, jobs[0][1], no_tongue)
    chosen = open_provider(provider, model_settings(model, emotion_model, device))
    if transcript and chosen.info.kind != "embedded":
        raise typer.BadParameter(
            f"{chosen.info.name} hears alone; only Embedded can be told the words", param_hint="--transcript"
        )
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
            rig=driven,
        )


def _check_names(rig: Rig, target: Path, no_tongue: bool) -> None:
    """Fail early where a rig's names cannot go into the file."""
    from ..blendshapes import CHANNELS

    foreign = [name for name in rig.targets if name not in CHANNELS]
    if foreign and target.name.lower().endswith((".livelink.csv", ".html")):
        raise typer.BadParameter(
            f"{target.name} holds ARKit's names only, and rig {rig.name} has others, such as {foreign[0]}; "
            "write .csv, .json or .npz",
            param_hint="--rig",
        )
    if no_tongue:
        raise typer.BadParameter("a rig's profile already says which shapes are written", param_hint="--no-tongue")


def _shows_visemes(output: Path, file_format: str) -> bool:
    from ..errors import OutputError
    from ..outputs import shows_visemes

    try:
        return shows_visemes(output.name)
    except OutputError:  # A folder.
        return shows_visemes(f"take.{file_format.lstrip('.')}")


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
    rig: Rig | None,
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
            rig=rig,
        )
        if no_tongue:
            take = take.with_channels([name for name in take.channels if name not in TONGUE])
        progress.update(task, description=f"{source.name} -> {target.name}")
        told = take.save(
            target,
            emotions=emotions,
            visemes=visemes,
            avatar=avatar,
            progress=lambda share: progress.update(task, completed=share),
        )
        spent = time.perf_counter() - began
    console.print(
        f"{source} -> {target}: {len(take)} frames at {float(take.frame_rate):g} fps, {take.duration_s:.1f} s "
        f"of speech in {spent:.2f} s (real-time factor {spent / max(take.duration_s, 1e-9):.3f})",
        soft_wrap=True,
        highlight=False,
    )
    if told is not None:
        console.print("\n".join(told.lines()), soft_wrap=True, highlight=False, markup=False)
