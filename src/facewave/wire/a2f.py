"""What clients send: audio, tuning and emotions, between protobuf messages and our values.

Reading is lenient where published clients are loose and strict where nothing sensible can be done:

- names nobody knows (emotions, shapes, face parameters) are ignored and noted;
- finite numbers outside their range are limited to it and noted;
- NaN and infinity are errors, because every frame after them would be lost;
- an unset optional field keeps the value in force, an explicit zero replaces it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import canonical, pascal
from ..emotions import EMOTIONS, MAX_KEY_S, EmotionSettings, EmotionTrack
from ..errors import AudioError, SettingsError
from ..parameters import face_parameter
from ..streams import StreamSettings
from ..timing import SAMPLE_RATE
from ._proto import a2f_pb2, audio_pb2, controller_pb2
from ._proto.animation_id_pb2 import AnimationIds
from ._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode

BYTES_PER_SAMPLE = 2
"""Audio travels as signed 16-bit little-endian mono."""

EmotionKeys = Mapping[float, Mapping[str, float]]
"""Seconds since the start of the clip -> emotion -> 0..1."""


Header = controller_pb2.AudioStreamHeader | a2f_pb2.AudioStreamHeader
"""The two first messages: only the legacy one has ids, and all field numbers differ."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Everything a stream header can say about the animation, as values in force."""

    emotion: EmotionSettings = field(default_factory=EmotionSettings)
    """How detected and given emotions combine."""

    override_enabled: bool = True
    """Whether given emotions count at all (`enable_preferred_emotion`)."""

    face_parameters: Mapping[str, float] = field(default_factory=dict)
    """Wire name -> value."""

    multipliers: Mapping[str, float] = field(default_factory=dict)
    """Channel -> factor."""

    offsets: Mapping[str, float] = field(default_factory=dict)
    """Channel -> addend."""

    clamp: bool = False
    """Limit weights to 0..1."""

    notes: tuple[str, ...] = ()
    """What was ignored or limited while reading, for logs."""

    def stream_settings(self, frame_rate: Fraction | None, keys: EmotionKeys | None = None) -> StreamSettings:
        """The settings to open a session with.

        Args:
            frame_rate: Frames per second; None for the provider's own.
            keys: Emotions known at the start.
        """
        strength = self.emotion.override_strength if self.override_enabled else 0.0
        emotion = replace(self.emotion, override_strength=strength)
        return StreamSettings(
            frame_rate=frame_rate,
            emotion=emotion,
            emotion_track=emotion_track(keys) if keys else None,
            face_parameters=self.face_parameters,
            multipliers=self.multipliers,
            offsets=self.offsets,
            clamp=self.clamp,
        )


def sample_rate_of(header: audio_pb2.AudioHeader) -> int:
    """Samples per second of 16-bit mono PCM.

    Raises:
        AudioError: Another encoding, channel count or sample size, or no rate.
    """
    if header.audio_format != audio_pb2.AudioHeader.AUDIO_FORMAT_PCM:
        raise AudioError(f"audio format: found {header.audio_format}, expected 0 (PCM)")
    if header.channel_count != 1:
        raise AudioError(f"audio channel count: found {header.channel_count}, expected 1 (mono)")
    if header.bits_per_sample != 8 * BYTES_PER_SAMPLE:
        raise AudioError(f"audio bits per sample: found {header.bits_per_sample}, expected 16")
    if header.samples_per_second == 0:
        raise AudioError("audio sample rate: found 0 or nothing, expected hertz, such as 16000")
    return int(header.samples_per_second)


def audio_header(sample_rate: int) -> audio_pb2.AudioHeader:
    """The description of 16-bit mono PCM at `sample_rate` hertz."""
    return audio_pb2.AudioHeader(
        audio_format=audio_pb2.AudioHeader.AUDIO_FORMAT_PCM,
        channel_count=1,
        samples_per_second=sample_rate,
        bits_per_sample=8 * BYTES_PER_SAMPLE,
    )


def samples_of(pcm: bytes | bytearray | memoryview) -> NDArray[np.float32]:
    """Shape (len(pcm) / 2,): 16-bit samples as numbers in [-1, 1).

    Raises:
        AudioError: Half a sample at the end.
    """
    if len(pcm) % BYTES_PER_SAMPLE:
        raise AudioError(f"audio buffer: found {len(pcm)} bytes, expected whole 16-bit samples (an even number)")
    return np.frombuffer(pcm, "<i2").astype(np.float32) * np.float32(1 / 32768)


def pcm_of(samples: NDArray[np.float32]) -> bytes:
    """16-bit PCM of samples, shape (n,), in [-1, 1]; louder ones are limited. Inverse of `samples_of`."""
    whole: NDArray[np.int16] = np.rint(np.clip(samples * np.float32(32768), -32768, 32767)).astype("<i2")
    return whole.tobytes()


