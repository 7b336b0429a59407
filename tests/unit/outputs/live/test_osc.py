"""Plain OSC: its bytes, and what python-osc reads from them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facewave.blendshapes import CHANNELS
from facewave.errors import OutputError
from facewave.frames import Frame, StreamInfo
from facewave.outputs.live import open_live_output
from tests.unit.outputs.live.receivers import Udp

osc_bundle = pytest.importorskip("pythonosc.osc_bundle", reason="python-osc is not installed")


def test_golden_packet() -> None:
    """Written out by hand from the OSC 1.0 specification: a bundle for now, of two messages with a float each."""
    expected = (
        b"#bundle\0" + bytes.fromhex("00000000 00000001")
        + bytes.fromhex("0000001c") + b"/facewave/jawOpen\0\0\0" + b",f\0\0" + bytes.fromhex("3f000000")
        + bytes.fromhex("00000020") + b"/facewave/mouthClose\0\0\0\0" + b",f\0\0" + bytes.fromhex("bf800000")
    )  # fmt: skip
    with Udp() as receiver:
        output = open_live_output(f"osc://127.0.0.1:{receiver.port}")
        output.start(StreamInfo(Fraction(30), ("jawOpen", "mouthClose")))
        output.write(Frame(0, 0, np.array([0.5, -1], np.float32)))
        assert receiver.take() == expected
        output.close()


def test_python_osc_reads_every_channel_from_packets_that_fit() -> None:
    weights = np.linspace(0, 1, len(CHANNELS), dtype=np.float32)
    with Udp() as receiver:
        output = open_live_output(f"osc://127.0.0.1:{receiver.port}?prefix=/avatar/parameters/")
        output.start(StreamInfo(Fraction(60)))
        output.write(Frame(0, 0, weights))
        packets = receiver.rest()
        assert max(map(len, packets)) <= 1400
        messages = [message for packet in packets for message in osc_bundle.OscBundle(packet)]
        assert [message.address for message in messages] == [f"/avatar/parameters/{name}" for name in CHANNELS]
        np.testing.assert_array_equal([message.params[0] for message in messages], weights)
        output.close()
        last = [message for packet in receiver.rest() for message in osc_bundle.OscBundle(packet)]
        assert len(last) == 3 * len(CHANNELS)
        assert not any(message.params[0] for message in last)


@pytest.mark.parametrize("prefix", ["face/", "/a b/", "/a*/", "/ä/"])
def test_a_prefix_that_is_no_address(prefix: str) -> None:
    with pytest.raises(OutputError, match="prefix="):
        open_live_output(f"osc://127.0.0.1:9000?prefix={prefix}")


def test_a_port_is_needed() -> None:
    with pytest.raises(OutputError, match="has no port"):
        open_live_output("osc://127.0.0.1")
