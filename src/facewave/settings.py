"""Project settings: built-in defaults, then a TOML file, then the environment, then arguments.

The file is the one named by FACEWAVE_CONFIG, else `facewave.toml` in the working directory. A variable
FACEWAVE_<NAME> or FACEWAVE_<SECTION>_<NAME> overrides the key of that name. Unknown keys are errors, so that a
misspelling never passes for a setting.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .documents import read_document
from .errors import SettingsError, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Settings = TypeVar("_Settings", bound="DataclassInstance")

CONFIG_FILE = "facewave.toml"
_PREFIX = "FACEWAVE_"
_LOCATIONS = ("CONFIG", "SHARED", "GOLDEN", "SPEECH", "TRAINING_DATA")
"""Variables that say where something is, to tests and to training too; they are not settings."""


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """Where a remote service is and how to enter it. Blank means not configured."""

    url: str = ""
    """Scheme, host and port, as `https://grpc.nvcf.nvidia.com:443`; without a scheme, http is meant."""

    api_key: str = field(default="", repr=False)
    """Secret for hosted services; never printed."""

    function_id: str = ""
    """NVCF function to call."""

    function_version: str = ""
    """NVCF function version; blank for the newest."""

    ca_file: str = ""
    """PEM file of root certificates; blank for the system's."""

    cert_file: str = ""
    """PEM client certificate, where the service asks for one."""

    key_file: str = ""
    """PEM private key of that certificate."""

    timeout_s: float = 30.0
    """Longest wait for a service that says nothing."""


@dataclass(frozen=True, slots=True)
class LegacySettings(RemoteSettings):
    """A service of the one-way protocol, whose animation comes back by another way than the audio goes out."""

    way: str = "deliver"
    """`deliver`: the service brings it to `listen`; `pull`: it is fetched from `pull_url`; `controller`: one animation
    controller takes the audio and has the animation."""

    listen: str = "127.0.0.1:51000"
    """Host and port where the service delivers."""

    pull_url: str = ""
    """Service that has the animation, for `pull`."""


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """The bundled model."""

    look_ahead_ms: int = 100
    """100 (better) or 50 (faster): audio after a frame that the model hears before it answers."""

    emotion_model: str = ""
    """Audio2Emotion model that hears emotion, a path or a name in the store; blank for the bundled hint from prosody,
    `none` for no detection."""


@dataclass(frozen=True, slots=True)
class ModelsSettings:
    """NVIDIA-format model folders."""

    path: tuple[str, ...] = ()
    """Folders to look in before the user's own store."""

    store: str = ""
    """The user's own store; blank for the system's place for application data."""

    face: str = ""
    """Face model of the LocalA2F providers, a path or a name in the store; blank finds a fitting one there."""

    emotion: str = ""
    """Audio2Emotion model, likewise; `none` for no emotion detection."""

    variant: str = ""
    """Form of the networks: blank for the fastest with the same numbers, fp32 for the model's own, or plane, int8 or
    fp16 as made by `facewave models quantize`."""

    device: str = "cpu"
    """Where networks run: cpu, cuda, tensorrt, coreml or directml."""

    threads: int = 0
    """Threads of one inference; 0 chooses."""


@dataclass(frozen=True, slots=True)
class FacewaveSettings:
    """All project settings."""

    provider: str = ""
    """Provider used where none is named; blank for `Embedded`."""

    embedded: EmbeddedSettings = field(default_factory=EmbeddedSettings)
    """Section `[embedded]`."""

    remote: RemoteSettings = field(default_factory=RemoteSettings)
    """Section `[remote]`: the service behind `RemoteA2F`."""

    legacy: LegacySettings = field(default_factory=LegacySettings)
    """Section `[legacy]`: the service behind `LegacyA2F`."""

    models: ModelsSettings = field(default_factory=ModelsSettings)
    """Section `[models]`."""


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> FacewaveSettings:
    """Read the settings in force.

    Args:
        path: A TOML file; None looks for the default ones and is content with none.
        environment: None takes the process environment.

    Raises:
        SettingsError: A missing or malformed file, an unknown key, or a value of the wrong type; says where.
    """
    environment = os.environ if environment is None else environment
    if path is None and (named := environment.get(_PREFIX + "CONFIG")):
        path = Path(named)
    if path is None and Path(CONFIG_FILE).is_file():
        path = Path(CONFIG_FILE)
    settings = FacewaveSettings()
    if path is not None:
        settings = _updated(settings, _read(path), str(path))
    return _updated(settings, _from_environment(environment), "environment")


def _read(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = read_document(path, "TOML", f"settings file {path}")
    return table


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    sections = {
        entry.name for entry in fields(FacewaveSettings) if is_dataclass(getattr(FacewaveSettings(), entry.name))
    }
    for variable, text in environment.items():
        name = variable.removeprefix(_PREFIX)
        if name == variable or name in _LOCATIONS:
            continue
        section, _, key = name.lower().partition("_")
        if section in sections:
            values.setdefault(section, {})[key] = text
        else:
            values[name.lower()] = text
    return values


def _updated(settings: _Settings, values: Mapping[str, Any], source: str, section: str = "") -> _Settings:
    known = {entry.name: getattr(settings, entry.name) for entry in fields(settings)}
    changes = {}
    for key, value in values.items():
        name = f"{section}{key}"
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]}?)" if near else f", expected one of: {', '.join(known)}"
            raise SettingsError(f"{source}: unknown setting {shown(name)}{hint}")
        if is_dataclass(known[key]):
            if not isinstance(value, Mapping):
                raise SettingsError(f"{source}: setting {name!r}: found {shown(value)}, expected a table [{name}]")
            changes[key] = _updated(known[key], value, source, f"{name}.")
        else:
            changes[key] = _converted(value, known[key], f"{source}: setting {name!r}")
    return replace(settings, **changes)


def _converted(value: object, like: object, where: str) -> object:
    """`value` as the type of the default it replaces; text from the environment is parsed."""
    wanted = type(like).__name__
    try:
        if isinstance(like, tuple):
            items = value.split(os.pathsep) if isinstance(value, str) else value
            if isinstance(items, list) and all(isinstance(item, str) for item in items):
                return tuple(item for item in items if item)
            wanted = "list of text"
        elif isinstance(like, (int, float)) and isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return type(like)(value)
        elif isinstance(like, str) and isinstance(value, str):
            return value
    except ValueError:
        pass
    found = "a secret" if "key" in where else shown(value)
    raise SettingsError(f"{where}: found {found}, expected {wanted}")
