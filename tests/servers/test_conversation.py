"""A recorded conversation: the same bytes from release to release. Record anew only for an intended change."""

from __future__ import annotations

import json

import numpy as np
import pytest

from facewave.wire._proto.controller_pb2 import AnimationDataStream
from tests.servers.record_conversation import FIXTURE, converse, requests


@pytest.fixture(scope="module")
def record() -> dict[str, list[bytes]]:
    return {side: [bytes.fromhex(text) for text in texts] for side, texts in json.loads(FIXTURE.read_text()).items()}


def test_client_side_is_the_same(record: dict[str, list[bytes]]) -> None:
    assert [message.SerializeToString(deterministic=True) for message in requests()] == record["client"]


def test_server_side_is_the_same(record: dict[str, list[bytes]]) -> None:
    found = converse(record["client"])
    assert len(found) == len(record["server"])
    for made, recorded in zip(found, record["server"], strict=True):
        assert len(made) == len(recorded)
        # Processors differ in the last bit of a sum; everything but a weight is compared byte by byte.
        assert _without_weights(made) == _without_weights(recorded)
        np.testing.assert_allclose(_weights(made), _weights(recorded), rtol=1e-5)


def _weights(message: bytes) -> list[float]:
    entries = AnimationDataStream.FromString(message).animation_data.skel_animation.blend_shape_weights
    return [value for entry in entries for value in entry.values]


def _without_weights(message: bytes) -> bytes:
    weights = np.array(_weights(message), "<f4").tobytes()
    return message.replace(weights, bytes(len(weights))) if weights else message
