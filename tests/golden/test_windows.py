"""Stage `windows`: which samples each network window sees, how many may run, how many frames come out."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facewave.timing import WindowSchedule
from tests.golden.conftest import Within
from tests.golden.vectors import Case


def _schedule(kind: str, given: dict[str, int]) -> WindowSchedule:
    fps = Fraction(given["frameRateNum"], given["frameRateDen"])
    if kind == "regression":
        return WindowSchedule.regression(
            buffer_length=given["bufferLength"], buffer_offset=given["bufferOffset"], fps=fps
        )
    if kind == "diffusion":
        return WindowSchedule.diffusion(
            buffer_length=given["bufferLength"],
            padding_left=given["paddingLeft"],
            frames_left=given["numFramesLeftTruncate"],
            frames_center=given["numFramesCenter"],
            frames_right=given["numFramesRightTruncate"],
        )
    assert kind == "a2e_classifier", f"a kind of schedule the project does not have: {kind}"
    return WindowSchedule.classifier(
        buffer_length=given["bufferLength"], fps=fps, inferences_to_skip=given["inferencesToSkip"]
    )


@pytest.mark.golden("windows")
def test_schedule(case: Case, within: Within) -> None:
    parameters, arrays = case.parameters, case.arrays
    schedule = _schedule(parameters["kind"], parameters["inputs"])
    derived = parameters["derived"]
    assert schedule.size == derived["windowSize"]
    assert schedule.start_offset == derived["startOffset"]
    assert schedule.target_offset == derived["targetOffset"]
    assert schedule.stride == Fraction(derived["strideNum"], derived["strideDenom"])
    assert schedule.frames_per_window == derived["framesPerStride"]

    count = len(arrays["windows"])
    windows = [(schedule.start(i), schedule.target(i), schedule.end(i)) for i in range(count)]
    within("windows", np.array(windows), arrays["windows"], 0)
    done = parameters["readWindowCount"]
    for name, closed in (("available_open", False), ("available_closed", True)):
        found = [schedule.available(int(total), closed=closed, done=done) for total in arrays["totals"]]
        within(name, np.array(found), arrays[name], 0)
    frames = [schedule.frames_total(int(length)) for length in arrays["audio_lengths"]]
    within("total_frames", np.array(frames), arrays["total_frames"], 0)
