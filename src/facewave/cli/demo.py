"""`facewave demo`: the bundled clip through the bundled model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files it writes.")] = Path("out/demo"),
) -> None:
    """Animate the bundled speech and show what came out."""
    from importlib import resources

    from rich.console import Console
    from rich.table import Table

    from ..pipeline import animate
    from .plot import curve

    console = Console(highlight=False)
    clip = Path(str(resources.files("facewave") / "data" / "demo.wav"))
    began = time.perf_counter()
    take = animate(clip)
    spent = time.perf_counter() - began
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "demo.csv", folder / "demo.json", folder / "demo.html"]
    for path in written:
        take.save(path)

    table = Table("what", "value", title="facewave demo: bundled speech through the Embedded model")
    table.add_row("speech", f"{take.duration_s:.2f} s")
    table.add_row("frames", f"{len(take)} at {float(take.frame_rate):g} fps, {len(take.channels)} channels")
    table.add_row("time", f"{spent:.2f} s with loading, {spent / take.duration_s:.3f} of real time")
    table.add_row("channels that move", str(int((abs(take.weights) > 0.02).any(axis=0).sum())))
    table.add_row("files", ", ".join(str(path) for path in written))
    console.print(table)
    for name in ("jawOpen", "mouthClose"):
        console.print(f"{name}, 0 to 1 over {take.duration_s:.1f} s")
        for line in curve(take.channel(name), top=1.0):
            console.print(line)
    console.print(f"\nOpen {written[2]} in a browser to see the face speak.")
    console.print(
        "\nNext, with a recording of your own:\n"
        "  facewave animate speech.wav -o speech.csv --fps 30\n"
        "  facewave animate speech.mp3 -o speech.livelink.csv --emotion joy=0.8\n"
        f"  facewave inspect {written[0]} -c mouthFunnel -c mouthPucker"
    )
