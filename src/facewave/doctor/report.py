"""Everything that can be found out without running a model, as plain values that go into JSON as they are."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import FacewaveError
from ..inference.onnx import DEVICES, available_cores, load_network, runtime_devices
from ..providers import open_provider, provider_names
from ..settings import CONFIG_FILE, FacewaveSettings, load_settings
from .secrets import is_secret

Report = dict[str, Any]
"""Section -> values."""

PACKAGES = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnx", "grpcio", "protobuf", "soundfile",
    "soxr", "PyYAML", "typer", "rich",
)  # fmt: skip
"""Packages whose versions matter in a bug report."""

_RUNTIMES = tuple(name for name in PACKAGES if name.startswith("onnxruntime"))
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_NOT_FOR_USERS = ("dev",)


def problem(what: str, do: str) -> dict[str, str]:
    """Something that keeps facewave from working here, and what to do about it."""
    return {"what": what, "do": do}


def machine() -> Report:
    """Python, system, processor, memory and threads."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "c_library": " ".join(platform.libc_ver()).strip(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_usable": available_cores(),
        "cores_allowed": _cpu_quota(),
        "memory_gb": _memory_gb(),
        "thread_variables": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
    }


def packages() -> Report:
    """facewave's own version and that of each package, None where it is absent."""
    from .. import __version__

    return {"facewave": __version__, **{name: _version(name) for name in PACKAGES}}


def package_problems(found: Mapping[str, str | None]) -> list[dict[str, str]]:
    """What is wrong with the installed packages."""
    runtimes = [name for name in _RUNTIMES if found[name]]
    if not runtimes:
        return [problem("onnxruntime is not installed", "pip install onnxruntime")]
    if len(runtimes) > 1:
        return [
            problem(
                f"{' and '.join(runtimes)} are installed together and overwrite each other's files",
                f"pip uninstall -y {' '.join(runtimes)}, then install the one that is wanted",
            )
        ]
    return []


def extras() -> Report:
    """Extra -> whether it is installed, what is missing, and how to get it."""
    try:
        lines = metadata.requires("facewave") or []
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return {}
    found: Report = {}
    for line in lines:
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if extra is None or name is None or extra[1] in _NOT_FOR_USERS:
            continue
        row = found.setdefault(extra[1], {"installed": True, "missing": [], "do": ""})
        if _version(name[0]) is None:
            row["installed"] = False
            row["missing"].append(name[0])
            row["do"] = f"pip install 'facewave[{extra[1]}]'"
    return dict(sorted(found.items()))


def devices(*, network: Path) -> list[Report]:
    """Each device networks can run on: whether it does, else why not and what it needs.

    Args:
        network: A small network that is loaded to see whether a device starts.
    """
    offered = runtime_devices()
    rows = []
    for device in DEVICES:
        why = ""
        if device.execution_provider not in offered:
            why = f"this ONNX Runtime has no {device.execution_provider}"
        else:
            try:
                if load_network(network, device=device.name).device != device.name:
                    why = "ONNX Runtime has it and could not start it"
            except FacewaveError as error:
                why = str(error)
        do = f"needs {device.needs}; pip install {device.package}" if why else ""
        rows.append({"name": device.name, "available": not why, "why": why, "do": do})
    return rows


def providers(settings: FacewaveSettings, *, reach: bool) -> list[Report]:
    """Each provider: whether it can be used, else why not, in words that say what to do.

    Args:
        settings: The settings in force.
        reach: Also connect to the services that are configured.
    """
    rows = []
    for name in provider_names():
        kind, why = "", ""
        try:
            provider = open_provider(name, settings)
            kind = provider.info.kind
            if require := getattr(provider, "require", None):
                require()
            if reach and kind == "remote":
                provider.allocate()
                provider.free()
        except FacewaveError as error:
            why = str(error)
        except Exception as error:  # a provider of another package may raise anything
            why = f"{type(error).__name__}: {error}"
        rows.append({"name": name, "kind": kind, "available": not why, "why": why})
    return rows


def notes(settings: FacewaveSettings, rows: list[Report]) -> list[dict[str, str]]:
    """What would make the usable providers better; `rows` are those of `providers`."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["available"] and (hint := open_provider(row["name"], settings).info.hint):
            found.setdefault(hint, []).append(row["name"])
    return [problem(", ".join(names), hint) for hint, names in found.items()]


def models(settings: FacewaveSettings) -> Report:
    """The model store, and each model in it or on the search path."""
    from ..providers.a2f.folder.bundle import load_bundle
    from ..providers.a2f.folder.describe import identities_of, size_of
    from ..providers.a2f.locate import model_store

    store = model_store(settings)
    rows = []
    for model in store.models():
        row: Report = {"name": model.name, "path": str(model.path), "kind": model.kind, "source": model.source}
        try:
            bundle = load_bundle(model.path)
            row |= {"kind": bundle.kind, "identities": identities_of(bundle), "bytes": size_of(bundle), "broken": ""}
        except FacewaveError as error:
            row["broken"] = str(error)
        rows.append(row)
    return {"store": str(store.folder), "search": [str(path) for path in store.search], "models": rows}


def settings_in_force() -> tuple[FacewaveSettings, Report, list[dict[str, str]]]:
    """The settings (the defaults where they cannot be read), the same with secrets masked, and what is wrong."""
    named = os.environ.get("FACEWAVE_CONFIG") or (CONFIG_FILE if Path(CONFIG_FILE).is_file() else "")
    shown: Report = {
        "file": str(Path(named).absolute()) if named else None,
        # Of variables, names alone: any of their values may be a secret.
        "variables": sorted(name for name in os.environ if name.startswith("FACEWAVE_")),
    }
    try:
        settings = load_settings()
    except FacewaveError as error:
        return FacewaveSettings(), shown, [problem(f"the settings cannot be read: {error}", "correct the setting")]
    shown["values"] = _masked(asdict(settings))
    return settings, shown, []


def _masked(values: Mapping[str, Any]) -> Report:
    masked: Report = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            masked[name] = _masked(value)
        elif is_secret(name) and value:
            # `$NAME` says where the secret is, and is none itself.
            masked[name] = value if re.fullmatch(r"\$\w+", str(value)) else "***"
        else:
            masked[name] = list(value) if isinstance(value, tuple) else value
    return masked


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _cpu_quota() -> float | None:
    """Cores that a container may use on average; None without such a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _memory_gb() -> float | None:
    if sys.platform == "win32":
        return None
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (OSError, ValueError):
        return None
