"""Speech synthesisers that tell when each phone is spoken: `flite`, `festival` and `espeak`, one file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

import numpy as np

from .base import EngineError, Spoken

Speak = Callable[[str, str, Sequence[str], np.random.Generator], Iterator[Spoken]]
"""Voice, language, texts and a random source in; one spoken utterance a text out, some texts perhaps skipped."""

ENGINES = ("flite", "festival", "espeak")


def engine(name: str) -> Speak:
    """The `speak` function of an engine.

    Raises:
        EngineError: No such engine.
    """
    if name not in ENGINES:
        raise EngineError(f"speech engine: found {name!r}, expected one of {', '.join(ENGINES)}")
    speak: Speak = import_module(f"{__name__}.{name}").speak
    return speak


__all__ = ["ENGINES", "EngineError", "Speak", "Spoken", "engine"]
