"""Array archives that somebody else wrote."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from facewave.archives import ArchiveError, ArrayArchive
from tests.fuzz.mutations import npy


def packed(content: bytes, name: str = "a.npy", packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", packing) as archive:
        archive.writestr(zipfile.ZipInfo(name), content, packing)
    return target.getvalue()


def test_what_numpy_writes_is_read() -> None:
    target = io.BytesIO()
    np.savez_compressed(target, a=np.arange(6.0).reshape(2, 3), names=np.array(["x", "yy"]))
    with ArrayArchive(target.getvalue()) as archive:
        assert archive.names == ["a", "names"]
        np.testing.assert_array_equal(archive.read("a"), np.arange(6.0).reshape(2, 3))
        assert archive.read("names").tolist() == ["x", "yy"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy("'<f4'", "(1099511627776,)"), "more than the .* bytes"),
        (npy("'<f4'", "(-4,)", bytes(16)), "more than the"),
        (npy("'|O'", "(1,)", b"cposix\nsystem\n"), "type object"),
        (npy("[('a', '|O')]", "(1,)"), "plain numbers"),
        (npy("'<U100000000'", "(1,)"), "more than the|not a valid dtype"),
        (npy("'<f4'", "(4,)", bytes(15)), "expected 16 bytes got 15"),
        (npy("'<f4'", "(" * 90), "Error"),
        (b"raw", "magic"),
    ],
)
def test_arrays_that_are_not_what_they_say(content: bytes, reason: str) -> None:
    with ArrayArchive(packed(content)) as archive, pytest.raises(ArchiveError, match=reason):
        archive.read("a")


def test_a_deflate_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = bytearray(packed(bytes(1 << 20)))
    # The size in the central directory is what a reader would reserve.
    at = bomb.rindex(b"PK\x01\x02") + 24
    bomb[at : at + 4] = (0xF0000000).to_bytes(4, "little")
    with pytest.raises(ArchiveError, match="would unpack to 4026531840"):
        ArrayArchive(bytes(bomb))
    with pytest.raises(ArchiveError, match="would unpack to"):
        ArrayArchive(packed(bytes(1 << 20)), max_bytes=1 << 19)


def test_a_damaged_checksum_is_noticed() -> None:
    data = bytearray(packed(npy("'<f4'", "(4,)", bytes(16)), packing=zipfile.ZIP_STORED))
    data[data.index(b"PK\x01\x02") - 3] ^= 1
    with ArrayArchive(bytes(data)) as archive, pytest.raises(ArchiveError, match="CRC"):
        archive.read("a")
