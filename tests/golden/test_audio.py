"""Stage `audio`: windows of the sample buffer, and the rate conversion of the reference's wav loader."""

from __future__ import annotations

import numpy as np
import pytest

from facewave.audio.buffer import SampleBuffer
from facewave.audio.resample import decimate_like_sdk
from facewave.timing import SAMPLE_RATE
from tests.golden.conftest import Within
from tests.golden.vectors import Case


@pytest.mark.golden("audio")
def test_audio(case: Case, within: Within) -> None:
    parameters, arrays = case.parameters, case.arrays
    if "resampled" in arrays:
        assert parameters["output_rate"] == SAMPLE_RATE
        found = decimate_like_sdk(arrays["samples"], parameters["input_rate"])
        # Decimation copies samples and is exact; other rates interpolate in float32.
        limit = 0 if parameters["input_rate"] % SAMPLE_RATE == 0 else 1e-6
        within("resampled", found, arrays["resampled"], limit)
        return
    buffer = SampleBuffer()
    for chunk in np.split(arrays["samples"], arrays["chunk_splits"]):
        buffer.append(chunk)
    buffer.close()
    gain, size = parameters["input_strength"], parameters["window"]
    windows = np.stack([buffer.read(int(start), size, gain) for start in arrays["read_starts"]])
    within("windows", windows, arrays["windows"], 0)
