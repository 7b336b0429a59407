"""`make fuzz`: every target for its share of the time, each in a process of its own, and a table at the end.

A process that hangs, dies, or grows beyond its memory is a defect like an exception is. What was found is shrunk and
written to `crashes/`, where `test_fuzz.py` runs it again with every test run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.fuzz.targets import TARGETS, Target

CRASHES = Path(__file__).parent / "crashes"
SILENCE_S = 300.0
"""A process that reports nothing for so long is taken for hung; busy machines are slow."""


@dataclass
class Report:
    """What one target's process has told so far."""

    examples: int = 0
    taken: int = 0
    refused: int = 0
    lines: int = 0
    """Lines of facewave that were reached."""
    pool: int = 0
    """Inputs kept because they reached new lines, to be damaged further."""
    peak_mb: int = 0
    """Memory above what the process had when it started to fuzz."""
    slowest_ms: int = 0
    defects: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; returns the number of defects."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="names of targets; none for all")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="where the random numbers begin")
    options = parser.parse_args(arguments)
    chosen = [row for row in TARGETS if not options.targets or row.name in options.targets]
    if len(chosen) < len(options.targets):
        parser.error(f"unknown target; expected some of: {', '.join(row.name for row in TARGETS)}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"fuzzing {len(chosen)} targets for {options.minutes:g} minutes, seed {options.seed}")
    reports: dict[str, Report] = {}
    seconds = options.minutes * 60 / len(chosen)
    try:
        for target in chosen:
            reports[target.name] = _run(target, seconds, options.seed, console)
    except KeyboardInterrupt:
        console.print("stopped")
    console.print(_table(chosen, reports))
    found = [f"{name}: {defect}" for name, report in reports.items() for defect in report.defects]
    for line in found:
        console.print(f"defect  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(found)} defects" + (f"; inputs in {CRASHES}" if found else ""))
    return len(found)


def _run(target: Target, seconds: float, seed: int, console: Console) -> Report:
    """One target's process, and what it found."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="facewave-fuzz-") as folder:
        current = Path(folder) / "current"
        command = [sys.executable, "-m", "tests.fuzz.process", target.name, str(seconds), str(seed), str(current)]
        # Decoders write their own remarks to the error stream; what matters comes as reports. The folder takes with it
        # whatever the process leaves when it dies.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | {"TMPDIR": folder}
        )
        try:
            with console.status(f"{target.name} ...") as status:
                for line in _lines(process):
                    told: dict[str, Any] = json.loads(line)
                    report = Report(**(told | {"defects": tuple(told["defects"])}))
                    status.update(f"{target.name}: {report.examples} inputs, {len(report.defects)} defects")
            code = str(process.wait(timeout=10))
        except (TimeoutError, subprocess.TimeoutExpired):
            code = "hung"
        finally:
            process.kill()
            process.wait()
        if code != "0":
            kept = keep(target.name, *_read_current(current)) if current.exists() else "before the first input"
            report.defects += (f"the process ended with {code}: {kept}",)
    console.print(f"  {target.name}: {report.examples} inputs, {len(report.defects)} defects", highlight=False)
    return report


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """What the process prints.

    Raises:
        TimeoutError: It is silent for too long.
    """
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    output = process.stdout

    def read() -> None:
        for line in output:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=SILENCE_S)
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            return
        if line.startswith("{"):  # native libraries may print words of their own between reports
            yield line


def _read_current(path: Path) -> tuple[str, bytes]:
    name, _, data = path.read_bytes().partition(b"\n")
    return name.decode(), data


def keep(target: str, name: str, data: bytes) -> str:
    """Write an input to the folder of crashes and return its file's name."""
    CRASHES.mkdir(exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()[:8]
    path = CRASHES / f"{target}--{digest}--{name.replace('/', '+')}"
    path.write_bytes(data)
    return path.name


def kept() -> list[tuple[str, str, Path]]:
    """(target, input's name, file) of every crash that was kept."""
    found = []
    for path in sorted(CRASHES.glob("*--*--*")):
        target, _, name = path.name.split("--", 2)
        found.append((target, name.replace("+", "/"), path))
    return found


def _table(targets: Sequence[Target], reports: dict[str, Report]) -> Table:
    table = Table(title="fuzz summary")
    for heading in ("target", "inputs", "taken", "refused", "lines", "kept", "slowest", "memory", "defects"):
        table.add_column(heading, justify="left" if heading == "target" else "right")
    for target in targets:
        if (report := reports.get(target.name)) is not None:
            table.add_row(
                target.name,
                str(report.examples),
                str(report.taken),
                str(report.refused),
                str(report.lines),
                str(report.pool),
                f"{report.slowest_ms} ms",
                f"+{report.peak_mb} MB",
                str(len(report.defects)),
            )
    return table
