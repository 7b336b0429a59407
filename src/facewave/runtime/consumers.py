"""Consumers: what audio and frames of a clip are handed to, and the guard that ends every clip exactly once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import FacewaveError, OutputError, SessionError
from ..frames import Frame, StreamInfo
from ..outputs.base import Output
from .delivery import Ending, running_future

log = logging.getLogger("facewave.runtime")


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The form in which a clip's audio came, and in which it is handed on."""

    sample_rate: int
    """Hertz."""

    channels: int
    """1 or 2."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Audio and the frames that belong to it, as far as both are known. Arrays are not written after construction."""

    audio: NDArray[np.float32]
    """Shape (n, channels), in the clip's own rate: the samples up to the last frame of this chunk."""

    frames: tuple[Frame, ...]
    """In order; `Frame.sample` counts 16 kHz samples from the start of the clip."""


class Consumer(Protocol):
    """Takes one clip after the other. Called from background threads, never from two at once; must return quickly."""

    def start(self, info: StreamInfo, audio: AudioFormat) -> None:
        """A clip begins: once, before its first chunk. A clip that fails before its first chunk never starts."""
        ...

    def take(self, chunk: Chunk) -> bool:
        """The next piece of the clip. Return False to want no more of it."""
        ...

    def end(self, ending: Ending) -> None:
        """The clip is over: exactly once for every clip, whatever happened."""
        ...


@runtime_checkable
class Player(Protocol):
    """What a consumer also has if it goes on by itself after the end of a clip, playing what it has."""

    def interrupt(self, ending: Ending) -> bool:
        """Drop what is left of a clip that has ended; return whether anything was. Must return quickly."""
        ...


class OutputConsumer:
    """Lets any output be a consumer: frames are written as they come, the audio is left out.

    An output of a file appears whole when the clip finishes, and not at all when it fails or is interrupted.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._started = False

    def start(self, info: StreamInfo, audio: AudioFormat) -> None:
        """Begin the output's stream."""
        self._output.start(info)
        self._started = True

    def take(self, chunk: Chunk) -> bool:
        """Write the frames."""
        for frame in chunk.frames:
            self._output.write(frame)
        return True

    def end(self, ending: Ending) -> None:
        """Close the output, or give it up."""
        if not self._started:
            return
        self._started = False
        if ending.reason in ("finished", "idle"):
            self._output.close()
        else:
            self._output.abort()


class Attachment:
    """The tie between one clip and its consumer, cut once.

    `end` may come from any thread while another one is inside `take`: then that thread delivers the ending when it
    returns, so that nobody waits and the consumer is never entered twice.
    """

    def __init__(self, consumer: Consumer, after: Attachment | None, ended: Callable[[Ending], None]) -> None:
        """Tie a clip to a consumer.

        Args:
            consumer: Whom to deliver to.
            after: The consumer's previous clip: this one reaches the consumer only when that one has ended.
            ended: Called once with the ending, after the consumer has got it.
        """
        self._consumer, self._ended = consumer, ended
        self._lock = threading.Lock()
        self._inside = False
        self._ending: Ending | None = None
        self._previous = None if after is None else after.over
        self._started = False
        self.over: Future[Ending] = running_future()
        """Set when the consumer has got the ending."""

    @property
    def ending(self) -> Ending | None:
        """How the clip ended; None while it goes on."""
        return self._ending

    def deliver(self, info: StreamInfo, audio: AudioFormat, chunk: Chunk) -> bool:
        """Hand over a chunk; False where the clip has ended.

        Raises:
            OutputError: The consumer failed.
        """
        if self._previous is not None:
            self._previous.result()
            self._previous = None
        if not self._enter():
            return False
        try:
            if not self._started:
                self._started = True
                self._consumer.start(info, audio)
            wanted = self._consumer.take(chunk) is not False
        except FacewaveError:
            raise
        except Exception as error:  # Consumers are foreign code: what they raise must not look like a provider's.
            raise OutputError(f"consumer {type(self._consumer).__name__}: failed ({error})") from error
        finally:
            self._leave()
        if not wanted:
            self.end(Ending("stopped"))
        return wanted and self._ending is None

    def end(self, ending: Ending) -> bool:
        """End the clip; False where it had ended before."""
        with self._lock:
            if self._ending is not None:
                return False
            self._ending = ending
            if self._inside:
                return True
            self._inside = True
        self._tell(ending)
        return True

    def _enter(self) -> bool:
        with self._lock:
            if self._ending is not None:
                return False
            if self._inside:
                raise SessionError("consumer: called take() from within take(); it must return first")
            self._inside = True
            return True

    def _leave(self) -> None:
        with self._lock:
            ending = self._ending
            self._inside = ending is not None
        if ending is not None:
            self._tell(ending)

    def _tell(self, ending: Ending) -> None:
        previous = self._previous
        if previous is not None and not previous.done():
            # Ended before its first chunk: endings reach the consumer in the order of the clips, and nobody waits.
            previous.add_done_callback(lambda _: self._tell_now(ending))
        else:
            self._tell_now(ending)

    def _tell_now(self, ending: Ending) -> None:
        try:
            self._consumer.end(ending)
        except Exception:
            log.exception("the consumer failed at the end of a clip (%s)", ending.reason)
        self._ended(ending)
        self.over.set_result(ending)
