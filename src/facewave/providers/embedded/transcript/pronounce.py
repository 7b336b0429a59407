"""How English phone names and words turn into IPA, and IPA into what an English recogniser knows.

Every tool that times speech here names phones in its own alphabet: flite and CMU PocketSphinx in ARPAbet, espeak-ng in
IPA with marks of stress and length. The articulation rules know single IPA symbols, so this file is the one place that
translates. A diphthong or affricate becomes two symbols that share its time, because the mouth moves within it.
"""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

SIL = "sil"
"""The symbol for silence, breath and pause."""

DIPHTHONG_SHARE = 0.6
"""Part of a diphthong's time given to its first vowel; the nucleus is held longer than the glide."""

ARPABET: dict[str, tuple[str, ...]] = {
    "AA": ("ɑ",), "AE": ("æ",), "AH": ("ʌ",), "AO": ("ɔ",), "AW": ("a", "ʊ"), "AX": ("ə",), "AY": ("a", "ɪ"),
    "B": ("b",), "CH": ("t", "ʃ"), "D": ("d",), "DH": ("ð",), "DX": ("ɾ",), "EH": ("ɛ",), "ER": ("ɚ",),
    "EY": ("e", "ɪ"), "F": ("f",), "G": ("ɡ",), "HH": ("h",), "IH": ("ɪ",), "IY": ("i",), "JH": ("d", "ʒ"),
    "K": ("k",), "L": ("l",), "M": ("m",), "N": ("n",), "NG": ("ŋ",), "OW": ("o", "ʊ"), "OY": ("ɔ", "ɪ"),
    "P": ("p",), "R": ("ɹ",), "S": ("s",), "SH": ("ʃ",), "T": ("t",), "TH": ("θ",), "UH": ("ʊ",), "UW": ("u",),
    "V": ("v",), "W": ("w",), "Y": ("j",), "Z": ("z",), "ZH": ("ʒ",), "SIL": (SIL,), "PAU": (SIL,),
    "H#": (SIL,), "SP": (SIL,), "SPN": (SIL,), "": (SIL,),
}  # fmt: skip
"""ARPAbet (any case, stress digit removed) to IPA."""

REDUCED_AH_S = 0.06
"""PocketSphinx's dictionary has one AH for both vowels of "above"; one this short is the reduced vowel."""

Phone = tuple[float, float, str]
"""Start and end in seconds, and an IPA symbol or `SIL`."""


def arpabet_to_ipa(start_s: float, end_s: float, name: str) -> list[Phone]:
    """One ARPAbet phone as one or two timed IPA symbols.

    Raises:
        KeyError: `name` is not an ARPAbet phone or a silence name.
    """
    plain = name.upper().rstrip("0123456789")
    if plain == "AH" and (name.endswith("0") or (name[-1:] not in "12" and end_s - start_s <= REDUCED_AH_S)):
        return [(start_s, end_s, "ə")]
    symbols = ARPABET[plain]
    if len(symbols) == 1:
        return [(start_s, end_s, symbols[0])]
    share = DIPHTHONG_SHARE if plain in {"AW", "AY", "EY", "OW", "OY"} else 0.5
    middle = start_s + share * (end_s - start_s)
    return [(start_s, middle, symbols[0]), (middle, end_s, symbols[1])]


NEAREST: dict[str, str] = {
    "i": "IY", "ɪ": "IH", "e": "EH", "ɛ": "EH", "æ": "AE", "a": "AA", "ɑ": "AA", "ɐ": "AH", "ɒ": "AO",
    "ə": "AH", "ʌ": "AH", "ɜ": "ER", "ɘ": "IH", "ɵ": "UH", "ɨ": "IH", "ɯ": "UH", "ɤ": "AH", "ʉ": "UW",
    "o": "OW", "ɔ": "AO", "u": "UW", "ʊ": "UH", "y": "IY", "ʏ": "IH", "ø": "UH", "œ": "ER", "ɚ": "ER", "p": "P",
    "b": "B", "ɓ": "B", "m": "M", "f": "F", "v": "V", "ɱ": "M", "ʋ": "V", "β": "V", "ɸ": "F", "θ": "TH",
    "ð": "DH", "t": "T", "d": "D", "ʈ": "T", "ɖ": "D", "ɾ": "D", "ɽ": "D", "ɗ": "D", "n": "N", "ɳ": "N",
    "l": "L", "ɭ": "L", "ɬ": "L", "ɮ": "L", "ɫ": "L", "s": "S", "z": "Z", "ʂ": "SH", "ʐ": "ZH", "ʃ": "SH",
    "ʒ": "ZH", "ɕ": "SH", "ʑ": "ZH", "k": "K", "g": "G", "ɡ": "G", "x": "HH", "ɣ": "HH", "q": "K", "ɢ": "G",
    "χ": "HH", "ʁ": "R", "ɠ": "G", "ŋ": "NG", "ɴ": "NG", "h": "HH", "ɦ": "HH", "ħ": "HH", "ʕ": "AH", "ɹ": "R",
    "ɻ": "R", "r": "R", "j": "Y", "c": "K", "ɟ": "G", "ç": "SH", "ɲ": "N", "ʎ": "L", "ʝ": "Y", "w": "W",
    "ʍ": "W", "ɥ": "W", "ɰ": "W", "ʔ": "T",
}  # fmt: skip
"""Each IPA symbol the articulation rules know, and the English phone that sounds most like it."""

