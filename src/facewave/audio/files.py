"""Audio files: wav, flac, ogg (vorbis and opus), aiff and mp3."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from .clip import MAX_CHANNELS, AudioClip

EXTENSIONS = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".mp3")
"""File names understood; what the file is, its content decides."""


MAX_VALUES = 1 << 31
"""Decoded samples of one file, over all channels: 12 hours of mono at 48 kHz, 8 GB of memory."""

_BLOCK = 1 << 20
"""Frames decoded at a time."""


def read_audio(path: str | Path) -> AudioClip:
    """Decode a whole file at its own rate and channel count.

    Raises:
        AudioError: Missing, a directory, unreadable, of unknown extension, not audio, truncated, empty,
            more than two channels, too long, or with samples that are not finite.
    """
    path = Path(path)
    _check_path(path)
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            if file.channels > MAX_CHANNELS:
                raise AudioError(f"{path}: found {file.channels} channels, expected mono or stereo; mix it down first")
            announced = _announced_frames(file)
            samples = _decoded(file, path)
            rate = file.samplerate
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise AudioError(f"{path}: not audio that can be decoded ({_reason(error)}), expected {_expected()}") from error
    if announced is not None and len(samples) < announced:
        raise AudioError(
            f"{path}: truncated: found {len(samples) / rate:.2f} s, the header announces {announced / rate:.2f} s"
        )
    if not len(samples):
        raise AudioError(f"{path}: found no samples, expected audio longer than nothing")
    return AudioClip(samples, rate, path)


def _decoded(file: Any, path: Path) -> NDArray[np.float32]:
    """Every sample, shape (n, channels), read in blocks: a header may announce more than there is memory for."""
    blocks: list[NDArray[np.float32]] = []
    count = 0
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        blocks.append(block)
        count += block.size
        if count > MAX_VALUES:
            raise AudioError(f"{path}: found more than {MAX_VALUES} samples, expected at most that; cut it into pieces")
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.empty((0, file.channels), np.float32)


def audio_files(folder: Path) -> list[Path]:
    """The audio files directly inside a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and path.is_file())


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise AudioError(f"{path}: is a directory, expected an audio file")
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if path.suffix.lower() not in EXTENSIONS:
        raise AudioError(f"{path}: unknown extension {path.suffix or '(none)'!r}, expected {_expected()}")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path}: cannot be read; check its permissions")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: the file is empty (0 bytes)")


def _announced_frames(file: Any) -> int | None:
    """Frames that a wav header promises; libsndfile itself quietly shortens the clip to what is there."""
    if file.format not in ("WAV", "WAVEX"):
        return None
    with Path(file.name).open("rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        raw.seek(12)
        while len(header := raw.read(8)) == 8:
            chunk, length = header[:4], int.from_bytes(header[4:], "little")
            if chunk == b"data":
                # Streams of unknown length carry 0 or all ones here, which promises nothing.
                unknown = length in (0, 0xFFFFFFFF, 0x7FFFFFFF) or length >= 0xFFFFFF00
                missing = raw.tell() + length - size
                per_frame = max(1, _bytes_per_frame(file))
                return None if unknown or missing <= 0 else file.frames + -(-missing // per_frame)
            raw.seek(length + (length & 1), os.SEEK_CUR)
    return None


def _bytes_per_frame(file: Any) -> int:
    width = {
        "PCM_U8": 1,
        "PCM_S8": 1,
        "ULAW": 1,
        "ALAW": 1,
        "PCM_16": 2,
        "PCM_24": 3,
        "PCM_32": 4,
        "FLOAT": 4,
        "DOUBLE": 8,
    }
    return width.get(file.subtype, 1) * int(file.channels)


def _expected() -> str:
    return "wav, flac, ogg, opus, aiff or mp3"


def _reason(error: Exception) -> str:
    return str(error).rstrip(".").rpartition(": ")[2] or type(error).__name__


def write_wav(path: Path | IO[bytes], samples: np.ndarray[Any, np.dtype[Any]], sample_rate: int) -> None:
    """Write float samples, shape (n,) or (n, channels), as 16-bit wav."""
    import soundfile

    soundfile.write(path, samples, sample_rate, subtype="PCM_16", format="WAV")
