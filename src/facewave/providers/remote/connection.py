"""Where a service is and how to be let in: connection settings, checked, merged per field, keys kept hidden."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import ProviderUnavailableError, SettingsError
from ...settings import RemoteSettings

DEFAULT_PORTS: Mapping[str, int] = {"http": 52_000, "https": 443}
"""Port used where the address names none: the service's own for plain connections, the web's for encrypted ones."""

HOSTED = "nvcf.nvidia.com"
"""Host names that end so belong to NVIDIA's hosted functions, which want a key and a function id."""

_MASK = "***"

_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # A peer that vanished is noticed 30 s after audio was last sent. gRPC stops after two pings without any data in
    # between, so that no server with its default ping policy takes offence at a speaker who pauses.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Measured with grpcio 1.85: without this one, an unanswered ping is waited for a minute, the line above regardless.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Without a pool of its own a channel borrows the connections of others, and closing it would disconnect nothing.
    ("grpc.use_local_subchannel_pool", 1),
    # A re-send is decided here, where it is known whether audio has been used, and never inside gRPC.
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
)


class Secret(str):
    """Text that is sent but never shown: `repr`, `str`, formatting and slices give `***`.

    gRPC reads it with `encode`, as it reads any text; tracebacks, logs and settings print the mask.
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> Secret:
        """Hide `text`; a secret stays as it is."""
        # str() of a secret is its mask, so that a copy must not be made by way of it.
        return text if isinstance(text, Secret) else super().__new__(cls, text)

    def __repr__(self) -> str:
        return repr(_MASK if self else "")

    def __str__(self) -> str:
        return _MASK if self else ""

    def __format__(self, format_spec: str) -> str:
        return format(str(self), format_spec)

    def __getitem__(self, key: object) -> str:
        # Debuggers and pretty tracebacks shorten long text by slicing it.
        return _MASK

    def after(self, prefix: str) -> Secret:
        """The same secret behind a prefix, itself a secret."""
        return Secret(str.__add__(prefix, self))


@dataclass(frozen=True, slots=True)
class Connection:
    """The address of a service and the credentials for it.

    Blank fields mean "not given"; `merged` fills them from other settings.

    Raises:
        SettingsError: An address that is not one, a key in the address, or half of a client certificate.
    """

    url: str = ""
    """`http://host:port` or `https://host:port`; without a scheme `http`. Default ports: 52000 and 443."""

    api_key: str = ""
    """Sent as `authorization: Bearer <key>`; `$NAME` means the environment variable NAME. Never shown."""

    function_id: str = ""
    """Hosted function to call (`function-id`), one per character model."""

    function_version: str = ""
    """Version of that function (`function-version-id`); blank lets any deployed version answer."""

    ca_file: str | Path = ""
    """PEM file of certificate authorities to trust for `https`; blank means the system's."""

    cert_file: str | Path = ""
    """PEM file of the client certificate chain, for services that ask for one (mutual TLS)."""

    key_file: str | Path = ""
    """PEM file of the certificate's private key."""

    target: str = field(init=False, default="", compare=False)
    """`host:port` as gRPC wants it, from `url`."""

    secure: bool = field(init=False, default=False, compare=False)
    """Whether the connection is encrypted, from `url`."""

    def __post_init__(self) -> None:
        for name in _TEXT_FIELDS:
            object.__setattr__(self, name, _text(name, getattr(self, name)))
        object.__setattr__(self, "api_key", Secret(self.api_key))
        if bool(self.cert_file) != bool(self.key_file):
            given, missing = ("cert_file", "key_file") if self.cert_file else ("key_file", "cert_file")
            raise SettingsError(f"remote connection: found {given} without {missing}; a client certificate needs both")
        if self.url:
            target, secure = _parse(self.url)
            object.__setattr__(self, "target", target)
            object.__setattr__(self, "secure", secure)
            if not secure and (self.ca_file or self.cert_file):
                raise SettingsError(
                    f"remote connection: found certificates with the unencrypted address {self.url!r}; "
                    "write the address with https:// to use them"
                )

    @classmethod
    def of_settings(cls, settings: RemoteSettings) -> Connection:
        """The connection that a section of the project settings describes."""
        return cls(**{name: getattr(settings, name) for name in _TEXT_FIELDS})

    def merged(self, override: Connection) -> Connection:
        """These settings with every field that `override` fills taken from there, field by field."""
        chosen = {name: getattr(override, name) or getattr(self, name) for name in _TEXT_FIELDS}
        return Connection(**chosen)

    def shown(self) -> dict[str, str]:
        """The settings for people to read: the key masked, or `<invalid-key>` where the host cannot accept it."""
        values = {name: str(getattr(self, name)) for name in _TEXT_FIELDS}
        if self.api_key and self.hosted and not self.key().startswith("nvapi-"):
            values["api_key"] = "<invalid-key>"
        return values

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.shown().items() if value)
        return f"Connection({given})"

    @property
    def hosted(self) -> bool:
        """Whether the address is NVIDIA's hosted service."""
        return self.target.rpartition(":")[0].endswith(HOSTED)

    def key(self) -> Secret:
        """The API key with `$NAME` resolved from the environment.

        Raises:
            ProviderUnavailableError: The named environment variable is not set.
        """
        if not self.api_key.startswith("$"):
            return Secret(self.api_key)
        name = str.__getitem__(self.api_key, slice(1, None))
        if not os.environ.get(name):
            raise ProviderUnavailableError(f"remote API key: the environment variable {name} is not set; export it")
        return Secret(os.environ[name].strip())

    def require(self, provider: str, section: str = "remote") -> None:
        """Check that a call can be made at all.

        Args:
            provider: Named in the message.
            section: The section of the project settings where the fields belong.

        Raises:
            ProviderUnavailableError: No address, a hosted address without key or function id, or a key whose
                environment variable is not set.
        """
        self.key()
        if not self.url:
            raise ProviderUnavailableError(
                f"{provider}: no address of a service is configured; set url under [{section}] in facewave.toml or "
                f"the environment variable FACEWAVE_{section.upper()}_URL, "
                "for example http://localhost:52000"
            )
        if self.hosted:
            if not self.secure:
                raise ProviderUnavailableError(
                    f"{provider}: {self.url} is an encrypted service; write https://{self.target.partition(':')[0]}:443"
                )
            for name, what in (("api_key", "an API key"), ("function_id", "the id of a function")):
                if not getattr(self, name):
                    raise ProviderUnavailableError(
                        f"{provider}: {self.target} needs {what}, found none; set {name} under [{section}] or the "
                        f"environment variable FACEWAVE_{section.upper()}_{name.upper()} "
                        "(both are shown at build.nvidia.com/nvidia/audio2face-3d)"
                    )

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What accompanies every call: authorization, function id and version, where given."""
        pairs: list[tuple[str, str]] = []
        if self.api_key:
            pairs.append(("authorization", self.key().after("Bearer ")))
        if self.function_id:
            pairs.append(("function-id", self.function_id))
        if self.function_version:
            pairs.append(("function-version-id", self.function_version))
        return tuple(pairs)

    @property
    def exposes_key(self) -> bool:
        """Whether the key would cross a network unencrypted."""
        return bool(self.api_key) and not self.secure and not _is_loopback(self.target.rpartition(":")[0])

    def channel(self) -> Any:
        """A new gRPC channel to the service; it connects when first used.

        Raises:
            SettingsError: A certificate file cannot be read.
        """
        import grpc

        if not self.secure:
            return grpc.insecure_channel(self.target, options=_CHANNEL_OPTIONS)
        credentials = grpc.ssl_channel_credentials(
            _pem("ca_file", self.ca_file), _pem("key_file", self.key_file), _pem("cert_file", self.cert_file)
        )
        return grpc.secure_channel(self.target, credentials, options=_CHANNEL_OPTIONS)


_TEXT_FIELDS = tuple(item.name for item in fields(Connection) if item.init)


def _text(name: str, value: object) -> str:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str | Path):
        raise SettingsError(f"remote connection {name}: found {type(value).__name__}, expected text")
    text = str(value).strip()
    if name != "url" and any(not char.isprintable() for char in text):
        raise SettingsError(f"remote connection {name}: found a control character; copy it again without line breaks")
    return text


def _parse(url: str) -> tuple[str, bool]:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in DEFAULT_PORTS:
        raise SettingsError(f"remote url: found scheme {parts.scheme!r}, expected http or https")
    if parts.username is not None or parts.password is not None:
        # The address itself is shown in messages, so it is left out of this one.
        raise SettingsError("remote url: found credentials in the address; give the key as api_key instead")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"remote url: found {url!r}, expected a port from 1 to 65535") from error
    if not host or port == 0:
        raise SettingsError(f"remote url: found {url!r}, expected http://host:port or https://host:port")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(f"remote url: found {url!r} with more than a host and a port, expected http://host:port")
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port or DEFAULT_PORTS[parts.scheme]}", parts.scheme == "https"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _pem(name: str, path: str | Path) -> bytes | None:
    if not path:
        return None
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise SettingsError(f"remote connection {name}: cannot read {path}: {error.strerror}") from error
    if b"-----BEGIN" not in content:
        raise SettingsError(f"remote connection {name}: {path} is not a PEM file (no BEGIN line)")
    return content
