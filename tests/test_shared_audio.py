"""Real recordings of every kind decode and animate, where they are present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import facewave
from facewave.audio.files import EXTENSIONS, read_audio
from facewave.timing import frame_rate, frames_in

from .conftest import shared_folder

_FOLDER = shared_folder("audio")
_FILES = sorted(path for path in _FOLDER.iterdir() if path.suffix in EXTENSIONS) if _FOLDER else []
_ABSENT = pytest.param(
    None, marks=pytest.mark.skip(reason="no recordings: FACEWAVE_SHARED names no folder with audio/")
)


@pytest.mark.parametrize("path", _FILES or [_ABSENT], ids=lambda path: path.name if path else "absent")
def test_decodes_and_animates(path: Path) -> None:
    clip = read_audio(path)
    take = facewave.animate(clip, fps=30)
    assert len(take) == frames_in(len(clip.mono_16k()), frame_rate(30)) == int(np.ceil(clip.duration_s * 30 - 1e-9))
    assert np.isfinite(take.weights).all()
    assert (np.diff(take.times) > 0).all()
    assert take.weights.min() >= 0
    assert take.weights.max() <= 1
    assert take.channel("jawOpen").max() > 0.05, "the mouth moves"
    assert (take.channel("mouthClose") <= take.channel("jawOpen") + 1e-6).all()
