"""Times the phones of a recording whose words are known.

Two aligners with one result. `SphinxAligner` uses CMU PocketSphinx with its bundled English model; a phone of another
language is looked up as the English phone nearest in sound. `viterbi` finds the best path through per-frame class
scores of any network, with optional silence between words; it needs no English.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.pronounce import NEAREST, SIL, Phone, arpabet_to_ipa, english_phones

SAMPLE_RATE = 16000
FRAME_S = 0.01
"""PocketSphinx counts in frames of 10 ms."""

PAD_S = 0.25
"""Quiet put around each clip, so that a word cut close still has silence to lose its stop closure in."""

WIDE_BEAM = 1e-120
"""Short or acted clips fall out of the default beam."""

NARROW_BEAM = 1e-64
"""Enough for most longer clips, in three fifths of the time."""

LONG_CLIP_S = 3.0


@dataclass(frozen=True, slots=True)
class Alignment:
    """Timed phones of one recording, with signs of how far to trust them."""

    phones: list[Phone]
    """In order, without gaps, from 0 to the end of the recording; times in seconds."""

    score: float
    """Mean log score for each frame of speech; higher is better, comparable within one aligner and corpus."""

    rushed: float
    """Share of phones squeezed to the shortest length the aligner allows; a wrong transcript rushes many."""


class AlignmentError(Exception):
    """The recording could not be matched with its words."""


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
            AlignmentError: No path fits.
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
            AlignmentError: No path fits.
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
            raise AlignmentError(f"{len(symbols_left)} phones of the transcript were not placed")
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
            raise AlignmentError(f"no path through {' '.join(words)[:60]!r}")
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
                raise AlignmentError(f"phone {name} fell outside the recording")
        if not frames:
            raise AlignmentError("no speech found")
        return parts, score / frames, rushed / spoken


def make_decoder(beam: float) -> Any:
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


STOPS = frozenset(["p", "b", "t", "d", "k", "ɡ"])
STOP_CLOSURE_S = 0.08
"""Silence a stop may keep before its burst: the lips or tongue are closed there, though nothing is heard."""

ONSET_S = 0.03
"""The same for other sounds, which start softly."""

RELEASE_S = 0.06
"""Quiet a last phone may keep."""

LONG_PAUSE_S = 0.1
"""A pause this long lets the mouth rest; the phones around it must not have swallowed a part of it."""


def finish(phones: list[Phone], samples: NDArray[np.float32]) -> list[Phone]:
    """Close gaps, give back silence that first and last phones swallowed, and join neighbouring silences."""
    duration_s = len(samples) / SAMPLE_RATE
    phones = trim_swallowed_silence(with_silences(phones, duration_s), samples)
    return with_silences(phones, duration_s)


def with_silences(phones: Sequence[Phone], duration_s: float) -> list[Phone]:
    """The same phones without gaps from 0 to the end: gaps become silence, neighbouring silences one."""
    filled: list[Phone] = []
    time = 0.0

    def add(start: float, end: float, symbol: str) -> None:
        if end - start < 1e-6:
            return
        if symbol == SIL and filled and filled[-1][2] == SIL:
            start = filled.pop()[0]
        filled.append((start, end, symbol))

    for start, end, symbol in phones:
        if start > time:
            add(time, start, SIL)
        add(max(start, time), end, symbol)
        time = end
    if time < duration_s:
        add(time, duration_s, SIL)
    return filled


def trim_swallowed_silence(phones: list[Phone], samples: NDArray[np.float32]) -> list[Phone]:
    """Move the edges of phones that touch a long pause or an end of the clip to where sound starts and stops.

    An aligner likes to count the quiet before a word as the closure of its first stop. Sound is a 10 ms block at least
    8 dB, or a sixth of the clip's range, above its quiet tenth.
    """
    hop = round(FRAME_S * SAMPLE_RATE)
    blocks = len(samples) // hop
    if blocks < 3 or len(phones) < 1:
        return phones
    level = 10 * np.log10((samples[: blocks * hop].reshape(blocks, hop).astype(np.float64) ** 2).mean(1) + 1e-9)
    quiet, loud = np.percentile(level, [10, 95])
    sounding = level > quiet + max(8.0, (loud - quiet) / 6)
    trimmed: list[Phone] = []
    for i, (start, end, symbol) in enumerate(phones):
        if symbol != SIL:
            before = phones[i - 1] if i else None
            after = phones[i + 1] if i + 1 < len(phones) else None
            inside = np.flatnonzero(sounding[int(start / FRAME_S) : max(int(end / FRAME_S), int(start / FRAME_S) + 1)])
            # A phone that is quiet throughout tells nothing about its edges, except a stop, whose burst may be weak.
            if len(inside):
                if before is None or (before[2] == SIL and (before[1] - before[0] >= LONG_PAUSE_S or i == 1)):
                    onset = (int(start / FRAME_S) + inside[0]) * FRAME_S
                    start = max(start, onset - (STOP_CLOSURE_S if symbol in STOPS else ONSET_S))
                if after is None or (after[2] == SIL and (after[1] - after[0] >= LONG_PAUSE_S or i == len(phones) - 2)):
                    stop = (int(start / FRAME_S) + 1) * FRAME_S
                    last = (int(phones[i][0] / FRAME_S) + inside[-1] + 1) * FRAME_S
                    end = min(end, max(last + RELEASE_S, stop))
            elif symbol in STOPS and (before is None or before[2] == SIL):
                start = max(start, end - STOP_CLOSURE_S)
        trimmed.append((start, end, symbol))
    return trimmed


def viterbi(
    log_probs: NDArray[np.float32],
    words: Sequence[Sequence[int]],
    silence: int,
    *,
    min_frames: int = 2,
    skip_penalty: float = 0.0,
) -> tuple[list[tuple[int, int, int, int]], float]:
    """Best path of known classes through frame scores, with optional silence before, between and after words.

    Args:
        log_probs: Shape (frames, classes), log of the probability (or likelihood) of each class in each frame.
        words: For each word the classes of its phones.
        silence: The class of silence.
        min_frames: Fewest frames a phone can last; silences last at least this too, or are left out.
        skip_penalty: Added to the score each time an optional silence is entered, at most 0; fewer short pauses.

    Returns:
        For each stretch (first frame, one past the last frame, class, position of the phone among all phones of all
        words, -1 for silence), and the mean log score of a frame.

    Raises:
        AlignmentError: More phones than the frames can hold.
    """
    chain: list[tuple[int, int]] = [(silence, -1)]  # (class, phone position)
    position = 0
    for word in words:
        for cls in word:
            chain.append((cls, position))
            position += 1
        chain.append((silence, -1))
    frames = len(log_probs)
    if position * min_frames > frames:
        raise AlignmentError(f"{position} phones do not fit into {frames} frames")
    # Each unit is `min_frames` states in a row; only its last state may repeat.
    units = np.array([cls for cls, _ in chain])
    n_units = len(units)
    optional = np.array([where < 0 for _, where in chain])
    emit = log_probs[:, np.repeat(units, min_frames)].astype(np.float64)  # (frames, states)
    n_states = n_units * min_frames
    first = np.arange(n_units) * min_frames
    last = first + min_frames - 1
    lowest = -1e30
    # An earlier state for each state: itself (only last states), the one before, or past a left-out silence.
    stay = np.full(n_states, lowest)
    stay[last] = 0.0
    enter = np.zeros(n_states)
    enter[first[optional]] = skip_penalty
    skipping = first[2:][optional[1:-1]]  # first states of units after an optional one
    score = np.full(n_states, lowest)
    score[0] = emit[0, 0] + enter[0]
    if n_units > 1:
        score[first[1]] = emit[0, first[1]]
    back = np.zeros((frames, n_states), np.int8)  # how many states back the best path came from, coded below
    shifted = np.empty(n_states)
    for t in range(1, frames):
        best = score + stay
        choice = np.zeros(n_states, np.int8)
        shifted[0] = lowest
        shifted[1:] = score[:-1] + enter[1:]
        better = shifted > best
        best[better] = shifted[better]
        choice[better] = 1
        jump = score[skipping - min_frames - 1]
        better_jump = jump > best[skipping]
        hit = skipping[better_jump]
        best[hit] = jump[better_jump]
        choice[hit] = 2
        score = best + emit[t]
        back[t] = choice
    ends = [last[-1], last[-2]] if n_units > 1 else [last[-1]]
    state = int(max(ends, key=lambda end: score[end]))
    total = float(score[state])
    if total < lowest / 2:
        raise AlignmentError(f"no path: {position} phones in {frames} frames")
    path = np.empty(frames, np.int64)
    for t in range(frames - 1, -1, -1):
        path[t] = state // min_frames
        state -= (0, 1, min_frames + 1)[int(back[t, state])]
    edges = np.flatnonzero(np.diff(path)) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), frames]
    stretches = [(a, b, *chain[int(path[a])]) for a, b in zip(starts, stops, strict=True)]
    return stretches, total / frames
