"""One process of real-time clients, each with a connection and a call of its own, on plain sockets.

They must cost little, because they run beside the server they measure: a client of gRPC for Python costs as much as
the stream it asks for. They check all the same that each clip comes whole.
"""

from __future__ import annotations

import errno
import heapq
import math
import os
import random
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from facewave.wire._proto.a2f_pb2 import AudioWithEmotion
from facewave.wire._proto.audio_pb2 import AudioHeader
from facewave.wire._proto.controller_pb2 import (
    END_OF_A2F_AUDIO_PROCESSING,
    AnimationDataStream,
    AudioStream,
    AudioStreamHeader,
)
from facewave.wire._proto.status_pb2 import Status

from .call import Call, framed

METHOD = "/nvidia_ace.services.a2f_controller.v1.A2FControllerService/ProcessAudioStream"
RATE = 16_000
FIRST_S, SLICE_S, SLICES_PER_S = 0.5, 0.035, 30
LONGEST_S = 600.0
"""When a call is given up."""

ANIMATION_DATA = 0x12
"""First byte of an answer that holds a frame: field 2 of the stream's message."""

_READ = 2**18


@dataclass(frozen=True)
class Result:
    """What one client saw."""

    fps: float
    """Frames a second after the first half second; 0 where nothing came."""

    first_s: float
    """From the header sent to the first frame."""

    frames: int
    """Frames received."""

    error: str = ""
    """How the call failed, or what its answer lacked."""


