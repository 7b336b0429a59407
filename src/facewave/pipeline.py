"""Offline animation on one page: a clip through one session into an animation, and into a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .animation.retarget import retargeted
from .animation.rig import Rig, load_rig
from .audio.clip import AudioClip, from_array
from .audio.files import read_audio
from .frames import Animation, Frame
from .outputs import write_animation
from .outputs.base import Output
from .providers import open_provider
from .providers.base import Provider
from .streams import StreamSettings
from .timing import SAMPLE_RATE, frame_rate

CHUNK = 2 * SAMPLE_RATE
"""Samples pushed at once: large enough to be fast, small enough for progress and Ctrl-C."""


def animate(
    audio: str | Path | AudioClip | ArrayLike,
    *,
    sample_rate: int = SAMPLE_RATE,
    provider: str | Provider = "",
    settings: StreamSettings | None = None,
    fps: int | float | str | Fraction | None = None,
    output: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
    also: Output | None = None,
    rig: str | Path | Rig | None = None,
) -> Animation:
    """Animate a whole clip.

    Args:
        audio: A file, a clip, or samples of shape (n,) or (n, channels), float in [-1, 1] or int16.
        sample_rate: Hertz of samples given as an array.
        provider: A provider, or the name of one; blank for the default.
        settings: Emotion, face parameters, multipliers and so on.
        fps: Frames per second, short for `StreamSettings(frame_rate=...)`; None keeps the settings' or provider's.
        output: Also write the animation to this file; its extension names the format.
        progress: Called with the share done, 0..1.
        also: Another output that gets the stream, such as `GeometryFile`.
        rig: A rig's profile, a TOML file with one, or the name of a shipped one: the animation then has the rig's names
            and values.

    Returns:
        ceil(duration * fps) frames.

    Raises:
        AudioError: Audio that cannot be read or used.
        ProviderError, ModelError: The provider cannot do its work.
        SettingsError: A setting out of its range.
        OutputError: The file cannot be written.
    """
    if isinstance(audio, AudioClip):
        clip = audio
    elif isinstance(audio, (str, Path)):
        clip = read_audio(audio)
    else:
        clip = from_array(audio, sample_rate)
    if rig is not None and not isinstance(rig, Rig):
        rig = load_rig(rig)
    settings = settings or StreamSettings()
    if fps is not None:
        settings = replace(settings, frame_rate=frame_rate(fps))
    if isinstance(provider, str):
        provider = open_provider(provider)
    samples = clip.mono_16k()
    session = provider.open(settings)
    frames: list[Frame] = []
    try:
        if also is not None:
            also.start(session.info)
        for start in range(0, len(samples), CHUNK):
            frames += session.push(np.ascontiguousarray(samples[start : start + CHUNK]))
            if progress:
                progress(min(1.0, (start + CHUNK) / len(samples)))
        frames += session.finish()
        if also is not None:
            for frame in frames:
                also.write(frame)
            also.close()
    except BaseException:
        session.cancel()
        if also is not None:
            also.abort()
        raise
    animation = Animation.from_frames(replace(session.info, audio=clip.path, provider=provider.info.name), frames)
    if rig is not None:
        animation = retargeted(animation, rig)
    if output is not None:
        write_animation(animation, Path(output))
    return animation
