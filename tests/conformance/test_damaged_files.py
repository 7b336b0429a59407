"""Files cut short, scribbled over or made of anything: reading gives an animation or an `AnimationFileError`."""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facewave.blendshapes import CHANNELS
from facewave.errors import AnimationFileError
from facewave.frames import Animation, StreamInfo
from facewave.outputs import FORMATS
from facewave.timing import frame_rate

ABSENT = {".parquet"} if find_spec("pyarrow") is None else set()
READABLE = [row.extension for row in FORMATS if row.readable and row.extension not in ABSENT]
MORE = float(os.environ.get("DAMAGED_FILES", "1"))
"""Factor on the number of tries, for a longer search than the tests' own."""

BEGINNINGS = (b"timeCode", b"Timecode,BlendShapeCount", b'{"', b'[{"FrameIndex":', b"PK\x03\x04", b"PAR1")


@cache
def whole(extension: str) -> bytes:
    """A good file of three frames."""
    weights = np.random.default_rng(2).random((3, 68), np.float32)
    take = Animation(StreamInfo(frame_rate(60), CHANNELS, Path("a.wav")), weights, np.ones((3, 10), np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"take{extension}"
        take.save(path)
        return path.read_bytes()


def load(data: bytes) -> Animation | None:
    """What the bytes are read as; None where the error is the one that is promised."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        try:
            return Animation.load(path)
        except AnimationFileError as error:
            if str(path) not in str(error):
                pytest.fail(f"the message does not name the file: {error}")
            return None


@pytest.mark.parametrize("extension", READABLE)
def test_the_file_itself_is_good(extension: str) -> None:
    take = load(whole(extension))
    assert take is not None
    assert len(take) == 3


@pytest.mark.parametrize("extension", READABLE)
@given(st.data())
@settings(max_examples=int(40 * MORE), deadline=None)
def test_cut_short(extension: str, data: st.DataObject) -> None:
    content = whole(extension)
    load(content[: data.draw(st.integers(0, len(content)))])


@pytest.mark.parametrize("extension", READABLE)
@given(st.data())
@settings(max_examples=int(80 * MORE), deadline=None)
def test_scribbled_over(extension: str, data: st.DataObject) -> None:
    content = bytearray(whole(extension))
    # The beginning is where headers are, and so most of what can go wrong.
    places = st.one_of(st.integers(0, len(content) - 1), st.integers(0, min(400, len(content) - 1)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(places)
        kind = data.draw(st.sampled_from(["replace", "insert", "delete"]))
        scribble = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8), st.sampled_from([b"-", b"e", b",", b"\n", b'"', b"null", b"[]"])
            )
        )
        content[at : at + (0 if kind == "insert" else len(scribble))] = b"" if kind == "delete" else scribble
    take = load(bytes(content))
    if take is not None:
        assert np.isfinite(take.weights).all()
        assert take.weights.shape[1] == len(take.channels)


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200))
@settings(max_examples=int(200 * MORE), deadline=None)
def test_anything_after_a_known_beginning(beginning: bytes, rest: bytes) -> None:
    load(beginning + rest)


@example([3.4028235677973366e38], "weightMat")  # Just beyond what float32 holds.
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["exportFps", "facsNames", "weightMat", "trackPath"]),
)
@settings(max_examples=int(100 * MORE), deadline=None)
def test_json_of_the_right_keys_and_wrong_values(value: object, key: str) -> None:
    document = {"exportFps": 30, "facsNames": ["jawOpen"], "weightMat": [[0.5]], "trackPath": "a.wav", key: value}
    load(json.dumps(document).encode())


@given(
    st.dictionaries(
        st.sampled_from(["FrameIndex", "BlendShapes", "Animation", "AudioOffset"]),
        st.one_of(
            st.integers(-5, 10**12), st.text(max_size=5), st.lists(st.lists(st.integers(), max_size=2), max_size=2)
        ),
        min_size=1,
    )
)
@settings(max_examples=int(100 * MORE), deadline=None)
def test_events_of_wrong_values(event: dict[str, object]) -> None:
    load(json.dumps([event]).encode())