def tuning_of(header: Header, defaults: Tuning | None = None) -> Tuning:
    """The tuning in force for one stream: what its header says, else `defaults`.

    Raises:
        SettingsError: A parameter that is NaN or infinite; the message names it.
    """
    base = Tuning() if defaults is None else defaults
    notes: list[str] = []
    shapes = header.blendshape_params
    return Tuning(
        emotion=_emotion_settings(header.emotion_post_processing_params, header.emotion_params, base.emotion, notes),
        override_enabled=_override_enabled(header.emotion_post_processing_params, base.override_enabled),
        face_parameters=dict(base.face_parameters) | face_parameters_of(header.face_params, notes),
        multipliers=dict(base.multipliers) | _channels("multiplier", shapes.bs_weight_multipliers, notes),
        offsets=dict(base.offsets) | _channels("offset", shapes.bs_weight_offsets, notes),
        clamp=shapes.enable_clamping_bs_weight if shapes.HasField("enable_clamping_bs_weight") else base.clamp,
        notes=tuple(notes),
    )


def face_parameters_of(message: a2f_pb2.FaceParameters, notes: list[str]) -> dict[str, float]:
    """Known face parameters within their ranges; what was ignored or limited is added to `notes`.

    Raises:
        SettingsError: NaN or infinity.
    """
    values = {}
    for name, value in message.float_params.items():
        row = face_parameter(name)
        if row is None:
            notes.append(f"face parameter {name}: unknown, ignored")
            continue
        values[row.name] = _limited(f"face parameter {row.name}", value, row.minimum, row.maximum, notes)
    reserved = [*message.integer_params, *message.float_array_params]
    if reserved:
        notes.append(f"face parameters {', '.join(reserved)}: only float parameters are defined, ignored")
    return values


def emotions_of(values: Mapping[str, float], notes: list[str]) -> dict[str, float]:
    """Known emotions limited to 0..1, spelled exactly as the protocol spells them; the rest goes to `notes`.

    Raises:
        SettingsError: NaN or infinity.
    """
    known = {}
    for name, value in values.items():
        if name not in EMOTIONS:
            notes.append(f"emotion {name}: unknown, ignored")
            continue
        known[name] = _limited(f"emotion {name}", value, 0.0, 1.0, notes)
    return known


def emotion_keys_of(messages: Iterable[EmotionWithTimeCode], notes: list[str]) -> dict[float, dict[str, float]]:
    """Emotion keys by their time in seconds, in any order; of equal times the last wins.

    Raises:
        SettingsError: A time or value that is NaN or infinite.
    """
    keys = {}
    for message in messages:
        if not abs(message.time_code) <= MAX_KEY_S:
            raise SettingsError(
                f"emotion time code: found {message.time_code}, expected seconds, at most {MAX_KEY_S:g}"
            )
        keys[message.time_code] = emotions_of(message.emotion, notes)
    return keys


def emotion_track(keys: EmotionKeys) -> EmotionTrack:
    """The track through `keys`, at least one."""
    return EmotionTrack.from_keys(keys.items())


def emotion_messages(keys: EmotionKeys) -> list[EmotionWithTimeCode]:
    """Emotion keys as messages in the order of time."""
    return [EmotionWithTimeCode(time_code=time, emotion=dict(keys[time])) for time in sorted(keys)]


def keys_of_settings(settings: StreamSettings) -> dict[float, dict[str, float]]:
    """The emotion keys that a stream's settings ask for: its track, with the overrides laid over every key."""
    overrides = settings.emotion.overrides if settings.emotion.override_strength > _NEGLIGIBLE_STRENGTH else {}
    keys: dict[float, dict[str, float]] = {}
    if settings.emotion_track is not None:
        keys = keys_of_track(settings.emotion_track)
    elif overrides:
        keys = {0.0: {}}
    return {time: {**values, **overrides} for time, values in keys.items()}


def keys_of_track(track: EmotionTrack) -> dict[float, dict[str, float]]:
    """A track's keys by time in seconds; emotions at 0 are left out, which means the same.

    Raises:
        SettingsError: A model's own emotion vector, which has no names to travel under.
    """
    if track.values.shape[1] != len(EMOTIONS):
        raise SettingsError(
            f"emotion track: found {track.values.shape[1]} values a key, expected the {len(EMOTIONS)} named emotions"
        )
    return {
        int(sample) / SAMPLE_RATE: {name: float(value) for name, value in zip(EMOTIONS, row, strict=True) if value != 0}
        for sample, row in zip(track.samples, track.values, strict=True)
    }


def controller_header(settings: StreamSettings, sample_rate: int) -> controller_pb2.AudioStreamHeader:
    """First message of a bidirectional clip; parameters that the settings leave alone are left to the service."""
    header = controller_pb2.AudioStreamHeader(audio_header=audio_header(sample_rate))
    _fill(header, settings)
    return header


