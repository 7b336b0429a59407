"""A character speaks a recording while a main loop draws it: the face for every picture, in step with the sound.

    python examples/10_talking_character.py [FILE]

Plays through the loudspeaker where there is one (`pip install 'facewave[mic]'`), otherwise only in time.
"""

from __future__ import annotations

import sys
import time
from importlib import resources

from facewave import AudioCurveSource, Runtime

PICTURES_PER_SECOND = 10

path = sys.argv[1] if len(sys.argv) > 1 else str(resources.files("facewave") / "data" / "demo.wav")

with (
    Runtime() as runtime,
    AudioCurveSource(
        on_started=lambda: print("started"), on_ended=lambda ending: print(f"ended: {ending.reason}")
    ) as character,
):
    delivery = runtime.start_file(character, path, emotion={"joy": 0.6})
    pictures = 0
    while not delivery.done or character.state != "idle":
        # A game would ask for the moment at which this picture will be on the screen.
        pose = character.pose(time.monotonic())
        bar = "#" * round(40 * min(pose["jawOpen"], 1.0))
        print(f"{character.position_s:6.2f} s  jawOpen {bar}")
        pictures += 1
        time.sleep(1 / PICTURES_PER_SECOND)
    print("all audio was sent" if delivery.result() else "interrupted")
    print(f"{pictures} pictures, {character.underruns} under-runs")
