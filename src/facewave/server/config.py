"""The server's configuration: NVIDIA's three YAML files as they are, and what the rest of the server reads from them.

Unknown keys are warned about and kept, so that a file comes back from `GetConfigs` as it went in. Values of the wrong
type are errors that name the file and the key.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from ..blendshapes import ARKIT, CHANNELS, canonical
from ..documents import read_document
from ..emotions import EmotionSettings
from ..errors import SettingsError, shown
from ..parameters import face_parameter
from ..wire.a2f import Tuning
from .defaults import ADVANCED, DEFAULTS, DEPLOYMENT, FILES, NOT_APPLICABLE, OPEN_SECTIONS, STYLIZATION
from .limits import Limits

_LEVELS = {
    "trace": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING,
    "error": logging.ERROR, "err": logging.ERROR, "critical": logging.CRITICAL,
    "disabled": logging.CRITICAL + 10, "off": logging.CRITICAL + 10,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the gRPC server listens and how it is secured."""

    address: str = "127.0.0.1:52000"
    """Host and port; port 0 takes a free one."""

    secure_mode: str = "disabled"
    """`disabled`, `tls`, or `mtls` (clients need a certificate too)."""

    certificate_path: str = ""
    """PEM server certificate with its chain."""

    key_path: str = ""
    """PEM private key of the certificate."""

    ca_path: str = ""
    """PEM certificates that sign clients' certificates (`mtls`)."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Everything a server runs with."""

    files: Mapping[str, Mapping[str, Any]]
    """File name -> its effective content, as `GetConfigs` hands it out."""

    endpoint: Endpoint
    """The bidirectional service."""

    bidirectional: bool
    """Whether clips travel on one call; else the one-way protocol is served."""

    legacy_address: str
    """Where the one-way protocol listens."""

    legacy_target: str
    """Where the one-way protocol sends animation."""

    streams: int
    """Streams at the same time, over all worker processes."""

    silence_padding_s: float
    """Seconds of silence appended to every clip so that the mouth closes; 0 for none."""

    limits: Limits
    """Bounds on one stream."""

    queue_frames: int
    """Frames a stream may have computed but not delivered."""

    paced_fps: float | None
    """Frames per second at which frames leave; None sends them as soon as they are computed."""

    tuning: Tuning
    """Parameters in force where a header says nothing."""

    inactive: tuple[str, ...]
    """Channels held at zero (`active_poses` 0), whatever a header's multipliers say."""

    channels: tuple[str, ...]
    """Channels announced and sent: the 52, or all 68."""

    temporal_smoothing: bool
    """Whether frames are smoothed over time; false is for debugging."""

    log_level: int
    """Of the standard library's `logging`."""

    fps_log_interval_s: float
    """Seconds between two log lines about a stream's speed; 0 for none."""

    metrics_address: str | None
    """Where Prometheus scrapes; None for no metrics."""

    traces_endpoint: str | None
    """OTLP collector of traces; None for no traces."""

    service_name: str
    """Name of this server in traces."""

    notes: tuple[str, ...] = field(default=())
    """What was found in the files that has no effect."""


