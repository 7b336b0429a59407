"""Known words: the mouth follows the phones of the transcript instead of what the network hears."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import facewave
from facewave import StreamSettings
from facewave.audio.files import read_audio
from facewave.blendshapes import CHANNELS
from facewave.errors import SessionError, SettingsError, TranscriptError
from facewave.providers.embedded.articulation import lip_gap
from facewave.providers.embedded.provider import EmbeddedProvider
from facewave.providers.embedded.transcript import words
from facewave.streams import Transcript

DEMO = (
    "My mother bought a warm blue pot for father. We all saw five very happy baby lambs. Wow! Move over, Bob, and wave."
)

sphinx = pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None, reason="pocketsphinx is not installed (extra align)"
)
espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def told(text: str, language: str = "en") -> StreamSettings:
    return StreamSettings(transcript=Transcript(text, language), idle=False)


def bilabials(demo_clip: Path) -> list[tuple[float, float]]:
    with demo_clip.with_name("demo_phones.tsv").open(encoding="utf-8", newline="") as file:
        return [
            (float(row["start_s"]), float(row["end_s"]))
            for row in csv.DictReader(file, delimiter="\t")
            if row["ipa"] in "pbm"
        ]


def closed_share(take: facewave.Animation, times: list[tuple[float, float]]) -> float:
    gap = lip_gap(take.weights)
    shut = gap <= 0.25 * np.percentile(gap, 90)
    at = np.arange(len(take)) / float(take.frame_rate)
    return float(np.mean([shut[(at >= a - 0.04) & (at <= b + 0.02)].any() for a, b in times]))


@espeak
@pytest.mark.parametrize("english", [pytest.param(True, marks=sphinx), False], ids=["dictionary", "phone head"])
def test_every_bilabial_of_the_words_closes(demo_clip: Path, english: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not english:
        monkeypatch.setattr("facewave.providers.embedded.transcript.session.has_dictionary", lambda: False)
    take = facewave.animate(demo_clip, settings=told(DEMO))
    heard = facewave.animate(demo_clip, settings=StreamSettings(idle=False))
    assert closed_share(take, bilabials(demo_clip)) == 1
    assert len(take) == len(heard)
    jaw = CHANNELS.index("jawOpen")
    assert np.corrcoef(take.weights[:, jaw], heard.weights[:, jaw])[0, 1] > 0.7
    assert np.abs(take.weights - heard.weights).max() > 0.1


@sphinx
@espeak
def test_what_is_pushed_does_not_depend_on_the_pieces(demo_clip: Path) -> None:
    samples = read_audio(demo_clip).mono_16k()
    provider = EmbeddedProvider()
    whole = facewave.animate(demo_clip, provider=provider, settings=told(DEMO)).weights
    session = provider.open(told(DEMO))
    for at in range(0, len(samples), 1234):
        assert session.push(samples[at : at + 1234]) == []
    np.testing.assert_allclose(np.stack([frame.weights for frame in session.finish()]), whole, atol=1e-6)
    with pytest.raises(SessionError):
        session.finish()


@espeak
def test_visemes_are_those_of_the_words(demo_clip: Path) -> None:
    settings = StreamSettings(transcript=Transcript(DEMO), visemes=True)
    take = facewave.animate(demo_clip, settings=settings)
    assert take.visemes is not None
    assert set(np.unique(take.visemes.sum(axis=1).round(3))) == {1.0}


@espeak
def test_words_of_another_recording_are_refused(tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    soundfile.write(short, np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32), 16000)
    with pytest.raises(TranscriptError, match=r"phones do not fit|no path|squeezed|no speech"):
        facewave.animate(short, settings=told("the quick brown fox jumps over the lazy dog again and again and again"))


@espeak
def test_a_language_nobody_speaks_says_how_to_find_one(demo_clip: Path) -> None:
    with pytest.raises(TranscriptError, match=r"'xx'.*espeak-ng --voices"):
        facewave.animate(demo_clip, settings=told("hello", "xx"))


def test_without_either_aligner_the_error_names_both(demo_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facewave.providers.embedded.transcript.session.has_dictionary", lambda: False)
    monkeypatch.setattr("facewave.providers.embedded.transcript.session.has_espeak", lambda: False)
    with pytest.raises(TranscriptError, match=r"facewave\[align\].*espeak-ng"):
        facewave.animate(demo_clip, settings=told("hello"))


def test_unknown_words_without_espeak_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "has_espeak", lambda: False)
    with pytest.raises(TranscriptError, match=r"zorp.*as they are spoken"):
        words.pronunciations(["hello", "zorp"], {"hello"}.__contains__)


def test_an_empty_transcript_is_refused() -> None:
    with pytest.raises(SettingsError, match="found no text"):
        Transcript("  ")


def test_silence_of_no_length_gives_no_frame() -> None:
    session = EmbeddedProvider().open(told("hello"))
    assert session.finish() == []
