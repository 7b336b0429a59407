"""Stage `emotion_accumulator`: emotion keys read at any time."""

from __future__ import annotations

import numpy as np
import pytest

from facewave.emotions import EmotionTrack
from tests.golden.conftest import Within
from tests.golden.vectors import Case


@pytest.mark.golden("emotion_accumulator")
def test_reads(case: Case, within: Within) -> None:
    arrays = case.arrays
    track = EmotionTrack(arrays["timestamps"], arrays["keys"])
    limit = 1e-6 * float(np.abs(arrays["values"]).max())
    within("values", track.at(arrays["read_timestamps"]), arrays["values"], limit)
    one_by_one = np.stack([track.at(int(sample)) for sample in arrays["read_timestamps"]])
    within("values, one by one", one_by_one, arrays["values"], limit)
