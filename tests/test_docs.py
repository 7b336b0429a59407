"""The documents are true: the file tree, the tables, the commands and the code they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.main import get_command

from facewave.cli import app
from facewave.outputs import FORMATS
from facewave.outputs.live import SCHEMES
from facewave.providers import PROVIDERS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "MODELS.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_provider_and_format_has_its_row() -> None:
    assert re.findall(r"^\| `(\S+)` \|", section("Providers"), re.MULTILINE) == [row.name for row in PROVIDERS]
    documented = set(re.findall(r"^\| `(\S+)` \|", section("Outputs"), re.MULTILINE))
    assert documented == {row.extension for row in FORMATS}
    live = re.findall(r"^\| `(\S+)` \| (.+) \|", section("Live outputs"), re.MULTILINE)
    assert live == [(row.example, row.summary) for row in SCHEMES]


def test_the_file_tree_is_the_tree() -> None:
    tree = blocks(section("File tree"), "")[0]
    inside = {
        path.name for path in (ROOT / "src" / "facewave").iterdir() if path.name not in ("__pycache__", "py.typed")
    }
    for name in inside - {"__init__.py", "__main__.py"}:
        assert re.search(rf"(^|\s){re.escape(name)}/?(\s|$)", tree), f"{name} is missing from the file tree in README"
    for name in re.findall(r"^(\w+)/", tree, re.MULTILINE):
        assert (ROOT / name).is_dir(), f"README's file tree names {name}/, which does not exist"
    for name in re.findall(r"(?<=\s)(\w+\.py)\b", tree):
        assert name in inside, f"README's file tree names {name}, which does not exist"


def commands() -> Iterator[list[str]]:
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8"), "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0].rpartition("/")[2] == "facewave":
                    yield words[1:]


def all_commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(all_commands(get_command(app)))


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_shown_is_one_the_program_understands(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in words:
        if re.fullmatch(r"[\w-]+\.\w+", word):  # Some options ask for a file that exists.
            (tmp_path / word).touch()
    depth = 2 if " ".join(words[:2]) in COMMANDS else 1
    command = COMMANDS[" ".join(words[:depth])]
    with command.make_context(words[0], list(words[depth:])):
        pass


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_has_help(name: str) -> None:
    assert COMMANDS[name].help
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{name} {parameter.name} has no help"


def test_the_python_in_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_clip: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech.wav").write_bytes(demo_clip.read_bytes())
    samples, _ = soundfile.read(demo_clip, dtype="float32")
    shown: list[np.ndarray[Any, Any]] = []
    names = {"microphone": lambda: np.array_split(samples, 20), "show": shown.append}
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "speech.csv").stat().st_size > 10_000
    assert len(shown) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


def test_make_targets_named_in_the_pages_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`make ([\w-]+)`", page.read_text(encoding="utf-8")):
            assert target in targets, f"{page.name} names `make {target}`"
