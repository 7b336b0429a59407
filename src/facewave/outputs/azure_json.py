"""The events of Azure's speech synthesis, as its SDK hands them to a `VisemeReceived` handler.

A JSON list of `{"AudioOffset": ticks of 100 ns, "VisemeId": 0..21, "Animation": text}`, in the SDK's order: first an
event for every viseme, with an empty `Animation`, then chunks whose `Animation` is itself JSON, `{"FrameIndex": first
frame, "BlendShapes": rows of 55}`. A row is the 52 ARKit weights and headRoll, leftEyeRoll, rightEyeRoll, 60 times a
second. Reading also takes the chunks alone: one, a list of them, or one a line.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import ARKIT
from ..errors import AnimationFileError
from ..frames import Animation, StreamInfo
from ..visemes import AZURE_IDS, VISEMES, timeline

RATE = Fraction(60)
"""Frames per second; the events do not carry it, players take it for granted."""

WIDTH = len(ARKIT) + 3
"""Numbers in a row."""

CHUNK = 60
"""Frames in one chunk."""

_TICKS = 10_000_000
"""Ticks in a second."""


def write(animation: Animation, file: IO[bytes]) -> None:
    """Write the whole take at 60 frames a second; the three rolls are 0, viseme events need a viseme track."""
    take = animation.with_channels(ARKIT)
    if take.frame_rate != RATE:
        take = take.resampled(RATE)
    events = [_event(ticks, viseme) for ticks, viseme in _visemes(animation)]
    rolls = [0.0] * (WIDTH - len(ARKIT))
    for first in range(0, len(take), CHUNK):
        rows = [[float(str(value)) for value in row] + rolls for row in take.weights[first : first + CHUNK]]
        chunk = json.dumps({"FrameIndex": first, "BlendShapes": rows}, separators=(",", ":"))
        events.append(_event(0, 0, chunk))
    file.write(("[" + ",\n".join(json.dumps(event) for event in events) + "]\n").encode())


def recognises(head: bytes) -> bool:
    """Whether a file begins like this format."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    event = b'"FrameIndex"' in start or b'"AudioOffset"' in start
    return start.rstrip() == b"[]" or (event and start.startswith((b"[", b"{")))


def read(path: Path, data: bytes, keep: Collection[str] = ()) -> Animation:
    """Read events or chunks; frames that no chunk brings are linear between their neighbours.

    Raises:
        AnimationFileError: Says which chunk is wrong.
    """
    chunks = [_chunk(path, number, value) for number, value in enumerate(_chunks(path, data))]
    count = max((first + len(rows) for first, rows in chunks), default=0)
    given = sum(len(rows) for _, rows in chunks)
    if count > 2 * given + CHUNK:
        raise AnimationFileError(
            f"{path}: 'FrameIndex' reaches frame {count}, but the chunks hold {given} frames; is one missing?"
        )
    weights = np.zeros((count, WIDTH), np.float32)
    known = np.zeros(count, bool)
    for first, rows in chunks:
        weights[first : first + len(rows)] = rows
        known[first : first + len(rows)] = True
    if not known.all():
        missing, present = np.flatnonzero(~known), np.flatnonzero(known)
        for column in weights.T:
            column[missing] = np.interp(missing, present, column[present])
    return Animation(StreamInfo(RATE, ARKIT), weights[:, : len(ARKIT)])


def _event(ticks: int, viseme: int, chunk: str = "") -> dict[str, object]:
    return {"AudioOffset": ticks, "VisemeId": viseme, "Animation": chunk}


def _visemes(animation: Animation) -> Iterator[tuple[int, int]]:
    """(ticks, Azure id) where one begins."""
    if animation.visemes is not None:
        for start, _, name in timeline(animation.visemes, animation.frame_rate):
            yield round(start * _TICKS), AZURE_IDS[VISEMES.index(name)]


def _chunks(path: Path, data: bytes) -> Iterator[dict[str, Any]]:
    """The chunks of a file in any of its forms."""
    text = data.decode("utf-8-sig")
    try:
        try:
            parsed = json.loads(text)
        except json.JSONDecodeError:
            parsed = [json.loads(line) for line in text.splitlines() if line.strip()]
        for event in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(event, dict) and "BlendShapes" not in event:
                inside = event.get("Animation")
                if not inside:
                    continue
                event = json.loads(inside) if isinstance(inside, str) else inside
            if not isinstance(event, dict):
                raise AnimationFileError(f"{path}: found {str(event)[:40]!r}, expected an event or chunk of Azure's")
            yield event
    except (json.JSONDecodeError, RecursionError) as error:
        raise AnimationFileError(f"{path}: not valid JSON ({error})") from error


def _chunk(path: Path, number: int, value: dict[str, Any]) -> tuple[int, NDArray[np.float32]]:
    """First frame and rows, shape (frames, 55)."""
    first, rows = value.get("FrameIndex"), value.get("BlendShapes")
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise AnimationFileError(
            f"{path}: chunk {number}: found 'FrameIndex' {first!r}, expected a whole number from 0"
        )
    try:
        weights = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise AnimationFileError(
            f"{path}: chunk {number}: 'BlendShapes' is not a table of numbers ({error})"
        ) from error
    if weights.size == 0:
        weights = weights.reshape(0, WIDTH)
    if weights.ndim != 2 or weights.shape[1] != WIDTH:
        raise AnimationFileError(
            f"{path}: chunk {number}: found 'BlendShapes' of shape {weights.shape}, expected rows of {WIDTH}"
        )
    if not (np.abs(weights) <= np.finfo(np.float32).max).all():
        raise AnimationFileError(f"{path}: chunk {number} holds a value that is not a finite number")
    return first, weights.astype(np.float32)
