"""The streaming protocol for browsers and game front ends: audio in, frames out, over one WebSocket.

    client                                         server
    {"type": "start", "sampleRate": 48000,
     "provider": "", "settings": {...}}      ->
                                             <-    {"type": "info", "protocol": 1, "channels": [...], "fps": 60.0,
                                                    "lookAheadMs": 200.0}
    binary: PCM, int16 little-endian, mono   ->
                                             <-    binary: frames
    {"type": "emotion", "values": {...}}     ->    from the audio sent so far on
    {"type": "end"}                          ->
                                             <-    binary: the remaining frames
                                             <-    {"type": "end", "frames": 533}
                                             <-    close 1000

A binary message from the server holds one or more consecutive frames: 8 bytes, the index of the first frame and their
number (both uint32 little-endian), then number x channels float32 little-endian. Frame k belongs to second k / fps.
Anything wrong is answered by {"type": "error", "message": ...} and close 1008 (the client's fault), 1009 (a
limit), 1011 (ours) or 1013 (too many streams).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.resample import StreamResampler
from ..documents import parse
from ..emotions import EmotionTrack
from ..errors import FacewaveError, ProviderError, shown
from ..frames import Frame
from ..providers import open_provider
from ..providers.base import Session
from ..timing import SAMPLE_RATE
from ..wire.browser import end_message, frames_message, info_message
from .options import stream_settings

MAX_STREAMS = 8
"""Streams at once."""

MAX_MESSAGE = 1 << 20
"""Bytes of one audio message."""

MAX_SECONDS = 3600
"""Audio of one stream."""

IDLE_S = 60.0
"""Longest silence of a client before its stream is closed."""


class _Refused(Exception):  # noqa: N818 - not an error of ours: the client's, told to the client.
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Streams:
    """The streaming endpoint; one object counts the streams of one server."""

    def __init__(self) -> None:
        self.open = 0

    async def __call__(self, socket: Any) -> None:
        """Serve one connection from its first message to its close."""
        from starlette.websockets import WebSocketDisconnect

        await socket.accept()
        session: Session | None = None
        if self.open >= MAX_STREAMS:
            return await _fail(socket, 1013, f"{MAX_STREAMS} streams are open already, the most this studio serves")
        self.open += 1
        try:
            session, resampler, rate = await _start(socket)
            sent, heard = 0, 0
            while True:
                message = await _next(socket)
                if isinstance(message, bytes):
                    if len(message) > MAX_MESSAGE or len(message) % 2:
                        raise _Refused(
                            1009, f"audio of {len(message)} bytes: expected an even number up to {MAX_MESSAGE}"
                        )
                    heard += len(message) // 2
                    if heard > MAX_SECONDS * rate:
                        raise _Refused(1009, f"a stream ends after {MAX_SECONDS} s of audio")
                    samples = np.frombuffer(message, "<i2").astype(np.float32) / np.float32(32768)
                    frames = await asyncio.to_thread(_heard, session, resampler, samples)
                elif message.get("type") == "emotion":
                    key = (heard / rate, _values(message))
                    track = EmotionTrack.from_keys([key])
                    empty = np.empty(0, np.float32)
                    frames = await asyncio.to_thread(session.push, empty, track)
                elif message.get("type") == "end":
                    frames = await asyncio.to_thread(_ended, session, resampler)
                    await _send_frames(socket, frames)
                    await socket.send_json(end_message(sent + len(frames)))
                    await socket.close(1000)
                    return None
                else:
                    raise _Refused(1008, f"message type {shown(message.get('type'))}: expected emotion or end")
                sent += len(frames)
                await _send_frames(socket, frames)
        except _Refused as refusal:
            await _fail(socket, refusal.code, str(refusal))
        except ProviderError as error:
            await _fail(socket, 1011, str(error))
        except FacewaveError as error:
            await _fail(socket, 1008, str(error))
        except (_Gone, WebSocketDisconnect):
            return None
        finally:
            self.open -= 1
            if session is not None:
                session.cancel()
        return None


class _Gone(Exception):  # noqa: N818 - the ordinary end of a connection.
    pass


async def _start(socket: Any) -> tuple[Session, StreamResampler, int]:
    first = await _next(socket)
    if isinstance(first, bytes) or first.get("type") != "start":
        raise _Refused(1008, 'the first message must be {"type": "start", "sampleRate": ...}')
    rate = first.get("sampleRate", SAMPLE_RATE)
    if isinstance(rate, bool) or not isinstance(rate, int):
        raise _Refused(1008, f"sampleRate is {shown(rate)}, expected a whole number of hertz")
    resampler = StreamResampler(rate)
    settings = stream_settings(first.get("settings", {}))
    provider = open_provider(str(first.get("provider", "")))
    session = await asyncio.to_thread(provider.open, settings)
    await socket.send_json(info_message(session.info, provider.info.look_ahead * 1000 / SAMPLE_RATE))
    return session, resampler, rate


def _heard(session: Session, resampler: StreamResampler, samples: NDArray[np.float32]) -> Sequence[Frame]:
    return session.push(resampler.push(samples))


def _ended(session: Session, resampler: StreamResampler) -> Sequence[Frame]:
    return [*session.push(resampler.finish()), *session.finish()]


async def _next(socket: Any) -> bytes | dict[str, Any]:
    try:
        event = await asyncio.wait_for(socket.receive(), IDLE_S)
    except TimeoutError as error:
        raise _Refused(1008, f"nothing heard for {IDLE_S:g} s") from error
    if event["type"] == "websocket.disconnect":
        raise _Gone
    if event.get("bytes") is not None:
        return bytes(event["bytes"])
    try:
        message = parse(event["text"], "JSON")
    except ValueError as error:
        raise _Refused(1008, f"a text message that is not JSON ({error})") from error
    if not isinstance(message, dict):
        raise _Refused(1008, "a text message that is not a JSON object")
    return message


def _values(message: dict[str, Any]) -> dict[str, float]:
    values = message.get("values")
    if not isinstance(values, dict) or not all(isinstance(v, (int, float)) for v in values.values()):
        raise _Refused(1008, "emotion: expected values as an object of name: number")
    return {str(name): float(value) for name, value in values.items()}


async def _send_frames(socket: Any, frames: Sequence[Frame]) -> None:
    if frames:
        await socket.send_bytes(frames_message(frames))


async def _fail(socket: Any, code: int, message: str) -> None:
    # A client that has gone meanwhile needs no answer.
    try:
        await socket.send_json({"type": "error", "message": message})
        await socket.close(code)
    except RuntimeError:
        return
