"""The same runtime on real threads and the real clock. No test here looks at how long something takes."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facewave.errors import FacewaveError, ProviderError, SessionError
from facewave.runtime.curve_source import AudioCurveSource
from facewave.runtime.delivery import Delivery
from facewave.runtime.devices import NullDevice
from facewave.runtime.runtime import Runtime
from facewave.runtime.workers import Threads
from facewave.settings import FacewaveSettings
from tests.unit.runtime.parts import Recorder, ScriptedProvider, ramp_audio, ramp_provider

RUNS = int(os.environ.get("FACEWAVE_TEST_RUNS", "60"))
"""How many programs of calls the search for deadlocks tries; 10000 is the figure that is published."""

PATIENCE_S = 60.0
"""A wait that lasts longer is taken for a deadlock."""

WORKERS = Threads()
PIECE = ramp_audio(0.05)
POOL = ThreadPoolExecutor(4, thread_name_prefix="test")

Call = tuple[str, int]
CALLS = st.tuples(
    st.sampled_from(["send", "send", "last", "end", "cancel", "clip", "free", "allocate", "take turns"]),
    st.integers(0, 1),
)


def perform(
    runtime: Runtime, consumers: list[Recorder], provider: ScriptedProvider, calls: list[Call]
) -> list[Delivery]:
    """Make the calls one after the other; returns what was sent."""
    sent = []
    for name, which in calls:
        consumer = consumers[which]
        try:
            if name in ("send", "last"):
                sent.append(runtime.animate_samples(consumer, PIECE, 1, 16_000, name == "last", provider=provider))
            elif name == "clip":
                sent.append(runtime.start_clip(consumer, PIECE, provider=provider))
            elif name == "end":
                sent.append(runtime.end_samples(consumer))
            elif name == "cancel":
                runtime.cancel(consumer)
            elif name == "free":
                runtime.free(provider)
            elif name == "allocate":
                runtime.allocate(provider)
            else:
                time.sleep(0)
        except SessionError:
            pass  # Closed meanwhile.
    return sent


@settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    programs=st.lists(st.lists(CALLS, max_size=8), min_size=2, max_size=4),
    failing=st.booleans(),
    close_early=st.booleans(),
)
def test_calls_from_several_threads_never_deadlock_and_every_clip_ends_once(
    programs: list[list[Call]], failing: bool, close_early: bool
) -> None:
    def maybe_fail(received: int) -> None:
        if failing and received > 1500:
            raise ProviderError("line cut")

    provider = ScriptedProvider(on_push=maybe_fail)
    consumers = [Recorder(), Recorder()]
    runtime = Runtime(FacewaveSettings(), workers=WORKERS)
    runtime.override_burst_mode("burst")
    jobs = [POOL.submit(perform, runtime, consumers, provider, calls) for calls in programs]
    if close_early:
        runtime.close(PATIENCE_S)
    done, hanging = wait_for(jobs, PATIENCE_S)
    assert not hanging, "a call never returned"
    runtime.close(PATIENCE_S)
    deliveries = [delivery for job in done for delivery in job.result()]
    for delivery in deliveries:
        if failing:
            with suppress(ProviderError):
                delivery.result(PATIENCE_S)
        else:
            delivery.result(PATIENCE_S)
    for consumer in consumers:
        assert not consumer.wrong
        starts = consumer.log.count("start")
        assert starts <= len(consumer.endings)
        assert len(consumer.endings) >= min(1, starts)
    assert provider.active == 0, "every session was finished or cancelled"
    assert not provider.freed_while_active
    assert not runtime._running
    assert len(provider.settings) <= sum(len(consumer.endings) for consumer in consumers)


@pytest.fixture
def runtime() -> Any:
    with Runtime(FacewaveSettings()) as made:
        yield made


class Watched:
    """A source on a null device with its events."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.ended = threading.Semaphore(0)
        self.source = AudioCurveSource(
            device=NullDevice(), on_started=lambda: self.events.append("started"), on_ended=self._ended
        )

    def _ended(self, ending: Any) -> None:
        self.events.append(ending.reason)
        self.ended.release()

    def wait_for_end(self) -> None:
        assert self.ended.acquire(timeout=PATIENCE_S)


