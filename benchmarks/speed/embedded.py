"""The bundled model: processor time per second of speech, time to the first frame, memory.

    python -m benchmarks.speed.embedded [--json FILE]

Processor time, not wall time, so that other programs on the machine do not count; one inference thread. Ratios compare
ways of feeding the same clip within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np

from facewave.audio.files import read_audio
from facewave.providers import open_provider
from facewave.streams import StreamSettings
from facewave.timing import SAMPLE_RATE

RESULTS = Path(__file__).parents[1] / "results" / "speed_embedded.json"
SECONDS = 60
RUNS = 5
CHUNKS = {"two seconds at a time": 2 * SAMPLE_RATE, "20 ms at a time": SAMPLE_RATE // 50}
STREAMS = 32

COLD = """
import time; began = time.perf_counter()
import facewave, soundfile, numpy as np
session = facewave.open_provider("Embedded").open(facewave.StreamSettings())
frames = []
while not frames:
    frames = session.push(np.zeros(320, np.float32))
print(time.perf_counter() - began)
"""


def speech() -> np.ndarray:
    clip = read_audio(Path(str(resources.files("facewave") / "data" / "demo.wav"))).mono_16k()
    return np.tile(clip, -(-SECONDS * SAMPLE_RATE // len(clip)))[: SECONDS * SAMPLE_RATE]


def real_time_factor(samples: np.ndarray, chunk: int, fps: int = 60) -> float:
    """Processor seconds per second of speech, the median of some runs."""
    provider = open_provider("Embedded")
    provider.allocate()
    factors = []
    for _ in range(RUNS):
        began = time.process_time()
        session = provider.open(StreamSettings(frame_rate=None if fps == 60 else fps))
        for start in range(0, len(samples), chunk):
            session.push(samples[start : start + chunk])
        session.finish()
        factors.append((time.process_time() - began) / SECONDS)
    return statistics.median(factors)


def batched_factor(samples: np.ndarray) -> float:
    """The same for many streams stepped together, 33 ms at a time, per stream."""
    provider = open_provider("Embedded")
    provider.allocate()
    sessions = [provider.open(StreamSettings()) for _ in range(STREAMS)]
    chunk, seconds = SAMPLE_RATE // 30, 5
    began = time.process_time()
    for start in range(0, seconds * SAMPLE_RATE, chunk):
        for session in sessions:
            session.feed(samples[start : start + chunk])
        provider.step(sessions)
    return (time.process_time() - began) / seconds / STREAMS


def child(program: list[str]) -> tuple[float, float, str]:
    """Wall seconds, peak resident megabytes, and output of a process."""
    began = time.perf_counter()
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    shown = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{program}: exit code {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024, shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=RESULTS)
    path = parser.parse_args().json
    samples = speech()
    factors = {name: real_time_factor(samples, chunk) for name, chunk in CHUNKS.items()}
    factors[f"{STREAMS} streams together, 33 ms at a time, each"] = batched_factor(samples)
    cold = statistics.median(float(child([sys.executable, "-c", COLD])[2]) for _ in range(RUNS))
    help_s = statistics.median(child([sys.executable, "-m", "facewave", "--help"])[0] for _ in range(RUNS))
    clip = str(resources.files("facewave") / "data" / "demo.wav")
    out = path.parent / "speed_embedded.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    _, memory, _ = child([sys.executable, "-m", "facewave", "animate", clip, "-o", str(out)])
    out.unlink()

    first = next(iter(factors.values()))
    print(f"{'Embedded, CPU time per second of speech':58} {'factor':>8} {'ratio':>6}")
    for name, factor in factors.items():
        print(f"{name:58} {factor:8.4f} {factor / first:6.2f}")
    print(f"{'import and first frame, cold process, wall seconds':58} {cold:8.2f}")
    print(f"{'facewave --help, wall seconds':58} {help_s:8.2f}")
    print(f"{'facewave animate, peak resident MB':58} {memory:8.0f}")
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "real_time_factor": factors,
        "first_frame_s": cold,
        "help_s": help_s,
        "animate_peak_mb": memory,
    }
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