def load_config(
    stylization: Path | None = None,
    deployment: Path | None = None,
    advanced: Path | None = None,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> ServerConfig:
    """Read the three files, each optional.

    Args:
        stylization: Character: parameters in force where clients say nothing.
        deployment: Addresses, streams, logs, telemetry.
        advanced: Limits and pipeline.
        overrides: File name -> dotted key -> value, from the command line.

    Raises:
        SettingsError: A file that cannot be read, is not YAML, or has a value of the wrong type.
    """
    paths = {STYLIZATION: stylization, DEPLOYMENT: deployment, ADVANCED: advanced}
    notes: list[str] = []
    files: dict[str, dict[str, Any]] = {}
    for name in FILES:
        path = paths[name]
        given = {} if path is None else _read(path)
        where = name if path is None else str(path)
        files[name] = _merged(DEFAULTS[name], given, name, where, "", notes)
    for name, changes in (overrides or {}).items():
        for key, value in changes.items():
            _set(files[name], key, value)
    return _config(files, notes)


def as_yaml(content: Mapping[str, Any]) -> str:
    """One file's content as YAML."""
    text: str = yaml.safe_dump(_plain(content), sort_keys=False, allow_unicode=True)
    return text


def as_json(content: Mapping[str, Any]) -> str:
    """One file's content as JSON."""
    return json.dumps(_plain(content), indent=2)


def _read(path: Path) -> dict[str, Any]:
    content = read_document(path, "YAML", str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: found {type(content).__name__}, expected keys and values")
    return content


def _merged(
    defaults: Mapping[str, Any], given: Mapping[str, Any], file: str, where: str, prefix: str, notes: list[str]
) -> dict[str, Any]:
    """`defaults` with the values of `given` laid over them, keys of neither table kept and noted."""
    merged = copy.deepcopy(dict(defaults))
    for key, value in given.items():
        name = f"{prefix}{key}"
        reason = NOT_APPLICABLE[file].get(name)
        if reason is not None:
            notes.append(f"{where}: {name} has no effect: {reason}")
            merged[key] = value
        elif isinstance(value, Mapping) and _has_rows_below(file, name):
            below = defaults.get(key, {})
            merged[key] = _merged(below, value, file, where, f"{name}.", notes)
        elif (file, prefix.rstrip(".")) in OPEN_SECTIONS:
            merged[key] = _number(value, where, name)
        elif key not in defaults:
            notes.append(f"{where}: unknown key {name}, ignored")
            merged[key] = value
        else:
            merged[key] = _typed(value, defaults[key], where, name)
    return merged


def _has_rows_below(file: str, name: str) -> bool:
    """Whether `name` is a section: one with defaults, or one that only holds keys without effect."""
    section: Any = DEFAULTS[file]
    for part in name.split("."):
        section = section.get(part) if isinstance(section, Mapping) else None
    return isinstance(section, Mapping) or any(row.startswith(f"{name}.") for row in NOT_APPLICABLE[file])


def _typed(value: object, like: object, where: str, name: str) -> object:
    if isinstance(like, Mapping):
        if value is None:
            return dict(like)
        raise SettingsError(f"{where}: {name}: found {shown(value)}, expected keys and values")
    if isinstance(like, bool):
        # 1.0-era files write switches as numbers.
        if isinstance(value, bool) or value in (0, 1):
            return bool(value)
        raise SettingsError(f"{where}: {name}: found {shown(value)}, expected true or false")
    if isinstance(like, str):
        if value is None:
            return ""
        # YAML 1.1 reads the log level `off` as false.
        return "off" if value is False else str(value)
    number = _number(value, where, name)
    if isinstance(like, int) and not float(number).is_integer():
        raise SettingsError(f"{where}: {name}: found {shown(value)}, expected a whole number")
    return int(number) if isinstance(like, int) else number


def _number(value: object, where: str, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise SettingsError(f"{where}: {name}: found {shown(value)}, expected a number")
    return value


def _set(content: dict[str, Any], key: str, value: object) -> None:
    *path, last = key.split(".")
    for part in path:
        content = content[part]
    content[last] = value


def _config(files: Mapping[str, dict[str, Any]], notes: list[str]) -> ServerConfig:
    stylization, deployment, advanced = files[STYLIZATION], files[DEPLOYMENT], files[ADVANCED]
    common, endpoints, telemetry = deployment["common"], deployment["endpoints"], deployment["telemetry"]
    pipeline = advanced["pipeline_parameters"]
    level = str(deployment["logging"]["log_level"]).lower()
    if level not in _LEVELS:
        raise SettingsError(f"logging.log_level: found {level!r}, expected one of {', '.join(_LEVELS)}")
    server = endpoints["bidirectional"]["server"]
    if server["secure_mode"] not in ("disabled", "tls", "mtls"):
        raise SettingsError(
            f"endpoints.bidirectional.server.secure_mode: found {server['secure_mode']!r}, "
            "expected disabled, tls or mtls"
        )
    if common["stream_number"] < 1:
        raise SettingsError(f"common.stream_number: found {common['stream_number']}, expected 1 or more")
    bounds = {row.name for row in fields(Limits)}
    shapes = stylization["a2f"]["blendshape_params"]
    return ServerConfig(
        files=files,
        endpoint=Endpoint(
            server["url"], server["secure_mode"], server["certificate_path"], server["key_path"], server["ca_path"]
        ),
        bidirectional=endpoints["use_bidirectional"],
        legacy_address=endpoints["unidirectional"]["server"]["url"],
        legacy_target=endpoints["unidirectional"]["client"]["url"],
        streams=common["stream_number"],
        silence_padding_s=common["silence_padding_duration_second"] if common["add_silence_padding_after_audio"] else 0,
        limits=Limits(**{key: value for key, value in advanced["input_sanitization"].items() if key in bounds}),
        queue_frames=max(1, pipeline["queue_size_after_a2f"]),
        paced_fps=None if pipeline["burst_mode"] else pipeline["blendshape_streaming_fps"],
        tuning=_tuning(stylization, notes, temporal_smoothing=advanced["a2f"]["temporal_smoothing"]),
        inactive=tuple(
            channel for name, active in shapes["active_poses"].items() if not active and (channel := canonical(name))
        ),
        channels=CHANNELS if stylization["enable_tongue_blendshapes"] else ARKIT,
        temporal_smoothing=advanced["a2f"]["temporal_smoothing"],
        log_level=_LEVELS[level],
        fps_log_interval_s=deployment["logging"]["fps_logging_interval_second"],
        metrics_address=telemetry["prometheus_endpoint"] if telemetry["metrics_enabled"] else None,
        traces_endpoint=telemetry["otlp_http_traces_endpoint"] if telemetry["traces_enabled"] else None,
        service_name=telemetry["service_name"],
        notes=tuple(notes),
    )


def _tuning(stylization: Mapping[str, Any], notes: list[str], *, temporal_smoothing: bool) -> Tuning:
    """The parameters in force where a header is silent; a value outside its range is an error here."""
    post = stylization["a2e"]["post_processing_params"]
    shapes = stylization["a2f"]["blendshape_params"]
    face = {}
    for name, value in stylization["a2f"]["face_params"].items():
        row = face_parameter(name)
        if row is None:
            notes.append(f"{STYLIZATION}: unknown key a2f.face_params.{name}, ignored")
        else:
            face[row.name] = value
    if not temporal_smoothing:
        face |= {"upperFaceSmoothing": 0.0, "lowerFaceSmoothing": 0.0}
    emotion = EmotionSettings(
        strength=post["emotion_strength"],
        detected_contrast=post["emotion_contrast"],
        max_detected=post["max_emotions"],
        detected_smoothing=post["live_blend_coef"],
        # Without Audio2Emotion only given emotions are left.
        override_strength=post["preferred_emotion_strength"] if stylization["a2e"]["enabled"] else 1.0,
        transition_s=stylization["a2e"]["live_transition_time"],
        beginning=stylization["default_beginning_emotions"],
    )
    tuning = Tuning(
        emotion=emotion,
        override_enabled=post["enable_preferred_emotion"],
        face_parameters=face,
        multipliers={name: value for name, value in _by_channel(shapes["weight_multipliers"]) if value != 1},
        offsets={name: value for name, value in _by_channel(shapes["weight_offsets"]) if value != 0},
        clamp=shapes["enable_clamping_bs_weight"],
    )
    tuning.stream_settings(None)  # Raises for values outside their ranges.
    return tuning


def _by_channel(values: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if channel := canonical(name):
            yield channel, value


def _plain(value: Any) -> Any:
    """Containers as YAML and JSON know them."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
