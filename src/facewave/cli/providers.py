"""`facewave providers`: who can animate."""

from __future__ import annotations

from typing import Annotated

import typer


def providers(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also look-ahead, frame rates, channels, and whether it is loaded.")
    ] = False,
) -> None:
    """List the providers that can be named, the default first."""
    from rich.console import Console
    from rich.table import Table

    from ..errors import FacewaveError
    from ..providers import open_provider, provider_names
    from ..timing import SAMPLE_RATE

    table = Table(
        "provider",
        "kind",
        "what it is",
        *(("look-ahead", "frame rates", "channels", "memory", "loaded") if verbose else ()),
    )
    for name in provider_names():
        try:
            info = open_provider(name).info
        except FacewaveError as error:
            table.add_row(name, "-", f"not usable: {error}", *(["-"] * 5 if verbose else []))
            continue
        low, high = info.frame_rates
        rates = f"{float(info.frame_rate):g}" + ("" if low == high else f" ({float(low):g} to {float(high):g})")
        look_ahead = f"{info.look_ahead} samples ({info.look_ahead * 1000 / SAMPLE_RATE:g} ms)"
        memory = "-" if info.memory is None else f"{info.memory / 1e6:.1f} MB"
        more = (look_ahead, rates, str(len(info.channels)), memory, "yes" if info.loaded else "no")
        table.add_row(info.name, info.kind, info.description, *(more if verbose else ()))
    Console().print(table)
