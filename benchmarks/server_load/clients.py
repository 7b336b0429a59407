"""One process of real-time clients. They read frames as raw bytes, so that they themselves cost little."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import grpc
import numpy as np

from facewave.wire._proto.a2f_pb2 import AudioWithEmotion
from facewave.wire._proto.audio_pb2 import AudioHeader
from facewave.wire._proto.controller_pb2 import AudioStream, AudioStreamHeader

METHOD = "/nvidia_ace.services.a2f_controller.v1.A2FControllerService/ProcessAudioStream"
RATE = 16_000
FIRST_S, SLICE_S, SLICES_PER_S = 0.5, 0.035, 30
ANIMATION_DATA = 0x12
"""First byte of an answer that holds a frame: field 2 of the stream's message."""


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
    """How the call failed, if it did."""


def messages(seconds: float, seed: int) -> tuple[bytes, list[bytes]]:
    """The header, then the first half second and the slices, serialised."""
    samples = np.random.default_rng(seed).integers(-3000, 3000, round(seconds * RATE), np.int16)
    pcm = samples.astype("<i2").tobytes()
    sound = AudioHeader(channel_count=1, samples_per_second=RATE, bits_per_sample=16)
    header = AudioStream(audio_stream_header=AudioStreamHeader(audio_header=sound)).SerializeToString()
    first, step = 2 * round(FIRST_S * RATE), 2 * round(SLICE_S * RATE)
    pieces = [pcm[:first], *(pcm[at : at + step] for at in range(first, len(pcm), step))]
    return header, [_audio(piece) for piece in pieces]


def _audio(piece: bytes) -> bytes:
    return AudioStream(audio_with_emotion=AudioWithEmotion(audio_buffer=piece)).SerializeToString()


END = AudioStream(end_of_audio=AudioStream.EndOfAudio()).SerializeToString()


async def client(target: str, header: bytes, pieces: list[bytes], *, real_time: bool = True) -> Result:
    """Run one clip on a connection of its own."""
    sent = 0.0

    async def requests() -> AsyncIterator[bytes]:
        nonlocal sent
        sent = time.perf_counter()
        yield header
        yield pieces[0]
        start = time.perf_counter()
        for index, piece in enumerate(pieces[1:], 1):
            if real_time:
                # From a schedule, not from the last slice, so that delays do not add up.
                await asyncio.sleep(start + index / SLICES_PER_S - time.perf_counter())
            yield piece
        yield END

    arrived: list[float] = []
    # A pool of one's own keeps gRPC from sharing a connection among clients.
    options = [("grpc.use_local_subchannel_pool", 1)]
    try:
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHOD)
            call = method(requests(), timeout=600)
            async for answer in call:
                if answer[0] == ANIMATION_DATA:
                    arrived.append(time.perf_counter())
    except grpc.aio.AioRpcError as error:
        return Result(0.0, 0.0, len(arrived), f"{error.code().name}: {error.details()}")
    head = round(FIRST_S * 30)
    span = arrived[-1] - arrived[head] if len(arrived) > head + 1 else 0.0
    return Result(
        (len(arrived) - head - 1) / span if span else 0.0, arrived[0] - sent if arrived else 0.0, len(arrived)
    )


def run(target: str, count: int, seconds: float, spread_s: float, pipe: Connection, *, real_time: bool = True) -> None:
    """What a client process does: `count` clients that begin within `spread_s`; sends the list of results."""

    async def all_clients() -> list[Result]:
        header, pieces = messages(seconds, seed=count)

        async def one() -> Result:
            await asyncio.sleep(random.uniform(0, spread_s))
            return await client(target, header, pieces, real_time=real_time)

        return list(await asyncio.gather(*(one() for _ in range(count))))

    pipe.send(asyncio.run(all_clients()))
    pipe.close()
