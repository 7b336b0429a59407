"""`facewave providers`: who can animate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..providers.base import ProviderInfo


def providers(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also look-ahead, frame rates, channels, and whether it is loaded.")
    ] = False,
) -> None:
    """List the providers that can be named, the default first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ..errors import FacewaveError
    from ..providers import open_provider, provider_names

    console = Console(highlight=False)
    table = Table("provider", "kind", "what it is")
    for name in provider_names():
        try:
            info = open_provider(name).info
        except FacewaveError as error:
            table.add_row(name, "-", escape(f"not usable: {error}"))
            continue
        table.add_row(info.name, info.kind, escape(info.description + ("\n" + _details(info) if verbose else "")))
    console.print(table)


def _details(info: ProviderInfo) -> str:
    """What chooses between providers, in one line."""
    from ..timing import SAMPLE_RATE

    low, high = info.frame_rates
    rates = f"{float(info.frame_rate):g} fps" + ("" if low == high else f" ({float(low):g} to {float(high):g})")
    look_ahead = f"look-ahead {info.look_ahead * 1000 / SAMPLE_RATE:g} ms, {info.look_ahead} samples"
    memory = "" if info.memory is None else f"; {info.memory / 1e6:.1f} MB"
    loaded = "loaded" if info.loaded else "not loaded"
    hint = f"; {info.hint}" if info.hint else ""
    return f"{look_ahead}; {rates}; {len(info.channels)} channels; {loaded}{memory}{hint}"
