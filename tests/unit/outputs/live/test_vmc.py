"""VMC: its bytes, what python-osc reads from them, and the names of each profile."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from facewave.blendshapes import ARKIT, pascal
from facewave.errors import OutputError
from facewave.frames import Frame, StreamInfo
from facewave.outputs.live import open_live_output
from facewave.outputs.live.vmc import head_rotation
from facewave.outputs.live.vrm import VRM1, expressions
from tests.unit.outputs.live.receivers import INFO, Udp, frame_of

osc_bundle = pytest.importorskip("pythonosc.osc_bundle", reason="python-osc is not installed")


def messages_of(packets: list[bytes]) -> list[tuple[str, list[Any]]]:
    return [(message.address, message.params) for packet in packets for message in osc_bundle.OscBundle(packet)]


def test_golden_packet() -> None:
    """Written out by hand from the protocol's pages and the OSC 1.0 specification."""

    def value(name: bytes, number: str) -> bytes:
        padded = name + b"\0" * (4 - len(name) % 4)
        body = b"/VMC/Ext/Blend/Val\0\0" + b",sf\0" + padded + bytes.fromhex(number)
        return struct.pack(">i", len(body)) + body

    expected = (
        b"#bundle\0" + bytes.fromhex("00000000 00000001")
        + bytes.fromhex("00000014") + b"/VMC/Ext/OK\0" + b",i\0\0" + bytes.fromhex("00000001")
        + bytes.fromhex("00000014") + b"/VMC/Ext/T\0\0" + b",f\0\0" + bytes.fromhex("3fc00000")
        + value(b"A", "3f800000") + value(b"I", "00000000") + value(b"U", "00000000") + value(b"E", "00000000")
        + value(b"O", "00000000") + value(b"Blink", "3f000000") + value(b"Blink_L", "00000000")
        + value(b"Blink_R", "3e800000") + value(b"LookUp", "00000000") + value(b"LookDown", "00000000")
        + value(b"LookLeft", "00000000") + value(b"LookRight", "00000000") + value(b"Joy", "00000000")
        + value(b"Angry", "00000000") + value(b"Sorrow", "00000000")
        + bytes.fromhex("0000001c") + b"/VMC/Ext/Blend/Apply\0\0\0\0" + b",\0\0\0"
    )  # fmt: skip
    with Udp() as receiver:
        output = open_live_output(f"vmc://127.0.0.1:{receiver.port}?profile=vrm0")
        output.start(INFO)
        output.write(frame_of(45, jawOpen=1, eyeBlinkLeft=0.5, eyeBlinkRight=0.75))  # Second 1.5.
        assert receiver.take() == expected
        output.close()


@pytest.mark.parametrize(("profile", "names"), [("arkit", ARKIT), ("perfectsync", tuple(map(pascal, ARKIT)))])
def test_python_osc_reads_two_bundles_with_one_apply_at_the_end(profile: str, names: tuple[str, ...]) -> None:
    with Udp() as receiver:
        output = open_live_output(f"vmc://127.0.0.1:{receiver.port}?profile={profile}")
        output.start(StreamInfo(Fraction(60)))
        output.write(frame_of(30, jawOpen=0.25, mouthSmileLeft=1.5, mouthSmileRight=-0.5))
        packets = receiver.rest()
        assert len(packets) == 2
        assert max(map(len, packets)) <= 1400
        messages = messages_of(packets)
        assert messages[:2] == [("/VMC/Ext/OK", [1]), ("/VMC/Ext/T", [0.5])]
        assert messages[-1] == ("/VMC/Ext/Blend/Apply", [])
        assert [address for address, _ in messages[2:-1]] == ["/VMC/Ext/Blend/Val"] * 52
        values = {name: value for _, (name, value) in messages[2:-1]}
        assert tuple(values) == names
        assert {name: value for name, value in values.items() if value} == {
            names[ARKIT.index("jawOpen")]: 0.25,
            names[ARKIT.index("mouthSmileLeft")]: 1.0,  # The protocol's range is 0 to 1.
        }
        output.close()
        last = messages_of(receiver.rest())
        assert sum(address == "/VMC/Ext/Blend/Apply" for address, _ in last) == 3
        assert not any(params[1] for address, params in last if address.endswith("Val"))


