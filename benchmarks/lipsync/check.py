"""The short lip-sync check: the bundled clip, and a few made on the spot where a synthesiser is installed.

`python -m benchmarks.lipsync.check` prints closure recall on p, b, m, false closure in open vowels and correlation
with the phone targets, beside the loudness floor. Definitions: `scores.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.engines import EngineError

from .clips import Clip, Voice, demo_clip, voice_clips
from .report import table
from .scores import Scored, score
from .systems import Facewave, loudness, truth

COLUMNS = ("r", "r_jaw", "r_closure", "closure_recall", "false_closure", "closure_precision", "labiodental_hit",
           "rounding_auc", "rest")  # fmt: skip
MADE = (
    (Voice("known", "flite", "rms", "en"), "Bob moved five maps above the warm piano before my family came home."),
    (Voice("known", "espeak", "de", "de"), "Meine Mutter kauft am Abend frisches Brot und ein Pfund Pflaumen."),
)


def bundled_check(clips: Sequence[Clip] | None = None, model: Path | None = None) -> dict[str, dict[str, float]]:
    """Scores of facewave, of the loudness floor and of the rules themselves.

    Args:
        clips: Clips with phone times; the bundled one by default.
        model: Another network than the bundled one.
    """
    chosen = list(clips) if clips is not None else [demo_clip()]
    truths = [truth(clip) for clip in chosen]
    system = Facewave(100, model)
    moved = {
        "facewave 100 ms": [system.weights(clip.samples) for clip in chosen],
        "loudness (floor)": [loudness(clip.samples) for clip in chosen],
        "rules (ceiling)": truths,
    }
    return {
        name: score([Scored(clip.phones, one, true) for clip, one, true in zip(chosen, weights, truths, strict=True)])
        for name, weights in moved.items()
    }


def made_clips(cache: Path) -> list[Clip]:
    """The clips of `MADE` whose engine is installed."""
    clips: list[Clip] = []
    for voice, text in MADE:
        try:
            clips += voice_clips(voice, [text], cache)
        except EngineError as error:
            print(f"left out {voice.engine} {voice.name}: {error}")
    return clips


def main() -> None:
    from .__main__ import ROOT

    print(table("Bundled clip", list(bundled_check().items()), COLUMNS))
    if clips := made_clips(ROOT / "benchmarks" / "results" / "lipsync" / "clips"):
        print(table("Made on the spot", list(bundled_check(clips).items()), COLUMNS))


if __name__ == "__main__":
    main()
