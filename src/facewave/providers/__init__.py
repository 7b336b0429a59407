"""Providers by name: the table, the plugins, and which one is used where none is named.

A package adds a provider with an entry point in the group `facewave.providers`, whose object is called with the
project's settings and returns a `Provider`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError, ProviderUnavailableError, UnknownProviderError, shown
from ..settings import FacewaveSettings, load_settings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from .base import EmotionListener, Provider

GROUP = "facewave.providers"
DEFAULT = "Embedded"

Factory = Callable[[FacewaveSettings], "Provider"]


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One built-in provider: where its class is, loaded only when it is opened."""

    name: str
    """Name users choose it by."""

    target: str
    """`module:callable` inside this package; called with the project's settings."""

    summary: str
    """One line for tables."""

    listener: str = ""
    """`module:callable` of a neighbour's emotion detector that this provider may listen with; called with the project's
    settings and a model's name. Neighbours do not know each other; this table knows them all."""


PROVIDERS: tuple[ProviderRow, ...] = (
    ProviderRow(
        "Embedded",
        "embedded.provider:EmbeddedProvider",
        "bundled model, any CPU, 24 to 120 fps",
        "a2f.listener:A2FListener",
    ),
    ProviderRow("LocalA2F-Claire", "a2f.provider:claire", "NVIDIA diffusion model of Claire, 60 fps"),
    ProviderRow("LocalA2F-James", "a2f.provider:james", "NVIDIA diffusion model of James, 60 fps"),
    ProviderRow("LocalA2F-Mark", "a2f.provider:mark", "NVIDIA diffusion model of Mark, 60 fps"),
    ProviderRow("LocalA2F-Claire-AR", "a2f.provider:claire_regression", "NVIDIA regression model of Claire, any fps"),
    ProviderRow("LocalA2F-James-AR", "a2f.provider:james_regression", "NVIDIA regression model of James, any fps"),
    ProviderRow("LocalA2F-Mark-AR", "a2f.provider:mark_regression", "NVIDIA regression model of Mark, any fps"),
    ProviderRow("RemoteA2F", "remote.provider:remote_a2f", "Audio2Face-3D service, self-hosted or NVCF"),
    ProviderRow("LegacyA2F", "remote.legacy:legacy_a2f", "Audio2Face service of the 1.0 generation"),
)
"""The providers in this package, the default first."""


def provider_names() -> list[str]:
    """Every provider that can be named, the default first, plugins after the built-in ones."""
    names = [row.name for row in PROVIDERS]
    return names + sorted(point.name for point in _plugins() if point.name not in names)


def open_provider(name: str = "", settings: FacewaveSettings | None = None) -> Provider:
    """Get a provider: by explicit name, else the configured default, else `Embedded`. Nothing is loaded yet.

    Args:
        name: A name of `provider_names()`; capitals do not matter. Blank or "Default" asks for the default.
        settings: Project settings; None reads those in force.

    Raises:
        UnknownProviderError: No provider has that name; the message lists those there are.
        ProviderUnavailableError: A plugin cannot be imported.
    """
    settings = settings or load_settings()
    wanted = name if name and name.lower() != "default" else settings.provider or DEFAULT
    for row in PROVIDERS:
        if row.name.lower() == wanted.lower():
            factory: Callable[..., Provider] = _object(row.target)
            if not row.listener:
                return factory(settings)
            return factory(settings, listener=partial(_listener, row.listener, settings))
    for point in _plugins():
        if point.name.lower() == wanted.lower():
            return _from_plugin(point, settings)
    names = provider_names()
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UnknownProviderError(f"unknown provider {shown(wanted)}{hint}, expected one of: {', '.join(names)}")


def _listener(target: str, settings: FacewaveSettings, named: str) -> EmotionListener:
    listener: EmotionListener = _object(target)(settings, named)
    return listener


def _object(target: str) -> Any:
    """What `module:name` inside this package means, imported only now."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(f".{module}", __name__), attribute)


def _plugins() -> list[EntryPoint]:
    # Imported here: a tenth of the time to the first frame, and the built-in providers do without.
    from importlib.metadata import entry_points

    return list(entry_points(group=GROUP))


def _from_plugin(point: EntryPoint, settings: FacewaveSettings) -> Provider:
    origin = f"provider {point.name!r} of package {point.dist.name if point.dist else point.value}"
    try:
        factory: Factory = point.load()
    except Exception as error:  # A plugin is foreign code: whatever it raises, the user must learn which one it was.
        raise ProviderUnavailableError(f"{origin}: cannot be imported ({error})") from error
    provider = factory(settings)
    missing = [method for method in ("info", "open", "allocate", "free") if not hasattr(provider, method)]
    if missing:
        raise ProviderError(f"{origin}: is not a provider, it lacks {', '.join(missing)}")
    return provider
