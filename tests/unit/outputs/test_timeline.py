"""The text timeline: its spans, and that the bundled clip's closures are where its phones say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from facewave import StreamSettings, animate
from facewave.blendshapes import ARKIT
from facewave.emotions import EMOTIONS
from facewave.frames import Animation, StreamInfo
from facewave.outputs.timeline import spans
from facewave.visemes import VISEMES


def take() -> Animation:
    """One second: shut, open, shut by mouthClose; sil then PP; joy in the middle."""
    weights = np.zeros((20, 52), np.float32)
    weights[5:, ARKIT.index("jawOpen")] = 0.4
    weights[15:, ARKIT.index("mouthClose")] = 0.4
    visemes = np.zeros((20, 15), np.float32)
    visemes[:10, VISEMES.index("sil")] = visemes[10:, VISEMES.index("PP")] = 1
    emotions = np.zeros((20, 10), np.float32)
    emotions[4:8, EMOTIONS.index("joy")] = [0.2, 0.4, 0.4, 0.2]
    info = StreamInfo(Fraction(20), ARKIT, Path("folder/speech.wav"), "Embedded")
    return Animation(info, weights, emotions, visemes)


def test_spans_are_in_order() -> None:
    assert spans(take()) == [
        (0.0, 0.5, "viseme", "sil"),
        (0.0, 0.25, "lips", "shut"),
        (0.2, 0.4, "emotion", "joy 0.30"),
        (0.5, 1.0, "viseme", "PP"),
        (0.75, 1.0, "lips", "shut"),
    ]


def test_the_file_reads_like_a_table(tmp_path: Path) -> None:
    take().save(tmp_path / "a.txt")
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert lines[:2] == ["# speech.wav", "# 1.000 s, 20 frames at 20 fps, 52 channels, by Embedded"]
    assert lines[3].split() == ["0.000", "0.500", "viseme", "sil"]
    assert [line.split()[2] for line in lines[3:]] == ["viseme", "lips", "emotion", "viseme", "lips"]


def test_what_a_take_lacks_is_said(tmp_path: Path) -> None:
    Animation(StreamInfo(Fraction(30), ("jawOpen",)), np.zeros((0, 1), np.float32)).save(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text().splitlines()[2:4] == ["# no viseme track", "# no emotion track"]


def test_lips_shut_on_the_closures_of_the_bundled_clip(demo_clip: Path) -> None:
    phones = [line.split("\t") for line in demo_clip.with_name("demo_phones.tsv").read_text().splitlines()[1:]]
    shut = [
        (a, b) for a, b, kind, _ in spans(animate(demo_clip, settings=StreamSettings(idle=False))) if kind == "lips"
    ]
    closures = [(float(start), float(end)) for start, end, ipa in phones if ipa in ("m", "b", "p")]
    met = [any(a < end + 0.03 and b > start - 0.03 for a, b in shut) for start, end in closures]
    assert np.mean(met) > 0.8
    vowels = [(float(start), float(end)) for start, end, ipa in phones if ipa in ("a", "ɑ", "ɛ", "æ")]
    assert not any(a <= start and b >= end for start, end in vowels for a, b in shut)
