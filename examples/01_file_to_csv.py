"""A recording to a CSV of weights, and a look at what is in it.

    python examples/01_file_to_csv.py [IN] [OUT.csv]

The extension of OUT chooses the format; README lists them.
"""

from __future__ import annotations

import sys
from importlib import resources

import facewave

source = sys.argv[1] if len(sys.argv) > 1 else str(resources.files("facewave") / "data" / "demo.wav")
target = sys.argv[2] if len(sys.argv) > 2 else "speech.csv"

take = facewave.animate(source, fps=60, settings=facewave.StreamSettings(clamp=True))
take.save(target)
print(f"{target}: {len(take)} frames, {take.duration_s:.2f} s, {len(take.channels)} channels")
for channel in ("jawOpen", "mouthClose", "mouthPucker"):
    weights = take.channel(channel)
    print(f"{channel}: mean {weights.mean():.2f}, highest {weights.max():.2f} at {weights.argmax() / 60:.2f} s")
