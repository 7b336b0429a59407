"""The machine's microphone, by way of PortAudio: blocks of samples with the time at which they were spoken."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from .live import LiveBlock

log = logging.getLogger("facewave.audio")

BLOCK_S = 0.01
"""Seconds of audio in one block: what a listener waits for at most before a sample can move on."""


class Microphone:
    """An open microphone: iterate over its blocks until `close`."""

    def __init__(
        self,
        *,
        device: int | str | None = None,
        sample_rate: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open it and begin to listen.

        Args:
            device: PortAudio's number or name; None for the default input.
            sample_rate: Hertz; None for what the device prefers.
            clock: What `captured_at` is told by.

        Raises:
            AudioError: The `mic` extra, PortAudio, or a microphone is missing, or it cannot be opened as asked.
        """
        self._clock = clock
        self._blocks: queue.SimpleQueue[LiveBlock | None] = queue.SimpleQueue()
        self._closed = False
        self.overruns = 0
        """Times at which the machine lost samples because it was too busy."""
        sounddevice = import_sounddevice()
        try:
            found = sounddevice.query_devices(device, "input")
            self.sample_rate = int(sample_rate or found["default_samplerate"])
            """Hertz of the blocks."""
            self.name = str(found["name"])
            """What the system calls it."""
            self._stream = sounddevice.InputStream(
                samplerate=self.sample_rate, channels=1, dtype="float32", device=device, latency="low",
                blocksize=round(self.sample_rate * BLOCK_S), callback=self._heard, finished_callback=self._ended,
            )  # fmt: skip
            self._stream.start()
        except (ValueError, sounddevice.PortAudioError) as error:
            raise AudioError(
                f"{'default microphone' if device is None else f'microphone {device}'}: cannot be opened ({error}); "
                "connect one, or pipe audio into `facewave live -`"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[LiveBlock]:
        while (block := self._blocks.get()) is not None:
            yield block

    def close(self) -> None:
        """Stop listening; the iteration ends. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._stream.close()
            self._blocks.put(None)

    def _heard(self, samples: NDArray[np.float32], count: int, times: Any, status: Any) -> None:
        # PortAudio's thread: copy and leave.
        if status.input_overflow:
            self.overruns += 1
        late = max(0.0, times.currentTime - times.inputBufferAdcTime - count / self.sample_rate)
        self._blocks.put(LiveBlock(samples.copy(), self._clock() - late))

    def _ended(self) -> None:
        if not self._closed:
            log.warning("microphone %s: has gone away", self.name)
            self._blocks.put(None)


def import_sounddevice() -> Any:
    """The sounddevice package; this is the one place that imports it.

    Raises:
        AudioError: It is not installed, or PortAudio is not; says how to get them.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise AudioError("audio devices need the mic extra: pip install 'facewave[mic]'") from error
    except OSError as error:
        raise AudioError(
            f"audio devices need the PortAudio library ({error}); on Debian and Ubuntu: apt install libportaudio2"
        ) from error
    return sounddevice
