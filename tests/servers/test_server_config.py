"""NVIDIA's three configuration files: accepted as they are; every key is used, named as unused, or warned about."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from facewave.blendshapes import ARKIT, CHANNELS, TONGUE, pascal
from facewave.emotions import EMOTIONS
from facewave.errors import SettingsError
from facewave.server.config import as_yaml, load_config
from facewave.server.defaults import ADVANCED, DEFAULTS, DEPLOYMENT, FILES, NOT_APPLICABLE, STYLIZATION
from facewave.server.limits import Limits

# The keys and values of the published 2.0 files, written out from their documentation.
PUBLISHED_ADVANCED = {
    "input_sanitization": {
        "max_len_uuid": 50, "max_sample_rate": 144000, "min_sample_rate": 16000,
        "max_processing_duration_second": 300, "max_audio_buffer_size_second": 10,
        "max_audio_clip_size_second": 300, "max_wait_time_idle_ms": 30000, "low_fps": 29,
        "low_fps_max_duration_second": 7,
    },
    "garbage_collector": {"enabled": False, "interval_run_second": 10, "max_size_stored_data_second": 60},
    "pipeline_parameters": {
        "queue_size_after_streammux": 1, "queue_size_after_a2e": 1, "queue_size_after_a2f": 300,
        "streammux": {"adaptive_batching": 0, "overall_min_fps_n": 40, "overall_min_fps_d": 1},
    },
    "a2f": {"temporal_smoothing": True, "device_id": 0, "use_gpu_solver": True},
    "a2e": {"device_id": 0, "inference_interval": 10},
    "trt_model_generation": {
        "a2e": {"precision": "fp32", "shapes": {"min": 1, "opt": 10, "max": 128}},
        "a2f": {"precision": "fp16", "shapes": {"min": 1, "opt": 10, "max": 128}},
    },
    "resampling": {"chunk_size": 640, "quality": 1.0},
}  # fmt: skip
PUBLISHED_DEPLOYMENT = {
    "common": {
        "stream_number": 10, "add_silence_padding_after_audio": False, "silence_padding_duration_second": 1.5,
    },
    "logging": {"log_level": "info", "fps_logging_interval_second": 1},
    "endpoints": {
        "use_bidirectional": True,
        "bidirectional": {
            "server": {
                "url": "0.0.0.0:52000", "secure_mode": "disabled", "certificate_path": "", "key_path": "",
                "ca_path": "",
            },
        },
        "unidirectional": {"server": {"url": "0.0.0.0:50000"}, "client": {"url": "0.0.0.0:51000"}},
    },
    "telemetry": {
        "service_name": "audio2face", "metrics_enabled": False, "traces_enabled": False,
        "metrics_exporter": "prometheus", "otel_metric_export_interval": 60000, "otel_metric_export_timeout": 30000,
        "otlp_http_metrics_endpoint": "http://localhost:4318/v1/metrics",
        "otlp_http_traces_endpoint": "http://localhost:4318/v1/traces", "prometheus_endpoint": "0.0.0.0:9464",
    },
}  # fmt: skip
PUBLISHED_STYLIZATION = {
    "default_beginning_emotions": dict.fromkeys(EMOTIONS, 0.0),
    "a2e": {
        "enabled": True,
        "live_transition_time": 0.5,
        "post_processing_params": {
            "emotion_contrast": 1.0, "emotion_strength": 0.6, "enable_preferred_emotion": True,
            "live_blend_coef": 0.7, "max_emotions": 3, "preferred_emotion_strength": 0.5,
        },
    },
    "a2f": {
        "inference_type": "regression",
        "regression_model": {"inference_model_id": "mark_v2.3"},
        "diffusion_model": {"inference_model_id": "multi_v3.2", "identity": "mark", "constant_noise": True},
        "face_params": {
            "input_strength": 1.3, "eyelid_offset": 0.06, "lip_close_offset": -0.03, "lower_face_smoothing": 0.0023,
            "lower_face_strength": 1.4, "skin_strength": 1.1, "upper_face_smoothing": 0.001,
            "upper_face_strength": 1.0, "face_mask_level": 0.6, "face_mask_softness": 0.0085, "tongue_strength": 1.3,
            "tongue_height_offset": 0.0, "tongue_depth_offset": 0.0,
        },
        "blendshape_params": {
            "enable_clamping_bs_weight": False,
            "weight_multipliers": {pascal(name): 1.0 for name in CHANNELS},
            "weight_offsets": {pascal(name): 0.0 for name in CHANNELS},
            "active_poses": {
                pascal(name): int(not name.startswith("eyeLook") and name != "tongueOut") for name in CHANNELS
            },
            "cancel_poses": {pascal(name): -1 for name in CHANNELS},
            "symmetry_poses": {pascal(name): -1 for name in CHANNELS},
        },
    },
}  # fmt: skip
PUBLISHED = {STYLIZATION: PUBLISHED_STYLIZATION, DEPLOYMENT: PUBLISHED_DEPLOYMENT, ADVANCED: PUBLISHED_ADVANCED}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    written = {}
    for name, content in PUBLISHED.items():
        written[name] = tmp_path / name
        written[name].write_text(yaml.safe_dump(content))
    return written


def test_published_files_are_accepted_without_an_unknown_key(paths: dict[str, Path]) -> None:
    config = load_config(*(paths[name] for name in FILES))
    assert [note for note in config.notes if "unknown" in note] == []
    assert config.endpoint.address == "0.0.0.0:52000"
    assert config.streams == 10
    assert config.limits == Limits()
    assert config.tuning.face_parameters["lowerFaceStrength"] == 1.4
    assert config.tuning.face_parameters["lipOpenOffset"] == -0.03
    assert config.tuning.face_parameters["eyelidOpenOffset"] == 0.06
    assert config.tuning.emotion.transition_s == 0.5
    assert config.channels == ARKIT
    assert set(config.inactive) == {name for name in CHANNELS if name.startswith("eyeLook")} | {"tongueOut"}
    assert (config.metrics_address, config.traces_endpoint, config.paced_fps) == (None, None, None)
    # What goes in comes out, whether it has an effect or not.
    for name, content in PUBLISHED.items():
        given = dict(_leaves(content))
        found = dict(_leaves(config.files[name]))
        assert {key: found.get(key) for key in given} == given


def test_every_published_key_is_used_or_named_as_without_effect() -> None:
    for name, content in PUBLISHED.items():
        used = {key for key, _ in _leaves(DEFAULTS[name])}
        for key, _ in _leaves(content):
            named = any(key == row or key.startswith(f"{row}.") for row in NOT_APPLICABLE[name])
            assert key in used or named or key.startswith("a2f.face_params."), f"{name}: {key}"
            assert not (key in used and named), f"{name}: {key} is both"


def test_guide_names_every_key_without_effect() -> None:
    guide = (Path(__file__).parents[2] / "docs/howto/serve.md").read_text()
    for rows in NOT_APPLICABLE.values():
        for key in rows:
            assert f"`{key}`" in guide, key


# For each key that has an effect: another value, and where it shows.
EFFECTS: dict[tuple[str, str], tuple[Any, Any]] = {
    (ADVANCED, "input_sanitization.max_len_uuid"): (9, lambda c: c.limits.max_len_uuid),
    (ADVANCED, "input_sanitization.max_sample_rate"): (48000, lambda c: c.limits.max_sample_rate),
    (ADVANCED, "input_sanitization.min_sample_rate"): (8000, lambda c: c.limits.min_sample_rate),
    (ADVANCED, "input_sanitization.max_processing_duration_second"): (
        9, lambda c: c.limits.max_processing_duration_second),
    (ADVANCED, "input_sanitization.max_audio_buffer_size_second"): (9, lambda c: c.limits.max_audio_buffer_size_second),
    (ADVANCED, "input_sanitization.max_audio_clip_size_second"): (9, lambda c: c.limits.max_audio_clip_size_second),
    (ADVANCED, "input_sanitization.max_wait_time_idle_ms"): (9, lambda c: c.limits.max_wait_time_idle_ms),
    (ADVANCED, "input_sanitization.low_fps"): (9, lambda c: c.limits.low_fps),
    (ADVANCED, "input_sanitization.low_fps_max_duration_second"): (9, lambda c: c.limits.low_fps_max_duration_second),
    (ADVANCED, "pipeline_parameters.queue_size_after_a2f"): (9, lambda c: c.queue_frames),
    (ADVANCED, "pipeline_parameters.burst_mode"): (False, lambda c: c.paced_fps is None),
    (ADVANCED, "a2f.temporal_smoothing"): (False, lambda c: c.temporal_smoothing),
    (DEPLOYMENT, "common.stream_number"): (3, lambda c: c.streams),
    (DEPLOYMENT, "logging.log_level"): ("error", lambda c: logging.getLevelName(c.log_level).lower()),
    (DEPLOYMENT, "logging.fps_logging_interval_second"): (5, lambda c: c.fps_log_interval_s),
    (DEPLOYMENT, "endpoints.use_bidirectional"): (False, lambda c: c.bidirectional),
    (DEPLOYMENT, "endpoints.bidirectional.server.url"): ("127.0.0.1:9", lambda c: c.endpoint.address),
    (DEPLOYMENT, "endpoints.bidirectional.server.secure_mode"): ("mtls", lambda c: c.endpoint.secure_mode),
    (DEPLOYMENT, "endpoints.bidirectional.server.certificate_path"): ("a", lambda c: c.endpoint.certificate_path),
    (DEPLOYMENT, "endpoints.bidirectional.server.key_path"): ("a", lambda c: c.endpoint.key_path),
    (DEPLOYMENT, "endpoints.bidirectional.server.ca_path"): ("a", lambda c: c.endpoint.ca_path),
    (DEPLOYMENT, "endpoints.unidirectional.server.url"): ("127.0.0.1:9", lambda c: c.legacy_address),
    (DEPLOYMENT, "endpoints.unidirectional.client.url"): ("127.0.0.1:9", lambda c: c.legacy_target),
    (DEPLOYMENT, "telemetry.service_name"): ("a", lambda c: c.service_name),
    (STYLIZATION, "enable_tongue_blendshapes"): (True, lambda c: set(TONGUE) <= set(c.channels)),
    (STYLIZATION, "a2e.live_transition_time"): (0.25, lambda c: c.tuning.emotion.transition_s),
    (STYLIZATION, "a2e.post_processing_params.emotion_contrast"): (2.0, lambda c: c.tuning.emotion.detected_contrast),
    (STYLIZATION, "a2e.post_processing_params.emotion_strength"): (0.1, lambda c: c.tuning.emotion.strength),
    (STYLIZATION, "a2e.post_processing_params.enable_preferred_emotion"): (
        False, lambda c: c.tuning.override_enabled),
    (STYLIZATION, "a2e.post_processing_params.live_blend_coef"): (0.1, lambda c: c.tuning.emotion.detected_smoothing),
    (STYLIZATION, "a2e.post_processing_params.max_emotions"): (5, lambda c: c.tuning.emotion.max_detected),
    (STYLIZATION, "a2e.post_processing_params.preferred_emotion_strength"): (
        0.9, lambda c: c.tuning.emotion.override_strength),
    (STYLIZATION, "a2f.blendshape_params.enable_clamping_bs_weight"): (True, lambda c: c.tuning.clamp),
    (STYLIZATION, "a2f.blendshape_params.weight_multipliers.JawOpen"): (0.5, lambda c: c.tuning.multipliers["jawOpen"]),
    (STYLIZATION, "a2f.blendshape_params.weight_offsets.JawOpen"): (0.5, lambda c: c.tuning.offsets["jawOpen"]),
    (STYLIZATION, "default_beginning_emotions.joy"): (0.5, lambda c: c.tuning.emotion.beginning["joy"]),
}  # fmt: skip


@pytest.mark.parametrize("key", EFFECTS, ids=lambda key: key[1])
def test_key_has_its_effect(key: tuple[str, str], tmp_path: Path) -> None:
    value, shown = EFFECTS[key]
    assert shown(_loaded(key[0], key[1], value, tmp_path)) == value


def test_combined_keys(tmp_path: Path) -> None:
    padding = {"common": {"add_silence_padding_after_audio": True, "silence_padding_duration_second": 2}}
    path = tmp_path / "d.yaml"
    path.write_text(yaml.safe_dump(padding))
    assert load_config(deployment=path).silence_padding_s == 2
    path.write_text(yaml.safe_dump({"telemetry": {"metrics_enabled": True, "traces_enabled": True}}))
    config = load_config(deployment=path)
    assert (config.metrics_address, config.traces_endpoint) == ("127.0.0.1:9464", "http://localhost:4318/v1/traces")
    path.write_text(yaml.safe_dump({"pipeline_parameters": {"burst_mode": False, "blendshape_streaming_fps": 25}}))
    assert load_config(advanced=path).paced_fps == 25
    path.write_text(yaml.safe_dump({"a2e": {"enabled": False}}))
    assert load_config(path).tuning.emotion.override_strength == 1.0
    path.write_text(yaml.safe_dump({"a2f": {"blendshape_params": {"active_poses": {"JawOpen": 0}}}}))
    assert load_config(path).inactive == ("jawOpen",)


@pytest.mark.parametrize("level", ["trace", "debug", "info", "warn", "err", "error", "critical", "off", "disabled"])
def test_log_levels_of_all_versions(level: str, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(f"logging:\n  log_level: {level}\n")  # YAML reads a bare `off` as false.
    assert load_config(deployment=path).log_level >= logging.DEBUG


def test_older_model_keys_are_accepted(tmp_path: Path) -> None:
    a2f = {"inference_model_id": "claire_v2.3", "blendshape_id": "claire_bs_arkit", "tongue_blendshape_id": "tongue"}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({"a2f": a2f}))
    notes = load_config(path).notes
    assert len(notes) == 3
    assert all("has no effect" in note for note in notes)


def test_unknown_keys_are_warned_about_and_kept(tmp_path: Path) -> None:
    content = {"common": {"stream_number": 4, "speling": 1}, "extra": {"deep": [1, 2]}}
    path = tmp_path / "d.yaml"
    path.write_text(yaml.safe_dump(content))
    config = load_config(deployment=path)
    assert [note.removeprefix(f"{path}: ") for note in config.notes] == [
        "unknown key common.speling, ignored", "unknown key extra, ignored",
    ]  # fmt: skip
    again = yaml.safe_load(as_yaml(config.files[DEPLOYMENT]))
    assert (again["common"]["speling"], again["extra"]) == (1, {"deep": [1, 2]})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("common: {stream_number: many}", "common.stream_number: found 'many', expected a number"),
        ("common: {stream_number: 1.5}", "expected a whole number"),
        ("common: {stream_number: 0}", "expected 1 or more"),
        ("common: {add_silence_padding_after_audio: maybe}", "expected true or false"),
        ("common: [1]", "expected keys and values"),
        ("endpoints: {bidirectional: {server: {secure_mode: ssl}}}", "expected disabled, tls or mtls"),
        ("logging: {log_level: loud}", "log_level"),
        ("[1, 2]", "expected keys and values"),
        ("a: b: c", "not valid YAML"),
    ],
)
def test_values_that_cannot_be_used_are_errors_that_name_the_key(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=words.replace("[", r"\[")):
        load_config(deployment=path)


def test_parameter_outside_its_range_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("a2f: {face_params: {lower_face_strength: 9}}")
    with pytest.raises(SettingsError, match="lowerFaceStrength"):
        load_config(path)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")


def _loaded(name: str, key: str, value: Any, folder: Path) -> Any:
    content: Any = value
    for part in reversed(key.split(".")):
        content = {part: content}
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    places = dict.fromkeys(FILES)
    places[name] = path
    return load_config(*(places[file] for file in FILES))


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
