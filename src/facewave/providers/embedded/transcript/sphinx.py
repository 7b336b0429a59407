"""Forced alignment by CMU PocketSphinx and its bundled English model; the optional dependency of known words.

A phone of another language is looked up as the English phone nearest in sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import TranscriptError
from ....timing import SAMPLE_RATE
from .alignment import Alignment, finish
from .pronounce import NEAREST, SIL, Phone, arpabet_to_ipa, english_phones

FRAME_S = 0.01
"""PocketSphinx counts in frames of 10 ms."""

PAD_S = 0.25
"""Quiet put around each clip, so that a word cut close still has silence to lose its stop closure in."""

WIDE_BEAM = 1e-120
"""Short or acted clips fall out of the default beam."""

NARROW_BEAM = 1e-64
"""Enough for most longer clips, in three fifths of the time."""

LONG_CLIP_S = 3.0


class SphinxAligner:
    """Forced alignment with PocketSphinx. Not thread-safe; one for each process."""

    def __init__(self, bias_s: float = 0.0) -> None:
        """Load the model.

        Args:
            bias_s: Added to every boundary between two phones, seconds.
        """
        self._wide = make_decoder(WIDE_BEAM)
        self._narrow = make_decoder(NARROW_BEAM)
        self._bias_s = bias_s
        self._added: set[str] = set()

    def knows(self, word: str) -> bool:
        """Whether the dictionary has the word."""
        return self._wide.lookup_word(word) is not None

    def add_word(self, word: str, phones: Sequence[str]) -> None:
        """Teach the dictionary a word, phones in ARPAbet."""
        if word not in self._added and not self.knows(word):
            for decoder in (self._wide, self._narrow):
                decoder.add_word(word, " ".join(phones), True)
            self._added.add(word)

    def align_english(
        self, samples: NDArray[np.float32], words: Sequence[str], spoken: Mapping[str, Sequence[str]]
    ) -> Alignment:
        """Align English words.

        Args:
            samples: Shape (n,), 16 kHz mono in [-1, 1].
            words: Lower case.
            spoken: IPA symbols for words the dictionary lacks.

        Raises:
            TranscriptError: No path fits.
            KeyError: A word is neither in the dictionary nor in `spoken`.
        """
        for word in words:
            if not self.knows(word):
                self.add_word(word, english_phones(spoken[word]))
        phones: list[Phone] = []
        parts, score, rushed = self._align(samples, words)
        for start, end, name in parts:
            phones += arpabet_to_ipa(start, end, name)
        return Alignment(finish(phones, samples), score, rushed)

    def align_ipa(self, samples: NDArray[np.float32], words: Sequence[Sequence[str]]) -> Alignment:
        """Align words of any language given as IPA symbols, each by its nearest English sound.

        Raises:
            TranscriptError: No path fits.
        """
        names = []
        for symbols in words:
            names.append("ipa" + "".join(f"{ord(letter):04x}" for letter in symbols))
            self.add_word(names[-1], [NEAREST[symbol] for symbol in symbols])
        parts, score, rushed = self._align(samples, names)
        symbols_left = [symbol for word in words for symbol in word]
        phones: list[Phone] = []
        for start, end, name in parts:
            phones.append((start, end, SIL if name == "SIL" else symbols_left.pop(0)))
        if symbols_left:
            raise TranscriptError(f"{len(symbols_left)} phones of the transcript were not placed")
        return Alignment(finish(phones, samples), score, rushed)

    def _align(
        self, samples: NDArray[np.float32], words: Sequence[str]
    ) -> tuple[list[tuple[float, float, str]], float, float]:
        """Phones in ARPAbet (fillers as SIL) with the padding removed, mean score, share of rushed phones."""
        duration_s = len(samples) / SAMPLE_RATE
        quiet = quietest_rms(samples)
        pad = np.random.default_rng(0).normal(0, max(quiet, 2e-5), (2, round(PAD_S * SAMPLE_RATE)))
        loudest = max(float(np.abs(samples).max()), 1e-4)
        padded = np.concatenate([pad[0], samples, pad[1]]) * min(0.5 / loudest, 50.0)
        data = (np.clip(padded, -1, 1) * 32767).astype("<i2").tobytes()
        found = None
        if duration_s > LONG_CLIP_S:
            found = decode(self._narrow, data, words)
        if found is None:
            found = decode(self._wide, data, words)
        if found is None:
            raise TranscriptError(f"no path through {' '.join(words)[:60]!r}")
        parts: list[tuple[float, float, str]] = []
        score = frames = rushed = spoken = 0
        for phone in iterate_phones(found):
            name = phone.name
            if name == "SIL" or name.startswith("+"):
                name = "SIL"
            else:
                score += phone.score
                frames += phone.duration
                rushed += phone.duration <= 3
                spoken += 1
            start = phone.start * FRAME_S - PAD_S + self._bias_s
            end = start + phone.duration * FRAME_S
            start, end = max(start, 0.0), min(end, duration_s)
            if end > start:
                parts.append((start, end, name))
            elif name != "SIL":
                raise TranscriptError(f"phone {name} fell outside the recording")
        if not frames:
            raise TranscriptError("no speech found")
        return parts, score / frames, rushed / spoken


def make_decoder(beam: float) -> Any:
    """A PocketSphinx decoder that only aligns."""
    from pocketsphinx import Decoder

    return Decoder(
        samprate=SAMPLE_RATE,
        lm=None,
        bestpath=False,
        fwdflat=False,
        loglevel="FATAL",
        beam=beam,
        wbeam=beam,
        pbeam=beam,
    )


def decode(decoder: Any, data: bytes, words: Sequence[str]) -> Any:
    """A PocketSphinx alignment of 16-bit samples with words, None where no path fits."""
    decoder.set_align_text(" ".join(words))
    run(decoder, data)
    if decoder.hyp() is None:
        return None
    try:
        decoder.set_alignment()
        run(decoder, data)
    except RuntimeError:
        return None
    return decoder.get_alignment()


def run(decoder: Any, data: bytes) -> None:
    """One pass over a whole utterance of 16-bit samples."""
    decoder.start_utt()
    decoder.process_raw(data, full_utt=True)
    decoder.end_utt()


def iterate_phones(alignment: Any) -> Iterator[Any]:
    """Phones of every word of a PocketSphinx alignment."""
    for word in alignment:
        yield from word


def quietest_rms(samples: NDArray[np.float32]) -> float:
    """Root mean square of the quietest 30 ms; digital silence between clips counts as quiet."""
    blocks = len(samples) // 480
    if not blocks:
        return 0.0
    return float(np.sqrt((samples[: blocks * 480].reshape(blocks, 480).astype(np.float64) ** 2).mean(1)).min())
