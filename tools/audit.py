"""`make audit`: what is installed with facewave, under which licences, and whether weaknesses are known in it.

Reads the metadata of the installed packages, so it needs no network. Fails where a licence is of the GPL or AGPL, or
cannot be told. The search for known weaknesses is pip-audit's, where that program and its database can be reached.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]

NOT_AT_RUN_TIME = ("dev", "docs", "train")
"""Extras for those who work on facewave; their packages are never installed with it."""

PIP_AUDIT_S = 300
"""Seconds until the search for known weaknesses is given up."""

_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Licence classifiers of the package index in the words of SPDX."""

_COPYLEFT = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package."""

    name: str
    version: str
    licence: str
    """An SPDX expression or the package's own words; blank where it says nothing."""

    wanted_by: str
    """`facewave`, or the extra that brings it."""

    @property
    def problem(self) -> str:
        """Why it may not come with facewave; blank where it may."""
        if not self.licence:
            return "licence unknown"
        # "MIT OR GPL-2.0" leaves the choice, "MIT AND GPL-2.0" does not.
        choices = re.split(r"\s+OR\s+", self.licence)
        return "" if any(not _COPYLEFT.search(choice) for choice in choices) else "copyleft beyond its own files"


def licence_of(metadata: Mapping[str, str], classifiers: Iterable[str]) -> str:
    """What a package says about its licence: the expression, else classifiers, else a short `License` field."""
    if expression := metadata.get("License-Expression"):
        return expression
    named = [row.rpartition(" :: ")[2] for row in classifiers if row.startswith("License :: ")]
    named = [_CLASSIFIERS.get(row, row) for row in named if row != "OSI Approved"]
    if named:
        return " AND ".join(sorted(set(named)))
    # Some packages put the whole text here; its first line is the name.
    first = (metadata.get("License") or "").strip().partition("\n")[0]
    return "" if first.upper() == "UNKNOWN" else first[:60]


def installed(requirements: Mapping[str, list[str]]) -> tuple[list[Package], list[tuple[str, str]]]:
    """The packages that requirements bring, directly and through each other.

    Args:
        requirements: Who wants them -> requirements as `numpy>=1.26`.

    Returns:
        The packages that are here, by name, and (name, wanted by) of those that are not.
    """
    found: dict[str, Package] = {}
    missing: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), owner, "") for owner, texts in requirements.items() for text in texts]
    while waiting:
        requirement, owner, extra = waiting.pop(0)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        extras = ["", *sorted(requirement.extras)]
        try:
            package = distribution(name)
        except PackageNotFoundError:
            missing.setdefault(name, owner)
            continue
        found.setdefault(name, _described(package, name, owner))
        for wanted in extras:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(text), owner, wanted) for text in package.requires or ()]
    return sorted(found.values(), key=lambda row: row.name), sorted(missing.items())


def _described(package: Distribution, name: str, owner: str) -> Package:
    metadata = package.metadata
    licence = licence_of({key: metadata[key] for key in set(metadata)}, metadata.get_all("Classifier") or ())
    return Package(name, package.version, licence, owner)


def run_time_requirements() -> dict[str, list[str]]:
    """The project's requirements: its own, and those of every extra that a user may install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    return {"facewave": project["dependencies"]} | {
        extra: requirements for extra, requirements in extras if extra not in NOT_AT_RUN_TIME
    }


def known_weaknesses(packages: Iterable[Package], console: Console) -> bool:
    """Ask pip-audit; returns whether it found something. Says so where it cannot be asked."""
    program = shutil.which("pip-audit") or shutil.which("pip-audit", path=str(Path(sys.executable).parent))
    if program is None:
        console.print("known weaknesses: not searched; pip-audit is not installed (pipx install pip-audit)")
        return False
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text("".join(f"{row.name}=={row.version.partition('+')[0]}\n" for row in packages))
        command = [program, "--requirement", str(pinned), "--no-deps", "--disable-pip", "--progress-spinner", "off",
                   "--format", "json"]  # fmt: skip
        console.print("known weaknesses: asking pip-audit's database ...")
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=PIP_AUDIT_S, check=False)
        except subprocess.TimeoutExpired:
            console.print(f"known weaknesses: not searched; no answer in {PIP_AUDIT_S} s")
            return False
    try:
        rows = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = result.stderr.strip().splitlines()[-1:] or ["no reason given"]
        console.print(f"known weaknesses: not searched; pip-audit: {reason[0]}", markup=False)
        return False
    # A database that does not answer makes it skip packages and still report that nothing was found.
    skipped = [row["name"] for row in rows if "skip_reason" in row]
    weak = [(row["name"], weakness["id"]) for row in rows for weakness in row.get("vulns", ())]
    console.print(
        f"known weaknesses: {len(weak)} in {len(rows) - len(skipped)} packages that were looked up"
        + (f"; {len(skipped)} could not be looked up" if skipped else "")
    )
    for name, number in weak:
        console.print(f"  {name}: {number}", markup=False)
    return bool(weak)


def main() -> int:
    """Print the list; returns the number of problems."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    packages, missing = installed(run_time_requirements())
    table = Table(title="packages that come with facewave")
    for heading in ("package", "version", "licence", "wanted by", "problem"):
        table.add_column(heading, overflow="fold")
    for row in packages:
        table.add_row(row.name, row.version, row.licence, row.wanted_by, row.problem)
    console.print(table)
    if missing:
        absent = ", ".join(f"{name} [{owner}]" for name, owner in missing)
        console.print(f"not installed here, so not looked at: {absent}", markup=False)
    problems = [row for row in packages if row.problem]
    console.print(f"{len(packages)} packages, {len(problems)} with a licence that is not accepted")
    return len(problems) + known_weaknesses(packages, console)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
