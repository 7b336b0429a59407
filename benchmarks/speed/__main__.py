"""Run the measurements one after the other, each in a process of its own, so that none warms another's caches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    names = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    runnable = [name for name in names if "__main__" in (HERE / f"{name}.py").read_text(encoding="utf-8")]
    return max(
        subprocess.run([sys.executable, "-m", f"benchmarks.speed.{name}"], check=False).returncode for name in runnable
    )


if __name__ == "__main__":
    sys.exit(main())
