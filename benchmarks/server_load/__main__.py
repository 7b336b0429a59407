"""`python -m benchmarks.server_load`: ramp, burst and soak; a table, `load.json` and `load.png`."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from . import clients

CLIENTS_PER_PROCESS = 200
MIN_FPS = 29.5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server_load")
    parser.add_argument("--url", help="host:port of a running server; none starts one")
    parser.add_argument("--provider", default="", help="provider of the server that is started")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server that is started")
    parser.add_argument("--ramp", default="10,25,50,75,100,125,150", help="numbers of clients, comma-separated")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of each client's clip")
    parser.add_argument(
        "--fps", type=float, default=30.0, help="frames a second of the server, which clips are checked by"
    )
    parser.add_argument("--burst", type=int, default=8, help="clips sent at once; 0 skips the burst")
    parser.add_argument("--soak-minutes", type=float, default=0.0, help="length of the soak; 0 skips it")
    parser.add_argument("--soak-clients", type=int, default=20, help="clients of the soak")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of load.json and load.png")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    ramp = [int(text) for text in asked.ramp.split(",") if text]
    with server(asked.url, asked.provider, asked.workers, max([*ramp, asked.burst, asked.soak_clients]) + 8) as (
        target,
        process,
    ):
        report: dict[str, Any] = {
            "machine": {
                "cpu": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "load_before": os.getloadavg()[0],
                "python": platform.python_version(),
            },
            "workers": asked.workers,
            "provider": asked.provider or "default",
            "clip_s": asked.seconds,
        }
        real_time(target, process, 2, 3.0, asked.fps)  # Warm-up, not reported.
        report["ramp"] = run_ramp(target, process, ramp, asked.seconds, asked.fps)
        if asked.burst:
            report["burst"] = run_burst(target, asked.burst, asked.seconds, asked.fps)
            print(f"burst: {report['burst']['speech_s_per_s']:.0f} s of speech a second")
        if asked.soak_minutes:
            report["soak"] = run_soak(target, process, asked.soak_clients, asked.soak_minutes, asked.fps)
            print(f"soak: {report['soak']['slope_mb_per_hour']:+.2f} MB an hour over its second half")
        report["machine"]["load_after"] = os.getloadavg()[0]
    path = asked.out / "load.json"
    path.write_text(json.dumps(report, indent=2))
    plot(report, asked.out / "load.png")
    print(f"written: {path}")


@contextmanager
def server(url: str | None, provider: str, workers: int, streams: int) -> Iterator[tuple[str, psutil.Process | None]]:
    """A server to measure: the given one, or one of our own on free ports."""
    if url is not None:
        yield url, None
        return
    port, http = _free_port(), _free_port()
    command = [
        sys.executable, "-m", "facewave", "serve", "--port", str(port), "--http", f"127.0.0.1:{http}",
        "--workers", str(workers), "--streams", str(streams), "--drain", "1", "--provider", provider,
    ]  # fmt: skip
    started = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_ready(http, started)
        yield f"127.0.0.1:{port}", psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(20)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit("the server did not start; run `facewave serve` to see why")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/health/ready", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server was not ready within a minute")


def real_time(
    target: str, process: psutil.Process | None, count: int, seconds: float, fps: float, *, paced: bool = True
) -> tuple[list[clients.Result], dict[str, float]]:
    """Run `count` clients to their end; their results, and what they, the server and the rest of the machine used."""
    context = multiprocessing.get_context("spawn")
    jobs = []
    before, idle, busy = _cpu_s(process), _memory_mb(process), _busy_s() - time.process_time()
    began = time.perf_counter()
    left = count
    while left:
        share = min(CLIENTS_PER_PROCESS, left)
        ours, theirs = context.Pipe(duplex=False)
        spread = min(3.0, seconds / 3) if paced else 0.0
        job = context.Process(
            target=clients.run, args=(target, share, seconds, spread, theirs), kwargs={"real_time": paced, "fps": fps}
        )
        job.start()
        jobs.append((job, ours))
        left -= share
    peak = [idle]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.5):
            peak[0] = max(peak[0], _memory_mb(process))

    sampler = threading.Thread(target=sample)
    sampler.start()
    results, client_cpu_s, own_cpu_s = [], 0.0, 0.0
    for _, pipe in jobs:
        theirs, playing_s, whole_s = pipe.recv()
        results += theirs
        client_cpu_s, own_cpu_s = client_cpu_s + playing_s, own_cpu_s + whole_s
    wall = time.perf_counter() - began
    server_cpu_s, busy = _cpu_s(process) - before, _busy_s() - time.process_time() - busy
    for job, _ in jobs:
        job.join()
    done.set()
    sampler.join()
    used = {
        "wall_s": wall,
        "server_cpu_s": server_cpu_s,
        "client_cpu_s": client_cpu_s,
        "other_cores": max(0.0, busy - server_cpu_s - own_cpu_s) / wall,
        "idle_mb": idle,
        "peak_mb": peak[0],
    }
    return results, used


def run_ramp(
    target: str, process: psutil.Process | None, counts: list[int], seconds: float, fps: float
) -> list[dict[str, Any]]:
    """More and more real-time clients, until the slowest percentile falls behind."""
    rows = []
    print(
        " streams   fps p1  p50   first frame p50   p99     CPU a stream  a client"
        "   memory a stream   other cores   errors"
    )
    for count in counts:
        results, used = real_time(target, process, count, seconds, fps)
        good = [result for result in results if not result.error]
        speed = np.array([result.fps for result in good] or [0.0])
        first = np.array([result.first_s for result in good] or [0.0]) * 1000
        row: dict[str, Any] = {
            "streams": count,
            "fps_p1": float(np.percentile(speed, 1)),
            "fps_p50": float(np.percentile(speed, 50)),
            "first_frame_ms_p50": float(np.percentile(first, 50)),
            "first_frame_ms_p99": float(np.percentile(first, 99)),
            "server_cpu_percent_per_stream": 100 * used["server_cpu_s"] / used["wall_s"] / count,
            "client_cpu_percent_per_stream": 100 * used["client_cpu_s"] / used["wall_s"] / count,
            "memory_mb_per_stream": (used["peak_mb"] - used["idle_mb"]) / count,
            "errors": sorted({result.error for result in results if result.error}),
            "load": os.getloadavg()[0],
            **used,
        }
        rows.append(row)
        print(
            f"{count:8d} {row['fps_p1']:8.1f} {row['fps_p50']:5.1f} {row['first_frame_ms_p50']:14.0f} ms"
            f" {row['first_frame_ms_p99']:5.0f} ms {row['server_cpu_percent_per_stream']:10.2f} %"
            f" {row['client_cpu_percent_per_stream']:7.2f} % {row['memory_mb_per_stream']:14.2f} MB"
            f" {row['other_cores']:13.2f} {len(results) - len(good):8d}",
            flush=True,
        )
        if row["fps_p1"] < MIN_FPS or row["errors"]:
            break
    return rows


def run_burst(target: str, count: int, seconds: float, fps: float) -> dict[str, float]:
    """Clips as fast as they can be sent."""
    results, used = real_time(target, None, count, seconds, fps, paced=False)
    failed = [result.error for result in results if result.error]
    if failed:
        raise SystemExit(f"burst: {failed[0]}")
    return {"clips": count, "wall_s": used["wall_s"], "speech_s_per_s": count * seconds / used["wall_s"]}


def run_soak(target: str, process: psutil.Process | None, count: int, minutes: float, fps: float) -> dict[str, Any]:
    """The same clients over and over, with the server's memory after each round."""
    began = time.monotonic()
    rows: list[tuple[float, float]] = []
    while time.monotonic() - began < minutes * 60:
        results, _ = real_time(target, process, count, 10.0, fps)
        errors = [result.error for result in results if result.error]
        if errors:
            raise SystemExit(f"soak: {errors[0]}")
        rows.append((time.monotonic() - began, _memory_mb(process)))
        print(f"soak: {rows[-1][0] / 60:5.1f} of {minutes:g} min, {rows[-1][1]:.1f} MB", flush=True)
    later = np.array(rows[len(rows) // 2 :])
    slope = float(np.polyfit(later[:, 0], later[:, 1], 1)[0]) * 3600 if len(later) > 1 else 0.0
    return {"clients": count, "minutes": minutes, "memory_mb": rows, "slope_mb_per_hour": slope}


def plot(report: dict[str, Any], path: Path) -> None:
    """Frames a second and first-frame latency over the number of streams."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = report["ramp"]
    streams = [row["streams"] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    left.plot(streams, [row["fps_p1"] for row in rows], marker="o", label="1st percentile")
    left.plot(streams, [row["fps_p50"] for row in rows], marker="o", label="median")
    left.axhline(MIN_FPS, color="grey", linewidth=1)
    left.set(xlabel="streams", ylabel="frames per second", ylim=(0, None))
    left.legend()
    right.plot(streams, [row["first_frame_ms_p50"] for row in rows], marker="o", label="median")
    right.plot(streams, [row["first_frame_ms_p99"] for row in rows], marker="o", label="99th percentile")
    right.set(xlabel="streams", ylabel="header to first frame, ms", ylim=(0, None))
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _processes(process: psutil.Process | None) -> list[psutil.Process]:
    return [] if process is None else [process, *process.children(recursive=True)]


def _cpu_s(process: psutil.Process | None) -> float:
    return sum(_cpu_of(one.pid) for one in _processes(process))


def _cpu_of(pid: int | None) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _busy_s() -> float:
    """Processor seconds that everything on the machine has used."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "steal", 0.0))


def _memory_mb(process: psutil.Process | None) -> float:
    total = 0.0
    for one in _processes(process):
        try:
            # Unique memory: what all processes share would be counted once for each.
            total += one.memory_full_info().uss / 2**20
        except psutil.Error:
            continue
    return total


if __name__ == "__main__":
    main()
