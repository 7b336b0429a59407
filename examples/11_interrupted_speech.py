"""Speech that arrives in pieces, as from a text-to-speech service, and is interrupted when the listener speaks up.

python examples/11_interrupted_speech.py
"""

from __future__ import annotations

import time
from importlib import resources

from facewave import AudioCurveSource, Runtime
from facewave.audio.files import read_audio

speech = read_audio(str(resources.files("facewave") / "data" / "demo.wav"))
piece = speech.sample_rate // 10

with (
    Runtime() as runtime,
    AudioCurveSource(device="null", on_ended=lambda ending: print(f"ended: {ending.reason}")) as character,
):
    runtime.override_burst_mode("burst")  # The service is faster than speech; the character shall have it at once.
    for start in range(0, len(speech.samples), piece):
        samples = speech.samples[start : start + piece]
        runtime.animate_samples(character, samples, speech.channels, speech.sample_rate)
    runtime.end_samples(character)
    while character.position_s < 1.5:
        time.sleep(0.01)
    print(f"interrupted at {character.position_s:.1f} s")
    runtime.cancel(character)
    time.sleep(0.1)
    print("at rest" if not character.weights().any() else "still moving")
