"""From a transcript to the sounds of its words, by a dictionary or by espeak-ng."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence

from ....errors import TranscriptError
from .pronounce import espeak_words

ENGLISH = "en"


def words_of(transcript: str) -> list[str]:
    """Lower-case words without punctuation; an apostrophe inside a word stays."""
    text = transcript.lower().replace("’", "'").replace("-", " ")
    return [word for raw in re.findall(r"[^\W_]+(?:'[^\W_]+)*'?", text) if (word := raw.strip())]


def has_dictionary() -> bool:
    """Whether the extra `align` is installed: CMU PocketSphinx with its English dictionary."""
    return importlib.util.find_spec("pocketsphinx") is not None


def has_espeak() -> bool:
    """Whether the program espeak-ng is on the path."""
    return shutil.which("espeak-ng") is not None


def spoken_words(transcript: str, language: str) -> list[list[str]]:
    """IPA symbols of every word, by espeak-ng.

    Raises:
        TranscriptError: espeak-ng is missing, does not know the language, or nothing is left to speak.
    """
    words = [list(word) for word in _espeak(transcript, language)]
    if not words:
        raise TranscriptError(f"transcript: no word to speak in {transcript[:60]!r}")
    return words


def pronunciations(words: Sequence[str], knows: Callable[[str], bool]) -> dict[str, list[str]]:
    """IPA symbols of the English words that the dictionary lacks: names, numbers, new words.

    Raises:
        TranscriptError: There are such words and espeak-ng is not installed to say them.
    """
    unknown = sorted({word for word in words if not knows(word)})
    if unknown and not has_espeak():
        raise TranscriptError(
            f"transcript: not in the English dictionary: {', '.join(unknown)[:200]}; write them as they are spoken "
            "(5 as five), or install the program espeak-ng, which says any word"
        )
    found = {}
    for word in unknown:
        parts = _espeak(word, ENGLISH)
        found[word] = [symbol for part in parts for symbol in part]
    silent = [word for word, symbols in found.items() if not symbols]
    if silent:
        raise TranscriptError(f"transcript: nobody says {', '.join(silent)[:200]}; leave out what is not spoken")
    return found


def _espeak(text: str, language: str) -> Sequence[Sequence[str]]:
    try:
        return espeak_words(text, language)
    except subprocess.CalledProcessError as error:
        raise TranscriptError(
            f"transcript: espeak-ng does not speak {language!r} ({(error.stderr or '').strip()}); "
            "`espeak-ng --voices` lists what it does"
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise TranscriptError(f"transcript in language {language!r}: {error}") from error
