"""JSON lines on standard output."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from facewave.errors import OutputError
from facewave.frames import Frame, StreamInfo
from facewave.outputs.live import open_live_output


def test_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output = open_live_output("stdout:")
    output.start(StreamInfo(Fraction(30), ("jawOpen", "mouthClose")))
    output.write(Frame(3, 1600, np.array([0.5, 0.1], np.float32)))
    output.close()
    assert capsys.readouterr().out.splitlines() == [
        '{"type": "info", "protocol": 1, "channels": ["jawOpen", "mouthClose"], "fps": 30.0, "lookAheadMs": 0.0}',
        '{"type": "frame", "index": 3, "seconds": 0.1, "weights": {"jawOpen": 0.5, "mouthClose": 0.1}}',
        '{"type": "frame", "index": 4, "seconds": 0.133333, "weights": {"jawOpen": 0.0, "mouthClose": 0.0}}',
        '{"type": "end", "frames": 5}',
    ]


PROGRAM = """
import sys
from fractions import Fraction
import numpy as np
from facewave.errors import OutputError
from facewave.frames import Frame, StreamInfo
from facewave.outputs.live import open_live_output

output = open_live_output("stdout:")
output.start(StreamInfo(Fraction(30), ("jawOpen",)))
print("started", file=sys.stderr, flush=True)
sys.stdin.readline()
try:
    for index in range(100_000):
        output.write(Frame(index, 0, np.zeros(1, np.float32)))
except OutputError as error:
    print(error, file=sys.stderr, flush=True)
"""


def test_a_reader_that_went_away_is_an_error_of_ours() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["type"] == "info"
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.close()
        assert "stdout:: standard output cannot be written" in process.stderr.read()


def test_a_closed_standard_output_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    output = open_live_output("stdout:")
    with open("/dev/null", "w") as closed:
        pass
    monkeypatch.setattr(sys, "stdout", closed)
    with pytest.raises(OutputError, match="cannot be written"):
        output.start(StreamInfo(Fraction(30), ("jawOpen",)))
