"""Configuration of an Audio2Emotion model: how the logits of its classes become a face-emotion vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .json_file import JsonObject


@dataclass(frozen=True, slots=True, eq=False)
class EmotionConfig:
    """The object `post_processing_config` of a model's configuration."""

    output_length: int
    """Length of the produced vector: the number of explicit emotions of the face model."""

    correspondence: NDArray[np.int64]
    """Shape (classes,): place of each class in the produced vector, -1 for a class that is dropped."""

    contrast: float
    """Factor on the logits before the softmax."""

    max_emotions: int
    """How many of the largest classes are kept."""

    live_blend: float
    """Share of the previous frame's value."""

    prefer: bool
    """Whether the preferred emotion is mixed in."""

    preferred_strength: float
    """Share of the preferred emotion."""

    preferred: NDArray[np.float32]
    """Shape (output_length,)."""

    transition_s: float
    """Seconds a change of emotion takes; `transition_smoothing` in the file."""

    strength: float
    """Gain at the very end."""


def read_emotion_config(file: JsonObject, classes: Sequence[str]) -> EmotionConfig:
    """Read `post_processing_config`.

    Raises:
        ModelFormatError: A key is missing, of the wrong type or length, or a class has no place.
    """
    config = file.object("post_processing_config")
    length = config.integer("output_emotion_length", 1)
    places = config.object("emotion_correspondence")
    correspondence = []
    for name in classes:
        place = places.integer(name, -1)
        if place >= length:
            places.refuse(name, f"-1 to {length - 1} (output_emotion_length is {length})")
        correspondence.append(place)
    config.number("fixed_dt")  # part of the format; NVIDIA's executors put 1 / frame rate in its place
    return EmotionConfig(
        length,
        np.array(correspondence, np.int64),
        config.number("emotion_contrast"),
        config.integer("max_emotions", 0),
        config.number("live_blend_coef"),
        config.boolean("enable_preferred_emotion"),
        config.number("preferred_emotion_strength"),
        np.array(config.numbers("preferred_emotion", length), np.float32),
        config.number("transition_smoothing"),
        config.number("emotion_strength"),
    )
