"""How patient a client is: connecting, waiting for frames, trying again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from ...errors import SettingsError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The one rule for trying again.

    A failed connection, or a call that the service refused before its first answer, is tried again from the first
    sample. As soon as the service has answered, the clip is never sent again by itself: half of its frames may already
    be on a face.

    Raises:
        SettingsError: Fewer than one attempt, or a negative delay.
    """

    attempts: int = 3
    """Tries in all; 1 means never again."""

    delay_s: float = 0.5
    """Seconds before the second try; doubled for each further one, 8 at most."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or int(self.attempts) != self.attempts:
            raise SettingsError(f"remote attempts: found {self.attempts}, expected a whole number of at least 1")
        if not (math.isfinite(self.delay_s) and self.delay_s >= 0):
            raise SettingsError(f"remote retry delay: found {self.delay_s}, expected seconds of 0 or more")

    def delay_after(self, attempt: int) -> float:
        """Seconds to wait after the given try, counted from 1."""
        return float(min(self.delay_s * 2 ** (attempt - 1), max(8.0, self.delay_s)))


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Patience and policy of a remote provider.

    Raises:
        SettingsError: A time that is not above 0.
    """

    connect_timeout_s: float = 10.0
    """Seconds until a connection must stand."""

    stall_timeout_s: float = 20.0
    """Seconds without any message, while frames are awaited, after which the service counts as stuck."""

    finish_timeout_s: float = 300.0
    """Seconds within which `finish` must have every frame."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """When to try again."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith("_s") and not (math.isfinite(value) and value > 0):
                raise SettingsError(f"remote {item.name}: found {value}, expected seconds above 0")
