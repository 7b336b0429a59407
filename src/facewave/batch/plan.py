"""What is done with every clip of a batch, and the digest that tells whether a result is still that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..blendshapes import TONGUE
from ..frames import Animation
from ..providers import open_provider
from ..providers.base import Versioned
from ..settings import FacewaveSettings
from ..streams import StreamSettings

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How every clip is animated; travels to the workers as a value."""

    provider: str
    """Name for `open_provider`; blank for the default."""

    project: FacewaveSettings
    """Project settings that the provider is opened with."""

    settings: StreamSettings
    """Settings of every stream."""

    extension: str
    """Format of the animations, with its dot."""

    no_tongue: bool = False
    """Whether the tongue channels are left out."""

    def finished(self, take: Animation) -> Animation:
        """What is written of a take."""
        return take.with_channels(self.finished_channels(take.channels)) if self.no_tongue else take

    def finished_channels(self, channels: Sequence[str]) -> list[str]:
        """Which of a take's channels are written."""
        return [name for name in channels if not (self.no_tongue and name in TONGUE)]

    def with_threads(self, threads: int) -> Plan:
        """The same plan for processes that may use so many threads each, where the settings leave it open."""
        models = self.project.models
        return replace(self, project=replace(self.project, models=replace(models, threads=models.threads or threads)))


def plan_digest(plan: Plan) -> str:
    """A digest of everything but the audio that decides what is written: settings, provider, its model, facewave.

    Where and how fast a model runs (device, threads, addresses of files, secrets) is not part of it.

    Raises:
        ProviderError, ModelError: There is no such provider, or its model cannot be found.
    """
    from .. import __version__

    provider = open_provider(plan.provider, plan.project)
    project = plan.project
    described = {
        "facewave": __version__,
        "provider": provider.info.name,
        "model": provider.version() if isinstance(provider, Versioned) else "",
        "options": [project.embedded, project.models.face, project.models.emotion, project.models.variant],
        "services": [
            [remote.url, remote.function_id, remote.function_version] for remote in (project.remote, project.legacy)
        ],
        "settings": plan.settings,
        "extension": plan.extension,
        "no_tongue": plan.no_tongue,
    }
    return hashlib.sha256(json.dumps(_plain(described), sort_keys=True).encode()).hexdigest()


def clip_digest(audio: str, plan: str) -> str:
    """The digest of a result: of the audio's bytes and of the plan, both as hexadecimal text."""
    return hashlib.sha256(f"{audio} {plan}".encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON knows it, the same for equal values."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [list(value.shape), value.tolist()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Fraction | Path) else value
