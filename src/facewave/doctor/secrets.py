"""What must never leave the machine in a bug report, and how it is taken out of any text."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..settings import FacewaveSettings

_NAMES = re.compile(r"(^|_)(api_?key|key|keys|token|secret|password|passwd|credentials?|auth)$", re.IGNORECASE)

_SHAPES = (
    re.compile(r"nvapi-[\w-]{8,}"),
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),
    re.compile(r"(?<=bearer )\S+", re.IGNORECASE),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
)
"""Secrets by their looks, for those that nobody told us about."""

_SHORTEST = 6
"""Shorter values are words such as `none`, and replacing them would garble the text."""

MASK = "***"


def is_secret(name: str) -> bool:
    """Whether a setting or variable of that name holds a secret itself (`api_key`), not the place of one."""
    return _NAMES.search(name) is not None


class Scrubber:
    """Takes secrets out of text; for a bundle also the home folder, the user's and the machine's name."""

    def __init__(
        self, settings: FacewaveSettings, environment: Mapping[str, str] | None = None, *, private: bool = False
    ) -> None:
        """Args: where secrets are found; private: whether home folder, user and machine go as well."""
        environment = os.environ if environment is None else environment
        found = {value for name, value in environment.items() if is_secret(name)}
        for section in (settings.remote, settings.legacy):
            found.add(environment.get(section.api_key[1:], "") if section.api_key.startswith("$") else section.api_key)
        # The longest first, so that none is left as the rest of another.
        secrets = sorted((one.strip() for one in found if len(one.strip()) >= _SHORTEST), key=len, reverse=True)
        self._words = [(re.compile(re.escape(secret)), MASK) for secret in secrets]
        if private:
            self._words += _private(environment)

    def text(self, text: str) -> str:
        """`text` without them."""
        for pattern in _SHAPES:
            text = pattern.sub(MASK, text)
        for pattern, instead in self._words:
            text = pattern.sub(instead, text)
        return text

    def values(self, value: Any) -> Any:
        """The same for every text inside lists and tables, their keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.values(inner) for key, inner in value.items()}
        return [self.values(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _private(environment: Mapping[str, str]) -> list[tuple[re.Pattern[str], str]]:
    homes = {
        str(Path.home()),
        str(Path.home().resolve()),
        environment.get("HOME", ""),
        environment.get("USERPROFILE", ""),
    }
    words = [(re.compile(re.escape(home)), "~") for home in sorted(homes, key=len, reverse=True) if len(home) > 1]
    users = {environment.get(name, "") for name in ("USER", "USERNAME", "LOGNAME")} - {"root"}
    names = [(user, "USER") for user in users] + [(socket.gethostname(), "HOST")]
    return words + [
        (re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE), instead)
        for name, instead in names
        if len(name) >= 3 and name.lower() not in ("localhost", "facewave", "python")
    ]
