"""What `mkdocs build` adds to the pages of `docs/`: the reference, from the program's own tables, and the navigation.

Nothing of the reference is written down twice: providers, formats, parameters, emotions, channels, commands and public
names are read from the package when the site is built.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import posixpath
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

FIRST = ("install.md", "studio.md", "local-models.md", "hosted-service.md", "own-service.md", "runtime.md", "serve.md")
"""How-to pages in the order in which they are read; others follow by title."""

COPIED = {
    "MODELS.md": "about/models.md",
    "SECURITY.md": "about/security.md",
    "CHANGELOG.md": "about/changelog.md",
    "CONTRIBUTING.md": "about/contributing.md",
    "THIRD_PARTY_NOTICES.md": "about/notices.md",
    "src/facewave/providers/embedded/model_card.md": "about/model-card.md",
}
"""Pages of the repository that are pages of the site as well: path -> place."""

_ELSEWHERE = {"README.md": "index.md", "LICENSE": ""}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def generated_pages() -> dict[str, str]:
    """Place in the site -> Markdown, of every page that is not in `docs/`."""
    pages = {f"reference/{name}.md": make() for name, make in _REFERENCE.items()}
    for source, place in COPIED.items():
        # In the repository these link to what lies around them; the site has its own places.
        pages[place] = (ROOT / source).read_text(encoding="utf-8")
    return pages


def relinked(text: str, source: str, place: str) -> str:
    """A page's links as the site needs them.

    Args:
        text: Markdown.
        source: Where the page lies in the repository, as `docs/howto/serve.md`.
        place: Where it lies in the site, as `howto/serve.md`.
    """

    def link(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match.group(0)
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if file.startswith("docs/"):
            goal = file.removeprefix("docs/")
        else:
            goal = COPIED.get(file, _ELSEWHERE.get(file, ""))
        if not goal:
            return f"{words} (`{file}` in the repository)" if not mark else words
        there = posixpath.relpath(goal, posixpath.dirname(place) or ".")
        return f"{mark}[{words}]({there}{'#' + anchor if anchor else ''})"

    # What stands in a code block is shown, not followed.
    parts = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


def navigation() -> list[dict[str, Any]]:
    """The site's order; how-to pages are those that are there."""
    howtos = {path.name: f"howto/{path.name}" for path in sorted((ROOT / "docs" / "howto").glob("*.md"))}
    order = [*(name for name in FIRST if name in howtos), *(name for name in howtos if name not in FIRST)]
    return [
        {"Home": "index.md"},
        {"Quickstart": "quickstart.md"},
        {"快速上手": "quickstart.zh.md"},
        {"How to": [howtos[name] for name in order]},
        {"Understand": ["concepts.md", "architecture.md", "others.md"]},
        {"Reference": [f"reference/{name}.md" for name in _REFERENCE]},
        {"About": list(COPIED.values())},
    ]


# mkdocs calls these by their names.


