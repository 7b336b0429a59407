"""Audio that is still being made: from a pipe, or from a file that grows."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from .clip import MAX_CHANNELS
from .resample import MAX_RATE, MIN_RATE

SampleType = Literal["int16", "float32"]

_READ_S = 0.02
"""Seconds of audio asked for at once; what is there is taken."""

_LONGEST_FORM = 1024
"""Bytes of a wav header's description; it has 16 to 40."""

_SKIPPED = 1 << 16
"""Bytes passed over at a time; what a header announces is not kept."""

_WAV_PCM, _WAV_FLOAT, _WAV_EXTENSIBLE = 1, 3, 0xFFFE


@dataclass(frozen=True, slots=True, eq=False)
class LiveBlock:
    """Samples of a live source."""

    samples: NDArray[Any]
    """Shape (n, channels), float32 in [-1, 1] or int16."""

    captured_at: float
    """Seconds on the source's clock at which the last sample was known."""


class ByteSource(Protocol):
    """Where bytes come from: a pipe, a socket's file, a growing file."""

    def read1(self, size: int, /) -> bytes:
        """Up to `size` bytes, as soon as there is one; none at the end."""
        ...


class PcmStream:
    """Raw PCM or wav as it comes: iterate over its blocks to the end.

    Whether it is wav, the first bytes tell; a wav header's length is not believed, because programs that write wav
    into a pipe do not know it.
    """

    def __init__(
        self,
        source: ByteSource,
        *,
        sample_rate: int = 16_000,
        channels: int = 1,
        sample_type: SampleType = "int16",
        name: str = "audio stream",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the beginning; waits for it.

        Args:
            source: The bytes.
            sample_rate: Hertz of raw PCM; a wav header decides for itself.
            channels: Channels of raw PCM, interleaved.
            sample_type: Little-endian samples of raw PCM.
            name: What to call it in an error.
            clock: What `captured_at` is told by.

        Raises:
            AudioError: A wav header that is damaged or of another kind than 16-bit or float32, mono or stereo.
        """
        self.sample_rate, self.channels, self.sample_type = sample_rate, channels, sample_type
        self._source, self._name, self._clock = source, name, clock
        self._rest = self._exactly(12, short=True)
        if self._rest[:4] == b"RIFF" and self._rest[8:] == b"WAVE":
            self._rest = b""
            self._read_header()
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise AudioError(f"{name}: found {self.channels} channels, expected 1 or 2")

    def __iter__(self) -> Iterator[LiveBlock]:
        width = self.channels * (2 if self.sample_type == "int16" else 4)
        size = max(width, int(_READ_S * self.sample_rate) * width)
        rest = self._rest
        while data := self._source.read1(size):
            now = self._clock()
            rest += data
            whole = len(rest) // width * width
            if whole:
                samples = np.frombuffer(rest[:whole], np.dtype(self.sample_type).newbyteorder("<"))
                yield LiveBlock(samples.astype(self.sample_type).reshape(-1, self.channels), now)
            rest = rest[whole:]

    def _read_header(self) -> None:
        form = b""
        while True:
            kind, length = struct.unpack("<4sI", self._exactly(8))
            if kind == b"data":
                break
            if kind == b"fmt " and length <= _LONGEST_FORM:
                form = self._exactly(length + (length & 1))
            else:
                self._skip(length + (length & 1))
        if len(form) < 16:
            raise AudioError(f"{self._name}: a wav header without its 'fmt ' chunk; expected it before 'data'")
        tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
        if tag == _WAV_EXTENSIBLE and len(form) >= 26:
            tag = struct.unpack("<H", form[24:26])[0]
        kinds: dict[tuple[int, int], SampleType] = {(_WAV_PCM, 16): "int16", (_WAV_FLOAT, 32): "float32"}
        if (tag, bits) not in kinds:
            raise AudioError(
                f"{self._name}: found wav of format {tag} with {bits} bits, expected 16-bit PCM or 32-bit float"
            )
        if not MIN_RATE <= rate <= MAX_RATE:
            raise AudioError(f"{self._name}: found a sample rate of {rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz")
        self.sample_rate, self.channels, self.sample_type = rate, channels, kinds[tag, bits]

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._exactly(min(count, _SKIPPED)))

    def _exactly(self, count: int, *, short: bool = False) -> bytes:
        data = b""
        while len(data) < count:
            more = self._source.read1(count - len(data))
            if not more and short:
                break
            if not more:
                raise AudioError(f"{self._name}: ended inside the wav header")
            data += more
        return data


class GrowingFile:
    """A file that another program is still writing: its bytes, until it has not grown for a while."""

    def __init__(
        self,
        path: Path,
        *,
        patience_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the file; `patience_s` without a new byte is taken for its end.

        Raises:
            AudioError: It cannot be opened.
        """
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise AudioError(f"{path}: cannot be opened ({error.strerror})") from error
        self._patience_s, self._clock, self._sleep = patience_s, clock, sleep

    def read1(self, size: int, /) -> bytes:
        """Up to `size` bytes; waits for the first, and gives none when the file has stopped growing."""
        waited_since = self._clock()
        while not (data := self._file.read(size)):
            if self._clock() - waited_since >= self._patience_s:
                return b""
            self._sleep(0.02)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
