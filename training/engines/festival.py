"""Festival: diphone, statistical and recorded-unit voices that save the end time of every segment.

Starting festival costs more than speaking, so a list of texts goes through one process, written as a Scheme program.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facewave.providers.embedded.transcript.pronounce import SIL, Phone, arpabet_to_ipa, ipa_symbols

from .base import EngineError, Spoken, contiguous, read_16k

_BATCH = 25


@dataclass(frozen=True, slots=True)
class _Voice:
    """How festival is told a text, and what its phone names mean."""

    encoding: str = "utf8"
    phones: Mapping[str, str] | None = None
    """Phone name to IPA, for those that are not their own IPA; None for an ARPAbet voice."""

    offset_s: float = 0.0
    """Added to every segment time."""


_CATALAN = {
    "ax": "ə", "E": "ɛ", "O": "ɔ", "S": "ʃ", "Z": "ʒ", "ts": "ts", "dz": "dz", "tS": "tʃ", "dZ": "dʒ",
    "J": "ɲ", "L": "ʎ", "rr": "r", "r": "ɾ", "N": "ŋ", "B": "β", "D": "ð", "G": "ɣ", "uw": "w", "iy": "j",
    "y": "j",
}  # fmt: skip
_ITALIAN = {
    "E": "ɛ", "O": "ɔ", "S": "ʃ", "tS": "tʃ", "dZ": "dʒ", "J": "ɲ", "L": "ʎ", "SS": "ʃ", "ng": "ŋ", "nf": "ɱ",
    "JJ": "ɲ", "LL": "ʎ",
}  # fmt: skip
_FINNISH = {
    "a:": "ɑ", "a": "ɑ", "@": "æ", "@:": "æ", "7": "ø", "7:": "ø", "N": "ŋ", "v": "ʋ", "S": "ʃ",
}  # fmt: skip
_CZECH = {
    "ch": "x", "h": "ɦ", "c": "ts", "c~": "tʃ", "s~": "ʃ", "z~": "ʒ", "r~": "r", "r~*": "r", "n~": "ɲ",
    "d~": "ɟ", "t~": "c", "dz": "dz", "dz~": "dʒ", "e": "ɛ", "i": "ɪ", "N": "ŋ", "n*": "ŋ",
}  # fmt: skip
_RUSSIAN = {
    "aa": "a", "a": "ɐ", "ae": "æ", "ay": "ə", "ee": "ɛ", "e": "ɛ", "ei": "ɪ", "ii": "i", "i": "ɪ", "oo": "o",
    "o": "o", "uu": "u", "u": "ʊ", "yy": "ɨ", "y": "ɨ", "ur": "ʊ", "ch": "tɕ", "sh": "ʂ", "zh": "ʐ",
    "sch": "ɕ", "c": "ts", "h": "x", "hh": "x", "j": "j",
}  # fmt: skip

VOICES: Mapping[str, _Voice] = {
    "kal_diphone": _Voice(),
    "ked_diphone": _Voice(),
    "cmu_us_slt_arctic_hts": _Voice(),
    "msu_ru_nsh_clunits": _Voice(phones=_RUSSIAN, offset_s=-0.018),
    "upc_ca_ona_hts": _Voice("latin1", _CATALAN),
    "lp_diphone": _Voice("latin1", _ITALIAN),
    "pc_diphone": _Voice("latin1", _ITALIAN),
    "suo_fi_lj_diphone": _Voice("latin1", _FINNISH),
    "czech_ph": _Voice("iso8859-2", _CZECH),
}


def speak(voice: str, language: str, texts: Sequence[str], rng: np.random.Generator) -> Iterator[Spoken]:
    """Speak each text with a festival voice of `VOICES`, at a random rate; a text it cannot say is left out.

    Raises:
        EngineError: festival or the voice is not installed, or a phone name is not in the table.
    """
    if voice not in VOICES:
        raise EngineError(f"festival voice: found {voice!r}, expected one of {', '.join(VOICES)}")
    rules = VOICES[voice]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for first in range(0, len(texts), _BATCH):
            batch = texts[first : first + _BATCH]
            lines = [f"(voice_{voice})"]
            for index, text in enumerate(batch):
                stretch = float(rng.uniform(0.8, 1.25))
                spoken = text.encode(rules.encoding, "ignore").replace(b'"', b"").decode(rules.encoding)
                lines.append(f"(Parameter.set 'Duration_Stretch {stretch:.3f})")
                lines.append(
                    f'(unwind-protect (begin (set! u (utt.synth (Utterance Text "{spoken}"))) '
                    f'(utt.save.wave u "{folder}/{index}.wav") (utt.save.segs u "{folder}/{index}.seg")) nil)'
                )
            program = folder / "say.scm"
            program.write_bytes("\n".join(lines).encode(rules.encoding))
            try:
                done = subprocess.run(["festival", "-b", str(program)], capture_output=True, check=False)
            except FileNotFoundError as error:
                raise EngineError("festival is not installed; on Debian: apt-get install festival") from error
            if not any(folder.glob("*.seg")):
                raise EngineError(
                    f"festival said nothing with {voice}: {done.stderr.decode('utf8', 'replace').strip()[:300]}"
                )
            for index, text in enumerate(batch):
                wav, seg = folder / f"{index}.wav", folder / f"{index}.seg"
                if wav.exists() and seg.exists():
                    samples = read_16k(wav)
                    yield Spoken(text, samples, contiguous(_phones(seg, rules), len(samples) / 16000))
                wav.unlink(missing_ok=True)
                seg.unlink(missing_ok=True)


def _phones(path: Path, rules: _Voice) -> list[Phone]:
    """Read a segment file: after `#`, lines of end time, a colour and a phone name."""
    phones: list[Phone] = []
    start_s = 0.0
    for line in path.read_text("utf8", "replace").splitlines()[1:]:
        fields = line.split()
        if len(fields) < 3:
            continue
        end_s, name = float(fields[0]) + rules.offset_s, fields[2]
        if name in {"#", "pau", "_", "##"}:
            phones.append((start_s, end_s, SIL))
        elif rules.phones is None:
            phones += arpabet_to_ipa(start_s, end_s, name)
        else:
            phones += _foreign(start_s, end_s, name, rules.phones)
        start_s = end_s
    return phones


def _foreign(start_s: float, end_s: float, name: str, table: Mapping[str, str]) -> list[Phone]:
    plain = name.rstrip("01")
    try:
        symbols = ipa_symbols(table.get(plain) or table.get(plain.rstrip(":")) or plain.rstrip(":"))
    except ValueError as error:
        raise EngineError(
            f"festival phone {name!r} is not in the voice's table in training/engines/festival.py"
        ) from error
    edges = np.linspace(start_s, end_s, len(symbols) + 1)
    return [(float(a), float(b), s) for a, b, s in zip(edges[:-1], edges[1:], symbols, strict=True)]
