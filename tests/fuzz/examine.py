"""One input through one target: whether it was taken, refused in words, or is a defect."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Literal

from facewave.errors import FacewaveError
from tests.fuzz.targets import Target

Outcome = Literal["taken", "refused"]

LONGEST_MESSAGE = 2000
"""Characters; a message that quotes the input without an end helps nobody."""


def examine(target: Target, name: str, data: bytes) -> Outcome:
    """Run the target; every exception that leaves this is a defect of the target.

    Raises:
        AssertionError: A refusal without words, or with too many.
    """
    with warnings.catch_warnings():
        # Warnings are for people who run the program; input may cause them, and must cause nothing worse.
        warnings.simplefilter("ignore")
        folder = _folder(target)
        try:
            target.run(name, data, folder)
        except FacewaveError as error:
            refusal = error
        else:
            return "taken"
    words = str(refusal)
    assert 10 <= len(words) <= LONGEST_MESSAGE, f"{type(refusal).__name__} of {len(words)} characters"
    return "refused"


_FOLDERS: dict[str, Path] = {}


def _folder(target: Target) -> Path:
    """A folder of the target's own, kept for the process: targets leave it as they found it or overwrite."""
    if target.name not in _FOLDERS:
        _FOLDERS[target.name] = Path(tempfile.mkdtemp(prefix=f"facewave-fuzz-{target.name}-"))
    return _FOLDERS[target.name]


def clear() -> None:
    """Remove the folders."""
    for folder in _FOLDERS.values():
        shutil.rmtree(folder, ignore_errors=True)
    _FOLDERS.clear()
