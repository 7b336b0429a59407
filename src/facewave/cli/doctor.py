"""`facewave doctor`: what is here, what works, and what to do about the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE.zip", help="Also write it to an archive for a bug report, without secrets."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Run no model and connect to no service.")] = False,
) -> None:
    """Examine this installation: versions, devices, providers, models, settings, and a self-test with timings.

    Exit code 1 where facewave does not work as it is set up. Keys are never shown.
    """
    import json

    from rich.console import Console

    from ..doctor.examine import examine, show, write_bundle

    with Console(stderr=True).status("looking") as status:
        found = examine(lambda what: status.update(f"looking at: {what}"), quick=quick)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        show(found, Console(highlight=False))
    if bundle is not None:
        write_bundle(found, bundle)
        typer.echo(f"written: {bundle}", err=True)
    if not found["ok"]:
        raise typer.Exit(1)
