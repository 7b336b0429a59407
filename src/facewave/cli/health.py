"""`facewave health`: is a service there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .address import CaFile, CertFile, FunctionId, FunctionVersion, KeyFile, KeyVariable, Url, connection_of


def health(
    url: Url,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds to wait for the answer.")] = 3.0,
    configs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also fetch the service's configuration files into it.")
    ] = None,
    api_key_env: KeyVariable = "",
    function_id: FunctionId = "",
    function_version: FunctionVersion = "",
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
) -> None:
    """Ask an Audio2Face-3D service whether it is ready.

    Exit code 0 if clips can be sent, 1 if not.
    """
    from ..providers.remote.service_info import service_configs, service_health

    connection = connection_of(
        url,
        key_variable=api_key_env,
        function_id=function_id,
        function_version=function_version,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
    )
    found = service_health(connection, timeout)
    word = "ONLINE" if found.online else "OFFLINE"
    note = " (it has no health check)" if found.status == "UNIMPLEMENTED" else ""
    typer.echo(f"{connection.target}: {word}, {found.status}{note}, answered in {found.round_trip_s * 1000:.0f} ms")
    if configs is not None:
        for name, content in service_configs(connection).items():
            _write(configs / name, content)
            typer.echo(f"wrote {configs / name}")
    if not found.online:
        raise typer.Exit(1)


def _write(path: Path, content: str) -> None:
    from ..errors import OutputError

    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(content, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
