"""Many characters speaking at once, each played in step with its sound: does the machine keep up, and who waits?

    python -m benchmarks.speed.characters [--characters 8] [--seconds 30] [--cores 2] [--json FILE]

Every character gets the bundled speech in pieces of 20 ms at the pace of speech from one main loop, as a game would
send it, and has a player on a timed device that nobody hears. Under-runs are moments at which a player had nothing to
play. Every call from the main loop is timed, by the clock and without the time in which the calling thread was ready
to run and other programs had the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import threading
import time
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np

from facewave.audio.files import read_audio
from facewave.runtime.curve_source import AudioCurveSource
from facewave.runtime.latency import LatencyMeter
from facewave.runtime.runtime import Runtime
from facewave.runtime.workers import Threads

RESULTS = Path(__file__).parents[1] / "results" / "speed_characters.json"
PIECE_S = 0.02
PICTURES = 60


@dataclass
class Calls:
    """Durations of one kind of call, milliseconds."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    blocked: list[float] = field(default_factory=list)

    def timed(self, call: object, *arguments: object, **options: object) -> object:
        queued = queued_ms()
        wall, processor = time.perf_counter(), time.thread_time()
        value = call(*arguments, **options)  # type: ignore[operator]
        self.wall.append((time.perf_counter() - wall) * 1000)
        self.processor.append((time.thread_time() - processor) * 1000)
        self.blocked.append(max(0.0, self.wall[-1] - (queued_ms() - queued)))
        return value

    def summary(self) -> dict[str, float]:
        wall = np.array(self.wall or [0.0])
        return {
            "calls": len(self.wall),
            "median_ms": float(np.median(wall)),
            "p99_ms": float(np.percentile(wall, 99)),
            "worst_ms": float(wall.max()),
            "worst_without_queueing_ms": float(max(self.blocked, default=0.0)),
            "over_5_ms": int((np.array(self.blocked) > 5).sum()),
            "worst_processor_ms": float(max(self.processor, default=0.0)),
        }


def queued_ms() -> float:
    """Milliseconds this thread has been ready to run and had no core, because other programs had them; 0 if unknown."""
    try:
        return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0


def measure(characters: int, seconds: float, provider: str, buffer_s: float) -> dict[str, object]:
    """Let the characters speak and return the figures."""
    workers = Threads()
    clip = read_audio(Path(str(resources.files("facewave") / "data" / "demo.wav")))
    rate = clip.sample_rate
    audio = np.resize(clip.samples, (round(seconds * rate), clip.channels))
    sends, reads, others = Calls(), Calls(), Calls()
    sources = [AudioCurveSource(device="null", buffer_s=buffer_s, workers=workers) for _ in range(characters)]
    meters = [LatencyMeter(workers.now, source) for source in sources]
    with Runtime(workers=workers) as runtime:
        runtime.override_burst_mode("burst")  # The main loop has the pace of speech.
        # Load the model and start the threads, as a game would in its loading screen.
        for meter in meters:
            runtime.animate_clip(meter, audio[: rate // 2], provider=provider)
        for source in sources:
            source.wait(30)
        for source in sources:
            others.timed(runtime.cancel, source)
        meters = [LatencyMeter(workers.now, source) for source in sources]
        before = [source.underruns for source in sources]
        processor, began = time.process_time(), time.monotonic()
        piece = round(PIECE_S * rate)
        sent, picture = 0, 0
        while sent < len(audio):
            now = time.monotonic() - began
            while sent < len(audio) and sent / rate <= now:
                block = audio[sent : sent + piece]
                sent += piece
                for meter in meters:
                    meter.captured(len(block), rate, began + (sent - piece + len(block)) / rate)
                    sends.timed(
                        runtime.animate_samples, meter, block, clip.channels, rate, sent >= len(audio),
                        provider=provider,
                    )  # fmt: skip
            if now * PICTURES >= picture:
                picture += 1
                for source in sources:
                    reads.timed(source.weights)
            time.sleep(0.001)
        spent, wall = time.process_time() - processor, time.monotonic() - began
        underruns = sum(source.underruns for source in sources) - sum(before)
        for source in sources:
            source.wait(30)
        others.timed(runtime.allocate, provider)
        others.timed(runtime.free, provider)
        frames = [figures for meter in meters if (figures := meter.figures()) is not None]
    return {
        "characters": characters,
        "seconds": seconds,
        "provider": provider or "default",
        "buffer_s": buffer_s,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "load_average": os.getloadavg()[0],
        "underruns": underruns,
        "inserted_silence_ms": sum(source.inserted_silence_s for source in sources) * 1000,
        "processor_share_of_one_core": spent / wall,
        "frames": sum(figures.frames for figures in frames),
        "frame_latency_median_ms": float(np.median([figures.median_ms for figures in frames])),
        "frame_latency_p99_ms": max(figures.p99_ms for figures in frames),
        "frame_latency_worst_ms": max(figures.worst_ms for figures in frames),
        "animate_samples": sends.summary(),
        "weights": reads.summary(),
        "cancel_allocate_free": others.summary(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--cores", type=int, default=2, help="use this many of the machine's cores")
    parser.add_argument("--buffer", type=float, default=0.2, help="seconds each player collects before it begins")
    parser.add_argument("--provider", default="")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    print(f"{options.characters} characters, {options.seconds:g} s ...", flush=True)
    figures = measure(options.characters, options.seconds, options.provider, options.buffer)
    for name, value in figures.items():
        shown = ", ".join(f"{k} {v:g}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{name:30} {shown:.4g}" if isinstance(shown, float) else f"{name:30} {shown}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
