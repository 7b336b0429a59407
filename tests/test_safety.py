"""What the code promises about foreign input and foreign systems, kept by reading the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for folder in ("src", "tools", "training", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
    if "_proto" not in path.parts
)
PACKAGE = [path for path in SOURCES if path.is_relative_to(ROOT / "src")]

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_YAML = {"load", "load_all", "full_load", "unsafe_load", "Loader", "FullLoader", "UnsafeLoader"}

POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog"}
POSIX_NAMES = {
    "fork", "forkpty", "killpg", "setsid", "getuid", "geteuid", "getgid", "mkfifo", "nice", "SIGKILL", "SIGHUP",
    "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "alarm", "setitimer", "sched_getaffinity", "AF_UNIX",
    "add_signal_handler",
}  # fmt: skip
POSIX_GUARDED = {
    "inference/onnx.py": {"sched_getaffinity"},  # within `except AttributeError`
    "outputs/video.py": {"geteuid"},  # within `hasattr`
    "server/server.py": {"add_signal_handler"},  # within `except NotImplementedError`
    "server/slots.py": {"fcntl"},  # only where workers share a port, which the next one checks
    "server/workers.py": {"add_signal_handler"},  # refuses to start without SO_REUSEPORT
}
"""Modules of the package that use what only POSIX has, each behind a check of its own."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def names(path: Path) -> frozenset[tuple[str, str]]:
    """(what precedes the dot, name) of every attribute, and ("", name) of every import."""
    return frozenset(_names(path))


def _names(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (("", alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield "", str(node.module).partition(".")[0]
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield (node.value.id if isinstance(node.value, ast.Name) else "?"), node.attr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_and_no_yaml_makes_objects(path: Path) -> None:
    found = names(path)
    assert not {name for before, name in found if not before} & UNSAFE_MODULES
    assert not {name for before, name in found if before == "yaml"} & UNSAFE_YAML
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in ("allow_pickle", "weights_only"):
                    wanted = keyword.arg == "weights_only"
                    assert isinstance(keyword.value, ast.Constant), keyword.arg
                    assert keyword.value.value is wanted, keyword.arg


def test_the_package_reads_arrays_in_one_place() -> None:
    readers = {
        path.name
        for path in PACKAGE
        for before, name in names(path)
        if (before in ("np", "numpy") and name in ("load", "fromfile")) or name in ("read_array", "ZipFile")
    }
    # The authoring service's clips are raw numbers that it has written itself; the doctor's archive is only written.
    assert readers == {"archives.py", "authoring.py", "examine.py"}


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_only_posix_has_is_guarded(path: Path) -> None:
    found = {name for before, name in names(path) if not before and name in POSIX_MODULES}
    found |= {name for _, name in names(path) if name in POSIX_NAMES}
    allowed = POSIX_GUARDED.get(path.relative_to(ROOT / "src" / "facewave").as_posix(), set())
    assert found == allowed
