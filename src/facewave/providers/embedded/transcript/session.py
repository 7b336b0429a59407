"""A stream whose words are known: the sound is collected, aligned at the end, and the mouth follows the phones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ....emotions import EmotionTrack
from ....errors import SessionError, TranscriptError
from ....frames import Frame, StreamInfo
from ....inference.onnx import Network
from ....streams import Transcript
from ....timing import SAMPLE_RATE
from ...base import checked_samples
from ..articulation import CLASSES, PARAMETERS
from ..session import EmbeddedSession
from .alignment import Alignment
from .coarticulation import LEAD_S, STEP_HZ, classes, curves
from .head import HeadAligner
from .words import ENGLISH, has_dictionary, has_espeak, pronunciations, spoken_words, words_of

WORST_RUSHED = 0.6
"""With more than this share of phones squeezed to their shortest, the words are not those of the recording."""


CLOSES_FROM = 0.3
"""Part of a closure's approach that is cut off: an open vowel between two closures would else stay half shut."""

_CLOSE = PARAMETERS.index("close")


class TranscribedSession:
    """Offline only: every frame comes from `finish`."""

    def __init__(self, network: Network, transcript: Transcript, inner: EmbeddedSession) -> None:
        self._network = network
        self._transcript = transcript
        self._inner = inner
        self._heard: list[NDArray[np.float32]] = []
        self._ended = False

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels."""
        return self._inner.info

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        """Keep the audio; no frame can be made before all of it is there."""
        if self._ended:
            raise SessionError("Embedded session: audio after finish or cancel; open a new session for a new clip")
        if emotion is not None:
            self._inner.feed(np.zeros(0, np.float32), emotion)
        self._heard.append(checked_samples(samples).copy())
        return []

    def finish(self) -> Sequence[Frame]:
        """Align the words and return all frames.

        Raises:
            TranscriptError: The words cannot be pronounced or do not fit the sound.
            SessionError: Finished or cancelled already.
        """
        if self._ended:
            raise SessionError("Embedded session: finished or cancelled already; open a new session for a new clip")
        self._ended = True
        samples = np.concatenate(self._heard) if self._heard else np.zeros(0, np.float32)
        try:
            if len(samples):
                self._inner.follow(spoken_mouth(align(self._network, samples, self._transcript), samples))
            return [*self._inner.push(samples), *self._inner.finish()]
        except TranscriptError:
            self._inner.cancel()
            raise

    def cancel(self) -> None:
        """Drop the stream. Idempotent."""
        self._ended = True
        self._heard = []
        self._inner.cancel()


def align(network: Network, samples: NDArray[np.float32], transcript: Transcript) -> Alignment:
    """Time the phones of known words: English by PocketSphinx where installed, all else by the network's phone head.

    Raises:
        TranscriptError: Neither way is open, or the words do not fit.
    """
    if transcript.language == ENGLISH and has_dictionary():
        found = _by_sphinx(samples, transcript.text)
    elif has_espeak():
        found = HeadAligner(network).align(samples, spoken_words(transcript.text, transcript.language))
    else:
        raise TranscriptError(
            f"transcript in language {transcript.language!r}: found neither the extra `align` (English; "
            "pip install facewave[align]) nor the program espeak-ng (any language it speaks)"
        )
    if found.rushed > WORST_RUSHED:
        raise TranscriptError(
            f"transcript: {found.rushed:.0%} of its sounds had to be squeezed into the recording; expected the words "
            f"that are spoken in it, found {transcript.text[:60]!r}"
        )
    return found


def _by_sphinx(samples: NDArray[np.float32], text: str) -> Alignment:
    from .sphinx import SphinxAligner

    words = words_of(text)
    if not words:
        raise TranscriptError(f"transcript: no word to speak in {text[:60]!r}")
    aligner = SphinxAligner()
    return aligner.align_english(samples, words, pronunciations(words, aligner.knows))


def spoken_mouth(found: Alignment, samples: NDArray[np.float32]) -> Callable[[int, int], NDArray[np.float32]]:
    """Rows that replace the network's: articulation and class shares at k / 60 s, shape (stop - first, 12 + 24)."""
    n = -(-len(samples) * STEP_HZ // SAMPLE_RATE) + 1
    # The rules answer for (k + 1) / 60 s; one step less of lead moves them to k / 60 s.
    mouth = curves(found.phones, n, samples, LEAD_S - 1 / STEP_HZ)
    mouth[:, _CLOSE] = np.clip((mouth[:, _CLOSE] - CLOSES_FROM) / (1 - CLOSES_FROM), 0, 1)
    ids = classes([(start + 1 / STEP_HZ, end + 1 / STEP_HZ, symbol) for start, end, symbol in found.phones], n)
    rows = np.concatenate([mouth, np.eye(len(CLASSES), dtype=np.float32)[ids]], axis=1)

    def between(first: int, stop: int) -> NDArray[np.float32]:
        # Past the end the last row holds: it is rest.
        return rows[np.minimum(np.arange(first, stop), n - 1)]

    return between
