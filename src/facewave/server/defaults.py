"""The keys of NVIDIA's three configuration files: their defaults, and which of them mean nothing here.

Source: the Audio2Face-3D 2.0 sample files; 1.2 and 1.3 spellings are accepted as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..blendshapes import CHANNELS, pascal
from ..emotions import EMOTIONS

ADVANCED, DEPLOYMENT, STYLIZATION = "advanced_config.yaml", "deployment_config.yaml", "stylization_config.yaml"
FILES: tuple[str, ...] = (STYLIZATION, DEPLOYMENT, ADVANCED)
"""File names, in the order in which a server hands them out."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    ADVANCED: {
        "input_sanitization": {
            "max_len_uuid": 50,
            "max_sample_rate": 144000,
            "min_sample_rate": 16000,
            "max_processing_duration_second": 300,
            "max_audio_buffer_size_second": 10,
            "max_audio_clip_size_second": 300,
            "max_wait_time_idle_ms": 30000,
            "low_fps": 29,
            "low_fps_max_duration_second": 7,
        },
        "pipeline_parameters": {"queue_size_after_a2f": 300, "burst_mode": True, "blendshape_streaming_fps": 30.0},
        "a2f": {"temporal_smoothing": True},
    },
    DEPLOYMENT: {
        "common": {
            "stream_number": 10,
            "add_silence_padding_after_audio": False,
            "silence_padding_duration_second": 1.5,
        },
        "logging": {"log_level": "info", "fps_logging_interval_second": 1},
        "endpoints": {
            "use_bidirectional": True,
            "bidirectional": {
                "server": {
                    "url": "127.0.0.1:52000",
                    "secure_mode": "disabled",
                    "certificate_path": "",
                    "key_path": "",
                    "ca_path": "",
                }
            },
            "unidirectional": {"server": {"url": "127.0.0.1:50000"}, "client": {"url": "127.0.0.1:51000"}},
        },
        "telemetry": {
            "service_name": "audio2face",
            "metrics_enabled": False,
            "traces_enabled": False,
            "otlp_http_traces_endpoint": "http://localhost:4318/v1/traces",
            "prometheus_endpoint": "127.0.0.1:9464",
        },
    },
    STYLIZATION: {
        "default_beginning_emotions": dict.fromkeys(EMOTIONS, 0.0),
        "a2e": {
            "enabled": True,
            "live_transition_time": 0.5,
            "post_processing_params": {
                "emotion_contrast": 1.0,
                "emotion_strength": 0.6,
                "enable_preferred_emotion": True,
                "live_blend_coef": 0.7,
                "max_emotions": 3,
                "preferred_emotion_strength": 0.5,
            },
        },
        "enable_tongue_blendshapes": False,
        "a2f": {
            # No defaults: a face parameter that no file sets keeps the provider's own value.
            "face_params": {},
            "blendshape_params": {
                "enable_clamping_bs_weight": False,
                "weight_multipliers": {pascal(name): 1.0 for name in CHANNELS},
                "weight_offsets": {pascal(name): 0.0 for name in CHANNELS},
                "active_poses": {pascal(name): 1 for name in CHANNELS},
            },
        },
    },
}
"""File -> key -> value, for every key that has an effect. A server without files runs with exactly this.

Where NVIDIA's files listen on every interface, these listen on the loopback one only.
"""

NOT_APPLICABLE: Mapping[str, Mapping[str, str]] = {
    ADVANCED: {
        "garbage_collector": "undelivered frames are never dropped: a stream that is not read is not computed",
        "pipeline_parameters.queue_size_after_streammux": "there are no pipeline stages to put queues between",
        "pipeline_parameters.queue_size_after_a2e": "there are no pipeline stages to put queues between",
        "pipeline_parameters.streammux": "whatever is due in all streams runs as one batch, without waiting",
        "a2f.device_id": "the provider's settings choose the device",
        "a2f.use_gpu_solver": "the provider's settings choose the device",
        "a2e": "the provider's settings choose device and interval of the emotion network",
        "trt_model_generation": "networks run without an engine build",
        "resampling": "one resampler of fixed high quality",
    },
    DEPLOYMENT: {
        "telemetry.metrics_exporter": "metrics are scraped by Prometheus, not sent",
        "telemetry.otel_metric_export_interval": "metrics are scraped by Prometheus, not sent",
        "telemetry.otel_metric_export_timeout": "metrics are scraped by Prometheus, not sent",
        "telemetry.otlp_http_metrics_endpoint": "metrics are scraped by Prometheus, not sent",
    },
    STYLIZATION: {
        "a2f.inference_type": "`--provider` chooses the model",
        "a2f.inference_model_id": "`--provider` chooses the model",
        "a2f.blendshape_id": "the model brings its blend shapes",
        "a2f.tongue_blendshape_id": "the model brings its blend shapes",
        "a2f.regression_model": "`--provider` chooses the model",
        "a2f.diffusion_model": "`--provider` chooses the model",
        "a2f.blendshape_params.cancel_poses": "belongs to the solver, whose settings come with the model",
        "a2f.blendshape_params.symmetry_poses": "belongs to the solver, whose settings come with the model",
    },
}
"""File -> key (with everything below it) -> why it is read without effect. The serving guide lists the same keys."""

OPEN_SECTIONS = {(STYLIZATION, "a2f.face_params"): 0.0, (STYLIZATION, "default_beginning_emotions"): 0.0}
"""Sections whose keys are checked by the tables of parameters and emotions, with the type their values have."""
