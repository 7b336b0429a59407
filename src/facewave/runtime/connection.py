"""Connection settings at run time: overrides laid over the project's settings, field by field."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ..errors import ProviderUnavailableError
from ..settings import FacewaveSettings, RemoteSettings

log = logging.getLogger("facewave.runtime")

SECTIONS: Mapping[str, str] = {"RemoteA2F": "remote", "LegacyA2F": "legacy"}
"""Providers with connection settings, and the section of the project settings that holds their defaults."""

MASK = "***"
"""Stands for a key that is set."""

_DEFAULTS = RemoteSettings()


def override_of(info: RemoteSettings) -> RemoteSettings:
    """An override as it is kept: text trimmed, an address without scheme made http, a masked key taken for none."""
    values: dict[str, Any] = {name: value.strip() for name, value in _texts(info).items()}
    if values["api_key"] == MASK:
        values["api_key"] = ""
    return replace(info, **values)


def merged(defaults: RemoteSettings, override: RemoteSettings | None) -> RemoteSettings:
    """The defaults with every field replaced that the override fills."""
    if override is None:
        return defaults
    values: dict[str, Any] = {name: value for name, value in _texts(override).items() if value}
    if override.timeout_s != _DEFAULTS.timeout_s:
        values["timeout_s"] = override.timeout_s
    return replace(defaults, **values)


def with_overrides(settings: FacewaveSettings, provider: str, override: RemoteSettings | None) -> FacewaveSettings:
    """The project's settings as a provider shall see them."""
    section = SECTIONS.get(provider)
    if section is None:
        return settings
    changes: dict[str, Any] = {section: merged(getattr(settings, section), override)}
    return replace(settings, **changes)


def shown(info: RemoteSettings) -> RemoteSettings:
    """Settings for people: the address complete, the key masked."""
    url = info.url.strip()
    if url and "://" not in url:
        url = f"http://{url}"
    return replace(info, url=url, api_key=MASK if info.api_key else "")


def require_address(settings: FacewaveSettings, provider: str) -> None:
    """Refuse a remote provider that has no address, before anything is sent.

    Raises:
        ProviderUnavailableError: Says where the address can be set.
    """
    section = SECTIONS.get(provider)
    if section is not None and not getattr(settings, section).url.strip():
        raise ProviderUnavailableError(
            f"{provider}: found no address of a service, expected one such as http://localhost:52000; set it with "
            f"set_connection_info({provider!r}, url=...), as url under [{section}] in facewave.toml, or in the "
            f"environment variable FACEWAVE_{section.upper()}_URL"
        )


def _texts(info: RemoteSettings) -> dict[str, str]:
    values = {field.name: getattr(info, field.name) for field in fields(info)}
    return {name: value for name, value in values.items() if isinstance(value, str)}
