"""`facewave calibrate`: a profile for a rig from its target names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..animation.calibrate import Calibration


def calibrate(
    rig: Annotated[
        str,
        typer.Argument(
            metavar="RIG",
            help="A .glb, .gltf or .vrm file, a .csv whose header names the shapes, a text file with a name a line, "
            "or a shipped profile: arkit, metahuman, ovr, vrm0, vrm1.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.toml", help="Profile to write.")],
    profile: Annotated[
        str, typer.Option(help="Convention that the names follow, one of the shipped profiles. Default: told by them.")
    ] = "",
    gain: Annotated[
        list[str] | None, typer.Option(metavar="CHANNEL=X", help="Factor of a channel, as jawOpen=0.8. Repeatable.")
    ] = None,
    offset: Annotated[
        list[str] | None, typer.Option(metavar="CHANNEL=X", help="Number added to a channel. Repeatable.")
    ] = None,
    percent: Annotated[
        bool, typer.Option("--percent", help="The rig's values run from 0 to 100, as in Unity, not from 0 to 1.")
    ] = False,
) -> None:
    """Write a profile of a rig: which of its shapes follow which channels, how strongly, and within which limits.

    Names are matched by their words; what was not matched is reported. Edit the file, then use it:
    facewave animate speech.wav --rig OUT.toml -o speech.csv
    """
    from dataclasses import replace

    from rich.console import Console

    from ..animation.calibrate import calibrate as match
    from ..animation.rig import format_rig, load_rig, parse_rig, scaled, shipped
    from ..animation.rig_targets import read_targets
    from ..outputs.base import write_text
    from .options import named_values

    console = Console(stderr=True, highlight=False)
    if rig in shipped() and not Path(rig).exists():
        made = load_rig(rig)
        console.print(f"profile {rig}: {len(made.targets)} targets. {made.notes}", soft_wrap=True)
    else:
        found = match(read_targets(Path(rig)), Path(rig).name, profile)
        made = found.rig
        _report(console, found)
    made = replace(
        made,
        gain={**made.gain, **named_values(gain or (), "--gain")},
        offset={**made.offset, **named_values(offset or (), "--offset")},
    )
    text = format_rig(
        scaled(made, 100) if percent else made,
        ("A rig's profile for facewave animate --rig. Edit it: gains, limits and names are meant to be tuned.",),
    )
    parse_rig(text, f"rig {output}")
    write_text(output, text)
    console.print(f"wrote {output}", soft_wrap=True)


def _report(console: Console, found: Calibration) -> None:
    """What was matched, and everything that was not."""
    match = found.match
    console.print(
        f"{found.rig.name}: {len(match.rows)} targets matched, convention {found.profile}; "
        f"{len(match.unmatched)} not matched",
        soft_wrap=True,
    )
    for name, row in match.rows.items():
        if found.profile == "arkit" and list(row) != [name]:
            console.print(f"  {name} follows {' and '.join(row)}", soft_wrap=True)
    for name in match.unmatched:
        near = match.nearest.get(name)
        console.print(f"  {name}: not matched, stays at rest" + (f"; is it {near}?" if near else ""), soft_wrap=True)
    for name, other in match.doubled.items():
        console.print(f"  {name}: left out, {other} means the same", soft_wrap=True)
    if match.missing:
        console.print(f"channels that no target follows: {', '.join(match.missing)}", soft_wrap=True)
    if {"mouthClose"} & set(match.missing):
        console.print("without mouthClose, lips close by the lower jaw, mouthPress and mouthRoll", soft_wrap=True)
