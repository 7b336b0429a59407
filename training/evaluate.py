"""Step 6: score a model file on speech it never saw.

    python -m training.evaluate training/configs/base.toml [MODEL.onnx]

Runs the ONNX file itself over the test voices, languages and speakers, prints one row for each group and head, and
writes `runs/NAME/scores.json`. "rules" is what the rules themselves score: the ceiling. "loudness" moves only the
jaw, with the level of the sound: the floor."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from facewave.features.log_mel import N_MELS, log_mel
from facewave.providers.embedded.articulation import PARAMETERS
from training.prepare import Clip, human, padded, synthetic
from training.score import Judged, judge, scores
from training.settings import Settings, load

SHOWN = ("closure_recall", "closure_false", "closure_precision", "labiodental_hit", "r_eight", "r_jaw", "r_close",
         "r_pucker", "auc_rounding", "auc_jaw", "lag_ms", "rest_p95", "jitter", "class_accuracy")  # fmt: skip
MINUTES_A_GROUP = 8.0
NOISE_DB = 10.0
QUIET_S = (0.7, 1.1)


class Model:
    """An exported network, run over whole clips."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.look_ahead: list[int] = json.loads(self.metadata["look_ahead_samples"])
        layers, _, hidden = self._session.get_inputs()[1].shape
        self._state = np.zeros((layers, 1, hidden), dtype=np.float32)

    def __call__(self, samples: NDArray[np.float32], head: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Articulation (steps, 12) and most probable class (steps,), row i describing (i + 1) / 60 s."""
        ahead = round(self.look_ahead[head] * 60 / 16000)
        features = log_mel(np.pad(samples, (0, (ahead + 1) * 267)))
        n = len(features) // 2
        mouth, phones, _ = self._session.run(
            None, {"features": features[: 2 * n].reshape(1, n, 2 * N_MELS), "state": self._state}
        )
        keep = len(samples) * 60 // 16000
        return mouth[0, ahead : ahead + keep, head], phones[0, ahead : ahead + keep, head].argmax(-1)


def groups(settings: Settings) -> dict[str, list[Clip]]:
    """Test clips by voice or corpus, at most a few minutes of each, spread evenly over it."""
    found: dict[str, list[Clip]] = {}
    rng = np.random.default_rng(settings.seed)
    for made in synthetic(settings, "test"):
        clip = padded(made, rng, QUIET_S)  # these voices begin and end with their speech
        found.setdefault(f"synthetic {clip.voice} {clip.language}", []).append(clip)
    for clip in human(settings, "test"):
        found.setdefault(f"human {clip.corpus} {clip.language}", []).append(clip)
    for name, clips in found.items():
        minutes = sum(len(c.samples) for c in clips) / 16000 / 60
        found[name] = clips[:: max(1, round(minutes / MINUTES_A_GROUP))]
    return found


def loudness(clip: Clip) -> NDArray[np.float32]:
    """The floor: the jaw follows the level, nothing else moves."""
    n = len(clip.samples) * 60 // 16000
    edges = (np.arange(n + 1) * 800) // 3
    power = np.add.reduceat(np.square(clip.samples[: edges[-1]], dtype=np.float64), edges[:-1]) / np.diff(edges)
    level = np.sqrt(power) / (np.percentile(np.sqrt(power), 98) + 1e-9)
    shown = np.zeros((n, len(PARAMETERS)), dtype=np.float32)
    shown[:, 0] = np.clip(level, 0, 1) * 0.6
    return shown


def noisy(samples: NDArray[np.float32], snr_db: float) -> NDArray[np.float32]:
    """White noise added, the same every time."""
    noise = np.random.default_rng(7).standard_normal(len(samples)).astype(np.float32)
    level = float(np.sqrt(np.mean(np.square(samples)))) * 10 ** (-snr_db / 20)
    return samples + noise * np.float32(level)


def evaluate(model: Model, found: dict[str, list[Clip]]) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Scores of every group and system: (group, system, scores)."""
    union: dict[str, list[Clip]] = {}
    for name, clips in found.items():
        union.setdefault(f"{name.split()[0]}, all", []).extend(clips)
    for name, clips in (union | found).items():
        if name in union:
            yield name, "rules", scores([_ruled(c) for c in clips])
            yield name, "loudness", scores([judge(c.phones, loudness(c), c.samples) for c in clips])
            yield (
                name,
                f"{NOISE_DB:.0f} dB noise",
                scores([_heard(model, c, -1, noisy(c.samples, NOISE_DB)) for c in clips]),
            )
            yield name, "-20 dB gain", scores([_heard(model, c, -1, c.samples * np.float32(0.1)) for c in clips])
            for head, ahead in enumerate(model.look_ahead[:-1]):
                yield name, f"{ahead // 16} ms", scores([_heard(model, c, head, c.samples) for c in clips])
        yield name, f"{model.look_ahead[-1] // 16} ms", scores([_heard(model, c, -1, c.samples) for c in clips])


def _heard(model: Model, clip: Clip, head: int, samples: NDArray[np.float32]) -> Judged:
    shown, guessed = model(samples, head)
    return judge(clip.phones, shown, clip.samples, guessed)


def _ruled(clip: Clip) -> Judged:
    shown = judge(clip.phones, loudness(clip), clip.samples)
    return Judged(clip.phones, shown.wanted, shown.wanted, shown.class_ids)


def main(settings: Settings, path: Path) -> None:
    print(f"{'group':44s} {'system':12s} " + " ".join(f"{name.replace('closure_', 'cl_')[:9]:>9s}" for name in SHOWN))
    rows = []
    for group, system, found in evaluate(Model(path), groups(settings)):
        rows.append({"group": group, "system": system, **{key: round(value, 4) for key, value in found.items()}})
        shown = " ".join(f"{found.get(name, float('nan')):9.3f}" for name in SHOWN)
        print(f"{group:44s} {system:12s} {shown}", flush=True)
    settings.run.mkdir(parents=True, exist_ok=True)
    (settings.run / "scores.json").write_text(json.dumps(rows, indent=1), "utf8")


if __name__ == "__main__":
    chosen = load(Path(sys.argv[1]))
    main(chosen, Path(sys.argv[2]) if len(sys.argv) > 2 else chosen.run / "model.onnx")
