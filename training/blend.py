"""Optional: mix the weights of a run with those it had earlier.

    python -m training.blend training/configs/base.toml EARLIER.pt 0.5

When training is taken up again with another loss or other noise, the mean of the weights before and after often keeps
what each does better. EARLIER.pt is a copy of `runs/NAME/last.pt` from then; the number is the share of its weights.
The averaged weights in `last.pt`, which calibration and export take, are replaced; those that training goes on from
stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from training.settings import Settings, load


def main(settings: Settings, earlier: Path, share: float) -> None:
    if not 0 <= share <= 1:
        raise SystemExit(f"blend: share of {earlier}: found {share:g}, expected 0 to 1")
    path = settings.run / "last.pt"
    now, then = (torch.load(name, weights_only=True) for name in (path, earlier))
    weights = {name: then["average"][name].lerp(value, 1 - share) for name, value in now["average"].items()}
    temporary = path.with_suffix(".tmp")
    torch.save(now | {"average": weights}, temporary)
    temporary.replace(path)
    print(f"blend: {share:.0%} of update {then['step']}, {1 - share:.0%} of update {now['step']}", flush=True)


if __name__ == "__main__":
    main(load(Path(sys.argv[1])), Path(sys.argv[2]), float(sys.argv[3]))
