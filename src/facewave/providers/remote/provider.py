"""RemoteA2F: animation by an Audio2Face-3D service over one call in both directions, hosted or one's own."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from fractions import Fraction
from itertools import count
from typing import Any

from ...errors import SettingsError
from ...settings import FacewaveSettings
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE
from ...wire._proto.a2f_controller_service_pb2_grpc import A2FControllerServiceStub
from ...wire._proto.a2f_pb2 import AudioWithEmotion
from ...wire._proto.controller_pb2 import AudioStream
from ...wire.a2f import EmotionKeys, controller_header, emotion_messages
from ..base import ProviderInfo
from .client import Call
from .connection import Connection
from .emotions import KeyLedger
from .link import Link, Links
from .options import RemoteOptions
from .reader import FrameReader
from .session import RemoteSession

log = logging.getLogger("facewave.remote")

USUAL_RATE = Fraction(30)
"""Frames per second of services that were not told otherwise."""

RATES = (Fraction(30), Fraction(60))
"""Frames per second that services have: regression models the first, diffusion models the second."""

_numbers = count(1)


class RemoteA2F:
    """An Audio2Face-3D service since version 1.2, or NVIDIA's hosted one.

    The protocol has no way to ask for a frame rate: it is read from the time codes of the answer, and a stream opened
    for another rate fails.
    """

    name = "RemoteA2F"

    def __init__(self, connection: Connection | None = None, options: RemoteOptions | None = None) -> None:
        """Set up; connects with `allocate` or the first stream.

        Args:
            connection: Where the service is; None is filled later with `override`.
            options: Patience and policy.
        """
        self._options = options or RemoteOptions()
        self._links = Links(connection or Connection())
        self._rates = LearnedRate()

    @property
    def info(self) -> ProviderInfo:
        """Name, rates and whether connected; the rates are exact once one stream has been seen."""
        return self._rates.applied(
            ProviderInfo(
                self.name,
                "remote",
                "Audio2Face-3D service, one's own or hosted by NVIDIA",
                loaded=self._links.connected,
            )
        )

    @property
    def connection(self) -> Connection:
        """The connection settings in force."""
        return self._links.connection

    def require(self) -> None:
        """Check that a call could be made; connects to nothing.

        Raises:
            ProviderUnavailableError: No address, key or function id is configured.
        """
        self._links.connection.require(self.name)

    def override(self, connection: Connection) -> None:
        """Use other connection settings from the next clip on; blank fields fall back to the configured ones."""
        before = self._links.connection
        self._links.override(connection)
        if self._links.connection != before:
            self._rates.forget()

    def open(self, settings: StreamSettings) -> RemoteSession:
        """Start a stream; connects where that has not been done.

        Raises:
            SettingsError: A frame rate that the service does not have, or an emotion vector of a model's own.
            ProviderUnavailableError: No address, key or function id is configured.
            RemoteError: No connection can be made.
        """
        self._links.connection.require(self.name)
        self._rates.check(settings.frame_rate)
        ledger, header = KeyLedger(settings), controller_header(settings, SAMPLE_RATE)
        link = self._links.acquire()
        number = next(_numbers)
        line = ControllerLine(link, AudioStream(audio_stream_header=header), self._options, number)
        try:
            line.wait_connected(self._options.connect_timeout_s)
        except BaseException:
            line.cancel()
            raise
        link.connected = True
        log.info("[stream %d] started at %s", number, link.connection.target)
        reader = FrameReader(settings.frame_rate, self._rates.assumed)
        return RemoteSession(
            line, reader, ledger, self._options, where=link.connection.target, learned=self._rates.learn
        )

    def allocate(self) -> None:
        """Connect now, by asking the service for its health. Idempotent.

        Raises:
            ProviderUnavailableError: No address, key or function id is configured.
            RemoteError: No connection can be made, or the service does not accept the key.
        """
        self._links.connection.require(self.name)
        if self._links.connected:
            return
        link = self._links.acquire()
        try:
            link.check(self._options.connect_timeout_s)
        finally:
            link.release()

    def free(self) -> None:
        """Disconnect after the last open stream. Idempotent; the next stream connects again."""
        self._links.close()
        self._rates.forget()


class ControllerLine:
    """One clip as one call in both directions."""

    def __init__(self, link: Link, header: AudioStream, options: RemoteOptions, number: int) -> None:
        stub: Any = A2FControllerServiceStub(link.channel)
        self._call = Call(
            lambda requests: stub.ProcessAudioStream(requests, metadata=link.connection.metadata()),
            link.connection,
            options.retry,
            ended=link.release,
            name=f"stream {number}",
        )
        self._call.outbox.put(header, header.ByteSize(), timeout_s=0.0)

    @property
    def exhausted(self) -> bool:
        """Whether the answer has ended and everything has been taken."""
        return self._call.inbox.exhausted

    def wait_connected(self, timeout_s: float) -> None:
        """Wait until the header has left.

        Raises:
            RemoteError: No connection.
        """
        self._call.wait_connected(timeout_s)

    def send(self, pcm: bytes, keys: EmotionKeys, *, timeout_s: float) -> bool:
        """Queue audio and emotions."""
        part = AudioWithEmotion(audio_buffer=pcm, emotions=emotion_messages(keys))
        return self._call.outbox.put(AudioStream(audio_with_emotion=part), len(pcm), timeout_s=timeout_s)

    def end(self) -> None:
        """Send the end-of-audio message and half-close."""
        self._call.outbox.put(AudioStream(end_of_audio=AudioStream.EndOfAudio()), 0, timeout_s=0.0)
        self._call.outbox.close()

    def take(self, timeout_s: float = 0.0) -> list[Any]:
        """Responses that are here; waits for the first."""
        return self._call.inbox.take(timeout_s)

    def cancel(self) -> None:
        """Drop the clip."""
        self._call.cancel()

    def close(self) -> None:
        """Nothing is held beyond the call itself, which has ended."""

    @property
    def silence(self) -> str:
        """What is probably wrong where nothing comes."""
        return "the service is stuck or overloaded, or starts only after more audio than was sent"


class LearnedRate:
    """The frame rate of a service: unknown, then as its last stream had it."""

    def __init__(self) -> None:
        self._rate: Fraction | None = None
        self._lock = threading.Lock()

    @property
    def assumed(self) -> Fraction:
        """The rate to expect."""
        with self._lock:
            return self._rate or USUAL_RATE

    def learn(self, rate: Fraction) -> None:
        """A stream has shown this rate."""
        with self._lock:
            self._rate = rate

    def forget(self) -> None:
        """Another service may have another rate."""
        with self._lock:
            self._rate = None

    def applied(self, info: ProviderInfo) -> ProviderInfo:
        """`info` with what is known about the rate."""
        with self._lock:
            rates = RATES if self._rate is None else (self._rate, self._rate)
            return replace(info, frame_rate=self._rate or USUAL_RATE, frame_rates=rates)

    def check(self, asked: Fraction | None) -> None:
        """Refuse a rate that the service does not have.

        Raises:
            SettingsError: Not the rate seen last, or none of those that services have.
        """
        with self._lock:
            possible = RATES if self._rate is None else (self._rate,)
        if asked is not None and asked not in possible:
            rates = " or ".join(str(rate) for rate in possible)
            raise SettingsError(
                f"frame rate: found {asked}, but the service animates at {rates} frames per second, which a client "
                "cannot choose; ask for no rate and resample the animation"
            )


def remote_a2f(settings: FacewaveSettings) -> RemoteA2F:
    """The provider that the project's settings describe, section `[remote]`.

    Raises:
        SettingsError: An address or certificate that cannot be used.
    """
    remote = settings.remote
    return RemoteA2F(Connection.of_settings(remote), RemoteOptions(stall_timeout_s=remote.timeout_s))
