"""Questions to a service that need no audio: is it there, and how is it configured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ...errors import RemoteError
from ...wire._proto.a2x_export_config_service_pb2 import ConfigsTypeRequest
from ...wire._proto.a2x_export_config_service_pb2_grpc import A2XExportConfigServiceStub
from .connection import Connection
from .failures import remote_error
from .link import Link


@dataclass(frozen=True, slots=True)
class Health:
    """What a service says about itself."""

    status: str
    """`SERVING`, `NOT_SERVING`, `UNKNOWN`, `SERVICE_UNKNOWN`; `UNIMPLEMENTED` where it has no health check."""

    round_trip_s: float
    """Seconds for the answer, the connection included."""

    @property
    def online(self) -> bool:
        """Whether clips can be sent, as far as the service says."""
        return self.status in ("SERVING", "UNIMPLEMENTED")


def service_health(connection: Connection, timeout_s: float = 3.0) -> Health:
    """Ask a service for its health.

    Raises:
        ProviderUnavailableError: No address.
        RemoteError: Not reached within the time, or it refuses the caller.
    """
    link = _link(connection)
    try:
        began = time.perf_counter()
        return Health(link.check(timeout_s), time.perf_counter() - began)
    finally:
        link.release()


def service_configs(connection: Connection, timeout_s: float = 10.0) -> dict[str, str]:
    """The configuration files a service runs with: file name -> content, YAML.

    Raises:
        ProviderUnavailableError: No address.
        RemoteError: Not reached, it does not give its configuration away, or a name that is not a plain file name.
    """
    import grpc

    link = _link(connection)
    stub: Any = A2XExportConfigServiceStub(link.channel)
    request = ConfigsTypeRequest(config_type=ConfigsTypeRequest.YAML)
    files: dict[str, str] = {}
    try:
        for config in stub.GetConfigs(request, timeout=timeout_s, metadata=connection.metadata()):
            # The name becomes a file name here, and a service is not to choose a folder.
            if not config.name or config.name.startswith(".") or set(config.name) & set("/\\:\0"):
                raise RemoteError(
                    f"{connection.target}: configuration file name {config.name!r}, expected a plain file name"
                )
            files[config.name] = config.content
    except grpc.RpcError as error:
        raise remote_error(error, connection, doing="asking for the configuration") from None
    finally:
        link.release()
    return files


def _link(connection: Connection) -> Link:
    connection.require("service")
    link = Link(connection)
    link.acquire()
    link.retire()
    return link
