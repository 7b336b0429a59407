"""Pipes and growing files: raw PCM and wav as they come."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.audio.live import GrowingFile, PcmStream
from facewave.errors import AudioError

RAMP = np.arange(-500, 500, dtype=np.int16)


class Pipe:
    """Gives its bytes in pieces of the sizes it is told, over and over."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes, self._turn = data, sizes, 0

    def read1(self, size: int, /) -> bytes:
        count = min(size, self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        piece, self._data = self._data[:count], self._data[count:]
        return piece


def heard(stream: PcmStream) -> NDArray[np.generic]:
    return np.concatenate([block.samples for block in stream])


def wav(
    data: bytes, tag: int, channels: int, rate: int, bits: int, length: int | None = None, extra: bytes = b""
) -> bytes:
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits) + extra
    chunks = b"LIST\x05\0\0\0abcde\0" + b"fmt " + struct.pack("<I", len(form)) + form
    return b"RIFF\xff\xff\xff\xffWAVE" + chunks + b"data" + struct.pack("<I", length or len(data)) + data


@pytest.mark.parametrize("sizes", [[1], [3, 5, 7], [4096]])
def test_raw_samples_whatever_the_pieces(sizes: list[int]) -> None:
    stream = PcmStream(Pipe(RAMP.tobytes(), sizes))
    assert np.array_equal(heard(stream)[:, 0], RAMP)
    floats = RAMP.astype(np.float32) / 1000
    stream = PcmStream(Pipe(floats.tobytes(), sizes), sample_type="float32", channels=2, sample_rate=8000)
    assert np.array_equal(heard(stream).ravel(), floats)


@pytest.mark.parametrize("sizes", [[1], [3, 5, 7], [4096]])
@pytest.mark.parametrize("length", [None, 0xFFFFFFFF])
def test_a_wav_header_tells_the_form(sizes: list[int], length: int | None) -> None:
    stream = PcmStream(Pipe(wav(RAMP.tobytes(), 1, 2, 44_100, 16, length), sizes))
    assert (stream.sample_rate, stream.channels, stream.sample_type) == (44_100, 2, "int16")
    assert np.array_equal(heard(stream).ravel(), RAMP)


def test_float_and_extensible_wav() -> None:
    floats = RAMP.astype("<f4") / 1000
    extra = struct.pack("<HHI", 22, 32, 4) + struct.pack("<H", 3) + bytes(14)
    for data in (wav(floats.tobytes(), 3, 1, 48_000, 32), wav(floats.tobytes(), 0xFFFE, 1, 48_000, 32, extra=extra)):
        stream = PcmStream(Pipe(data, [1000]))
        assert stream.sample_type == "float32"
        assert np.array_equal(heard(stream)[:, 0], floats)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (wav(b"", 1, 1, 16_000, 24), "format 1 with 24 bits, expected 16-bit PCM or 32-bit float"),
        (wav(b"", 1, 6, 16_000, 16), "6 channels, expected 1 or 2"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", "ended inside the wav header"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "without its 'fmt ' chunk"),
    ],
)
def test_headers_that_cannot_be_used(data: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        PcmStream(Pipe(data, [4096]), name="pipe")


def test_nothing_is_no_error() -> None:
    assert not list(PcmStream(io.BytesIO(b"")))


def test_blocks_are_told_when_they_came() -> None:
    ticks = iter(range(100))
    stream = PcmStream(Pipe(RAMP.tobytes(), [400]), clock=lambda: float(next(ticks)))
    assert [block.captured_at for block in stream] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_growing_file_is_followed_until_it_rests(tmp_path: Path) -> None:
    path = tmp_path / "growing.pcm"
    path.write_bytes(RAMP[:100].tobytes())
    now = [0.0]
    grown = [100]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if 0.5 < now[0] < 1.5 and grown[0] < len(RAMP):
            with path.open("ab") as file:
                file.write(RAMP[grown[0] : grown[0] + 100].tobytes())
            grown[0] += 100

    growing = GrowingFile(path, patience_s=2.0, clock=lambda: now[0], sleep=sleep)
    assert np.array_equal(heard(PcmStream(growing))[:, 0], RAMP)
    assert now[0] > 2.5, "it waited out its patience at the end"
    growing.close()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"none\.wav: cannot be opened"):
        GrowingFile(tmp_path / "none.wav")


def test_what_a_wav_header_announces_is_passed_over_and_not_kept() -> None:
    class Endless:
        """A chunk of four gigabytes, given as fast as it is asked for."""

        largest = 0
        first = b"RIFF\0\0\0\0WAVELIST\xfe\xff\xff\xff"

        def read1(self, size: int, /) -> bytes:
            if self.first:
                piece, self.first = self.first[:size], self.first[size:]
                return piece
            self.largest = max(self.largest, size)
            self.given = getattr(self, "given", 0) + size
            return bytes(size) if self.given < 50_000_000 else b""

    source = Endless()
    with pytest.raises(AudioError, match="ended inside the wav header"):
        PcmStream(source)
    assert source.largest <= 1 << 16


def test_a_rate_that_no_sound_has_is_refused() -> None:
    with pytest.raises(AudioError, match="sample rate of 900000 Hz"):
        PcmStream(io.BytesIO(wav(b"", 1, 1, 900_000, 16)))
