"""The whole examination, as text for people, and as an archive for a bug report."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from . import report
from .report import Report, problem
from .secrets import Scrubber

if TYPE_CHECKING:
    from rich.console import Console


def examine(progress: Callable[[str], None], *, quick: bool = False) -> Report:
    """Look at everything; secrets are masked.

    Args:
        progress: Told what is looked at.
        quick: Run no model and connect to no service.

    Returns:
        Sections of plain values; `ok` says whether facewave works here, `problems` what keeps it from that.
    """
    from . import selftest

    settings, shown, problems = report.settings_in_force()
    progress("packages")
    found: Report = {"packages": report.packages(), "machine": report.machine(), "extras": report.extras()}
    problems += report.package_problems(found["packages"])
    progress("devices")
    network = Path(str(resources.files("facewave") / "providers" / "embedded" / "model.onnx"))
    found["devices"] = report.devices(network=network)
    progress("providers")
    found["providers"] = report.providers(settings, reach=not quick)
    found["notes"] = report.notes(settings, found["providers"])
    found["models"] = report.models(settings)
    found["settings"] = shown
    chosen = settings.provider or found["providers"][0]["name"]
    for row in found["providers"]:
        if row["name"].lower() == chosen.lower() and not row["available"]:
            problems.append(
                problem(f"the default provider, {row['name']}: {row['why']}", "do that, or set another provider")
            )
    wanted = settings.models.device.lower()
    for row in found["devices"]:
        if row["name"] == wanted and not row["available"]:
            problems.append(problem(f"models.device is {wanted}: {row['why']}", row["do"]))
    found["self_test"] = [] if quick else selftest.run(progress)
    problems += [
        problem(f"self-test, {row['name']}: {row['why']}", "report it, with the file of `facewave doctor --bundle`")
        for row in found["self_test"]
        if row["ok"] is False
    ]
    found["problems"] = problems
    found["ok"] = not problems
    return dict(Scrubber(settings).values(found))


def show(found: Report, console: Console) -> None:
    """Print the report for people."""
    from rich.markup import escape
    from rich.table import Table

    def table(title: str, rows: Iterable[tuple[Any, ...]], *columns: str) -> None:
        drawn = Table(*columns, title=escape(title), title_justify="left", show_header=bool(columns))
        for row in rows:
            drawn.add_row(*(escape(str(cell)) for cell in row))
        console.print(drawn)

    versions, here = found["packages"], found["machine"]
    table("versions", [(name, version or "-") for name, version in versions.items()], "package", "version")
    limit = "" if here["cores_allowed"] is None else f", {here['cores_allowed']:g} allowed"
    threads = ", ".join(f"{name}={value}" for name, value in here["thread_variables"].items()) or "none set"
    table(
        "machine",
        [
            ("python", f"{here['implementation']} {here['python']}"),
            ("system", f"{here['system']} {here['release']} {here['machine']} {here['c_library']}"),
            ("processor", f"{here['processor']}; {here['cores']} cores, {here['cores_usable']} usable{limit}"),
            ("memory", "unknown" if here["memory_gb"] is None else f"{here['memory_gb']} GB"),
            ("thread variables", threads),
        ],
        "what",
        "value",
    )
    table(
        "devices", [(row["name"], *_state(row, row["do"])) for row in found["devices"]], "device", "usable", "why not"
    )
    table("providers", [(row["name"], *_state(row)) for row in found["providers"]], "provider", "usable", "why not")
    table(
        "extras",
        [(name, "yes" if row["installed"] else "no", row["do"]) for name, row in found["extras"].items()],
        "extra",
        "installed",
        "to get it",
    )
    stored = [(row["name"], row["broken"] or row["kind"], row["path"]) for row in found["models"]["models"]]
    table(f"models ({found['models']['store']})", stored or [("none", "", "")], "model", "kind", "where")
    console.print(f"settings file: {found['settings']['file'] or 'none'}", markup=False)
    console.print(f"settings variables: {', '.join(found['settings']['variables']) or 'none'}\n", markup=False)
    if found["self_test"]:
        rows = [
            (row["name"], {True: "ok", False: "FAILED", None: "-"}[row["ok"]], _found(row))
            for row in found["self_test"]
        ]
        table("self-test", rows, "test", "result", "found")
    for row in found["notes"]:
        console.print(f"note: {row['what']}\n  -> {row['do']}", markup=False)
    for row in found["problems"]:
        console.print(f"problem: {row['what']}\n  -> {row['do']}", markup=False)
    console.print("facewave works here." if found["ok"] else "facewave does not work here as it is set up.")


def write_bundle(found: Report, path: Path) -> None:
    """Write a report to a zip archive for a bug report: no secret, home folder, user or machine name in it.

    Raises:
        OutputError: The file cannot be written.
    """
    from rich.console import Console

    settings, _, _ = report.settings_in_force()
    scrubber = Scrubber(settings, private=True)
    clean = scrubber.values(found)
    text = io.StringIO()
    show(clean, Console(file=text, width=120, highlight=False))
    installed = sorted(f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions())
    files = {
        "doctor.json": json.dumps(clean, indent=1) + "\n",
        "doctor.txt": scrubber.text(text.getvalue()),
        "packages.txt": scrubber.text("\n".join(dict.fromkeys(installed)) + "\n"),
    }
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _state(row: Report, do: str = "") -> tuple[str, str]:
    return ("yes", "") if row["available"] else ("no", "; ".join(part for part in (row["why"], do) if part))


def _found(row: Report) -> str:
    return row["why"] or ", ".join(f"{name} {value:g}" for name, value in row["found"].items())
