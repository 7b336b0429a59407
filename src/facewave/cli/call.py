"""`facewave call`: one clip through any Audio2Face-3D service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .address import CaFile, CertFile, FunctionId, FunctionVersion, KeyFile, KeyVariable, Url, connection_of

if TYPE_CHECKING:
    from ..providers.remote.connection import Connection
    from ..providers.remote.legacy import Way
    from ..providers.remote.options import RemoteOptions
    from ..providers.remote.whole_clip import RemoteProvider, RemoteTake


def call(
    url: Url,
    audio: Annotated[Path, typer.Argument(metavar="IN", help="Audio file (wav, flac, ogg, opus, aiff, mp3).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Animation file; the extension names the format.")
    ],
    api_key_env: KeyVariable = "",
    function_id: FunctionId = "",
    function_version: FunctionVersion = "",
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    fps: Annotated[
        str | None, typer.Option(help="Frames per second to write. The service's are resampled; default: keep them.")
    ] = None,
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
    emotions: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also write the service's emotion track to this CSV.")
    ] = None,
    attempts: Annotated[
        int, typer.Option(min=1, help="Times the whole clip may be sent where the service fails half-way.")
    ] = 1,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds without an answer until giving up.")] = 30.0,
    legacy: Annotated[
        str,
        typer.Option(
            metavar="WAY", help="One-way protocol of old services: deliver, pull or controller. Default: none."
        ),
    ] = "",
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="For --legacy deliver: where the service brings its animation.")
    ] = "127.0.0.1:51000",
    pull_url: Annotated[
        str, typer.Option(metavar="URL", help="For --legacy pull: the service that has the animation.")
    ] = "",
) -> None:
    """Send a clip to an Audio2Face-3D service, one's own or NVIDIA's, and write the animation it returns."""
    from ..audio.files import read_audio
    from ..outputs import check_extension
    from ..providers.remote.options import RemoteOptions
    from ..timing import frame_rate
    from .options import stream_settings

    check_extension(output)
    rate = None if fps is None else frame_rate(fps)
    settings = stream_settings(
        fps=None,
        emotion=emotion or (),
        emotion_strength=emotion_strength,
        override_strength=override_strength,
        emotion_keys=emotion_keys,
        face_parameter=face_parameter or (),
        multiplier=multiplier or (),
        offset=offset or (),
        clamp=clamp,
    )
    connection = connection_of(
        url,
        key_variable=api_key_env,
        function_id=function_id,
        function_version=function_version,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        section="legacy" if legacy else "remote",
    )
    provider = _provider(connection, RemoteOptions(stall_timeout_s=timeout), legacy, listen, pull_url)
    clip = read_audio(audio)
    try:
        take = _animated(provider, clip.mono_16k(), settings, attempts, audio.name)
    finally:
        provider.free()
    animation = take.animation.with_channels(take.session.sent_channels) if len(take.animation) else take.animation
    if rate is not None and rate != animation.frame_rate:
        animation = animation.resampled(rate)
    animation.save(output, emotions=emotions)
    _report(take, audio, output, connection, clip.duration_s)


def _provider(connection: Connection, options: RemoteOptions, way: str, listen: str, pull_url: str) -> Any:
    if not way:
        from ..providers.remote.provider import RemoteA2F

        return RemoteA2F(connection, options)
    from ..providers.remote.legacy import LegacyA2F, LegacyRoute

    # A wrong word is refused by the route itself, with those there are.
    return LegacyA2F(connection, LegacyRoute(cast("Way", way), listen, pull_url), options)


def _animated(provider: RemoteProvider, samples: Any, settings: Any, attempts: int, name: str) -> RemoteTake:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ..providers.remote.provider import USUAL_RATE
    from ..providers.remote.whole_clip import animate_clip
    from ..timing import frames_in

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} frames"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=frames_in(len(samples), USUAL_RATE))
        return animate_clip(
            provider, samples, settings, attempts=attempts, progress=lambda n: progress.update(task, completed=n)
        )


def _report(take: RemoteTake, source: Path, target: Path, connection: Connection, duration_s: float) -> None:
    for note in take.session.notices:
        typer.echo(f"note: {note}", err=True)
    frames, rate = len(take.animation), float(take.animation.frame_rate)
    typer.echo(
        f"{source} -> {connection.target} -> {target}: {frames} frames at {rate:g} fps, "
        f"{len(take.session.sent_channels)} channels, {duration_s:.1f} s of speech in {take.spent_s:.2f} s, "
        f"first frame after {take.first_frame_s * 1000:.0f} ms"
        + (f", sent {take.attempts} times" if take.attempts > 1 else ""),
        err=True,
    )
