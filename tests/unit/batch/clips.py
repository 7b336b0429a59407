"""Short clips for batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def hums(folder: Path, count: int, seconds: float = 0.5) -> list[Path]:
    """So many different hums as wav files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"hum{i:02d}.wav" for i in range(count)]
    for i, path in enumerate(paths):
        soundfile.write(path, 0.2 * np.sin(np.arange(int(16000 * seconds)) * (0.05 + 0.004 * i)), 16000)
    return paths
