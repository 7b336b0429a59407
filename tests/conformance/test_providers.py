"""What every provider must hold to: the contract of `providers.base`, run on each one there is."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.errors import AudioError, SessionError, SettingsError
from facewave.frames import Animation, Frame, StreamInfo
from facewave.providers import open_provider
from facewave.providers.base import Provider, Session
from facewave.providers.replay import ReplayProvider
from facewave.settings import FacewaveSettings, ModelsSettings
from facewave.streams import StreamSettings
from facewave.timing import SAMPLE_RATE, frame_rate, frames_in, sample_of
from tests.model_folders import regression_folder

RATES = [frame_rate(rate) for rate in (24, 30, 60, 120, "30000/1001")]


@dataclass(frozen=True)
class Subject:
    """A provider under test."""

    make: Callable[[], Provider]
    tolerance: float
    """Largest difference in a weight that batching windows may make."""


def _replayed() -> Provider:
    weights = np.random.default_rng(3).random((40, 68)).astype(np.float32)
    return ReplayProvider(Animation(StreamInfo(Fraction(60)), weights))


@cache
def _model_folder() -> Path:
    return regression_folder(Path(tempfile.mkdtemp(prefix="facewave-model-")), window=8320, offset=4160)


def _local() -> Provider:
    models = ModelsSettings(face=str(_model_folder()), emotion="none")
    return open_provider("LocalA2F-Mark-AR", FacewaveSettings(models=models))


def _example() -> Provider:
    path = Path(__file__).resolve().parents[2] / "examples" / "30_custom_provider" / "facewave_loudness.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    provider: Provider = module.make_provider(FacewaveSettings())
    return provider


SUBJECTS = {
    "example": Subject(_example, 0.0),
    "LocalA2F-Mark-AR": Subject(_local, 1e-5),
    "Embedded": Subject(lambda: open_provider("Embedded"), 2e-5),
    "replay": Subject(_replayed, 0.0),
}


@pytest.fixture(params=sorted(SUBJECTS), scope="module")
def subject(request: pytest.FixtureRequest) -> Subject:
    return SUBJECTS[request.param]


@pytest.fixture(scope="module")
def provider(subject: Subject) -> Provider:
    return subject.make()


def speech(seconds: float = 1.3, seed: int = 0) -> NDArray[np.float32]:
    """Something that rises, falls and changes colour as speech does."""
    n = int(seconds * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    noise = np.random.default_rng(seed).standard_normal(n)
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    return (0.1 * np.sin(2 * np.pi * 3 * t) ** 2 * (buzz + 0.3 * noise)).astype(np.float32)


def run(session: Session, samples: NDArray[np.float32], chunk: int) -> list[Frame]:
    frames: list[Frame] = []
    for start in range(0, len(samples), chunk):
        frames += session.push(samples[start : start + chunk])
    return frames + list(session.finish())


def weights_of(frames: Sequence[Frame]) -> NDArray[np.float32]:
    return np.stack([frame.weights for frame in frames])


def test_chunk_sizes_do_not_matter(provider: Provider, subject: Subject) -> None:
    samples = speech()
    whole = run(provider.open(StreamSettings()), samples, len(samples))
    for chunk in (1, 7, 160, 533, 4096):
        pieces = run(provider.open(StreamSettings()), samples, chunk)
        assert [f.sample for f in pieces] == [f.sample for f in whole]
        np.testing.assert_allclose(weights_of(pieces), weights_of(whole), atol=subject.tolerance)


def test_a_prefix_of_the_audio_gives_a_prefix_of_the_frames(provider: Provider, subject: Subject) -> None:
    samples = speech()
    whole = weights_of(run(provider.open(StreamSettings()), samples, 1600))
    session = provider.open(StreamSettings())
    early = [frame for start in range(0, 12800, 1600) for frame in session.push(samples[start : start + 1600])]
    session.cancel()
    assert len(early) >= frames_in(12800 - provider.info.look_ahead, session.info.frame_rate) - 1 > 0
    np.testing.assert_allclose(weights_of(early), whole[: len(early)], atol=subject.tolerance)


def test_two_interleaved_sessions_do_not_disturb_each_other(provider: Provider, subject: Subject) -> None:
    inputs = [speech(seed=1), speech(0.7, seed=2)]
    alone = [weights_of(run(provider.open(StreamSettings()), samples, 999)) for samples in inputs]
    sessions = [provider.open(StreamSettings()) for _ in inputs]
    frames: list[list[Frame]] = [[], []]
    for start in range(0, len(inputs[0]), 999):
        for session, samples, out in zip(sessions, inputs, frames, strict=True):
            out += session.push(samples[start : start + 999])
    for session, out, expected in zip(sessions, frames, alone, strict=True):
        out += session.finish()
        np.testing.assert_allclose(weights_of(out), expected, atol=subject.tolerance)


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize("n", [0, 1, 640, 15_999, 16_000, 16_001, 23_456])
def test_frame_count_and_times(provider: Provider, fps: Fraction, n: int) -> None:
    session = provider.open(StreamSettings(frame_rate=fps))
    assert session.info.frame_rate == fps
    assert session.info.channels == provider.info.channels
    frames = run(session, speech(2)[:n], 4096)
    assert len(frames) == frames_in(n, fps)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [frame.sample for frame in frames] == [sample_of(i, fps) for i in range(len(frames))]
    for frame in frames:
        assert frame.weights.shape == (len(session.info.channels),)
        assert frame.weights.dtype == np.float32
        assert np.isfinite(frame.weights).all()


def test_the_same_audio_gives_the_same_frames(provider: Provider) -> None:
    first, second = (weights_of(run(provider.open(StreamSettings()), speech(), 4096)) for _ in range(2))
    assert np.array_equal(first, second)


def test_wrong_samples_are_refused_and_the_stream_goes_on(provider: Provider) -> None:
    session = provider.open(StreamSettings())
    with pytest.raises(AudioError, match="shape"):
        session.push(np.zeros((3, 2), np.float32))
    with pytest.raises(AudioError, match="sample 1 of 2"):
        session.push(np.array([0, np.nan], np.float32))
    assert len(run(session, speech(0.5), 4096)) == frames_in(8000, session.info.frame_rate)


def test_after_the_end_calls_are_errors_and_cancel_is_not(provider: Provider) -> None:
    session = provider.open(StreamSettings())
    session.push(speech(0.2))
    session.finish()
    with pytest.raises(SessionError, match="open a new session"):
        session.push(np.zeros(1, np.float32))
    with pytest.raises(SessionError, match="open a new session"):
        session.finish()
    session.cancel()
    session.cancel()
    cancelled = provider.open(StreamSettings())
    cancelled.cancel()
    with pytest.raises(SessionError):
        cancelled.push(np.zeros(1, np.float32))


def test_free_waits_for_open_sessions_and_everything_works_after_it(subject: Subject) -> None:
    provider = subject.make()
    provider.allocate()
    provider.allocate()
    assert provider.info.loaded
    session = provider.open(StreamSettings())
    provider.free()
    provider.free()
    expected = frames_in(8000, session.info.frame_rate)
    assert len(run(session, speech(0.5), 4096)) == expected
    assert len(run(provider.open(StreamSettings()), speech(0.5), 4096)) == expected


def test_frame_rates_outside_the_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="found 23, expected 24 to 120"):
        open_provider("Embedded").open(StreamSettings(frame_rate=Fraction(23)))
