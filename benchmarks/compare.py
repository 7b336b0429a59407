"""Two result files of the same benchmark as ratios, and whether the newer one is slower.

    python -m benchmarks.compare OLD.json NEW.json [--tolerance 1.25] [--relative-to PATH]

Every figure that has a direction, by its name, is divided by its older self so that above 1 is worse. Numbers without
one (counts, settings, versions) are left out. Files of two machines do not compare; `--relative-to` helps a little: it
divides every ratio by that of one figure which the change cannot have touched. Exit code 1 where a ratio is beyond the
tolerance, or a figure is gone.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HIGHER = re.compile(r"(^|_)(fps|speech_s_per_s|times_faster)(_|$)")
"""Names of figures that should be high."""

LOWER = re.compile(
    r"(^|_)(s|ms|mb|percent|factor|difference|underruns|slope_mb_per_hour|share_of_one_core)(_p\d+|_per_\w+)?$"
)
"""Names of figures that should be low; the unit tells."""

SETTINGS = re.compile(r"^(clip_s|wall_s|seconds|buffer_s|load|load_average|minutes)$")
"""What a run was told or met, in spite of its unit."""

NAMES = ("name", "what", "model", "streams", "characters")
"""Keys by which a row of a list is found again; else its place."""


@dataclass(frozen=True)
class Row:
    """One figure in both files."""

    path: str
    old: float
    new: float
    ratio: float
    """Above 1 is worse."""


def figures(value: Any, path: str = "") -> Iterator[tuple[str, float, bool]]:
    """Path, value and whether high is good, of every number with a direction."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not SETTINGS.match(key):
                yield from figures(inner, f"{path}/{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            names = [f"{inner[key]}" for key in NAMES if isinstance(inner, dict) and key in inner]
            yield from figures(inner, f"{path}[{', '.join(names) or index}]")
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        for part in reversed(re.sub(r"\[[^]]*\]", "", path).split("/")):
            if HIGHER.search(part):
                yield path, float(value), True
                return
            if LOWER.search(part):
                yield path, float(value), False
                return


def compare(old: Any, new: Any, relative_to: str = "") -> tuple[list[Row], list[str]]:
    """Every figure of both files, the worst first, and the paths of those that are gone.

    Raises:
        ValueError: `relative_to` is not in both files.
    """
    before = {path: (value, high) for path, value, high in figures(old)}
    after = {path: value for path, value, _ in figures(new)}
    ratios = {}
    for path in before.keys() & after.keys():
        value, high = before[path]
        top, bottom = (value, after[path]) if high else (after[path], value)
        if bottom > 0 and top >= 0:
            ratios[path] = top / bottom
    if relative_to and not ratios.get(relative_to):
        raise ValueError(
            f"--relative-to {relative_to}: not a figure of both files; there are: {', '.join(sorted(ratios))}"
        )
    anchor = ratios[relative_to] if relative_to else 1.0
    rows = [Row(path, before[path][0], after[path], ratio / anchor) for path, ratio in ratios.items()]
    return sorted(rows, key=lambda row: (-row.ratio, row.path)), sorted(before.keys() - after.keys())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--tolerance", type=float, default=1.25, help="ratio that still passes")
    parser.add_argument("--relative-to", default="", metavar="PATH", help="figure whose own ratio counts as 1")
    asked = parser.parse_args(arguments)
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (asked.old, asked.new))
    try:
        rows, gone = compare(old, new, asked.relative_to)
    except ValueError as error:
        parser.error(str(error))
    if not rows:
        parser.error("the files have no figure in common")
    width = max(len(row.path) for row in rows)
    print(f"{'figure':{width}} {'old':>12} {'new':>12} {'ratio':>7}   above 1 is worse")
    for row in rows:
        verdict = " WORSE" if row.ratio > asked.tolerance else ""
        print(f"{row.path:{width}} {row.old:12.5g} {row.new:12.5g} {row.ratio:7.2f}{verdict}")
    for path in gone:
        print(f"{path:{width}} is gone")
    return int(bool(gone) or any(row.ratio > asked.tolerance for row in rows))


if __name__ == "__main__":
    sys.exit(main())
