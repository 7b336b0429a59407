"""An output of one's own: anything with start, write, close and abort takes frames as they are made.

    python examples/31_custom_output.py [FILE]

This one draws the mouth in the terminal. The same object works offline (`also=`), in the runtime (`OutputConsumer`) and
behind `facewave.LiveOutputs`.
"""

from __future__ import annotations

import sys
from importlib import resources

import facewave


class TerminalMouth:
    """Ten lines a second: how far the jaw is down, and whether the lips meet."""

    def start(self, info: facewave.StreamInfo) -> None:
        """Learn where the channels are."""
        self._jaw, self._close = info.channels.index("jawOpen"), info.channels.index("mouthClose")
        self._every = round(info.frame_rate / 10)

    def write(self, frame: facewave.Frame) -> None:
        """Draw every sixth frame at 60 a second."""
        if frame.index % self._every == 0:
            jaw = frame.weights[self._jaw]
            shut = jaw < 0.05 or frame.weights[self._close] > 0.8 * jaw
            print(f"{frame.sample / 16000:6.2f} s  {'-' if shut else '(' + ' ' * round(40 * float(jaw)) + ')'}")

    def close(self) -> None:
        """The stream has ended."""
        print("end")

    def abort(self) -> None:
        """The stream was given up."""
        print("given up")


source = sys.argv[1] if len(sys.argv) > 1 else str(resources.files("facewave") / "data" / "demo.wav")
facewave.animate(source, also=TerminalMouth())
