"""The address and credentials that the commands for remote services take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SettingsError

if TYPE_CHECKING:
    from ..providers.remote.connection import Connection

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="Address of the service: http://host:52000 or https://host:443; without scheme, http."
    ),
]
KeyVariable = Annotated[
    str,
    typer.Option(
        "--api-key-env", metavar="NAME", help="Environment variable that holds the API key; keys are never arguments."
    ),
]
FunctionId = Annotated[str, typer.Option("--function-id", metavar="ID", help="Hosted function to call.")]
FunctionVersion = Annotated[
    str, typer.Option("--function-version", metavar="ID", help="Version of the hosted function; default any.")
]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", metavar="PEM", help="Certificate authorities to trust instead of the system's."),
]
CertFile = Annotated[
    Path | None, typer.Option("--cert-file", metavar="PEM", help="Client certificate, where the service asks for one.")
]
KeyFile = Annotated[Path | None, typer.Option("--key-file", metavar="PEM", help="Private key of the certificate.")]


def connection_of(
    url: str,
    *,
    key_variable: str,
    function_id: str,
    function_version: str,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    section: str = "remote",
) -> Connection:
    """The connection that the options describe.

    Credentials of the project settings are used for the address configured there, and never sent to another one.

    Raises:
        SettingsError: The named environment variable is not set, or an option cannot be used.
    """
    from ..providers.remote.connection import Connection
    from ..settings import load_settings

    if key_variable and not os.environ.get(key_variable):
        raise SettingsError(f"--api-key-env: the environment variable {key_variable} is not set; export it")
    given = Connection(
        url=url,
        api_key=f"${key_variable}" if key_variable else "",
        function_id=function_id,
        function_version=function_version,
        ca_file=ca_file or "",
        cert_file=cert_file or "",
        key_file=key_file or "",
    )
    configured = Connection.of_settings(getattr(load_settings(), section))
    same_place = (configured.target, configured.secure) == (given.target, given.secure)
    return configured.merged(given) if same_place else given
