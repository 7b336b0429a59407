"""The providers of a runtime: names, connection overrides, and who is loaded."""

from __future__ import annotations

import difflib
import logging
import threading
from functools import partial
from typing import Any

from ..errors import UnknownProviderError
from ..providers import DEFAULT, open_provider, provider_names
from ..providers.base import Provider
from ..settings import FacewaveSettings, RemoteSettings
from .connection import SECTIONS, merged, override_of, require_address, shown, with_overrides
from .resources import ProviderSlot
from .workers import Workers

log = logging.getLogger("facewave.runtime")


class RuntimeProviders:
    """One slot for each provider and connection that clips use. Safe from any thread."""

    def __init__(self, settings: FacewaveSettings, workers: Workers) -> None:
        self._settings = settings
        self._workers = workers
        self._lock = threading.Lock()
        self._slots: dict[object, ProviderSlot] = {}
        self._overrides: dict[str, RemoteSettings] = {}
        self._names = provider_names()

    def names(self) -> list[str]:
        """Names of the providers, the default first."""
        default = self.resolved("")
        return [default, *(name for name in self._names if name != default)]

    def resolved(self, provider: str) -> str:
        """The full name of a provider; blank is the default.

        Raises:
            UnknownProviderError: No such provider; the message lists them.
        """
        wanted = provider if provider and provider.lower() != "default" else self._settings.provider or DEFAULT
        for name in self._names:
            if name.lower() == wanted.lower():
                return name
        near = difflib.get_close_matches(wanted, self._names, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UnknownProviderError(f"unknown provider {wanted!r}{hint}, expected one of: {', '.join(self._names)}")

    def connect(self, provider: str, override: RemoteSettings, timeout_s: float | None) -> None:
        """Lay connection settings over the project's, from the next clip on; see `Runtime.set_connection_info`."""
        name = self.resolved(provider)
        if name not in SECTIONS:
            log.warning("%s: is not a remote provider, connection settings have no effect on it", name)
            return
        override = override_of(override)
        if timeout_s is not None:
            override = merged(override, RemoteSettings(timeout_s=timeout_s))
        with self._lock:
            before = self._key(name)
            self._overrides[name] = override
            stale = self._slots.pop(before, None) if self._key(name) != before else None
        if stale is not None:
            self._background(stale.free, f"free {name}")

    def connection(self, provider: str) -> RemoteSettings:
        """The connection settings in force; see `Runtime.connection_info`."""
        name = self.resolved(provider)
        if name not in SECTIONS:
            log.warning("%s: is not a remote provider, these are the project's settings for RemoteA2F", name)
        defaults = getattr(self._settings, SECTIONS.get(name, "remote"))
        return shown(merged(defaults, self._overrides.get(name)))

    def slot(self, provider: str | Provider) -> tuple[str, ProviderSlot]:
        """Name and slot of a provider, which is made on first use.

        Raises:
            UnknownProviderError, ProviderUnavailableError: There is no such provider, or it has no address.
        """
        with self._lock:
            if not isinstance(provider, str):
                name = provider.info.name
                return name, self._slots.setdefault(id(provider), ProviderSlot(name, lambda: provider, self._workers))
            name = self.resolved(provider)
            settings = with_overrides(self._settings, name, self._overrides.get(name))
            require_address(settings, name)
            return name, self._slots.setdefault(
                self._key(name), ProviderSlot(name, partial(open_provider, name, settings), self._workers)
            )

    def allocate(self, provider: str | Provider) -> None:
        """Load or connect in the background."""
        name, slot = self.slot(provider)
        self._background(slot.allocate, f"allocate {name}")

    def free(self, provider: str | Provider) -> None:
        """Free in the background, once the provider's clips have ended."""
        with self._lock:
            key = self._key(self.resolved(provider)) if isinstance(provider, str) else id(provider)
            slot = self._slots.get(key)
        if slot is not None:
            self._background(slot.free, "free")

    def close(self) -> None:
        """Free all and wait."""
        with self._lock:
            slots, self._slots = list(self._slots.values()), {}
        for slot in slots:
            slot.free()

    def _key(self, name: str) -> object:
        section = SECTIONS.get(name)
        return (name, merged(getattr(self._settings, section), self._overrides.get(name)) if section else None)

    def _background(self, work: Any, name: str) -> None:
        self._workers.start(_Once(work, name), name)


class _Once:
    """A task of one step whose failure is logged."""

    def __init__(self, work: Any, name: str) -> None:
        self._work, self._name = work, name

    def step(self, now: float) -> None:
        """Do it."""
        try:
            self._work()
        except Exception as error:
            log.error("%s: %s", self._name, error)
