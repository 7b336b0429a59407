"""The address of a live output: host, port and options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from urllib.parse import parse_qsl, urlsplit

from ...errors import OutputError
from ...timing import frame_rate

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class LiveAddress:
    """Where frames go and how."""

    name: str
    """The address without its options: what messages call it, secrets left out."""

    host: str
    """Name or number; this machine where none is given."""

    port: int | None
    """None where none is given."""

    options: Mapping[str, str]
    """What stands behind the question mark."""

    frame_rate: Fraction | None
    """Frames per second asked for; None leaves it to the sender."""

    def choice(self, option: str, choices: Collection[str], default: str) -> str:
        """The value of an option that has few.

        Raises:
            OutputError: Another value; the message lists them.
        """
        value = self.options.get(option, default)
        if value not in choices:
            raise OutputError(f"{self.name}: found {option}={value!r}, expected one of: {', '.join(choices)}")
        return value

    def required_port(self) -> int:
        """The port.

        Raises:
            OutputError: There is none.
        """
        if self.port is None:
            raise OutputError(f"{self.name}: has no port; write it behind the host, as in osc://{self.host}:9000")
        return self.port


def parse(url: str, known: Collection[str]) -> LiveAddress:
    """Take an address apart.

    Args:
        url: As `vmc://host:39539?profile=vrm1`.
        known: Options of this kind of output; `fps` is one of all.

    Raises:
        OutputError: A malformed address, an unknown option, or one given twice.
        SettingsError: `fps` is not a frame rate.
    """
    name = url.partition("?")[0]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OutputError(f"{name}: not an address ({error}), expected scheme://host:port") from error
    if parts.username is not None or parts.path not in ("", "/") or parts.fragment:
        raise OutputError(f"{parts.scheme}: found more than host and port in the address, expected scheme://host:port")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    every = sorted({*known, "fps"})
    for option in options:
        if option not in every:
            raise OutputError(f"{name}: unknown option {option!r}, expected some of: {', '.join(every)}")
    if len(options) < len(pairs):
        raise OutputError(f"{name}: an option is given twice")
    fps = options.pop("fps", None)
    return LiveAddress(name, parts.hostname or LOOPBACK, port, options, None if fps is None else frame_rate(fps))
