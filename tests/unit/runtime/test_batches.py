"""Streams of one provider computed together: same frames, one batch, and each stream's trouble its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from facewave.errors import ProviderError
from facewave.frames import Frame
from facewave.providers.embedded.provider import EmbeddedProvider
from facewave.providers.embedded.session import EmbeddedSession
from facewave.runtime.runtime import Runtime
from facewave.runtime.workers import Stepped, Threads
from facewave.streams import StreamSettings

from .parts import Recorder

SECOND = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)


class Watched(EmbeddedProvider):
    """The bundled model, which tells how many streams each batch had and does on the way what a test asks for."""

    def __init__(self, before: Callable[[Sequence[EmbeddedSession]], None] = lambda sessions: None) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.threads: set[int] = set()
        self._before = before

    def step(self, sessions: Sequence[EmbeddedSession]) -> list[list[Frame]]:
        self.sizes.append(len(sessions))
        self.threads.add(threading.get_ident())
        self._before(sessions)
        return super().step(sessions)


def test_clips_of_one_provider_are_computed_together() -> None:
    workers, provider = Stepped(), Watched()
    voices = [np.roll(SECOND, 1000 * i) for i in range(5)]
    recorders = [Recorder() for _ in voices]
    with Runtime(workers=workers) as runtime:
        for recorder, voice in zip(recorders, voices, strict=True):
            runtime.start_clip(recorder, voice, provider=provider)
        workers.run_until(lambda: all(recorder.endings for recorder in recorders))
    assert max(provider.sizes) == len(voices)
    for recorder, voice in zip(recorders, voices, strict=True):
        assert recorder.reasons == ["finished"]
        assert not recorder.wrong
        session = EmbeddedProvider().open(StreamSettings())
        alone = [*session.push(voice), *session.finish()]
        assert [frame.index for frame in recorder.frames] == [frame.index for frame in alone]
        np.testing.assert_allclose(
            [frame.weights for frame in recorder.frames], [frame.weights for frame in alone], atol=1e-5
        )


def test_one_thread_computes_for_all_and_is_given_back() -> None:
    provider = Watched()
    recorders = [Recorder() for _ in range(4)]
    with Runtime(workers=Threads()) as runtime:
        runtime.override_burst_mode("burst")
        for recorder in recorders:
            runtime.start_clip(recorder, SECOND, provider=provider)
        assert all(recorder.over.wait(20) for recorder in recorders)
    assert len(provider.threads) == 1
    assert all(recorder.reasons == ["finished"] and len(recorder.frames) == 60 for recorder in recorders)


def test_nothing_is_left_to_run_when_all_streams_have_ended() -> None:
    workers, provider, recorder = Stepped(), Watched(), Recorder()
    with Runtime(workers=workers) as runtime:
        runtime.start_clip(recorder, SECOND, provider=provider)
        workers.run_until(lambda: bool(recorder.endings))
        with pytest.raises(TimeoutError):
            workers.run_until(lambda: False, 60)
        assert not workers._tasks
        runtime.start_clip(recorder, SECOND, provider=provider)
        workers.run_until(lambda: len(recorder.endings) == 2)
    assert recorder.reasons == ["finished", "finished"]


def test_a_consumer_that_blocks_holds_up_no_other() -> None:
    blocked, provider = threading.Event(), Watched()
    slow = Recorder(wants=lambda chunk: blocked.wait(20))
    quick = Recorder()
    with Runtime(workers=Threads()) as runtime:
        runtime.override_burst_mode("burst")
        runtime.start_clip(slow, SECOND, provider=provider)
        runtime.start_clip(quick, np.tile(SECOND, 5), provider=provider)
        assert quick.over.wait(20)
        assert not slow.endings
        blocked.set()
        assert slow.over.wait(20)
    assert len(quick.frames) == 300
    assert len(slow.frames) == 60


def test_cancelling_does_not_wait_for_a_batch_and_the_provider_is_freed_after_it() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def before(sessions: Sequence[EmbeddedSession]) -> None:
        inside.set()
        assert go_on.wait(20)

    provider, recorder = Watched(before), Recorder()
    with Runtime(workers=Threads()) as runtime:
        runtime.start_clip(recorder, SECOND, provider=provider)
        assert inside.wait(20)
        assert runtime.cancel(recorder)
        assert recorder.over.wait(20)
        runtime.free(provider)
        go_on.set()
    assert recorder.reasons == ["cancelled"]
    assert not recorder.frames
    assert not provider.info.loaded


def test_what_one_stream_does_not_take_fails_that_clip_only(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = EmbeddedSession.feed

    def picky(self: EmbeddedSession, samples: np.ndarray, emotion: object = None) -> None:
        if len(samples) and samples[0] == np.float32(0.5):
            raise ProviderError("this voice cannot be animated")
        feed(self, samples, emotion)  # type: ignore[arg-type]

    monkeypatch.setattr(EmbeddedSession, "feed", picky)
    workers, provider = Stepped(), Watched()
    good, bad = Recorder(), Recorder()
    with Runtime(workers=workers) as runtime:
        sent = runtime.start_clip(good, SECOND, provider=provider)
        unsent = runtime.start_clip(bad, np.full(16_000, 0.5, np.float32), provider=provider)
        workers.run_until(lambda: bool(good.endings and bad.endings))
        assert sent.result(1)
        with pytest.raises(ProviderError, match="this voice cannot be animated"):
            unsent.result(1)
    assert good.reasons == ["finished"]
    assert len(good.frames) == 60
    assert bad.reasons == ["failed"]


def test_a_batch_that_fails_tells_every_clip_in_it_and_the_next_one_runs() -> None:
    broken = [True]

    def before(sessions: Sequence[EmbeddedSession]) -> None:
        if broken[0]:
            raise RuntimeError("out of memory")

    workers, provider = Stepped(), Watched(before)
    recorders = [Recorder(), Recorder()]
    with Runtime(workers=workers) as runtime:
        for recorder in recorders:
            runtime.start_clip(recorder, SECOND, provider=provider)
        workers.run_until(lambda: all(recorder.endings for recorder in recorders))
        for recorder in recorders:
            assert recorder.reasons == ["failed"]
            assert "out of memory" in str(recorder.endings[0].error)
        broken[0] = False
        runtime.start_clip(recorders[0], SECOND, provider=provider)
        workers.run_until(lambda: len(recorders[0].endings) == 2)
        assert len(recorders[0].frames) == 60
        runtime.free(provider)
    assert not provider.info.loaded