def test_own_names_are_sent_as_they_are() -> None:
    with Udp() as receiver:
        output = open_live_output(f"vmc://127.0.0.1:{receiver.port}?profile=own")
        output.start(StreamInfo(Fraction(30), ("MTH_A", "口", "jawOpen")))
        output.write(Frame(0, 0, np.array([0.25, 0.5, 0.75], np.float32)))
        values = [params for address, params in messages_of([receiver.take()]) if address.endswith("Val")]
        assert values == [["MTH_A", 0.25], ["口", 0.5], ["jawOpen", 0.75]]
        output.close()


def test_vrm1_profile_and_head_bone() -> None:
    with Udp() as receiver:
        output = open_live_output(f"vmc://127.0.0.1:{receiver.port}?profile=vrm1&head=on")
        output.start(INFO)
        output.write(frame_of(0, head=(90, 0, 0), mouthPucker=0.7))
        messages = messages_of(receiver.rest())
        bone = next(params for address, params in messages if address == "/VMC/Ext/Bone/Pos")
        assert bone[:4] == ["Head", 0, 0, 0]
        assert bone[4:] == pytest.approx([0, math.sqrt(0.5), 0, math.sqrt(0.5)], abs=1e-6)
        values = {params[0]: params[1] for address, params in messages if address.endswith("Val")}
        assert tuple(values) == VRM1
        assert {name for name, value in values.items() if value} == {"ou"}
        output.close()


@pytest.mark.parametrize(
    ("head", "looks_at", "crown"),
    [
        # Unity's axes, seen from the avatar: x to its right, y up, z ahead.
        ((30, 0, 0), (0.5, 0, math.sqrt(0.75)), (0, 1, 0)),
        ((0, 30, 0), (0, 0.5, math.sqrt(0.75)), (0, math.sqrt(0.75), -0.5)),
        ((0, 0, 30), (0, 0, 1), (0.5, math.sqrt(0.75), 0)),
    ],
)
def test_the_head_turns_as_the_track_says(
    head: tuple[float, ...], looks_at: tuple[float, ...], crown: tuple[float, ...]
) -> None:
    """Yaw to the face's own right, pitch up, roll towards the right shoulder."""
    x, y, z, w = head_rotation(frame_of(0, head=head))

    def turned(v: tuple[float, float, float]) -> Any:
        axis = np.array([x, y, z])
        return v + 2 * np.cross(axis, np.cross(axis, v) + w * np.array(v))

    np.testing.assert_allclose(turned((0, 0, 1)), looks_at, atol=1e-6)
    np.testing.assert_allclose(turned((0, 1, 0)), crown, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "strongest"),
    [
        ({"jawOpen": 0.6}, "aa"),
        ({"jawOpen": 0.1, "mouthStretchLeft": 0.6, "mouthStretchRight": 0.6}, "ih"),
        ({"jawOpen": 0.05, "mouthPucker": 0.8}, "ou"),
        ({"jawOpen": 0.3, "mouthStretchLeft": 0.6, "mouthStretchRight": 0.6}, "ee"),
        ({"jawOpen": 0.4, "mouthFunnel": 0.6}, "oh"),
        ({"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, "blink"),
        ({"eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8}, "lookLeft"),
        ({"browInnerUp": 0.65, "mouthFrownLeft": 0.45, "mouthFrownRight": 0.45}, "sad"),
        ({"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "cheekSquintLeft": 0.55, "cheekSquintRight": 0.55}, "happy"),
    ],
)
def test_what_a_mouth_becomes_on_an_avatar(weights: dict[str, float], strongest: str) -> None:
    found = expressions(frame_of(0, INFO.frame_rate, None, **weights).weights[:52])
    assert max(found, key=lambda name: found[name]) == strongest


def test_vowels_share_the_mouth_and_nothing_leaves_its_range() -> None:
    random = np.random.default_rng(5)
    for _ in range(500):
        found = expressions((random.random(52) * 1.6 - 0.3).astype(np.float32))
        assert all(-1e-6 <= value <= 1 + 1e-6 for value in found.values()), found
        assert found["aa"] + found["ee"] + found["oh"] <= 1 + 1e-6
    assert not any(expressions(np.zeros(52, np.float32)).values())


def test_closed_lips_are_no_vowel_though_the_jaw_is_open() -> None:
    assert expressions(frame_of(0, jawOpen=0.3, mouthClose=0.3).weights[:52])["aa"] == 0


def test_unknown_profile() -> None:
    with pytest.raises(OutputError, match="profile='vrm2', expected one of: arkit, perfectsync, vrm0, vrm1, own"):
        open_live_output("vmc://127.0.0.1?profile=vrm2")
