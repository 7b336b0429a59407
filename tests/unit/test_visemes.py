from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import facewave
from facewave.errors import OutputError
from facewave.visemes import AZURE_IDS, VISEMES, timeline


def shown(*names: str) -> NDArray[np.float32]:
    return np.stack([np.eye(15, dtype=np.float32)[VISEMES.index(name)] for name in names])


def test_a_timeline_has_no_gaps_and_skips_what_is_too_short_to_see() -> None:
    frames = shown(*["sil"] * 6, *["PP"] * 6, "ih", *["PP"] * 3, *["aa"] * 8)
    assert timeline(frames, Fraction(60)) == [(0, 0.1, "sil"), (0.1, 16 / 60, "PP"), (16 / 60, 0.4, "aa")]
    assert timeline(frames[:0], Fraction(60)) == []


def test_tables_agree() -> None:
    assert len(VISEMES) == len(AZURE_IDS) == 15
    assert all(0 <= number <= 21 for number in AZURE_IDS)


def test_the_track_comes_on_request_and_goes_to_its_file(demo_clip: Path, tmp_path: Path) -> None:
    assert facewave.animate(demo_clip).visemes is None
    take = facewave.animate(demo_clip, settings=facewave.StreamSettings(visemes=True), fps=30)
    assert take.visemes is not None
    np.testing.assert_allclose(take.visemes.sum(axis=1), 1, atol=1e-3)
    take.save(tmp_path / "a.npz", visemes=tmp_path / "v.csv")
    with (tmp_path / "v.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(take)
    assert {row["viseme"] for row in rows} <= set(VISEMES)
    strongest = take.visemes.argmax(axis=1)
    assert [int(row["azure_id"]) for row in rows] == [AZURE_IDS[i] for i in strongest]
    again = facewave.Animation.load(tmp_path / "a.npz")
    assert again.visemes is not None
    assert np.array_equal(again.visemes, take.visemes)
    assert len(again.resampled(60).visemes) == len(again.resampled(60))  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="no viseme track"):
        facewave.animate(demo_clip).save(tmp_path / "b.csv", visemes=tmp_path / "w.csv")
