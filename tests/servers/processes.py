"""`facewave serve` as a process of its own, and what it answers over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.serving import wait_until

ROOT = Path(__file__).parents[2]


class Process:
    """A running `facewave serve`."""

    def __init__(self, *arguments: str, stderr: int | None = None) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        self.log: list[str] = []
        self.popen = subprocess.Popen(
            [
                *(sys.executable, "-m", "facewave", "serve"),
                *("--provider", "Embedded", "--port", "0", "--http", "127.0.0.1:0", "--log-json", *arguments),
            ],
            stderr=subprocess.PIPE if stderr is None else stderr,
            env=environment,
            cwd=ROOT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        if stderr is None:
            self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.log.append(line)

    def lines(self, message: str) -> list[dict[str, object]]:
        found = [json.loads(line) for line in self.log if line.startswith("{")]
        return [line for line in found if line["message"] == message]

    def wait_ready(self) -> dict[str, object]:
        def ready() -> bool:
            assert self.popen.poll() is None, "".join(self.log)
            return any("http" in line for line in self.lines("Running..."))

        wait_until(ready, timeout=180)
        return next(line for line in self.lines("Running...") if "http" in line)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
        self.popen.wait(60)
        self._reader.join(10)
        assert self.popen.stderr is not None
        self.popen.stderr.close()


@contextmanager
def process(*arguments: str) -> Iterator[tuple[Process, dict[str, object]]]:
    one = Process(*arguments)
    try:
        yield one, one.wait_ready()
    finally:
        one.close()


def get(port: object, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
