"""Where audio is heard: the default output of the machine, or nowhere, at the right time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..audio.microphone import import_sounddevice
from ..errors import AudioError, OutputError
from .consumers import AudioFormat
from .workers import NEVER

log = logging.getLogger("facewave.runtime")

Render = Callable[[int, float], NDArray[np.float32]]
"""Asked for a number of samples and told when the first of them will be heard; gives shape (n, channels)."""

BLOCK_S = 0.02
"""Seconds of audio asked for at once."""

_LATEST_S = 0.1
"""A device that is asked later than this has lost the time in between."""


class Device(Protocol):
    """Plays what it asks for."""

    def open(self, audio: AudioFormat, render: Render, now: float) -> None:
        """Begin to play.

        Raises:
            OutputError: It cannot.
        """
        ...

    def step(self, now: float) -> float:
        """Do what is due; returns when to be called again."""
        ...

    def close(self) -> None:
        """Stop. Safe to call twice."""
        ...


class NullDevice:
    """Takes audio at the pace of a clock and lets nobody hear it: for servers, tests, and machines without speakers."""

    def __init__(self, record: Callable[[float, NDArray[np.float32]], None] | None = None) -> None:
        """`record` is given every block with the time at which its first sample would be heard."""
        self._record = record
        self._render: Render | None = None
        self._rate = self._taken = 0
        self._origin = 0.0

    def open(self, audio: AudioFormat, render: Render, now: float) -> None:
        """Begin to take audio."""
        self._render, self._rate, self._origin, self._taken = render, audio.sample_rate, now, 0

    def step(self, now: float) -> float:
        """Take every block that is due."""
        if self._render is None:
            return NEVER
        block = max(1, round(BLOCK_S * self._rate))
        if now > self._due() + _LATEST_S:
            self._origin, self._taken = now, 0
        while (due := self._due()) <= now:
            samples = self._render(block, due)
            self._taken += block
            if self._record is not None:
                self._record(due, samples)
        return self._due()

    def close(self) -> None:
        """Stop."""
        self._render = None

    def _due(self) -> float:
        return self._origin + self._taken / self._rate


class SpeakerDevice:
    """The machine's default audio output, by way of PortAudio."""

    def __init__(self, clock: Callable[[], float], device: int | str | None = None) -> None:
        """Choose an output; `device` is PortAudio's number or name, None for the default.

        Raises:
            OutputError: The `mic` extra, PortAudio or an output is missing.
        """
        try:
            self._sounddevice = import_sounddevice()
        except AudioError as error:
            raise OutputError(str(error)) from error
        self._clock, self._device = clock, device
        self._stream: Any = None
        try:
            self._sounddevice.query_devices(device, "output")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            raise OutputError(f"audio output: found none ({error}); connect one, or choose device='null'") from error

    def open(self, audio: AudioFormat, render: Render, now: float) -> None:
        """Begin to play."""

        def fill(out: NDArray[np.float32], count: int, time: Any, status: Any) -> None:
            out[:] = render(count, self._clock() + max(0.0, time.outputBufferDacTime - time.currentTime))

        try:
            self._stream = self._sounddevice.OutputStream(
                samplerate=audio.sample_rate, channels=audio.channels, dtype="float32", device=self._device,
                latency="low", callback=fill,
            )  # fmt: skip
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            raise OutputError(
                f"audio output: cannot play {audio.channels} channels at {audio.sample_rate} Hz ({error})"
            ) from error

    def step(self, now: float) -> float:
        """Nothing to do: the device asks by itself."""
        return NEVER

    def close(self) -> None:
        """Stop."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def default_device(clock: Callable[[], float]) -> Device:
    """The machine's output where there is one, else a `NullDevice`."""
    try:
        return SpeakerDevice(clock)
    except OutputError as error:
        log.info("no sound: %s", error)
        return NullDevice()
