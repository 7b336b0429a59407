"""The table of schemes and the door to it: what an address may say, and what is said about a wrong one."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest

from facewave.errors import OutputError, SettingsError
from facewave.outputs.live import SCHEMES, open_live_output
from tests.unit.outputs.live.receivers import INFO, Udp, frame_of


@pytest.mark.parametrize("row", SCHEMES, ids=lambda row: row.scheme)
def test_every_example_of_the_table_opens_and_takes_a_rate(row: object) -> None:
    example = row.example.replace("//host", "//localhost").replace(":8765", ":0")  # type: ignore[attr-defined]
    output = open_live_output(f"{example}?fps=29.97")
    assert output.frame_rate == Fraction(30000, 1001)
    assert output.name.startswith(row.scheme)  # type: ignore[attr-defined]
    assert "?" not in output.name
    output.close()
    output.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("speech.csv", r"not the address of a live output, expected one such as livelink://host:11111, vmc://"),
        ("http://host", "not the address of a live output"),
        ("vmc://host:port", "not an address"),
        ("vmc://user@host", "more than host and port"),
        ("vmc://host/path", "more than host and port"),
        ("osc://127.0.0.1:9000?fps=30&fps=60", "given twice"),
        ("vmc://no-such-host.invalid", "was not found"),
        ("stdout:?subject=x", "unknown option 'subject', expected some of: fps"),
    ],
)
def test_wrong_addresses(url: str, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        open_live_output(url)


def test_a_rate_that_is_none() -> None:
    with pytest.raises(SettingsError, match="frame rate: found 'fast'"):
        open_live_output("vmc://127.0.0.1?fps=fast")


def test_calls_in_the_wrong_order() -> None:
    with Udp() as receiver:
        output = open_live_output(f"vmc://127.0.0.1:{receiver.port}")
        with pytest.raises(OutputError, match="before the start"):
            output.write(frame_of(0))
        output.start(INFO)
        with pytest.raises(OutputError, match="started once"):
            output.start(INFO)
        output.close()
        with pytest.raises(OutputError, match="started once"):
            output.start(INFO)


def test_an_output_that_never_started_sends_nothing() -> None:
    with Udp() as receiver:
        open_live_output(f"livelink://127.0.0.1:{receiver.port}").close()
        assert receiver.rest() == []


def test_weights_that_are_no_numbers_are_sent_as_nothing() -> None:
    with Udp() as receiver:
        output = open_live_output(f"livelink://127.0.0.1:{receiver.port}")
        output.start(INFO)
        output.write(frame_of(0, jawOpen=float("nan"), mouthClose=float("inf"), tongueOut=0.5))
        output.close()
        assert receiver.rest()[0].endswith(b"\x3f\0\0\0" + 9 * 4 * b"\0")


def test_opening_an_address_loads_only_its_own_module() -> None:
    program = (
        "import sys; from facewave.outputs.live import open_live_output;"
        "open_live_output('vmc://127.0.0.1').close(); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "facewave.outputs.live.vmc" in loaded
    assert not {"websockets", "asyncio", "onnxruntime", "facewave.outputs.live.livelink"} & set(loaded)
