"""espeak-ng through its C interface: formant synthesis in a hundred languages, with an event at the start of each
phone.

The library is called in this process and hands over 16-bit samples and the events between them. Each phone event holds
up to eight bytes of IPA.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewave.providers.embedded.transcript.pronounce import SIL, Phone, ipa_symbols

from .base import EngineError, Spoken, contiguous, to_16k

EVENT_LATE_S = 0.016
"""The events stand this much behind the sound (vowel events against energy between 0.3 and 4 kHz)."""

VARIANTS = ("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5", "+klatt", "+klatt4",
            "+croak", "+whisper")  # fmt: skip
"""Ways of speaking laid over a language; one is drawn for each utterance."""

_RETRIEVE, _PHONEME_EVENTS, _IPA = 1, 1, 2
_UTF8 = 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_SHORT_PAUSE_S = 0.03

# Spellings of espeak's own; the rest is IPA.
_RESPELL = (
    ("ε", "ɛ"), ("ᵝ", ""), ("sx", "ʃ"), ("s.", "ʂ"), ("z.", "ʐ"), ("i.", "ɨ"), ("o-", "ɤ"), ("nɡ", "ŋ"),
    ("ph", "p"), ("th", "t"), ("kh", "k"),
    ("ʂh", "ʂ"), ("sh", "s"),
    ("ʃh", "ʃ"), ("ɕh", "ɕ"), ("ch", "c"), ('"', ""), ("-", ""), ("#", ""), ("*", ""), ("^", ""),
    ("~", ""), (":", ""), (";", ""), ("`", ""), ("?", ""), ("!", ""), ("|", ""), ("/", ""),
)  # fmt: skip


class _Identity(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("message", ctypes.c_uint), ("text_position", ctypes.c_int), ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int), ("sample", ctypes.c_int), ("user_data", ctypes.c_void_p), ("id", _Identity),
    ]  # fmt: skip


class _Library:
    """The one espeak-ng of this process; it keeps its state in global variables."""

    def __init__(self) -> None:
        try:
            self._lib = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise EngineError("libespeak-ng is not installed; on Debian: apt-get install espeak-ng") from error
        self._chunks: list[NDArray[np.int16]] = []
        self._events: list[tuple[float, str]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
        self._callback = kind(self._receive)  # kept, or it would be collected while espeak still holds it
        self._lib.espeak_SetSynthCallback(self._callback)
        self.rate_hz = int(self._lib.espeak_Initialize(_RETRIEVE, 0, None, _PHONEME_EVENTS | _IPA))
        if self.rate_hz <= 0:
            raise EngineError(
                "espeak-ng could not start: its data folder is missing; on Debian: apt-get install espeak-ng-data"
            )

    def _receive(self, wav: Any, n_samples: int, events: Any) -> int:
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                name = bytes(event.id.string).split(b"\0")[0].decode("utf8", "ignore")
                self._events.append((event.audio_ms / 1000, name))
            index += 1
        if n_samples:
            self._chunks.append(np.ctypeslib.as_array(wav, (n_samples,)).copy())
        return 0

    def say(
        self, voice: str, text: str, rate: int, pitch: int, pitch_range: int
    ) -> tuple[NDArray[np.float32], list[tuple[float, str]]]:
        self._chunks, self._events = [], []
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise EngineError(f"espeak-ng has no voice {voice!r}; `espeak-ng --voices` lists them")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._lib.espeak_SetParameter(parameter, value, 0)
        data = text.encode() + b"\0"
        self._lib.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
        self._lib.espeak_Synchronize()
        joined = np.concatenate(self._chunks) if self._chunks else np.zeros(0, dtype=np.int16)
        return joined.astype(np.float32) / np.float32(32768), self._events


@cache
def _library() -> _Library:
    return _Library()


def speak(voice: str, language: str, texts: Sequence[str], rng: np.random.Generator) -> Iterator[Spoken]:
    """Speak each text with an espeak-ng voice (`de`), every time with another variant, rate and pitch.

    Raises:
        EngineError: espeak-ng or the voice is not installed.
    """
    library = _library()
    for text in texts:
        variant = str(rng.choice(VARIANTS))
        rate, pitch, pitch_range = (int(rng.integers(*bounds)) for bounds in ((105, 235), (15, 85), (25, 80)))
        samples, events = library.say(voice + variant, text, rate, pitch, pitch_range)
        samples = to_16k(samples, library.rate_hz)
        duration_s = len(samples) / 16000
        phones = _phones(events, duration_s)
        if phones:
            yield Spoken(text, samples, contiguous(phones, duration_s))


def symbols_of(name: str) -> list[str]:
    """The IPA symbols in the name of one event; none for the sign of a change of language, `(en)`."""
    if name.startswith("("):
        return []
    for found, instead in _RESPELL:
        name = name.replace(found, instead)
    return ipa_symbols(name)


def _phones(events: list[tuple[float, str]], duration_s: float) -> list[Phone]:
    phones: list[Phone] = []
    timed = [(max(0.0, at - EVENT_LATE_S), name) for at, name in events if not name.startswith("(")]
    for index, (start_s, name) in enumerate(timed):
        end_s = timed[index + 1][0] if index + 1 < len(timed) else duration_s
        symbols = symbols_of(name)
        if not symbols:
            if name == "" and phones and end_s - start_s < _SHORT_PAUSE_S and index + 1 < len(timed):
                continue  # a mere boundary: the phone before it goes on
            phones.append((start_s, end_s, SIL))
        elif len(symbols) == 2 and symbols[1] in "ɪiʊu":
            middle_s = start_s + 0.6 * (end_s - start_s)
            phones += [(start_s, middle_s, symbols[0]), (middle_s, end_s, symbols[1])]
        else:
            edges = np.linspace(start_s, end_s, len(symbols) + 1)
            phones += [(float(a), float(b), s) for a, b, s in zip(edges[:-1], edges[1:], symbols, strict=True)]
    return phones