def legacy_header(settings: StreamSettings, sample_rate: int, ids: AnimationIds) -> a2f_pb2.AudioStreamHeader:
    """First message of a one-way clip."""
    header = a2f_pb2.AudioStreamHeader(animation_ids=ids, audio_header=audio_header(sample_rate))
    _fill(header, settings)
    return header


def tuning_messages(
    settings: StreamSettings,
) -> tuple[a2f_pb2.FaceParameters, a2f_pb2.EmotionPostProcessingParameters, a2f_pb2.BlendShapeParameters]:
    """The three parameter groups of a header; empty ones say nothing.

    The six emotion settings travel together or, where all have their defaults, not at all, so that the service's own
    configuration stays in force.
    """
    face = a2f_pb2.FaceParameters(float_params=dict(settings.face_parameters))
    emotion = a2f_pb2.EmotionPostProcessingParameters()
    if replace(settings.emotion, overrides={}, beginning={}, transition_s=None) != EmotionSettings():
        emotion.emotion_contrast = settings.emotion.detected_contrast
        emotion.live_blend_coef = settings.emotion.detected_smoothing
        emotion.enable_preferred_emotion = settings.emotion.override_strength > _NEGLIGIBLE_STRENGTH
        emotion.preferred_emotion_strength = settings.emotion.override_strength
        emotion.emotion_strength = settings.emotion.strength
        emotion.max_emotions = int(settings.emotion.max_detected)
    shapes = a2f_pb2.BlendShapeParameters(
        bs_weight_multipliers={pascal(name): value for name, value in settings.multipliers.items()},
        bs_weight_offsets={pascal(name): value for name, value in settings.offsets.items()},
    )
    if settings.clamp:
        shapes.enable_clamping_bs_weight = True
    return face, emotion, shapes


_NEGLIGIBLE_STRENGTH = 1e-4
"""At or below this, NVIDIA's plugin sends no given emotions."""


def _fill(header: controller_pb2.AudioStreamHeader | a2f_pb2.AudioStreamHeader, settings: StreamSettings) -> None:
    face, emotion, shapes = tuning_messages(settings)
    if face.ByteSize():
        header.face_params.CopyFrom(face)
    if emotion.ByteSize():
        header.emotion_post_processing_params.CopyFrom(emotion)
    if shapes.ByteSize():
        header.blendshape_params.CopyFrom(shapes)
    if settings.emotion.beginning:
        header.emotion_params.beginning_emotion.update(settings.emotion.beginning)
    if settings.emotion.transition_s is not None:
        header.emotion_params.live_transition_time = settings.emotion.transition_s


def _limited(name: str, value: float, low: float, high: float, notes: list[str]) -> float:
    if not math.isfinite(value):
        raise SettingsError(f"{name}: found {value}, expected a number from {low:g} to {high:g}")
    # A float32 that stands for a limit may lie just outside it: 0.1 travels as 0.10000000149.
    kept = min(max(float(value), low), high)
    if not math.isclose(kept, value, rel_tol=1e-6, abs_tol=1e-9):
        notes.append(f"{name}: found {value:g}, limited to {kept:g}")
    return kept


def _emotion_settings(
    message: a2f_pb2.EmotionPostProcessingParameters,
    temporal: a2f_pb2.EmotionParameters,
    base: EmotionSettings,
    notes: list[str],
) -> EmotionSettings:
    changes: dict[str, Any] = {}
    for wire, name, low, high in _POST_PROCESSING:
        if message.HasField(wire):
            value = getattr(message, wire)
            limited = _limited(wire, value, low, high, notes)
            changes[name] = int(limited) if isinstance(value, int) else limited
    if temporal.HasField("live_transition_time"):
        changes["transition_s"] = _limited("live_transition_time", temporal.live_transition_time, 0.0, math.inf, notes)
    if temporal.beginning_emotion:
        changes["beginning"] = emotions_of(temporal.beginning_emotion, notes)
    return replace(base, **changes)


_POST_PROCESSING = (
    ("emotion_contrast", "detected_contrast", 0.3, 3.0),
    ("live_blend_coef", "detected_smoothing", 0.0, 1.0),
    ("preferred_emotion_strength", "override_strength", 0.0, 1.0),
    ("emotion_strength", "strength", 0.0, 1.0),
    ("max_emotions", "max_detected", 1, 6),
)


def _override_enabled(message: a2f_pb2.EmotionPostProcessingParameters, base: bool) -> bool:
    return message.enable_preferred_emotion if message.HasField("enable_preferred_emotion") else base


def _channels(what: str, values: Mapping[str, float], notes: list[str]) -> dict[str, float]:
    known = {}
    for name, value in values.items():
        channel = canonical(name)
        if channel is None:
            notes.append(f"blend-shape {what} {name}: unknown shape, ignored")
            continue
        known[channel] = _limited(f"blend-shape {what} {name}", value, -math.inf, math.inf, notes)
    return known