def until(condition: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE_S, "never happened"
        time.sleep(0.002)


def test_a_session_of_many_calls_is_played(runtime: Runtime) -> None:
    watched, provider = Watched(), ramp_provider(0.6)
    for i in range(6):
        runtime.animate_samples(watched.source, ramp_audio(0.1), end_of_samples=i == 5, provider=provider)
    watched.wait_for_end()
    assert watched.events == ["started", "finished"]


def test_cancel_in_the_middle(runtime: Runtime) -> None:
    watched = Watched()
    delivery = runtime.start_clip(watched.source, ramp_audio(30.0), provider=ramp_provider(30.0))
    until(lambda: watched.events == ["started"])
    assert runtime.cancel(watched.source)
    watched.wait_for_end()
    assert watched.events == ["started", "cancelled"]
    assert not delivery.result(PATIENCE_S)
    watched.source.wait(PATIENCE_S)
    assert not watched.source.weights().any()


def test_restart_while_playing(runtime: Runtime) -> None:
    watched = Watched()
    runtime.start_clip(watched.source, ramp_audio(30.0), provider=ramp_provider(30.0))
    until(lambda: "started" in watched.events)
    runtime.start_clip(watched.source, ramp_audio(0.2), provider=ramp_provider(0.2))
    watched.wait_for_end()
    watched.wait_for_end()
    assert watched.events == ["started", "replaced", "started", "finished"]


def test_an_underrun_is_counted_and_recovered_from(runtime: Runtime) -> None:
    watched, provider = Watched(), ramp_provider(1.0)
    runtime.animate_samples(watched.source, ramp_audio(0.2), provider=provider)
    until(lambda: watched.source.underruns == 1)
    runtime.animate_samples(watched.source, ramp_audio(0.2), end_of_samples=True)
    watched.wait_for_end()
    assert watched.events == ["started", "finished"]
    assert watched.source.inserted_silence_s > 0


def test_two_consumers_at_once(runtime: Runtime) -> None:
    one, two, provider = Watched(), Watched(), ramp_provider(0.3)
    for watched in (one, two):
        runtime.start_clip(watched.source, ramp_audio(0.3), provider=provider)
    for watched in (one, two):
        watched.wait_for_end()
        assert watched.events == ["started", "finished"]


def test_a_slow_provider_never_holds_the_caller(runtime: Runtime) -> None:
    release = threading.Event()

    def load() -> None:
        release.wait(PATIENCE_S)

    provider, consumer = ScriptedProvider(on_open=load), Recorder()
    delivery = runtime.start_clip(consumer, ramp_audio(0.1), provider=provider)
    runtime.allocate(provider)
    runtime.free(provider)
    assert runtime.cancel(consumer)
    assert consumer.reasons == ["cancelled"], "although the worker is still opening the provider"
    assert not delivery.done
    release.set()
    assert not delivery.result(PATIENCE_S)


def test_a_new_clip_waits_for_a_consumer_that_is_still_busy_with_the_old(runtime: Runtime) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(chunk: object) -> bool:
        inside.set()
        return leave.wait(PATIENCE_S)

    consumer = Recorder(wants=slow)
    runtime.start_clip(consumer, ramp_audio(0.1), provider=ScriptedProvider())
    assert inside.wait(PATIENCE_S)
    second = runtime.start_clip(consumer, ramp_audio(0.1), provider=ScriptedProvider())
    assert not consumer.endings, "it is never entered twice"
    leave.set()
    assert second.ending(PATIENCE_S).reason == "finished"
    assert consumer.reasons == ["replaced", "finished"]
    assert not consumer.wrong


def test_the_async_forms(runtime: Runtime, demo_clip: Any) -> None:
    consumer = Recorder()

    async def program() -> None:
        runtime.override_burst_mode("burst")
        provider = ScriptedProvider()
        assert await runtime.animate_clip_async(consumer, ramp_audio(1.0), provider=provider)
        assert await runtime.animate_file_async(consumer, demo_clip, provider=provider)
        one, two = Recorder(), Recorder()
        results = await asyncio.gather(
            runtime.animate_clip_async(one, ramp_audio(1.0), provider=provider),
            runtime.animate_clip_async(two, ramp_audio(1.0), provider=provider),
        )
        assert all(results)
        assert await runtime.animate_samples(one, PIECE, end_of_samples=True, provider=provider)
        with pytest.raises(ProviderError, match="no memory"):
            await runtime.animate_clip_async(consumer, ramp_audio(1.0), provider=ScriptedProvider(on_open=fail))

    def fail() -> None:
        raise ProviderError("no memory")

    asyncio.run(program())


def test_cancelling_an_async_call_cancels_the_clip(runtime: Runtime) -> None:
    consumer = Recorder()

    async def program() -> None:
        task = asyncio.create_task(runtime.animate_clip_async(consumer, ramp_audio(30.0), provider=ScriptedProvider()))
        while not consumer.chunks:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(program())
    assert consumer.over.wait(PATIENCE_S)
    assert consumer.reasons == ["cancelled"]


def test_threads_are_reused_and_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facewave.runtime.workers._KEEP_IDLE_S", 0.05)
    workers = Threads()
    before = set(threading.enumerate())
    with Runtime(FacewaveSettings(), workers=workers) as runtime:
        for _ in range(5):
            runtime.start_clip(Recorder(), np.zeros(160, np.float32), provider=ScriptedProvider()).ending(PATIENCE_S)
    until(lambda: not [t for t in threading.enumerate() if t not in before and t.name.startswith("facewave")])


def test_a_task_that_fails_is_given_up_aloud(caplog: pytest.LogCaptureFixture) -> None:
    ran = threading.Event()

    class Broken:
        def step(self, now: float) -> float | None:
            ran.set()
            raise ZeroDivisionError("division by zero")

    Threads().start(Broken(), "broken")
    assert ran.wait(PATIENCE_S)
    until(lambda: "broken: the task failed" in caplog.text)


def test_every_error_is_a_facewave_error(runtime: Runtime) -> None:
    with pytest.raises(FacewaveError):
        runtime.animate_clip(Recorder(), ramp_audio(0.1), provider="nobody")
