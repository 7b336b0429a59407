"""Utterances in, face frames on an event loop out: what every adapter builds on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from facewave.errors import ProviderError
from facewave.integrations.speech import FaceFrame, FaceSpeech
from facewave.runtime.runtime import Runtime
from facewave.settings import FacewaveSettings
from tests.unit.runtime.parts import ScriptedProvider


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime(FacewaveSettings()) as made:
        made.override_burst_mode("burst")
        yield made


def pcm(seconds: float, rate: int = 24_000) -> bytes:
    return (np.sin(np.arange(round(seconds * rate)) / 20) * 8000).astype("<i2").tobytes()


class Heard:
    """Collects what is handed out and lets a test wait for the ends."""

    def __init__(self) -> None:
        self.frames: list[FaceFrame] = []
        self.ends: list[tuple[int, str]] = []
        self.changed = asyncio.Event()

    def end(self, number: int, ending: Any) -> None:
        self.ends.append((number, ending.reason))
        self.changed.set()

    async def until_ends(self, count: int) -> None:
        while len(self.ends) < count:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)


def test_every_utterance_gives_its_frames_and_one_end(runtime: Runtime) -> None:
    async def program() -> Heard:
        heard = Heard()
        provider: Any = ScriptedProvider()
        speech = FaceSpeech(heard.frames.append, on_end=heard.end, runtime=runtime, provider=provider)
        for _ in range(2):
            for _ in range(10):
                speech.audio(pcm(0.1), 24_000)
            speech.end()
        await heard.until_ends(2)
        speech.close()
        return heard

    heard = asyncio.run(program())
    assert sorted(heard.ends) == [(1, "finished"), (2, "finished")]
    for number in (1, 2):
        frames = [face for face in heard.frames if face.utterance == number]
        assert [face.frame.index for face in frames] == list(range(30))
        assert frames[15].time_s == pytest.approx(0.5)
        assert len(frames[0].channels) == len(frames[0].frame.weights)


def test_nothing_is_handed_out_after_an_interruption(runtime: Runtime) -> None:
    async def program() -> None:
        heard = Heard()
        provider: Any = ScriptedProvider()
        speech = FaceSpeech(heard.frames.append, on_end=heard.end, runtime=runtime, provider=provider)
        speech.audio(pcm(5.0), 24_000)
        while not heard.frames:
            await asyncio.sleep(0.001)
        speech.interrupt()
        before = len(heard.frames)
        await heard.until_ends(1)
        await asyncio.sleep(0.05)
        assert len(heard.frames) == before
        assert heard.ends[0][0] == 1
        assert speech.audio(pcm(0.2), 24_000) == 2
        speech.end()
        await heard.until_ends(2)
        assert heard.ends[1] == (2, "finished")
        assert not speech.busy
        speech.interrupt()

    asyncio.run(program())


def test_a_voice_of_another_rate_is_another_utterance(runtime: Runtime) -> None:
    async def program() -> None:
        heard = Heard()
        provider: Any = ScriptedProvider()
        speech = FaceSpeech(heard.frames.append, on_end=heard.end, runtime=runtime, provider=provider)
        assert speech.audio(pcm(0.1), 24_000) == 1
        assert speech.audio(pcm(0.1, 16_000), 16_000) == 2
        speech.end()
        speech.end()
        await heard.until_ends(2)

    asyncio.run(program())


def test_emotion_can_change_between_utterances(runtime: Runtime) -> None:
    async def program() -> None:
        heard, provider = Heard(), ScriptedProvider()
        given: Any = provider
        speech = FaceSpeech(heard.frames.append, on_end=heard.end, runtime=runtime, provider=given, emotion={"joy": 1})
        for emotion in ("joy", "anger"):
            speech.emotion = {emotion: 1.0}
            speech.audio(pcm(0.1), 24_000)
            speech.end()
        await heard.until_ends(2)
        tracks = [settings.emotion_track for settings in provider.settings]
        assert all(track is not None for track in tracks)
        assert not np.array_equal(tracks[0].values, tracks[1].values)  # type: ignore[union-attr]

    asyncio.run(program())


def test_a_failure_ends_the_utterance_and_the_next_one_works(runtime: Runtime) -> None:
    failing = [True]

    def maybe_fail(_: int) -> None:
        if failing[0]:
            raise ProviderError("line cut")

    async def program() -> None:
        heard = Heard()
        provider: Any = ScriptedProvider(on_push=maybe_fail)
        speech = FaceSpeech(heard.frames.append, on_end=heard.end, runtime=runtime, provider=provider)
        speech.audio(pcm(0.1), 24_000)
        await heard.until_ends(1)
        assert heard.ends == [(1, "failed")]
        failing[0] = False
        assert speech.audio(pcm(0.1), 24_000) == 2
        speech.end()
        await heard.until_ends(2)
        assert heard.ends[1] == (2, "finished")

    asyncio.run(program())
