"""How well any system's blend shapes follow speech whose phone times are known: `python -m benchmarks.lipsync`."""
