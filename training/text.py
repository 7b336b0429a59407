"""Sentences for the synthetic voices to speak, from word lists in this repository.

The sentences need no meaning; they need every phone of a language next to many others, with lips often closing. Half of
the words of the other languages are made up: their known words are cut into pieces and joined anew.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np

WORDS_FILE = Path(__file__).parent / "words.tsv"

MADE_UP_SHARE = 0.35
"""Part of the words that are joined from the pieces of two others, in alphabets where that gives something to speak."""

_UNJOINED = {"cmn", "ko", "hi", "bn", "ar", "he", "vi"}
"""Scripts whose words do not survive being cut anywhere."""


@cache
def words(language: str) -> tuple[str, ...]:
    """The word list of a language, or of one of its word classes (`en-verbs`).

    Raises:
        KeyError: No such list in `words.tsv`.
    """
    with WORDS_FILE.open(encoding="utf8", newline="") as file:
        table = {row["language"]: tuple(row["words"].split()) for row in csv.DictReader(file, delimiter="\t")}
    return table[language]


def sentence(language: str, rng: np.random.Generator) -> str:
    """One sentence of 4 to 14 words."""
    if language == "en" and rng.random() < 0.6:
        return _english(rng)
    spoken = [_word(language, rng) for _ in range(int(rng.integers(4, 13)))]
    for at in range(2, len(spoken) - 1):
        if rng.random() < 0.12:
            spoken[at] += ","
    stop = "?" if rng.random() < 0.15 else "."
    return " ".join(spoken) + stop


def _word(language: str, rng: np.random.Generator) -> str:
    known = words(language)
    word = str(rng.choice(known))
    if language in _UNJOINED or rng.random() > MADE_UP_SHARE:
        return word
    other = str(rng.choice(known)).lower()
    if min(len(word), len(other)) < 3:
        return word
    return word.lower()[: int(rng.integers(2, len(word)))] + other[-int(rng.integers(2, len(other))) :]


def _english(rng: np.random.Generator) -> str:
    def pick(kind: str) -> str:
        return str(rng.choice(words(kind)))

    patterns = (
        "{n} {v} the {a} {w}, but {n2} {v2} a {a2} {w2}.",
        "Maybe {n} {v} five {a} {w}, and four more from the {w2}.",
        "Above the {w}, {n} and {n2} saw a {a} {w2} by the {a2} {w3}.",
        "Why would {n} {v} my {a} {w}?",
        "Whatever {n} {v}, the {a} {w} of the {w2} moves before me.",
        "Put the {a} {w} and the {w2} away, {n}; we have to leave the {w3} by five.",
        "Oh, {a} {w}! {n} {v} the {w2}. Perhaps {n2} {v2} them both.",
        "{w}, {w2}, {w3}.",
        "{w}.",
    )
    pattern = patterns[int(rng.integers(len(patterns)))]
    return pattern.format(
        n=pick("en-names"), n2=pick("en-names"), v=pick("en-verbs"), v2=pick("en-verbs"),
        a=pick("en-adjectives"), a2=pick("en-adjectives"), w=pick("en"), w2=pick("en"), w3=pick("en"),
    )  # fmt: skip
