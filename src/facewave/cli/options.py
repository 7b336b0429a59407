"""Options that take `name=value`, and the settings that the animating commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from ..emotion_files import read_emotion_keys
from ..emotions import EmotionSettings
from ..settings import FacewaveSettings, load_settings
from ..streams import StreamSettings, Transcript
from ..timing import frame_rate


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
    settings = load_settings()
    models = settings.models
    models = replace(
        models, face=face or models.face, emotion=emotion or models.emotion, device=device or models.device
    )
    embedded = replace(settings.embedded, emotion_model=emotion or settings.embedded.emotion_model)
    return replace(settings, models=models, embedded=embedded)