def on_config(config: Any) -> Any:
    """Set the navigation."""
    config["nav"] = navigation()
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for place, text in generated_pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Set the links right."""
    place = page.file.src_uri
    source = next((path for path, goal in COPIED.items() if goal == place), f"docs/{place}")
    return relinked(markdown, source, place)


# The reference.


def _providers() -> str:
    from facewave.errors import FacewaveError
    from facewave.providers import PROVIDERS, open_provider
    from facewave.settings import FacewaveSettings

    lines = ["# Providers", "", "| name | what it is | frame rates | hears ahead |", "| --- | --- | --- | --- |"]
    for row in PROVIDERS:
        try:
            info = open_provider(row.name, FacewaveSettings()).info
            low, high = (float(rate) for rate in info.frame_rates)
            rates = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            ahead = f"{info.look_ahead / 16:g} ms" if info.look_ahead else "-"
        except FacewaveError:
            # The model or the address decides, and neither is here.
            rates = ahead = "the model's or the service's"
        lines.append(f"| `{row.name}` | {row.summary} | {rates} | {ahead} |")
    lines += ["", "Settings of each are described in the [settings](settings.md).", ""]
    return "\n".join(lines) + _described("facewave.providers.base", ["Provider", "Session", "ProviderInfo"])


def _formats() -> str:
    from facewave.audio.files import EXTENSIONS
    from facewave.outputs import FORMATS

    lines = ["# File formats", "", "| extension | who reads it | read back |", "| --- | --- | --- |"]
    lines += [f"| `{row.extension}` | {row.summary} | {'yes' if row.readable else 'no'} |" for row in FORMATS]
    lines += ["", "## Audio that is read", "", ", ".join(f"`{ending}`" for ending in EXTENSIONS), ""]
    return "\n".join(lines)


def _parameters() -> str:
    from facewave.parameters import EXTRA_PARAMETERS, FACE_PARAMETERS

    lines = ["# Face parameters", ""]
    for rows in (FACE_PARAMETERS, EXTRA_PARAMETERS):
        lines += ["| name | in NVIDIA's YAML | default | range | unit | what a larger value does |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        lines += [
            f"| `{row.name}` | `{row.yaml_name}` | {row.default:g} | {row.minimum:g} to {row.maximum:g} | {row.unit} | "
            f"{row.meaning} |"
            for row in rows
        ]
        lines += ["", "Two more are accepted from clients that send them:" if rows is FACE_PARAMETERS else "", ""]
    return "\n".join(lines)


def _emotions() -> str:
    from facewave.emotions import EMOTIONS

    listed = ", ".join(f"`{name}`" for name in EMOTIONS)
    return f"# Emotions\n\nIn the order of every emotion vector: {listed}.\n\n" + _described(
        "facewave.emotions", ["EmotionSettings", "EmotionTrack"]
    )


def _channels() -> str:
    from facewave.blendshapes import CHANNELS, pascal, underscore
    from facewave.visemes import AZURE_IDS, VISEMES

    lines = ["# Blend shapes and visemes", "", "The 52 ARKit channels in wire order, then 16 of the tongue.", ""]
    lines += ["| index | name | in stream headers | with sides as letters |", "| --- | --- | --- | --- |"]
    lines += [f"| {i} | `{name}` | `{pascal(name)}` | `{underscore(name)}` |" for i, name in enumerate(CHANNELS)]
    lines += ["", "## Visemes", "", "| index | name | Azure id |", "| --- | --- | --- |"]
    lines += [f"| {i} | `{name}` | {number} |" for i, (name, number) in enumerate(zip(VISEMES, AZURE_IDS, strict=True))]
    return "\n".join(lines) + "\n"


def _settings() -> str:
    intro = inspect.cleandoc(importlib.import_module("facewave.settings").__doc__ or "").partition("\n\n")[2]
    names = ["FacewaveSettings", "EmbeddedSettings", "ModelsSettings", "RemoteSettings", "LegacySettings"]
    return f"# Settings\n\n{intro}\n\n" + _described("facewave.settings", names)


def _commands() -> str:
    from typer.main import get_command

    from facewave.cli import app

    lines = ["# Commands", ""]
    for path, command in _leaves(get_command(app), "facewave"):
        usage = " ".join(
            str(row.name).upper() if row.required else f"[{str(row.name).upper()}]"
            for row in command.params
            if row.param_type_name == "argument"
        )
        lines += [
            f"## {path}",
            "",
            f"`{path} [OPTIONS] {usage}`".replace(" `", "`"),
            "",
            _plain(command.help or ""),
            "",
        ]
        lines += ["| option | meaning | default |", "| --- | --- | --- |"]
        for row in command.params:
            if row.name == "help" or getattr(row, "hidden", False):
                continue
            argument = row.param_type_name == "argument"
            name = str(row.name).upper() if argument else ", ".join([*row.opts, *row.secondary_opts])
            shown = "" if row.default is None or callable(row.default) or row.default in ((), [], "") else row.default
            help_text = _plain(getattr(row, "help", None) or "").replace("|", "\\|")
            lines.append(f"| `{name}` | {help_text} | {f'`{shown}`' if shown != '' else ''} |")
        lines.append("")
    return "\n".join(lines)


def _leaves(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _python() -> str:
    import facewave

    lines = ["# Python", "", "Everything in `facewave`; the rest of the package is private.", ""]
    for name in facewave.__all__:
        value = getattr(facewave, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            lines.append(_described(value.__module__, [name]))
    return "\n".join(lines)


def _errors() -> str:
    from facewave import errors

    return f"# Errors\n\n```text\n{inspect.cleandoc(errors.__doc__ or '')}\n```\n"


_REFERENCE: dict[str, Callable[[], str]] = {
    "python": _python,
    "commands": _commands,
    "providers": _providers,
    "formats": _formats,
    "parameters": _parameters,
    "emotions": _emotions,
    "blendshapes": _channels,
    "settings": _settings,
    "errors": _errors,
}


def _described(module: str, names: list[str]) -> str:
    """Classes and functions with their signatures, docstrings, fields and public methods."""
    loaded = importlib.import_module(module)
    tree = ast.parse(inspect.getsource(loaded))
    nodes = {node.name: node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    lines: list[str] = []
    for name in names:
        node = nodes[name]
        lines += [f"## {name}", "", f"`{module}`", ""]
        if isinstance(node, ast.FunctionDef):
            lines += [*_function(node), ""]
            continue
        lines += [_docstring(node), ""]
        members = list(_members(node))
        if members:
            lines += ["| field | type | meaning |", "| --- | --- | --- |"]
            lines += [f"| `{field}` | `{kind}` | {meaning} |" for field, kind, meaning in members] + [""]
        for method in node.body:
            if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and not method.name.startswith("_"):
                lines += [f"### {name}.{method.name}", "", *_function(method), ""]
    return "\n".join(lines)


def _members(node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    """Fields of a dataclass with the strings that follow them."""
    for field, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            told = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            value = f" = {ast.unparse(field.value)}" if field.value is not None else ""
            kind = ast.unparse(field.annotation) + value  # within backticks a bar ends no cell
            yield field.target.id, kind, " ".join(_plain(str(told)).split()).replace("|", "\\|")


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    start = "async def " if isinstance(node, ast.AsyncFunctionDef) else ""
    if any(isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list):
        return [f"*property*{returns.replace(' -> ', ': `')}`" if returns else "*property*", "", _docstring(node)]
    signature = f"{start}{node.name}({ast.unparse(node.args)}){returns}"
    return ["```text", *textwrap.wrap(signature, 110, subsequent_indent="    "), "```", "", _docstring(node)]


def _docstring(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The docstring, its sections as lists."""
    lines: list[str] = []
    inside = False
    for line in (ast.get_docstring(node) or "").splitlines():
        if re.fullmatch(r"(Args|Raises|Returns):", line):
            lines += ["", f"**{line.rstrip(':')}**", ""]
            inside = True
        elif inside and (match := re.fullmatch(r"    (\w+): (.*)", line)):
            lines.append(f"- `{match[1]}`: {_plain(match[2])}")
        elif inside and line.startswith("    "):
            lines.append(f"{'  ' if lines[-1].startswith(('-', '  ')) else ''}{_plain(line.strip())}")
        else:
            inside = inside and not line.strip()
            lines.append(_plain(line))
    return "\n".join(lines).strip()


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: angle brackets and square ones mean nothing."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else part.replace("<", "&lt;").replace("[", "\\[").replace("*", "\\*")
        for part in parts
    )
