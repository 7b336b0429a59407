"""Live Link Face packets: their bytes, and what a reader written from the format finds in them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facewave.blendshapes import ARKIT
from facewave.errors import OutputError
from facewave.frames import Frame, StreamInfo
from facewave.outputs.live import open_live_output
from facewave.outputs.live.livelink import device_id
from tests.unit.outputs.live.receivers import INFO, Udp, frame_of, read_live_link

DEVICE = "01234567-89ab-cdef-0123-456789abcdef"


def test_golden_packet() -> None:
    """The bytes as the format says, written out by hand: eyeBlinkLeft 1, jawOpen 0.5, tongueOut 0.25."""
    expected = (
        "06"
        "00000024 30313233343536372d383961622d636465662d303132332d343536373839616263646566"
        "00000003 413246"
        "00000007 00000000"
        "0000001e 00000001"
        "3d"
        "3f800000" + 16 * "00000000" + "3f000000" + 33 * "00000000" + "3e800000" + 9 * "00000000"
    )
    with Udp() as receiver:
        output = open_live_output(f"livelink://127.0.0.1:{receiver.port}?subject=A2F&device={DEVICE}&timecode=stream")
        output.start(INFO)
        output.write(frame_of(7, eyeBlinkLeft=1, jawOpen=0.5, tongueOut=0.25))
        packet = receiver.take()
        assert packet == bytes.fromhex(expected.replace(" ", ""))
        assert len(packet) == 309
        # Readers that cut by position: the device id stands in bytes 4 to 40, after its length's last byte.
        assert packet[4:41] == b"$" + DEVICE.encode()
        output.close()


def test_every_channel_stands_at_its_place() -> None:
    with Udp() as receiver:
        output = open_live_output(f"livelink://127.0.0.1:{receiver.port}?timecode=stream")
        # Another order of channels, and none of the tongue's sixteen: mapped by name.
        channels = tuple(reversed(ARKIT))
        output.start(StreamInfo(Fraction(30000, 1001), channels))
        weights = (np.arange(len(channels)) / 64).astype(np.float32)
        output.write(Frame(3, 1601, weights))
        packet = read_live_link(receiver.take())
        assert packet.version == 6
        assert packet.subject == "facewave"
        assert packet.device == device_id("facewave")
        assert len(packet.device) == 36
        assert (packet.frame, packet.rate) == (3, Fraction(30000, 1001))
        assert len(packet.values) == 61
        assert packet.values[:52] == tuple((51 - i) / 64 for i in range(52))
        assert packet.values[52:] == (0,) * 9
        output.close()


@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_rest_pose_is_last_and_repeated(how: str) -> None:
    with Udp() as receiver:
        output = open_live_output(f"livelink://127.0.0.1:{receiver.port}?timecode=stream")
        output.start(INFO)
        output.write(frame_of(0, jawOpen=1))
        getattr(output, how)()
        getattr(output, how)()
        first, *rest = [read_live_link(packet) for packet in receiver.rest()]
        assert first.values[17] == 1
        assert len(rest) == 3
        assert all(packet.frame == 1 and not any(packet.values) for packet in rest)
        with pytest.raises(OutputError, match="after the end"):
            output.write(frame_of(1))


def test_time_code_is_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facewave.outputs.live.livelink.time_of_day", lambda: 86_399.925)
    with Udp() as receiver:
        output = open_live_output(f"livelink://127.0.0.1:{receiver.port}")
        output.start(INFO)
        for index in range(4):
            output.write(frame_of(index))
        packets = [read_live_link(receiver.take()) for _ in range(4)]
        # A quarter of a frame past 23:59:59:27; the day ends after 2,592,000 frames.
        assert [packet.frame for packet in packets] == [2_591_997, 2_591_998, 2_591_999, 0]
        assert [packet.sub_frame for packet in packets] == pytest.approx([0.75] * 4, abs=1e-3)
        output.close()


@pytest.mark.parametrize(("unit", "factor"), [("degrees", 1), ("unit", 1 / 180), ("radians", np.pi / 180), ("off", 0)])
def test_head_angles_only_in_the_unit_asked_for(unit: str, factor: float) -> None:
    with Udp() as receiver:
        output = open_live_output(f"livelink://127.0.0.1:{receiver.port}?head={unit}")
        output.start(INFO)
        output.write(frame_of(0, head=(10, -5, 2)))
        output.write(frame_of(1))
        turned, still = read_live_link(receiver.take()), read_live_link(receiver.take())
        assert turned.values[52:55] == pytest.approx([10 * factor, -5 * factor, 2 * factor], abs=1e-6)
        assert not any(turned.values[55:])
        assert not any(still.values)
        output.close()


def test_no_one_listening_is_no_error() -> None:
    with Udp() as receiver:
        port = receiver.port
    output = open_live_output(f"livelink://127.0.0.1:{port}")
    output.start(INFO)
    for index in range(20):
        output.write(frame_of(index))
    output.close()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("device=phone", "device='phone', expected 36 characters"),
        ("subject=", "subject='', expected 1 to 255 bytes"),
        ("timecode=now", "timecode='now', expected one of: day, stream"),
        ("head=1", "head='1', expected one of: off, unit, degrees, radians"),
        ("name=x", "unknown option 'name', expected some of: device, fps, head, subject, timecode"),
    ],
)
def test_wrong_options(query: str, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        open_live_output(f"livelink://127.0.0.1:11111?{query}")
