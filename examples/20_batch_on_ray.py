"""A batch through Ray Data: clips in, a table with one row a clip out. Needs the extra `ray`.

python examples/20_batch_on_ray.py [INPUT... OUTPUT]
"""

from __future__ import annotations

import sys
import tempfile
from importlib import resources

import pyarrow.parquet

from facewave import StreamSettings
from facewave.batch.plan import Plan
from facewave.batch.ray import animate_with_ray
from facewave.settings import load_settings

*inputs, output = sys.argv[1:] or [str(resources.files("facewave") / "data" / "demo.wav"), tempfile.mkdtemp()]

plan = Plan(provider="", project=load_settings(), settings=StreamSettings(), extension=".parquet")
summary = animate_with_ray(inputs, output, plan)
print(f"{summary.animated} animated, {summary.skipped} there before, {len(summary.failed)} failed")

for row in pyarrow.parquet.read_table(output, columns=["input", "frames", "duration_s", "jawOpen"]).to_pylist():
    print(f"{row['input']}: {row['frames']} frames, {row['duration_s']:.1f} s, jaw up to {max(row['jawOpen']):.2f}")
