from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from facewave.features import log_mel, prosody
from facewave.features.windows import Spacing, Unwindowed, cut


def by_hand(spacing: Spacing, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The windows of a whole clip, one after the other."""
    padded = np.concatenate([np.zeros(spacing.length, np.float32), samples])
    ends = [spacing.end(k) for k in range(spacing.ready(len(samples)))]
    return np.array([padded[end : end + spacing.length] for end in ends], np.float32).reshape(-1, spacing.length)


@given(
    st.sampled_from([log_mel.SPACING, prosody.SPACING]),
    st.lists(st.lists(st.integers(0, 900), min_size=3, max_size=3), min_size=1, max_size=5),
)
@settings(deadline=None, max_examples=60)
def test_many_streams_in_any_chunks(spacing: Spacing, sizes: list[list[int]]) -> None:
    clips = [np.random.default_rng(i).standard_normal(sum(size)).astype(np.float32) for i, size in enumerate(sizes)]
    streams = [Unwindowed(spacing) for _ in clips]
    got: list[list[NDArray[np.float32]]] = [[] for _ in clips]
    for turn in range(3):
        chunks = [clip[sum(size[:turn]) : sum(size[: turn + 1])] for clip, size in zip(clips, sizes, strict=True)]
        windows, counts = cut(spacing, streams, chunks)
        assert len(windows) == sum(counts)
        for own, part in zip(got, np.split(windows, np.cumsum(counts)[:-1]), strict=True):
            own.append(part)
    for stream, clip, own in zip(streams, clips, got, strict=True):
        assert_array_equal(np.concatenate(own), by_hand(spacing, clip))
        assert (stream.received, stream.emitted) == (len(clip), spacing.ready(len(clip)))
        assert len(stream.samples) <= spacing.length


def test_no_streams() -> None:
    windows, counts = cut(prosody.SPACING, [], [])
    assert windows.shape == (0, prosody.WINDOW)
    assert counts == []
