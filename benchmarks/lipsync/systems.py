"""What moves a face from speech: facewave itself, the upper bound and the floors it is compared with."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewave.blendshapes import CHANNELS, INDEX
from facewave.frames import Animation
from facewave.providers.embedded.articulation import to_blendshapes
from facewave.providers.embedded.provider import EmbeddedProvider
from facewave.providers.embedded.transcript.coarticulation import curves
from facewave.settings import EmbeddedSettings, FacewaveSettings
from facewave.streams import StreamSettings, Transcript

from .clips import SAMPLE_RATE, Clip
from .scores import FPS

Weights = NDArray[np.float32]
"""Shape (frames, 68), 60 frames a second, frame k at k / 60 s."""


def frame_count(samples: NDArray[np.float32]) -> int:
    return -(-len(samples) * FPS // SAMPLE_RATE)


class Facewave:
    """The `Embedded` provider at one look-ahead."""

    def __init__(self, look_ahead_ms: int, model: Path | None = None) -> None:
        """Load the bundled network, or another of the same form.

        Raises:
            FacewaveError: The network is missing, damaged or lacks this look-ahead.
        """
        settings = FacewaveSettings(embedded=EmbeddedSettings(look_ahead_ms=look_ahead_ms))
        self._provider = EmbeddedProvider(settings, model)
        self._provider.allocate()
        self.cpu_s = 0.0
        self.audio_s = 0.0

    def weights(self, samples: NDArray[np.float32], chunk: int = 0, words: Transcript | None = None) -> Weights:
        """Frames of a clip pushed in pieces of `chunk` samples (0: all at once), with its words where they are told."""
        started = time.process_time()
        session = self._provider.open(StreamSettings(transcript=words))
        size = chunk or max(len(samples), 1)
        frames = [frame for i in range(0, len(samples), size) for frame in session.push(samples[i : i + size])]
        frames += session.finish()
        self.cpu_s += time.process_time() - started
        self.audio_s += len(samples) / SAMPLE_RATE
        return Animation.from_frames(session.info, frames).weights


def truth(clip: Clip) -> Weights:
    """The articulation rules driven by the phone times."""
    n = frame_count(clip.samples)
    steps = curves(clip.phones, n, clip.samples)  # step i is the mouth at (i + 1) / 60 s
    return to_blendshapes(np.concatenate([steps[:1], steps[:-1]]))


def loudness(samples: NDArray[np.float32]) -> Weights:
    """The floor every toy reaches: jawOpen follows the level of the last 25 ms, nothing else moves.

    The level is spread between the clip's 20th and 97th percentile and smoothed over three frames.
    """
    n = frame_count(samples)
    ends = (np.arange(n) * SAMPLE_RATE) // FPS
    total = np.concatenate(([0.0], np.cumsum(samples.astype(np.float64) ** 2)))
    power = (total[np.minimum(ends + 1, len(samples))] - total[np.maximum(ends - 400, 0)]) / 400
    level = 10 * np.log10(power + 1e-7)
    low, high = np.percentile(level, [20, 97])
    jaw = np.clip((level - low) / max(high - low, 6.0), 0, 1) * 0.5
    weights = np.zeros((n, len(CHANNELS)), np.float32)
    weights[:, INDEX["jawOpen"]] = np.convolve(np.pad(jaw, (2, 0), mode="edge"), np.ones(3) / 3, mode="valid")
    return weights


def exchanged(own: list[Weights]) -> list[Weights]:
    """Each clip with the curves of the next one, repeated or cut to its length: right style, wrong words."""
    return [np.resize(own[(i + 1) % len(own)], own[i].shape) for i in range(len(own))]


def disturbances() -> dict[str, Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]]:
    """Ways in which a recording may be worse or merely different, by the name in the table."""
    return {
        "noise 20 dB": lambda x, random: with_noise(x, 20, random),
        "noise 10 dB": lambda x, random: with_noise(x, 10, random),
        "noise 5 dB": lambda x, random: with_noise(x, 5, random),
        "gain +12 dB": lambda x, _: np.clip(x * np.float32(10 ** (12 / 20)), -1, 1),
        "gain -12 dB": lambda x, _: x * np.float32(10 ** (-12 / 20)),
        "8 kHz": lambda x, _: through_rate(x, 8000),
        "44.1 kHz": lambda x, _: through_rate(x, 44100),
        "48 kHz": lambda x, _: through_rate(x, 48000),
        "mu-law 8 kHz": lambda x, _: through_rate(x, 8000, mu_law=True),
    }


def with_noise(x: NDArray[np.float32], snr_db: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Add pink noise that lies `snr_db` under the mean power of the louder half of the clip."""
    spectrum = np.fft.rfft(random.normal(size=len(x)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, len(x))
    blocks = x[: len(x) // 160 * 160].astype(np.float64).reshape(-1, 160)
    power = (blocks**2).mean(axis=1)
    loud = power[power >= np.median(power)].mean()
    noise *= np.sqrt(loud / 10 ** (snr_db / 10) / (noise**2).mean())
    return (x + noise).astype(np.float32)


def through_rate(x: NDArray[np.float32], rate: int, mu_law: bool = False) -> NDArray[np.float32]:
    """The clip as a recording of another rate, read by facewave's own audio input."""
    import soxr

    from facewave.audio.clip import AudioClip

    other = soxr.resample(x, SAMPLE_RATE, rate, quality="HQ")
    if mu_law:
        squeezed = np.sign(other) * np.log1p(255 * np.minimum(np.abs(other), 1)) / np.log(256)
        steps = np.round(squeezed * 127) / 127
        other = np.sign(steps) * np.expm1(np.abs(steps) * np.log(256)) / 255
    back = AudioClip(other.astype(np.float32)[:, None], rate).mono_16k()
    return np.resize(back, len(x)) if len(back) >= len(x) else np.pad(back, (0, len(x) - len(back)))