@dataclass(frozen=True)
class Script:
    """What every client of a process says, as it travels, and what it expects to hear."""

    header: bytes
    pieces: list[bytes]
    fps: float
    frames: int

    @classmethod
    def of(cls, pcm: bytes, fps: float = 30.0) -> Script:
        """A clip of 16-bit samples in the pieces that NVIDIA's Unreal plugin sends."""
        sound = AudioHeader(channel_count=1, samples_per_second=RATE, bits_per_sample=16)
        header = AudioStream(audio_stream_header=AudioStreamHeader(audio_header=sound))
        first, step = 2 * round(FIRST_S * RATE), 2 * round(SLICE_S * RATE)
        pieces = [pcm[:first], *(pcm[at : at + step] for at in range(first, len(pcm), step))]
        frames = math.ceil(round(len(pcm) // 2 * fps / RATE, 6))
        return cls(_framed(header), [_framed(_audio(piece)) for piece in pieces], fps, frames)


def noise(seconds: float, seed: int) -> bytes:
    """16-bit samples that no cache knows."""
    return np.random.default_rng(seed).integers(-3000, 3000, round(seconds * RATE), np.int16).astype("<i2").tobytes()


def _audio(piece: bytes) -> AudioStream:
    return AudioStream(audio_with_emotion=AudioWithEmotion(audio_buffer=piece))


def _framed(message: AudioStream) -> bytes:
    return framed(message.SerializeToString())


END = _framed(AudioStream(end_of_audio=AudioStream.EndOfAudio()))


class Client:
    """One clip on a connection of its own. It is told when its socket is ready and when it is due."""

    def __init__(self, target: str, script: Script, *, real_time: bool = True) -> None:
        """Args: `host:port`, what to say, and whether to say it no faster than real time."""
        self._script = script
        self._real_time = real_time
        self._call = Call(target, METHOD, LONGEST_S)
        self._sent = 0.0
        self._start = 0.0
        self._next = 1
        self._arrived: list[float] = []
        self._heard: list[str] = []
        self.result: Result | None = None
        """What came of it, once it is over."""

    def connect(self, family: int, address: tuple[object, ...]) -> None:
        """Begin to open the connection; the socket becomes writable once it is."""
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if (error := self.socket.connect_ex(address)) not in (0, errno.EINPROGRESS):
            self._lost(OSError(error, os.strerror(error)))

    @property
    def blocked(self) -> bool:
        """Whether the socket has yet to take something."""
        return bool(self._call.outgoing)

    def write(self) -> None:
        """Write what is to be written, as far as it goes."""
        outgoing = self._call.outgoing
        try:
            while outgoing:
                del outgoing[: self.socket.send(outgoing)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lost(error)

    def read(self) -> float | None:
        """Read what has come; the time to be woken at, where that is new."""
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return None
        except OSError as error:
            self._lost(error)
            return None
        for message in self._call.receive(data):
            self.take(message)
        if not data:
            self._call.lost("the connection was closed before the call had ended")
        due = None
        if not self._sent and self._call.connected and not self._call.code:
            due = self._begin()
        if self._call.code:
            self._finish()
        elif self._call.outgoing:
            self.write()
        return due

    def take(self, message: bytes) -> None:
        """One message of the answer."""
        if message and message[0] == ANIMATION_DATA:
            self._arrived.append(time.perf_counter())
            return
        answer = AnimationDataStream.FromString(message)
        part = answer.WhichOneof("stream_part") or "an empty message"
        if part == "status":
            part = f"{Status.Code.Name(answer.status.code)}: {answer.status.message}"
        elif part == "event" and answer.event.event_type == END_OF_A2F_AUDIO_PROCESSING:
            part = "end"
        self._heard.append(part)

    def speak(self) -> float | None:
        """Send the next slice; the time to be woken at again."""
        if self.result is not None:
            return None
        self._call.send(self._script.pieces[self._next])
        self._next += 1
        due = self._after()
        self.write()
        return due

    def give_up(self) -> None:
        """The call takes longer than any should."""
        self._lost(TimeoutError(f"not over after {LONGEST_S:g} s"))

    def _begin(self) -> float | None:
        self._call.begin()
        self._sent = time.perf_counter()
        self._call.send(self._script.header)
        self._call.send(self._script.pieces[0])
        self._start = time.perf_counter()
        return self._after()

    def _after(self) -> float | None:
        """When the next slice is due; None after the last, which the end follows at once."""
        pieces = self._script.pieces
        while self._next < len(pieces):
            if self._real_time:
                # From a schedule, not from the last slice, so that delays do not add up.
                return self._start + self._next / SLICES_PER_S
            self._call.send(pieces[self._next])
            self._next += 1
        self._call.send(END)
        self._call.half_close()
        return None

    def _lost(self, error: OSError) -> None:
        self._call.lost(error.strerror or str(error))
        self._finish()

    def _finish(self) -> None:
        arrived, head = self._arrived, round(FIRST_S * self._script.fps)
        span = arrived[-1] - arrived[head] if len(arrived) > head + 1 else 0.0
        self.result = Result(
            (len(arrived) - head - 1) / span if span else 0.0,
            arrived[0] - self._sent if arrived else 0.0,
            len(arrived),
            self._problem(),
        )

    def _problem(self) -> str:
        """What was wrong with the answer; nothing where it was whole."""
        if self._call.code != "OK":
            return f"{self._call.code}: {self._call.details}"
        if self._heard[:1] != ["animation_data_stream_header"]:
            return f"the answer began with {self._heard[:1]}, expected its header"
        if len(self._arrived) != self._script.frames:
            return f"{len(self._arrived)} frames, expected {self._script.frames}"
        if "end" not in self._heard:
            return "no event said that the clip was done"
        if not self._heard[-1].startswith("SUCCESS"):
            return f"the last word was {self._heard[-1]!r}, expected SUCCESS"
        return ""


class Stage:
    """Runs clients on one thread: wakes each when its socket is ready or its next slice due."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        self._family: int = found[0][0]
        self._address: tuple[object, ...] = found[0][4]
        self._selector = selectors.DefaultSelector()
        self._watched: dict[Client, int] = {}
        self._timers: list[tuple[float, int, Client]] = []

    def play(self, clients: Sequence[tuple[float, Client]]) -> list[Result]:
        """Run them all to their end, each begun so many seconds from now."""
        began = time.perf_counter()
        # Numbered, because clients have no order.
        self._timers = [(began + wait, number, client) for number, (wait, client) in enumerate(clients)]
        heapq.heapify(self._timers)
        last = max(wait for wait, _ in clients) + began + LONGEST_S
        left = len(clients)
        with self._selector:
            while left:
                left -= self._run_timers()
                wait = self._timers[0][0] - time.perf_counter() if self._timers else 1.0
                for key, mask in self._selector.select(max(0.0, wait)):
                    client: Client = key.data
                    if mask & selectors.EVENT_WRITE:
                        client.write()
                    if mask & selectors.EVENT_READ and (due := client.read()) is not None:
                        heapq.heappush(self._timers, (due, id(client), client))
                    left -= self._mind(client)
                if time.perf_counter() > last:
                    for client in list(self._watched):
                        client.give_up()
                        left -= self._mind(client)
        return [client.result for _, client in clients if client.result is not None]

    def _run_timers(self) -> int:
        """Wake those that are due; how many ended."""
        ended, now = 0, time.perf_counter()
        while self._timers and self._timers[0][0] <= now:
            _, number, client = heapq.heappop(self._timers)
            if client in self._watched:
                if (due := client.speak()) is not None:
                    heapq.heappush(self._timers, (due, number, client))
            elif client.result is None:
                client.connect(self._family, self._address)
                self._watched[client] = selectors.EVENT_READ | selectors.EVENT_WRITE
                self._selector.register(client.socket, self._watched[client], client)
            else:
                continue
            ended += self._mind(client)
        return ended

    def _mind(self, client: Client) -> int:
        """Watch the client's socket for what it waits for now; 1 where it has just ended."""
        if client not in self._watched:
            return 0
        if client.result is not None:
            del self._watched[client]
            self._selector.unregister(client.socket)
            client.socket.close()
            return 1
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.blocked else 0)
        if self._watched[client] != wanted:
            self._watched[client] = wanted
            self._selector.modify(client.socket, wanted, client)
        return 0


def run(
    target: str,
    count: int,
    seconds: float,
    spread_s: float,
    pipe: Connection,
    *,
    real_time: bool = True,
    fps: float = 30.0,
) -> None:
    """What a client process does: `count` clients that begin within `spread_s`.

    Sends the results, and the processor seconds that the clients took and that the process took in all.
    """
    script = Script.of(noise(seconds, seed=count), fps)
    clients = [(random.uniform(0, spread_s), Client(target, script, real_time=real_time)) for _ in range(count)]
    before = time.process_time()
    results = Stage(target).play(clients)
    after = time.process_time()
    pipe.send((results, after - before, after))
    pipe.close()
