"""Speed and memory of the LocalA2F providers at published size, on random-weight networks.

    python -m benchmarks.speed.local [--seconds S] [--threads N] [--device cpu] [--variant FORM] [--streams N]
                                     [--json FILE] [KIND ...]

KIND is one of Mark, Claire, diffusion, emotion; each is measured in a process of its own. The real-time factor is the
time spent over the time of speech; below 1 is faster than real time. On a machine that does other work at the same time
only the CPU time means something: with the cores to themselves, N threads need about 1/N of it. Post-processing is
timed on one core; its input is white noise, which asks more of the solver than speech does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.folders import CLAIRE, MARK, diffusion_folder, emotion_folder, regression_folder
from facewave.emotions import EmotionSettings
from facewave.inference.fastest import fastest_form, open_network
from facewave.inference.onnx import return_memory
from facewave.providers.a2f.executors.emotion import EmotionExecutor, EmotionRate, GivenEmotion
from facewave.providers.a2f.executors.windows import AudioFeed
from facewave.providers.a2f.folder.bundle import EmotionBundle, load_bundle
from facewave.providers.a2f.provider import A2FProvider
from facewave.settings import FacewaveSettings, ModelsSettings
from facewave.streams import StreamSettings
from facewave.timing import SAMPLE_RATE

KINDS = ("Mark", "Claire", "diffusion", "emotion")
RESULTS = Path("benchmarks/results")
REPORTED_BY_OTHERS = 0.17
"""Seconds for a frame of the regression model, unbatched on a CPU through ONNX Runtime."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; none: all of them")
    parser.add_argument("--seconds", type=float, default=4.0, help="speech to animate")
    parser.add_argument("--threads", type=int, default=0, help="threads of one inference; 0: every core")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--variant", default="", help="form of the network: fp32, plane, int8, fp16; none: facewave's choice"
    )
    parser.add_argument("--streams", type=int, default=1, help="streams stepped as one batch")
    parser.add_argument("--networks", type=Path, default=RESULTS / "networks", help="where the models are kept")
    parser.add_argument("--json", type=Path, default=RESULTS / "local.json")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"unknown kind {', '.join(sorted(unknown))}, expected some of {', '.join(KINDS)}")
    if options.child:
        print(json.dumps(measure(options.kinds[0], options)))
        return 0
    rows = []
    for kind in options.kinds or KINDS:
        print(f"{kind} ...", file=sys.stderr, flush=True)
        folder = folder_of(kind, options.networks)  # made outside the measured process
        if not options.variant:
            fastest_form(folder / "network.onnx", options.device)
        command = [sys.executable, "-m", "benchmarks.speed.local", kind, "--child", *_passed(options)]
        one_core = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | one_core)
        rows.append(json.loads(run.stdout.splitlines()[-1]))
    print(table(rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report = {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg(), "rows": rows}
    options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0


def folder_of(kind: str, networks: Path) -> Path:
    """The model folder of a kind, made if need be."""
    if kind == "emotion":
        return emotion_folder(networks / "emotion")
    if kind == "diffusion":
        return diffusion_folder(networks / "diffusion")
    return regression_folder(networks / kind, *((MARK, 1) if kind == "Mark" else (CLAIRE, 4)))


def measure(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    samples = (0.1 * np.random.default_rng(0).standard_normal(int(options.seconds * SAMPLE_RATE))).astype(np.float32)
    folder = folder_of(kind, options.networks)
    models = ModelsSettings(
        face=str(folder), emotion="none", threads=options.threads, device=options.device, variant=options.variant
    )
    if kind == "emotion":
        return _measure_emotion(folder, models, samples)
    name, face = ("LocalA2F-Mark", "diffusion") if kind == "diffusion" else (f"LocalA2F-{kind}-AR", "regression")
    identity = "Mark" if kind == "diffusion" else kind
    runtime_loaded()
    before = resident_mb()
    provider = A2FProvider(name, identity, face, FacewaveSettings(models=models))  # type: ignore[arg-type]
    began = time.perf_counter()
    provider.allocate()
    row: dict[str, Any] = {"model": kind, "variant": _form(provider, options.variant), "MB before": before}
    _warm_up(provider, samples)
    row["load s"] = time.perf_counter() - began
    row["MB loaded"] = resident_mb()
    row |= _stream(provider, samples, options.streams)
    row["MB running"] = resident_mb()
    provider.free()
    row["MB after free"] = resident_mb()
    row["post ms a frame"] = _post_processing(provider, StreamSettings())
    row["post ms a single frame"] = _post_processing(provider, StreamSettings(), at_once=1)
    row["vertex post ms a frame"] = _post_processing(provider, StreamSettings(geometry=True))
    return row


def _warm_up(provider: A2FProvider, samples: np.ndarray[Any, Any]) -> None:
    """One short stream: the first one computes the small matrices, the first run allocates."""
    session = provider.open(StreamSettings())
    session.push(samples[:4800])
    session.cancel()


def runtime_loaded() -> None:
    """Import the runtime, whose own memory is no model's."""
    import onnxruntime

    assert onnxruntime.__version__


def _stream(provider: A2FProvider, samples: np.ndarray[Any, Any], streams: int) -> dict[str, Any]:
    sessions = [provider.open(StreamSettings()) for _ in range(streams)]
    frames, first = 0, None
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(samples), 8000):
        for session in sessions:
            session.feed(samples[start : start + 8000])
        frames += sum(len(made) for made in provider.step(sessions))
        if first is None and frames:
            first = time.perf_counter() - wall
    for session in sessions:
        session.end()
    frames += sum(len(made) for made in provider.step(sessions))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    seconds = streams * len(samples) / SAMPLE_RATE
    return {
        "streams": streams,
        "frames": frames,
        "real-time factor": wall / seconds,
        "CPU s a s": cpu / seconds,
        "ms a frame": 1000 * wall / frames,
        "CPU ms a frame": 1000 * cpu / frames,
        "device": provider._loaded.network.device if provider._loaded else "",
    }


def _post_processing(provider: A2FProvider, settings: StreamSettings, at_once: int = 60) -> float:
    """Milliseconds of CPU a frame from network output to weights, the best of some runs: others only add to it."""
    session = provider.open(settings)
    width = session.executor.bundle.sizes.total
    rows = (0.1 * np.random.default_rng(1).standard_normal((60, width))).astype(np.float32)
    count = 60 if not settings.geometry else 12
    session._face.frames(rows[:4])
    times = []
    for _ in range(5):
        began = time.process_time()
        for start in range(0, count, at_once):
            session._face.frames(rows[start : min(start + at_once, count)])
        times.append(time.process_time() - began)
    session.cancel()
    return 1000 * min(times) / count


def _form(provider: A2FProvider, variant: str) -> str:
    """Name of the form that runs."""
    network = provider._loaded.network if provider._loaded else None
    return variant or ("plane" if network and network.form != network.path else "fp32")


def _measure_emotion(folder: Path, models: ModelsSettings, samples: np.ndarray[Any, Any]) -> dict[str, Any]:
    runtime_loaded()
    before, began = resident_mb(), time.perf_counter()
    bundle = load_bundle(folder)
    assert isinstance(bundle, EmotionBundle)
    network = open_network(bundle.network, models.variant, threads=models.threads, device=models.device)
    loading, loaded = time.perf_counter() - began, resident_mb()
    rate = replace(EmotionRate(), skip=27)  # the fewest runs that a stream of this window allows
    executor = EmotionExecutor(bundle, network, rate, batch=1)
    audio = AudioFeed()
    audio.buffer.append(samples)
    audio.buffer.close()
    stream = executor.open(audio, EmotionSettings(), GivenEmotion(EmotionSettings(), None, np.zeros(10, np.float32)))
    wall, cpu = time.perf_counter(), time.process_time()
    executor.step([stream])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    seconds = len(samples) / SAMPLE_RATE
    running = resident_mb()
    form = models.variant or ("fp32" if network.form == network.path else "plane")
    del executor, network, stream
    return_memory()
    return {
        "model": "emotion",
        "variant": form,
        "load s": loading,
        "MB before": before,
        "MB loaded": loaded,
        "MB running": running,
        "MB after free": resident_mb(),
        "real-time factor": wall / seconds,
        "CPU s a s": cpu / seconds,
        "device": models.device,
    }


def resident_mb() -> float:
    """Memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        cells = [row.get(name, "") for name in names]
        lines.append("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |")
    return "\n".join(lines)


def _passed(options: argparse.Namespace) -> list[str]:
    return [
        "--seconds", str(options.seconds), "--threads", str(options.threads), "--device", options.device,
        "--variant", options.variant, "--streams", str(options.streams), "--networks", str(options.networks),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
