"""What a batch is to animate, and what each file's animation is called."""

from __future__ import annotations

import glob
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..audio.files import EXTENSIONS
from ..errors import AudioError, SettingsError


@dataclass(frozen=True, slots=True)
class Source:
    """One audio file of a batch."""

    path: Path
    """Where it is."""

    name: PurePath
    """Its place under the output folder: relative, with its own extension still."""


def find_sources(words: Sequence[str]) -> list[Source]:
    """The audio files that the words of a command line name, each once, in order.

    A word is a file, a folder (with the folders in it), a pattern such as `takes/**/*.wav`, or `@FILE`, a list of such
    words, one a line (`@-` reads it from standard input). Files keep their place below a folder or pattern.

    Raises:
        AudioError: A folder or pattern without audio files, or a list that cannot be read. A file that is missing is
            no error yet: it fails when its turn comes.
    """
    found: dict[Path, Source] = {}
    for word in words:
        for source in _sources(word):
            found.setdefault(source.path.absolute(), source)
    return list(found.values())


def targets(sources: Sequence[Source], extension: str) -> list[PurePath]:
    """The animation file of each source, relative to the output folder.

    Where two differ in their extension alone, as `a.wav` and `a.mp3`, both keep it in the name.

    Raises:
        SettingsError: Two sources still have the same name.
    """
    short = [source.name.with_suffix("") for source in sources]
    counted = Counter(short)
    names = [source.name if counted[bare] > 1 else bare for source, bare in zip(sources, short, strict=True)]
    results = [name.with_name(name.name + extension) for name in names]
    first: dict[PurePath, Source] = {}
    for source, result in zip(sources, results, strict=True):
        other = first.setdefault(result, source)
        if other is not source:
            raise SettingsError(
                f"batch: {other.path} and {source.path} would both be written to {result}; "
                "give the folder above them, so that they keep their places"
            )
    return results


def _sources(word: str) -> Iterator[Source]:
    path = Path(word)
    if word.startswith("@"):
        for line in _lines(word[1:]):
            yield from _sources(line)
    elif path.is_dir():
        yield from _in_folder(path, path)
    elif path.exists() or not glob.has_magic(word):
        yield Source(path, PurePath(path.name))
    else:
        yield from _matching(word)


def _matching(pattern: str) -> Iterator[Source]:
    parts = Path(pattern).parts
    root = Path(*parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    files = [path for path in matches if path.is_file() and path.suffix.lower() in EXTENSIONS]
    if not files:
        raise AudioError(f"{pattern}: matches no audio file")
    for path in files:
        yield Source(path, path.relative_to(root))


def _in_folder(folder: Path, root: Path) -> Iterator[Source]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    if not files:
        raise AudioError(f"{folder}: the folder holds no audio files")
    for path in files:
        yield Source(path, path.relative_to(root))


def _lines(name: str) -> list[str]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AudioError(f"@{name}: the list of files cannot be read ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
