"""What the pages show is run where it can be, checked where it cannot, and the site builds without warnings.

A block after `<!-- not run: reason -->` needs a network, a device or a service; its Python must still compile and
import what is there, and its commands must be ones the program understands (`test_docs.py`).
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

import facewave
from facewave.channel_maps import read_channel_map
from facewave.cli import app
from facewave.settings import load_settings
from tests.test_docs import COMMANDS, PAGES, ROOT
from tools.documentation import COPIED, generated_pages, navigation, relinked

_BLOCK = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n+)?^```([\w-]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=\S*")

LANGUAGES = {"sh", "python", "js", "toml", "yaml", "json", "text", ""}
PROGRAMS = {
    "facewave", "pip", "pipx", "uv", "uvx", "git", "cd", "make", "export", "ffmpeg", "docker", "kubectl", "curl",
    "grpcurl", "npm", "python", "apt-get", "blender", "haproxy", "helm",
    "some-tts",  # stands for the reader's own
}  # fmt: skip
"""Programs that pages may name; a misspelling is none of them."""

RUN = ("quickstart.md", "quickstart.zh.md")
"""Pages whose commands are run in their order, on the bundled speech."""


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str
    not_run: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.text.strip().splitlines()[0][:40] if self.text.strip() else ''}"


BLOCKS = [
    Block(page, match[2], match[3], match[1] or "")
    for page in PAGES
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))
]


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_every_block_says_what_it_is_written_in() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES
    assert len(of("sh")) > 15
    assert len(of("python")) > 5


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_compiles_and_imports_what_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "facewave":
            module = importlib.import_module(str(node.module))
            for name in names:
                assert hasattr(module, name), f"{block.page.name}: {node.module} has no {name}"
        elif isinstance(node, ast.Import):
            for name in names:
                if name.partition(".")[0] == "facewave":
                    importlib.import_module(name)


@pytest.mark.parametrize("block", [b for b in of("python") if not b.not_run and b.page.name != "README.md"], ids=str)
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_clip: Path) -> None:
    monkeypatch.chdir(tmp_path)
    samples, _ = soundfile.read(demo_clip, dtype="float32")
    for name in ("speech.wav", "hello.wav"):
        soundfile.write(tmp_path / name, samples[: 16_000 * 2], 16_000)
    for name in re.findall(r'"([\w.]+\.(?:csv|json))"', block.text):
        facewave.animate(samples[:16_000], output=name)
    shown: list[Any] = []
    names = {
        "microphone": lambda: np.array_split(samples[: 16_000 * 2], 10),
        "show": lambda *values: shown.append(values),
        "draw": shown.append,
        "viseme_received": lambda *values: shown.append(values),
    }
    exec(compile(block.text, block.page.name, "exec"), names)
    assert shown or "show(" not in block.text


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_shell_lines_call_programs_that_exist(block: Block) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\||;", line.partition(" #")[0]):
            words = [
                word for word in shlex.split(part, comments=True) if not re.fullmatch(r"[A-Z_][A-Z0-9_]*=\S*", word)
            ]
            if not words:
                continue
            program = words[0].rpartition("/")[2]
            assert program in PROGRAMS, f"{block.page.name}: {line}"
            if program == "make" and len(words) > 1:
                assert words[1] in targets, f"{block.page.name}: {line}"
            if "facewave" in words[1:] and program in ("uvx",):
                assert words[words.index("facewave") + 1] in {name.split()[0] for name in COMMANDS}


@pytest.mark.parametrize("name", RUN)
def test_the_quickstart_runs_as_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_clip: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(demo_clip, tmp_path / "speech.wav")
    ran = 0
    for block in of("sh"):
        if block.page.name != name or block.not_run:
            continue
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{line}\n{result.output}"
            ran += 1
    assert ran >= 5
    for written in ("speech.html", "speech.csv", "speech.livelink.csv"):
        assert (tmp_path / written).stat().st_size > 10_000


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_toml_is_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tomllib.loads(block.text)
    if "channels" in table:
        (tmp_path / "map.toml").write_text(block.text, encoding="utf-8")
        assert read_channel_map(tmp_path / "map.toml")
    elif "project" not in table:  # facewave.toml; else a package's own file
        monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-x")
        (tmp_path / "facewave.toml").write_text(block.text, encoding="utf-8")
        load_settings(tmp_path / "facewave.toml", {})


@pytest.mark.parametrize("block", of("yaml") + of("json"), ids=str)
def test_yaml_and_json_are_valid(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    else:
        list(yaml.safe_load_all(block.text))


def anchors(text: str) -> set[str]:
    found = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE):
        plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
        found.add(re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", plain)))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_lead_to_headings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", text):
        if "://" not in target:
            goal = (page.parent / target).read_text(encoding="utf-8") if target else text
            assert anchor in anchors(goal), f"{page.name}: {target}#{anchor}"


def test_the_navigation_has_every_page_once() -> None:
    listed: list[str] = []
    for row in navigation():
        for value in row.values():
            listed += [value] if isinstance(value, str) else value
    here = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == here | set(generated_pages())


def test_the_reference_holds_every_row_of_the_tables() -> None:
    from facewave import __all__
    from facewave.blendshapes import CHANNELS
    from facewave.outputs import FORMATS
    from facewave.parameters import FACE_PARAMETERS
    from facewave.providers import PROVIDERS

    pages = generated_pages()
    for name in COMMANDS:
        assert f"## facewave {name}\n" in pages["reference/commands.md"]
    for page, names in {
        "providers": [row.name for row in PROVIDERS],
        "formats": [row.extension for row in FORMATS],
        "parameters": [row.name for row in FACE_PARAMETERS],
        "blendshapes": list(CHANNELS),
    }.items():
        for name in names:
            assert f"| `{name}` |" in pages[f"reference/{page}.md"]
    for name in set(__all__) - {"EMOTIONS"}:
        assert f"## {name}\n" in pages["reference/python.md"]


def test_links_are_turned_to_their_place_in_the_site() -> None:
    card = "src/facewave/providers/embedded/model_card.md"
    assert relinked(f"[card](../{card}#scores)", "docs/others.md", "others.md") == "[card](about/model-card.md#scores)"
    assert (
        relinked("[x](../../examples/10.py)", "docs/howto/a.md", "howto/a.md")
        == "x (`examples/10.py` in the repository)"
    )
    assert relinked("[x](docs/howto/serve.md)", "SECURITY.md", COPIED["SECURITY.md"]) == "[x](../howto/serve.md)"
    assert relinked("```\n[a](b)\n```", "docs/a.md", "a.md") == "```\n[a](b)\n```"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install 'facewave[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # a word of the theme about its future
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stderr
    for page in ("index.html", "quickstart.zh.html", "reference/commands.html", "about/model-card.html"):
        html = (tmp_path / "site" / page).read_text(encoding="utf-8")
        assert "<h1" in html
        # Pages work without a network: nothing is fetched from elsewhere.
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://[^"]+\.(?:js|css|woff2?|png)', html)
