"""Other open lip-sync systems, run beside ours where `npm ci` in this folder has installed them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewave.providers.embedded.articulation import to_blendshapes
from facewave.providers.embedded.transcript.coarticulation import rules

from ..clips import SAMPLE_RATE, Clip
from ..scores import FPS
from ..systems import frame_count

FOLDER = Path(__file__).parent

RHUBARB = {"A": "p", "B": "i", "C": "ɛ", "D": "ɑ", "E": "ɔ", "F": "u", "G": "f", "H": "l", "X": "sil"}
"""Rhubarb's mouth shapes, each as the phone its documentation gives as the example."""

OVR = {
    "sil": "sil", "PP": "p", "FF": "f", "TH": "θ", "DD": "t", "kk": "k", "CH": "ʃ", "SS": "s", "nn": "n", "RR": "ɹ",
    "aa": "a", "E": "ɛ", "I": "i", "O": "o", "U": "u",
}  # fmt: skip
"""The Oculus visemes, each as the phone in its name."""

VOWELS = {"A": "a", "I": "i", "U": "u", "E": "ɛ", "O": "o"}
"""uLipSync's profile entries."""

FADE_S = 0.05
"""Systems that name one mouth shape at a time are faded from one to the next over this, centred on the change."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One system: a script that writes mouth-shape weights, and what its shapes mean."""

    name: str
    script: str
    arguments: tuple[str, ...]
    package: str
    shapes: dict[str, str]


PEERS = (
    Peer("Rhubarb (whole file)", "rhubarb.mjs", (), "rhubarb-lip-sync-wasm", RHUBARB),
    Peer("Rhubarb + transcript", "rhubarb.mjs", ("--transcript",), "rhubarb-lip-sync-wasm", RHUBARB),
    Peer("wLipSync", "wlipsync.mjs", (), "wlipsync", VOWELS),
    Peer("HeadAudio", "headaudio.mjs", (), "@met4citizen/headaudio", OVR),
    Peer("wawa-lipsync", "wawa.mjs", (), "wawa-lipsync", OVR),
)


def why_not(peer: Peer) -> str:
    """Why a peer cannot run here; empty where it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (FOLDER / "node_modules" / peer.package).is_dir():
        return f"{peer.package} is not installed; run `npm ci` in {FOLDER.relative_to(FOLDER.parents[2])}"
    return ""


def run(
    peer: Peer,
    clips: Sequence[Clip],
    transcripts: Sequence[str],
    calibration: Sequence[Clip],
    tell: Callable[[str], None],
) -> tuple[list[NDArray[np.float32]], float]:
    """Weights of every clip, and processor seconds for each second of audio.

    Raises:
        RuntimeError: The script failed; the message carries its last words.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = {
            "clips": [
                {**write_pcm(folder / str(i), clip.samples), "transcript": text}
                for i, (clip, text) in enumerate(zip(clips, transcripts, strict=True))
            ],
            "calibration": [
                {**write_pcm(folder / f"c{i}", clip.samples), "phones": clip.phones}
                for i, clip in enumerate(calibration)
            ],
        }
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        command = [
            "node",
            str(FOLDER / peer.script),
            str(folder / "task.json"),
            str(folder / "out.json"),
            *peer.arguments,
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        tell(f"{peer.name}: {len(clips)} clips")
        try:
            _, errors = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode:
            raise RuntimeError(f"{peer.name} failed: {errors.strip()[-400:]}")
        result = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    weights = [
        to_weights(peer.shapes, track, frame_count(clip.samples))
        for track, clip in zip(result["clips"], clips, strict=True)
    ]
    return weights, result["cpu_s"] / sum(len(clip.samples) / SAMPLE_RATE for clip in clips)


def write_pcm(stem: Path, samples: NDArray[np.float32]) -> dict[str, str]:
    """Mono 16-bit samples without a header, at 16 kHz and at the 48 kHz of a browser."""
    import soxr

    paths = {}
    for name, values in (("pcm_16k", samples), ("pcm_48k", soxr.resample(samples, SAMPLE_RATE, 48000, quality="HQ"))):
        path = stem.with_name(f"{stem.name}.{name}")
        path.write_bytes((np.clip(values, -1, 1) * 32767).astype("<i2").tobytes())
        paths[name] = str(path)
    return paths


def to_weights(shapes: dict[str, str], track: dict[str, Any], n: int) -> NDArray[np.float32]:
    """Blend shapes of a peer's output by way of the targets of one phone a mouth shape.

    Args:
        shapes: Mouth shape to IPA symbol.
        track: Either `cues`, a list of [start_s, end_s, shape], or `times` and `weights`, a list of {shape: weight}.
        n: Frames, 60 a second.
    """
    target = rules().target
    if "cues" in track:
        fine = 4 * FPS
        row = np.zeros((n * 4 + 8, 12))
        for start, end, shape in track["cues"]:
            row[round(start * fine) : max(round(end * fine), round(start * fine) + 1)] = target[shapes[shape]]
        width = max(round(FADE_S * fine), 1)
        kernel = np.ones(width) / width
        faded = np.apply_along_axis(lambda column: np.convolve(column, kernel, mode="same"), 0, row)
        mouth = faded[: n * 4 : 4]
    else:
        times = np.array(track["times"], float)
        values = np.zeros((len(times), 12))
        for i, weights in enumerate(track["weights"]):
            for shape, weight in weights.items():
                values[i] += weight * target[shapes[shape]]
        at = np.arange(n) / FPS
        mouth = (
            np.stack([np.interp(at, times, column) for column in values.T], axis=1) if len(times) else np.zeros((n, 12))
        )
    return to_blendshapes(mouth.astype(np.float32))
