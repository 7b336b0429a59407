"""A timeline as plain text, for people and `grep`: what is said, when the lips are shut, what is felt.

One line a span: start and end in seconds, its kind, and what it is. Lines that begin with `#` say what the file is of.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import lip_closure, reorder
from ..emotions import EMOTIONS
from ..frames import Animation
from ..visemes import timeline

SHUT_BELOW = 0.03
"""Share of a fully open jaw that may be left between lips called shut."""

FELT_ABOVE = 0.1
"""An emotion weaker than this is not worth a line."""

_KINDS = ("viseme", "lips", "emotion")
"""In the order of lines that begin together."""

Span = tuple[float, float, str, str]
"""Start and end in seconds, kind, and what it is."""


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write the spans of the whole take in the order in which they begin."""
    rate, info = float(animation.frame_rate), animation.info
    size = f"{len(animation)} frames at {rate:g} fps, {len(animation.channels)} channels"
    tracks = (("viseme", animation.visemes), ("emotion", animation.emotions))
    lines = [
        f"# {info.audio.name if info.audio else 'animation'}",
        f"# {animation.duration_s:.3f} s, {size}" + (f", by {info.provider}" if info.provider else ""),
        *(f"# no {what} track" for what, track in tracks if track is None),
        "#  start       end  kind     what",
        *(f"{start:8.3f}  {end:8.3f}  {kind:<7}  {what}" for start, end, kind, what in spans(animation)),
    ]
    file.write(("\n".join(lines) + "\n").encode())


def spans(animation: Animation) -> list[Span]:
    """Visemes, closures of the lips and emotions, by their beginning."""
    rate = animation.frame_rate
    found: list[Span] = []
    if animation.visemes is not None:
        found += [(start, end, "viseme", name) for start, end, name in timeline(animation.visemes, rate)]
    shut = lips_shut(animation)
    found += [(start, end, "lips", "shut") for start, end, row in _runs(shut.astype(int), rate) if shut[row]]
    if animation.emotions is not None:
        found += _emotions(animation.emotions, rate)
    return sorted(found, key=lambda span: (span[0], _KINDS.index(span[2])))


def lips_shut(animation: Animation) -> NDArray[np.bool_]:
    """Shape (frames,): whether the lips meet, by what mouthClose leaves of jawOpen; False without these channels."""
    if "jawOpen" not in animation.channels:
        return np.zeros(len(animation), bool)
    jaw = reorder(animation.weights, animation.channels, ("jawOpen",))[:, 0]
    return np.asarray(jaw * (1 - lip_closure(animation.weights, animation.channels)) < SHUT_BELOW)


def _emotions(track: NDArray[np.float32], rate: Fraction) -> Iterator[Span]:
    """Spans of the strongest emotion with its mean strength."""
    strongest = np.where(track.max(axis=1, initial=0) >= FELT_ABOVE, track.argmax(axis=1), -1)
    for start, end, row in _runs(strongest, rate):
        if (index := int(strongest[row])) >= 0:
            stop = round(end * float(rate))
            yield start, end, "emotion", f"{EMOTIONS[index]} {track[row:stop, index].mean():.2f}"


def _runs(values: NDArray[np.int_], rate: Fraction) -> Iterator[tuple[float, float, int]]:
    """(start, end, first row) of runs of equal values, in seconds."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    for first, stop in pairwise(edges):
        if stop > first:
            yield float(first / rate), float(stop / rate), first
