"""Choices that belong to a model rather than to a stream; the defaults give the face that NVIDIA's SDK gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from .executors.emotion import EmotionRate
from .post.solver import Method


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model is run. Every default is the behaviour of NVIDIA's SDK; other values are corrections or variants."""

    solver: Method = "exact"
    """Blend-shape solver: see `BlendshapeSolver`. `admm` is what NVIDIA's service uses on a GPU."""

    ignore_unpaired: bool = False
    """True keeps two poses without a pair id from being taken for a pair when they are the only two such poses."""

    consistent_temporal: bool = False
    """True weighs the previous frame's weights as the solver's matrix does, so that the temporal strength smooths."""

    constant_noise: bool = True
    """Diffusion: one block of noise for every window; False draws a new one for each."""

    noise_seed: int = 0
    """Diffusion: which sequence of noise; 0 is NVIDIA's."""

    file_input_strength: bool = False
    """Diffusion: True applies the `input_strength` of the model's configuration, which NVIDIA's SDK reads and drops."""

    exact_frame_times: bool = False
    """Diffusion: True keeps frame times exact where a window's frames do not fill whole samples."""

    emotion_rate: EmotionRate = field(default_factory=EmotionRate)
    """How often Audio2Emotion runs."""

    emotion_feedback: bool = True
    """False starts emotions that no class maps to from 0 at each frame, instead of from their last output."""
