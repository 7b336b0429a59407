"""The command line: one file per command, each a few lines over a public function."""

from __future__ import annotations

import sys

import typer

from ..errors import FacewaveError
from . import (
    animate,
    batch,
    calibrate,
    call,
    convert,
    demo,
    doctor,
    health,
    inspect,
    live,
    models,
    play,
    providers,
    serve,
    studio,
)

app = typer.Typer(
    name="facewave",
    help="Turn speech into 3D facial animation: ARKit blend-shape weights, on any CPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Plain help: rich would double the time that --help takes.
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("animate")(animate.animate)
app.command("batch")(batch.batch)
app.command("calibrate")(calibrate.calibrate)
app.command("call")(call.call)
app.command("convert")(convert.convert)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("health")(health.health)
app.command("inspect")(inspect.inspect)
app.command("live")(live.live)
app.add_typer(models.app, name="models")
app.command("play")(play.play)
app.command("providers")(providers.providers)
app.command("serve")(serve.serve)
app.command("studio")(studio.studio)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 an error of ours, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except FacewaveError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(1)