SPELT_OUT = {
    "ᵻ": "ɪ",
    "ɝ": "ɚ",
    "g": "ɡ",
    "ʧ": "tʃ",
    "ʤ": "dʒ",
    "ʦ": "ts",
    "ʣ": "dz",
    "ɺ": "ɾ",
    "ʟ": "l",
    "ᵊ": "ə",
    "ʀ": "ʁ",
}
"""Letters some sources use, in the symbols of `NEAREST`."""

IGNORED = set("ˈˌːˑʰʲˤˠʷʼ̩̯.|‿ -˥˦˧˨˩0123456789'’ʱˀ")
"""Stress, length, tone and secondary articulation: none of them moves the lips by itself."""

ENGLISH_PAIRS = {("a", "ɪ"): "AY", ("a", "ʊ"): "AW", ("e", "ɪ"): "EY", ("o", "ʊ"): "OW", ("ɔ", "ɪ"): "OY",
                 ("t", "ʃ"): "CH", ("d", "ʒ"): "JH"}  # fmt: skip

ESPEAK_VOICES = {"en": "en-us", "de": "de", "nl": "nl", "es": "es", "fr": "fr-fr", "ar": "ar", "zh": "cmn"}


def ipa_symbols(text: str) -> list[str]:
    """Split an IPA string into symbols of `NEAREST`, dropping marks that do not move the lips.

    Raises:
        ValueError: A letter is no known IPA symbol.
    """
    plain = "".join(
        SPELT_OUT.get(letter, letter) for letter in unicodedata.normalize("NFD", text).replace("c\u0327", "ç")
    )
    symbols = []
    for letter in plain:
        if letter in IGNORED or unicodedata.combining(letter):
            continue
        if letter not in NEAREST:
            raise ValueError(
                f"unknown IPA symbol {letter!r} (U+{ord(letter):04X}) in {text!r}; the table NEAREST lacks it"
            )
        symbols.append(letter)
    return symbols


@lru_cache(maxsize=4096)
def espeak_words(text: str, language: str) -> tuple[tuple[str, ...], ...]:
    """How espeak-ng would say `text`: one tuple of IPA symbols for each word.

    Args:
        text: Ordinary spelling.
        language: A key of `ESPEAK_VOICES`, or an espeak-ng voice name.

    Raises:
        RuntimeError: espeak-ng is not installed.
        ValueError: It used a symbol not in `NEAREST`.
    """
    command = ["espeak-ng", "-q", "--ipa", "-v", ESPEAK_VOICES.get(language, language), "--", text]
    try:
        spoken = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError as error:
        raise RuntimeError("espeak-ng is not installed; on Debian: apt-get install espeak-ng") from error
    # espeak-ng 1.51 prints two question marks for the vowel and r of German "kurz".
    spoken = spoken.replace("??", "ʊɐ")
    # Words of another language come between marks such as "(en)".
    words = re.sub(r"\([a-z-]+\)", " ", spoken).split()
    return tuple(tuple(symbols) for word in words if (symbols := ipa_symbols(word)))


def english_phones(symbols: Sequence[str]) -> list[str]:
    """ARPAbet for the IPA of an English word, diphthongs and affricates joined."""
    phones: list[str] = []
    i = 0
    while i < len(symbols):
        pair = ENGLISH_PAIRS.get((symbols[i], symbols[i + 1])) if i + 1 < len(symbols) else None
        phones.append(pair or NEAREST[symbols[i]])
        i += 2 if pair else 1
    return phones
