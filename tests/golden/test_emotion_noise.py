"""Golden stages a2e_postprocess and noise."""

from __future__ import annotations

import numpy as np
import pytest

from facewave.animation.emotion import EmotionPostProcessor, EmotionPostSettings
from facewave.providers.a2f.executors.noise import noise_block
from tests.golden.conftest import Within
from tests.golden.vectors import Array, Case


def settings_of(row: Array) -> EmotionPostSettings:
    contrast, count, keep, preferred, share, transition, step, strength = (float(value) for value in row)
    return EmotionPostSettings(contrast, int(count), keep, bool(preferred), share, transition, step, strength)


@pytest.mark.golden("a2e_postprocess")
def test_emotion_postprocessing(case: Case, within: Within) -> None:
    several = case["scores"].ndim == 3
    arrays = {
        name: case[name] if several else case[name][:, None]
        for name in ("scores", "params", "beginning_emotion", "preferred_emotion", "reset_before")
    }
    frames, n_tracks = arrays["reset_before"].shape
    active = case["active"].astype(bool) if "active" in case else np.ones((frames, n_tracks), bool)
    n_emotions = arrays["beginning_emotion"].shape[-1]
    processor = EmotionPostProcessor(case["correspondence"], n_emotions, n_tracks=n_tracks)
    found = np.zeros((frames, n_tracks, n_emotions), np.float32)
    rows = np.zeros((n_tracks, n_emotions), np.float32)
    for frame in range(frames):
        for track in range(n_tracks):
            processor.set_settings(settings_of(arrays["params"][frame, track]), track)
            processor.set_beginning(arrays["beginning_emotion"][frame, track], track)
            processor.set_preferred(arrays["preferred_emotion"][frame, track], track)
            if arrays["reset_before"][frame, track]:
                processor.reset(track)
        scores = np.zeros_like(arrays["scores"][frame])
        scores[active[frame]] = arrays["scores"][frame, : active[frame].sum()]  # rows are packed
        found[frame] = processor.process(scores, out=rows, active=active[frame])
    for name, expected in case.of_role("output").items():
        within(name, found if several else found[:, 0], expected, 1e-6)


@pytest.mark.golden("noise")
def test_noise(case: Case, within: Within) -> None:
    size = int(case.parameters["size_per_block"])
    found = np.stack([noise_block(int(block), size) for _, block in case["calls"]])
    within("noise", found, case["noise"], 5e-6)
