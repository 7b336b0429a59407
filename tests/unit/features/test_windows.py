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


SPACINGS = (log_mel.SPACING, prosody.SPACING)


@given(
    st.sampled_from([SPACINGS, SPACINGS[:1], SPACINGS[::-1]]),
    st.lists(st.lists(st.integers(0, 900), min_size=3, max_size=3), min_size=1, max_size=5),
)
@settings(deadline=None, max_examples=60)
def test_many_streams_in_any_chunks(spacings: tuple[Spacing, ...], sizes: list[list[int]]) -> None:
    clips = [np.random.default_rng(i).standard_normal(sum(size)).astype(np.float32) for i, size in enumerate(sizes)]
    streams = [Unwindowed(*spacings) for _ in clips]
    got: list[list[list[NDArray[np.float32]]]] = [[[] for _ in spacings] for _ in clips]
    for turn in range(3):
        chunks = [clip[sum(size[:turn]) : sum(size[: turn + 1])] for clip, size in zip(clips, sizes, strict=True)]
        for i, (windows, counts) in enumerate(cut(streams, chunks)):
            assert len(windows) == sum(counts)
            for own, part in zip(got, np.split(windows, np.cumsum(counts)[:-1]), strict=True):
                own[i].append(part)
    for stream, clip, own in zip(streams, clips, got, strict=True):
        for spacing, parts in zip(spacings, own, strict=True):
            assert_array_equal(np.concatenate(parts), by_hand(spacing, clip))
        assert stream.received == len(clip)
        assert stream.emitted == [spacing.ready(len(clip)) for spacing in spacings]
        assert len(stream.samples) == max(spacing.length for spacing in spacings)
