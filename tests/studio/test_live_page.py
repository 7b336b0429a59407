"""A web page that watches a live output, with the client file that users copy."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facewave.frames import Frame, StreamInfo
from facewave.outputs.live import open_live_output

pytest.importorskip("websockets", reason="the extra `live` is not installed")

CLIENT = Path(__file__).parents[2] / "src" / "facewave" / "studio" / "static" / "js" / "facewave_client.js"


def test_a_page_watches_with_the_client_file(page: Any) -> None:
    output = open_live_output("ws://127.0.0.1:0?origin=null")
    output.start(StreamInfo(Fraction(30), ("jawOpen", "mouthClose")))
    source = CLIENT.read_text(encoding="utf-8") + (
        f'const client = new FacewaveClient("{output.name}"); globalThis.seen = [];'
        "client.onframe = ({ index, weights }) => seen.push([index, ...weights]);"
        "client.watch().then((info) => (globalThis.info = info));"
        "globalThis.client = client;"
    )
    page.add_script_tag(content=source.replace("export ", ""), type="module")
    page.wait_for_function("globalThis.info")
    assert page.evaluate("info.channels") == ["jawOpen", "mouthClose"]
    output.write(Frame(4, 0, np.array([0.5, 0.25], np.float32)))
    page.wait_for_function("seen.length")
    assert page.evaluate("seen[0]") == [4, 0.5, 0.25]
    output.close()
    assert page.evaluate("client.finished") == 6
    assert page.evaluate("seen.at(-1)") == [5, 0, 0]
