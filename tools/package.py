"""`make package`: builds what is published, looks into it, and tries it in clean environments.

Wheel and sdist are built twice and must come out the same to the byte. The wheel is then installed alone and with each
extra by itself, on every supported Python that is here, and must animate the bundled speech there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]

MAX_WHEEL = 15 * 10**6
"""Bytes."""

EPOCH = "1577836800"
"""SOURCE_DATE_EPOCH where the caller sets none: 2020-01-01, after which zip archives can tell the time."""

PYTHONS = ("3.11", "3.12", "3.13")
HEAVY = ("train", "pipecat", "livekit", "dev", "docs")
"""Extras that take minutes or gigabytes, or that users do not install; tried with --heavy or by name."""

SMOKE = {
    "server": "from facewave.server.server import Server; import grpc_health.v1, grpc_reflection.v1alpha",
    "studio": "from facewave.studio.app import create_app; create_app(); import uvicorn",
    "hub": "from huggingface_hub import snapshot_download",
    "quantize": "import onnx",
    "telemetry": "import opentelemetry.sdk.trace",
    "mic": "import importlib.util; assert importlib.util.find_spec('sounddevice')",
}
"""What must work besides the demo where an extra is installed."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One installation."""

    python: str
    extra: str
    megabytes: int
    """Size of the environment."""

    seconds: float
    failure: str = ""


def build(folder: Path) -> list[Path]:
    """Wheel and sdist, with the build tool that is installed here."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", EPOCH)}
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist", "--outdir", str(folder)]
    result = subprocess.run(
        [*command, str(ROOT)], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise SystemExit(f"error: the build failed\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return sorted(path for path in folder.iterdir() if path.suffix in (".whl", ".gz"))


def names_in(path: Path) -> list[str]:
    """Files of a wheel or sdist; those of an sdist without its top folder."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return sorted(wheel.namelist())
    with tarfile.open(path) as sdist:
        return sorted(member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile())


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(path: Path) -> Table:
    """Files and bytes of a wheel by folder."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    with zipfile.ZipFile(path) as wheel:
        for member in wheel.infolist():
            folder = "/".join(member.filename.split("/")[:2]) if member.filename.count("/") > 1 else "(top)"
            files[folder] += 1
            sizes[folder] += member.file_size
    table = Table(title=f"{path.name}: {path.stat().st_size / 1e6:.2f} MB packed, {sum(files.values())} files")
    for heading in ("folder", "files", "kB"):
        table.add_column(heading, justify="left" if heading == "folder" else "right")
    for folder in sorted(files):
        table.add_row(folder, str(files[folder]), f"{sizes[folder] / 1000:.1f}")
    return table


def extras() -> list[str]:
    """The extras of the project, as they stand in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"])


def pythons() -> list[str]:
    """Interpreters of the supported versions that run here."""
    found = []
    for version in PYTHONS:
        name = shutil.which(f"python{version}")
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        if name is not None:
            said = subprocess.run([name, "-c", code], capture_output=True, text=True, check=False)
            if said.stdout.strip() == version:
                found.append(name)
    return found


def try_out(wheel: Path, python: str, extra: str, folder: Path) -> Tried:
    """Install into an empty environment and run the commands a newcomer runs first."""
    began = time.monotonic()
    place = folder / "environment"
    shutil.rmtree(place, ignore_errors=True)
    binaries = place / ("Scripts" if os.name == "nt" else "bin")
    target = f"{wheel}[{extra}]" if extra else str(wheel)
    uv = shutil.which("uv")
    inside = str(binaries / "python")
    steps = [
        [uv, "venv", "--quiet", "--python", python, str(place)] if uv else [python, "-m", "venv", str(place)],
        [uv, "pip", "install", "--quiet", "--python", inside, target]
        if uv
        else [inside, "-m", "pip", "install", "--quiet", target],
        [str(binaries / "facewave"), "--help"],
        [str(binaries / "facewave"), "providers"],
        [str(binaries / "facewave"), "demo", "-o", str(folder / "out")],
    ]
    if extra in SMOKE:
        steps.append([inside, "-W", "error", "-c", SMOKE[extra]])
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    failure = ""
    for step in steps:
        result = subprocess.run(step, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if result.returncode:
            failure = (
                f"{' '.join(Path(step[0]).name if i == 0 else s for i, s in enumerate(step[:3]))}: "
                + (result.stderr.strip().splitlines() or [f"ended with {result.returncode}"])[-1]
            )
            break
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return Tried(Path(python).name, extra or "(none)", size // 10**6, time.monotonic() - began, failure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and try; returns the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", action="append", help="only this extra; may be repeated; '' for none")
    parser.add_argument("--heavy", action="store_true", help=f"also {', '.join(HEAVY)}")
    parser.add_argument("--keep", type=Path, help="folder in which to leave wheel and sdist")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="facewave-package-") as name:
        folder = Path(name)
        for number in ("first", "second"):
            (folder / number).mkdir()
        with console.status("building twice ..."):
            first, second = build(folder / "first"), build(folder / "second")
        for one, other in zip(first, second, strict=True):
            same = digest(one) == digest(other)
            failures += not same
            console.print(f"{one.name}: {'the same' if same else 'NOT the same'} in two builds, {digest(one)[:16]}")
        wheel = next(path for path in first if path.suffix == ".whl")
        console.print(contents(wheel))
        if wheel.stat().st_size > MAX_WHEEL:
            failures += 1
            console.print(f"error: {wheel.name} has {wheel.stat().st_size} bytes, expected at most {MAX_WHEEL}")
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for path in first:
                shutil.copy(path, options.keep)
        wanted = options.extra or ["", *(e for e in extras() if options.heavy or e not in HEAVY)]
        rows = []
        for python in pythons():
            for extra in wanted:
                with console.status(f"{Path(python).name}, extra {extra or '(none)'} ..."):
                    rows.append(try_out(wheel, python, extra, folder))
                console.print(f"  {rows[-1].python} {rows[-1].extra}: {rows[-1].failure or 'works'}", markup=False)
        console.print(_table(rows))
        absent = [version for version in PYTHONS if f"python{version}" not in {row.python for row in rows}]
        if absent:
            console.print(f"not here, so not tried: Python {', '.join(absent)}")
        failures += sum(bool(row.failure) for row in rows)
    console.print(f"{failures} failures")
    return failures


def _table(rows: Sequence[Tried]) -> Table:
    table = Table(title="installed alone and with one extra each")
    for heading in ("python", "extra", "MB", "s", "result"):
        table.add_column(heading, justify="right" if heading in ("MB", "s") else "left")
    for row in rows:
        table.add_row(row.python, row.extra, str(row.megabytes), f"{row.seconds:.0f}", row.failure or "works")
    return table


if __name__ == "__main__":
    sys.exit(min(main(), 1))
