from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from facewave.audio import files
from facewave.audio.files import audio_files, read_audio
from facewave.errors import AudioError

KINDS = [
    ("x.wav", "WAV", "PCM_U8", 2e-2), ("x.wav", "WAV", "PCM_16", 1e-4), ("x.wav", "WAV", "PCM_24", 1e-6),
    ("x.wav", "WAV", "PCM_32", 1e-6), ("x.wav", "WAV", "FLOAT", 1e-7), ("x.wav", "WAV", "DOUBLE", 1e-7),
    ("x.wav", "WAV", "ULAW", 3e-2), ("x.wav", "WAVEX", "PCM_24", 1e-6), ("x.flac", "FLAC", "PCM_16", 1e-4),
    ("x.aiff", "AIFF", "PCM_16", 1e-4), ("x.AIF", "AIFF", "PCM_24", 1e-6), ("x.ogg", "OGG", "VORBIS", 0.1),
    ("x.opus", "OGG", "OPUS", 0.1), ("x.mp3", "MP3", "MPEG_LAYER_III", 0.1),
]  # fmt: skip


def tone(rate: int, channels: int) -> NDArray[np.float32]:
    t = np.arange(rate) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 220 * (i + 1) * t) for i in range(channels)], axis=1).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("name", "container", "subtype", "error"), KINDS)
def test_every_kind_of_file(
    tmp_path: Path, name: str, container: str, subtype: str, error: float, channels: int
) -> None:
    path = tmp_path / name
    rate = 48000 if subtype == "OPUS" else 22050
    written = tone(rate, channels)
    soundfile.write(path, written, rate, format=container, subtype=subtype)
    clip = read_audio(path)
    assert (clip.sample_rate, clip.channels, clip.path) == (rate, channels, path)
    assert clip.duration_s == pytest.approx(1.0, abs=0.06)
    middle = slice(rate // 4, rate // 2)
    assert np.sqrt(np.mean((clip.samples[middle] - written[middle]) ** 2)) < error


def bad(tmp_path: Path, case: str) -> Path:
    good = tmp_path / "good.wav"
    soundfile.write(good, tone(16000, 1), 16000)
    data = good.read_bytes()
    path = tmp_path / f"{case}.wav"
    if case == "text":
        path.write_text("this is not audio at all, whatever its name says")
    elif case == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif case == "header only":
        path.write_bytes(data[:44])
    elif case == "empty":
        path.touch()
    elif case == "no samples":
        soundfile.write(path, np.zeros((0, 1), np.float32), 16000)
    elif case == "three channels":
        soundfile.write(path, np.zeros((100, 3), np.float32), 16000)
    elif case == "not finite":
        soundfile.write(path, np.array([0, np.nan, 0], np.float32), 16000, subtype="FLOAT")
    elif case == "directory":
        path.mkdir()
    elif case == "extension":
        path = tmp_path / "speech.docx"
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "no such file"),
        ("directory", "is a directory"),
        ("extension", "unknown extension '.docx'"),
        ("text", "not audio"),
        ("truncated", "truncated: found 0.50 s, the header announces 1.00 s"),
        ("header only", "truncated|no samples"),
        ("empty", "empty"),
        ("no samples", "no samples"),
        ("three channels", "found 3 channels"),
        ("not finite", "sample 1 is not a finite number"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path: Path, case: str, message: str) -> None:
    path = bad(tmp_path, case)
    with pytest.raises(AudioError, match=message) as caught:
        read_audio(path)
    assert path.name in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user whom file modes can lock out")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = bad(tmp_path, "closed")
    soundfile.write(path, tone(16000, 1), 16000)
    path.chmod(0)
    with pytest.raises(AudioError, match="cannot be read"):
        read_audio(path)


def test_a_folder_lists_its_audio(tmp_path: Path) -> None:
    for name in ("b.wav", "a.MP3", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in audio_files(tmp_path)] == ["a.MP3", "b.wav"]


def test_a_header_that_announces_the_impossible_reserves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bomb.flac"
    soundfile.write(path, tone(1600, 1), 16000)
    data = bytearray(path.read_bytes())
    # 36 bits of the stream description hold the number of samples: 2**36 - 1 would be 256 GB.
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    # Whether the decoder gives what there is or nothing at all is its own business.
    with contextlib.suppress(AudioError):
        assert len(read_audio(path).samples) <= 1600


def test_blocks_make_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = tone(5000, 2)
    soundfile.write(tmp_path / "a.flac", samples, 16000)
    whole = read_audio(tmp_path / "a.flac").samples
    monkeypatch.setattr(files, "_BLOCK", 333)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac").samples, whole)
    assert whole.shape == samples.shape
    monkeypatch.setattr(files, "MAX_VALUES", 9000)
    with pytest.raises(AudioError, match="found more than 9000 samples"):
        read_audio(tmp_path / "a.flac")
