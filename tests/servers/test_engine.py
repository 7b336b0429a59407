"""Who is computed with whom, and when: the engine alone, without a network."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction

import pytest

from facewave.frames import Frame
from facewave.server import engine as engine_module
from facewave.server.clip import Clip, Shape
from facewave.server.engine import Engine
from facewave.streams import StreamSettings

from . import serving as s
from .loudness import BatchLoudnessProvider, FedLoudnessSession

RATE = 16_000
ENOUGH, LITTLE = s.speech(0.2), s.speech(0.02)  # For frames, and for none: the look-ahead is 50 ms.


def on_a_loop(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(test(**fixtures))

    return run


class GatedProvider(BatchLoudnessProvider):
    """Waits at each batch until let through; remembers whose sessions each had."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.entered: list[set[FedLoudnessSession]] = []

    def step(self, sessions: Sequence[FedLoudnessSession]) -> list[list[Frame]]:
        self.entered.append(set(sessions))
        assert self.gate.acquire(timeout=20)
        return super().step(sessions)


class Stream:
    """A call as the engine sees it."""

    def __init__(self, engine: Engine, provider: BatchLoudnessProvider) -> None:
        self.engine = engine
        self.session = provider.open(StreamSettings(frame_rate=Fraction(30)))
        self.clip = Clip(self.session, RATE, Shape())
        self.errors: list[Exception] = []
        engine.add(self)

    def advanced(self, error: Exception | None) -> None:
        if error is not None:
            self.errors.append(error)

    def give(self, pcm: bytes) -> None:
        self.clip.receive(pcm, {})
        self.engine.ready(self)


@asynccontextmanager
async def running(provider: GatedProvider) -> AsyncIterator[Engine]:
    engine = Engine(provider)
    engine.start()
    try:
        yield engine
    finally:
        provider.gate.release(100)
        await engine.stop()


async def batches(provider: GatedProvider, count: int) -> None:
    """Wait until so many batches have begun."""
    async with asyncio.timeout(20):
        while len(provider.entered) < count:
            await asyncio.sleep(0.001)


async def shown(engine: Engine, provider: GatedProvider, count: int) -> list[Stream]:
    """Streams that have shown frames; no batch is under way."""
    streams = [Stream(engine, provider) for _ in range(count)]
    for stream in streams:
        stream.give(ENOUGH)
    provider.gate.release(100)
    async with asyncio.timeout(20):
        while not all(stream.clip.frames for stream in streams):
            await asyncio.sleep(0.001)
    while provider.gate.acquire(blocking=False):
        pass
    provider.entered.clear()
    return streams


@on_a_loop
async def test_new_streams_go_before_all_others() -> None:
    provider = GatedProvider()
    async with running(provider) as engine:
        old, other = await shown(engine, provider, 2)
        old.give(ENOUGH)
        await batches(provider, 1)
        other.give(ENOUGH)
        new, newer = Stream(engine, provider), Stream(engine, provider)
        new.give(ENOUGH)
        newer.give(ENOUGH)
        provider.gate.release(100)
        await batches(provider, 3)
    assert provider.entered[:3] == [{old.session}, {new.session, newer.session}, {other.session}]


@on_a_loop
async def test_a_new_streams_first_turn_is_short() -> None:
    provider = GatedProvider()
    async with running(provider) as engine:
        new, other = Stream(engine, provider), Stream(engine, provider)
        new.give(s.speech(0.5))
        await batches(provider, 1)
        assert new.clip.waiting_s == pytest.approx(0.5 - engine_module.FIRST_TURN_S)
        other.give(ENOUGH)
        provider.gate.release()
        await batches(provider, 2)
        assert new.clip.frames
        assert new.clip.waiting_s == 0
    assert other.session in provider.entered[1]


@on_a_loop
async def test_a_stream_that_never_shows_a_frame_holds_up_nobody() -> None:
    provider = GatedProvider()
    async with running(provider) as engine:
        (old,) = await shown(engine, provider, 1)
        silent = Stream(engine, provider)
        old.give(ENOUGH)
        await batches(provider, 1)
        for turn in range(2, 6):
            silent.give(LITTLE[: 2 * RATE // 1000])
            old.give(ENOUGH)
            provider.gate.release()
            await batches(provider, turn)
    assert [old.session in batch for batch in provider.entered[:5]] == [True, False, True, False, True]
    assert not silent.clip.frames


@on_a_loop
async def test_streams_open_while_a_batch_is_computed() -> None:
    provider = GatedProvider()
    async with running(provider) as engine:
        (old,) = await shown(engine, provider, 1)
        old.give(ENOUGH)
        await batches(provider, 1)
        async with asyncio.timeout(20):
            session = await engine.call(lambda: provider.open(StreamSettings()))
        assert provider.entered == [{old.session}]
        session.cancel()


@on_a_loop
async def test_streams_with_little_to_do_share_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "TICK_S", 1.0)
    monkeypatch.setattr(engine_module, "MAX_TICK_S", 1.0)
    provider = GatedProvider()
    async with running(provider) as engine:
        *streams, last = await shown(engine, provider, 4)
        provider.gate.release(100)
        last.give(LITTLE)
        await batches(provider, 1)
        for stream in streams:
            stream.give(LITTLE)
            await asyncio.sleep(0.005)
        await batches(provider, 2)
    assert provider.entered[:2] == [{last.session}, {stream.session for stream in streams}]


@on_a_loop
async def test_a_new_stream_ends_the_wait_for_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "TICK_S", 600.0)
    monkeypatch.setattr(engine_module, "MAX_TICK_S", 600.0)
    provider = GatedProvider()
    async with running(provider) as engine:
        old, other = await shown(engine, provider, 2)
        provider.gate.release(100)
        other.give(LITTLE)
        await batches(provider, 1)
        old.give(LITTLE)
        await asyncio.sleep(0.005)
        new = Stream(engine, provider)
        new.give(ENOUGH)
        await batches(provider, 2)
    assert provider.entered[:2] == [{other.session}, {new.session}]
