"""Models on disk: a folder with one entry a model, and further folders that are only looked through.

    STORE/NAME/facewave.json   where the model is and what it is
    STORE/NAME/...             the model's own files, where it was pulled; none where it was added by its path

The store knows names and places. What a model's files mean is the business of the provider that runs it.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..documents import parse
from ..errors import ModelError, ModelFormatError, ModelNotFoundError, SettingsError

ENTRY = "facewave.json"
ENTRY_POINT = "model.json"
"""File that makes a folder of the search path a model."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One model that can be named."""

    name: str
    """Name users choose it by."""

    path: Path
    """The model's entry point, a JSON file."""

    kind: str = ""
    """What it is, in the words of whoever added it; blank where nobody has looked yet."""

    source: str = ""
    """Where it came from, such as a repository; blank for a folder of the user's."""

    own: bool = False
    """Whether its files are in the store and go when it is removed."""

    listed: bool = True
    """Whether it has an entry; False for a folder found on the search path."""


def data_folder() -> Path:
    """Where facewave keeps what users would miss: `facewave` in the system's place for application data."""
    return _place("XDG_DATA_HOME", "LOCALAPPDATA", "Library/Application Support", ".local/share")


def cache_folder() -> Path:
    """Where facewave keeps what it can make again."""
    return _place("XDG_CACHE_HOME", "LOCALAPPDATA", "Library/Caches", ".cache")


class ModelStore:
    """The models of one user."""

    def __init__(self, folder: Path | None = None, search: Sequence[Path] = ()) -> None:
        """Use `folder` as the store (None: the user's own), and look through the folders of `search` before it."""
        self.folder = folder or data_folder() / "models"
        self.search = tuple(search)

    def models(self) -> list[StoredModel]:
        """Every model by name; of equal names the first on the search path."""
        found: dict[str, StoredModel] = {}
        for place in self.search:
            for folder in [place, *(sorted(place.iterdir()) if place.is_dir() else ())]:
                if (folder / ENTRY_POINT).is_file():
                    name = folder.resolve().name
                    found.setdefault(name, StoredModel(name, folder / ENTRY_POINT, listed=False))
        if self.folder.is_dir():
            for folder in sorted(self.folder.iterdir()):
                if (folder / ENTRY).is_file():
                    found.setdefault(folder.name, self._entry(folder))
        return sorted(found.values(), key=lambda model: model.name.lower())

    def find(self, name: str) -> StoredModel:
        """A model by its name; capitals do not matter.

        Raises:
            ModelNotFoundError: No model has that name; the message lists those there are.
        """
        models = self.models()
        for model in models:
            if model.name.lower() == name.lower():
                return model
        names = [model.name for model in models]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        known = f"expected one of: {', '.join(names)}" if names else "the store is empty: facewave models add PATH"
        raise ModelNotFoundError(f"unknown model {name!r}{hint}, {known}")

    def add(self, name: str, path: Path, *, kind: str, source: str = "", replace: bool = False) -> StoredModel:
        """Make an entry for the model with entry point `path`; its files stay where they are.

        Raises:
            SettingsError: A name that is not made of letters, digits, '.', '_' and '-'.
            ModelError: Another model has that name.
        """
        folder = self.place(name)
        path = path.absolute()
        if (folder / ENTRY).is_file() and not replace:
            known = self._entry(folder)
            if known.path != path:
                raise ModelError(f"model {name!r}: already stands for {known.path}; choose another with --name")
        own = path.is_relative_to(folder.absolute())
        entry = {"kind": kind, "source": source, "path": str(path.relative_to(folder.absolute()) if own else path)}
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / ENTRY, json.dumps(entry, indent=1) + "\n")
        return self._entry(folder)

    def remove(self, name: str) -> StoredModel:
        """Forget a model, and delete its files where they are in the store.

        Raises:
            ModelNotFoundError: No such model.
            ModelError: A model of the search path, which has no entry.
        """
        folder = self.folder / name
        if _NAME.fullmatch(name) and (folder / ENTRY).is_file():
            try:
                model = self._entry(folder)
            except ModelFormatError:  # a damaged entry can only be got rid of
                model = StoredModel(name, folder / ENTRY_POINT, own=True)
        else:
            model = self.find(name)
        if not model.listed:
            raise ModelError(f"model {model.name!r}: found on the search path in {model.path.parent}; delete it there")
        shutil.rmtree(self.folder / model.name)
        return model

    def place(self, name: str) -> Path:
        """The folder of a model in the store, whether it exists or not.

        Raises:
            SettingsError: A name that is not made of letters, digits, '.', '_' and '-'.
        """
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"model name: found {name!r}, expected up to 100 letters, digits, '.', '_' and '-', "
                "beginning with a letter or digit"
            )
        return self.folder / name

    def _entry(self, folder: Path) -> StoredModel:
        path = folder / ENTRY
        try:
            entry = parse(path.read_text(encoding="utf-8"), "JSON")
            kind, source, where = str(entry["kind"]), str(entry["source"]), Path(entry["path"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFormatError(
                f"{path}: is not an entry of the model store ({error}); facewave models remove {folder.name}"
            ) from error
        own = not where.is_absolute()
        return StoredModel(folder.name, folder / where if own else where, kind, source, own)


def _place(variable: str, windows: str, mac: str, other: str) -> Path:
    if named := os.environ.get(variable):
        return Path(named) / "facewave"
    if sys.platform == "win32":
        return Path(os.environ.get(windows, Path.home())) / "facewave"
    return Path.home() / (mac if sys.platform == "darwin" else other) / "facewave"


def _write(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
