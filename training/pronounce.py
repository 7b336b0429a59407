"""How English phone names and words turn into IPA, and IPA into what an English recogniser knows.

Every tool that times speech here names phones in its own alphabet: flite and CMU PocketSphinx in ARPAbet, espeak-ng in IPA
with marks of stress and length. The articulation rules know single IPA symbols, so this file is the one place that
translates. A diphthong or affricate becomes two symbols that share its time, because the mouth moves within it.
"""

from __future__ import annotations


SIL = "sil"
"""The symbol for silence, breath and pause."""

DIPHTHONG_SHARE = 0.6
"""Part of a diphthong's time given to its first vowel; the nucleus is held longer than the glide."""

ARPABET: dict[str, tuple[str, ...]] = {
    "AA": ("ɑ",), "AE": ("æ",), "AH": ("ʌ",), "AO": ("ɔ",), "AW": ("a", "ʊ"), "AX": ("ə",), "AY": ("a", "ɪ"),
    "B": ("b",), "CH": ("t", "ʃ"), "D": ("d",), "DH": ("ð",), "DX": ("ɾ",), "EH": ("ɛ",), "ER": ("ɚ",), "EY": ("e", "ɪ"),
    "F": ("f",), "G": ("ɡ",), "HH": ("h",), "IH": ("ɪ",), "IY": ("i",), "JH": ("d", "ʒ"), "K": ("k",), "L": ("l",),
    "M": ("m",), "N": ("n",), "NG": ("ŋ",), "OW": ("o", "ʊ"), "OY": ("ɔ", "ɪ"), "P": ("p",), "R": ("ɹ",), "S": ("s",),
    "SH": ("ʃ",), "T": ("t",), "TH": ("θ",), "UH": ("ʊ",), "UW": ("u",), "V": ("v",), "W": ("w",), "Y": ("j",),
    "Z": ("z",), "ZH": ("ʒ",), "SIL": (SIL,), "PAU": (SIL,), "H#": (SIL,), "SP": (SIL,), "SPN": (SIL,), "": (SIL,),
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
