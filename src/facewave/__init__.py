"""Speech to 3D facial animation: ARKit blend-shape weights with emotion, in real time, on any CPU."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .emotions import EMOTIONS as EMOTIONS
    from .emotions import EmotionSettings as EmotionSettings
    from .emotions import EmotionTrack as EmotionTrack
    from .errors import FacewaveError as FacewaveError
    from .frames import Animation as Animation
    from .frames import Frame as Frame
    from .frames import StreamInfo as StreamInfo
    from .outputs.live import open_live_output as open_live_output
    from .pipeline import animate as animate
    from .providers import open_provider as open_provider
    from .providers import provider_names as provider_names
    from .runtime.consumers import Consumer as Consumer
    from .runtime.consumers import OutputConsumer as OutputConsumer
    from .runtime.curve_source import AudioCurveSource as AudioCurveSource
    from .runtime.live_outputs import LiveOutputs as LiveOutputs
    from .runtime.runtime import Runtime as Runtime
    from .streams import StreamSettings as StreamSettings
    from .streams import Transcript as Transcript

__version__ = "0.1.0"

_WHERE = {
    "EMOTIONS": "emotions",
    "Animation": "frames",
    "AudioCurveSource": "runtime.curve_source",
    "Consumer": "runtime.consumers",
    "EmotionSettings": "emotions",
    "EmotionTrack": "emotions",
    "FacewaveError": "errors",
    "Frame": "frames",
    "LiveOutputs": "runtime.live_outputs",
    "OutputConsumer": "runtime.consumers",
    "Runtime": "runtime.runtime",
    "StreamInfo": "frames",
    "StreamSettings": "streams",
    "Transcript": "streams",
    "animate": "pipeline",
    "open_live_output": "outputs.live",
    "open_provider": "providers",
    "provider_names": "providers",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> object:
    # Names load on first use: importing facewave costs nothing that the program does not need.
    if name not in _WHERE:
        raise AttributeError(f"module 'facewave' has no attribute {name!r}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
