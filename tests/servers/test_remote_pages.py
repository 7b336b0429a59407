"""The Python shown in the pages about services runs, against real servers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from facewave.blendshapes import ARKIT
from facewave.frames import Frame
from facewave.timing import frames_in
from facewave.wire import animation
from facewave.wire._proto import animation_data_pb2
from facewave.wire._proto.animation_id_pb2 import AnimationIds
from tests.servers.awkward import AwkwardServer
from tests.servers.awkward_legacy import LegacyService, Part

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "own-service.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs() -> None:
    streaming, subscribing = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    speech = np.random.default_rng(1).normal(0, 0.1, 16_000).clip(-1, 1).astype(np.float32)
    shown: list[Frame] = []
    names: dict[str, Any] = {"microphone": lambda: np.array_split(speech, 20), "show": shown.extend}
    with AwkwardServer() as server:
        exec(compile(streaming.replace("http://localhost:52000", server.url), "own-service.md", "exec"), names)
    assert [frame.index for frame in shown] == list(range(frames_in(len(speech), names["session"].info.frame_rate)))

    heard: list[bytes] = []
    shown.clear()
    names["play"] = lambda audio, rate: heard.append(audio)
    with LegacyService() as service:
        ids = AnimationIds(stream_id="avatar-1")
        parts: list[Part] = [animation.legacy_stream_header(ids, ARKIT, 16_000, 0.0)]
        for index in range(9):
            data = animation.animation_data(index / 30, np.zeros(52, np.float32), b"\1\2")
            parts.append(animation_data_pb2.AnimationDataStream(animation_data=data))
        service.keep("avatar-1", parts)
        exec(compile(subscribing.replace("http://localhost:51000", service.url), "own-service.md", "exec"), names)
    assert len(shown) == 9
    assert b"".join(heard) == b"\1\2" * 9
