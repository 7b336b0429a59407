"""Where the animation of the one-way protocol comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import SettingsError

Way = Literal["deliver", "pull", "controller"]


@dataclass(frozen=True, slots=True)
class LegacyRoute:
    """How the animation comes back.

    Raises:
        SettingsError: An unknown way, or a pull without an address.
    """

    way: Way = "deliver"
    """`deliver`: the service connects to us at `listen`. `pull`: we fetch it from the animation data service at
    `pull_url`. `controller`: one animation controller takes the audio, gives the ids and has the animation."""

    listen: str = "127.0.0.1:51000"
    """Host and port where services deliver; services on other machines need an address they can reach."""

    pull_url: str = ""
    """Address of the animation data service, for `pull`."""

    target_object_id: str = "facewave"
    """Object of the scene that is animated."""

    def __post_init__(self) -> None:
        if self.way not in ("deliver", "pull", "controller"):
            raise SettingsError(f"legacy route: found {self.way!r}, expected deliver, pull or controller")
        if self.way == "pull" and not self.pull_url:
            raise SettingsError(
                "legacy route: found pull without pull_url, expected the animation data service's address"
            )
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise SettingsError(f"legacy listen address: found {self.listen!r}, expected host:port")
