"""The options that the animating commands share, and the settings they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..settings import FacewaveSettings
    from ..streams import StreamSettings, Transcript


Fps = Annotated[str | None, typer.Option(help="Frames per second: 60, 29.97, 30000/1001. Default: the provider's, 60.")]
ProviderName = Annotated[str, typer.Option("--provider", "-p", help="Who animates; `facewave providers` lists them.")]
Emotion = Annotated[
    list[str] | None, typer.Option(metavar="NAME=0..1", help="Emotion for the whole clip, as joy=0.8. Repeatable.")
]
EmotionKeysFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Emotions over time: JSON keys, or NVIDIA's YAML.")
]
EmotionStrength = Annotated[float, typer.Option(help="Overall emotion strength, 0 to 1.")]
OverrideStrength = Annotated[float, typer.Option(help="Given against detected emotion: 0 detected only, 1 given only.")]
FaceParameter = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Face parameter, as lowerFaceStrength=1.2. Repeatable."),
]
Multiplier = Annotated[
    list[str] | None, typer.Option(metavar="CHANNEL=X", help="Multiply a channel, as jawOpen=0.8. Repeatable.")
]
Offset = Annotated[
    list[str] | None, typer.Option(metavar="CHANNEL=X", help="Add to a channel, as mouthSmileLeft=0.1. Repeatable.")
]
Clamp = Annotated[bool, typer.Option("--clamp", help="Limit weights to 0..1 at the end.")]
NoIdle = Annotated[
    bool, typer.Option("--no-idle", help="No blinks, glances, brow raises and breaths of the model's own.")
]
Seed = Annotated[int, typer.Option(help="When the idle life blinks and glances.")]
NoTongue = Annotated[bool, typer.Option("--no-tongue", help="Write the 52 ARKit channels only.")]
Model = Annotated[str, typer.Option(metavar="PATH", help="LocalA2F: a model folder, or a model's name in the store.")]
EmotionModel = Annotated[
    str, typer.Option(metavar="PATH", help="Embedded, LocalA2F: Audio2Emotion folder or name; `none` for no detection.")
]
Device = Annotated[
    str, typer.Option(help="LocalA2F: cpu, cuda, tensorrt, coreml or directml. Default: models.device, cpu.")
]


def named_values(pairs: Sequence[str], option: str) -> dict[str, float]:
    """`["joy=0.8"]` -> `{"joy": 0.8}`; a usage error names the option."""
    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        try:
            values[name.strip()] = float(text)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise typer.BadParameter(f"found {pair!r}, expected NAME=NUMBER", param_hint=option)
    return values


def stream_settings(
    *,
    fps: str | None,
    emotion: Sequence[str],
    emotion_strength: float,
    override_strength: float,
    emotion_keys: Path | None,
    face_parameter: Sequence[str],
    multiplier: Sequence[str],
    offset: Sequence[str],
    clamp: bool,
    idle: bool = True,
    seed: int = 0,
    geometry: bool = False,
    visemes: bool = False,
    transcript: str = "",
    language: str = "en",
) -> StreamSettings:
    """The stream settings that the command's options describe."""
    from ..emotion_files import read_emotion_keys
    from ..emotions import EmotionSettings
    from ..streams import StreamSettings
    from ..timing import frame_rate

    return StreamSettings(
        frame_rate=None if fps is None else frame_rate(fps),
        emotion=EmotionSettings(
            strength=emotion_strength,
            override_strength=override_strength,
            overrides=named_values(emotion, "--emotion"),
        ),
        emotion_track=None if emotion_keys is None else read_emotion_keys(emotion_keys),
        face_parameters=named_values(face_parameter, "--face-parameter"),
        multipliers=named_values(multiplier, "--multiplier"),
        offsets=named_values(offset, "--offset"),
        clamp=clamp,
        idle=idle,
        seed=seed,
        geometry=geometry,
        visemes=visemes,
        transcript=_transcript(transcript, language),
    )


def _transcript(given: str, language: str) -> Transcript | None:
    """The words themselves, or those in the file of that name."""
    if not given:
        return None
    from ..streams import Transcript

    path = Path(given)
    try:
        is_file = path.is_file()
    except OSError:  # a text too long for a file name
        is_file = False
    try:
        return Transcript(path.read_text("utf-8") if is_file else given, language)
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(
            f"{path}: cannot be read as UTF-8 text ({error})", param_hint="--transcript"
        ) from error


def model_settings(face: str, emotion: str, device: str) -> FacewaveSettings:
    """The project's settings with the models and the device that options name; blank keeps the settings' own."""
    from ..settings import load_settings

    settings = load_settings()
    models = settings.models
    models = replace(
        models, face=face or models.face, emotion=emotion or models.emotion, device=device or models.device
    )
    embedded = replace(settings.embedded, emotion_model=emotion or settings.embedded.emotion_model)
    return replace(settings, models=models, embedded=embedded)
