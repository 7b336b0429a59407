"""Step 1: make synthetic speech with known phone times.

    python -m training.corpus training/configs/base.toml

Every shard of the configuration becomes one file `synthetic/NAME.npz`; a file that is already there is kept, so an
interrupted run goes on where it stopped. `manifest.json` says what each shard is made of, its licence and its hash.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewave.providers.embedded.transcript.pronounce import Phone
from training.engines import engine
from training.settings import Settings, Shard, load
from training.text import sentence

_BATCH = 25

LICENCES = {
    "flite": "CMU Flite 2.2 and its voices: permissive, BSD-like (Carnegie Mellon University)",
    "festival-kal_diphone": "permissive, BSD-like (Carnegie Mellon University, festvox-kallpc16k)",
    "festival-ked_diphone": "permissive, BSD-like (Carnegie Mellon University, festvox-kdlpc16k)",
    "festival-cmu_us_slt_arctic_hts": "permissive, BSD-like (CMU, Nagoya Institute of Technology; festvox-us-slt-hts)",
    "festival-msu_ru_nsh_clunits": "permissive, BSD-like (N. Shmyrev, festvox-ru)",
    "festival-upc_ca_ona_hts": "LGPL-2.1+ voice data (festvox-ca-ona-hts); evaluation only",
    "festival-lp_diphone": "GPL voice data (festvox-itapc16k, festvox-italp16k); evaluation only",
    "festival-pc_diphone": "GPL voice data (festvox-itapc16k); evaluation only",
    "festival-suo_fi_lj_diphone": "LGPL voice data (festvox-suopuhe-lj); evaluation only",
    "festival-czech_ph": "GPL voice data (festvox-czech-ph); evaluation only",
    "espeak": "formant synthesis by espeak-ng 1.51; the program is GPL-3+, it holds no recordings of a speaker",
}  # fmt: skip
"""By engine, or by engine and voice."""


def save_shard(path: Path, clips: list[tuple[str, NDArray[np.int16], list[Phone]]]) -> None:
    """Write clips (text, samples, phones) as one file, complete or not at all."""
    phones = [(i, *phone) for i, (_, _, timed) in enumerate(clips) for phone in timed]
    temporary = path.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        texts=np.array([text for text, _, _ in clips]),
        audio=np.concatenate([samples for _, samples, _ in clips]),
        lengths=np.array([len(samples) for _, samples, _ in clips], dtype=np.int64),
        phone_clip=np.array([p[0] for p in phones], dtype=np.int32),
        phone_times=np.array([p[1:3] for p in phones], dtype=np.float64),
        phone_symbols=np.array([p[3] for p in phones]),
    )
    temporary.replace(path)


def load_shard(path: Path) -> list[tuple[str, NDArray[np.int16], list[Phone]]]:
    """Read what `save_shard` wrote."""
    with np.load(path) as file:
        edges = np.concatenate(([0], np.cumsum(file["lengths"])))
        audio, clip, times = file["audio"], file["phone_clip"], file["phone_times"]
        symbols, texts = file["phone_symbols"], file["texts"]
    bounds = np.searchsorted(clip, np.arange(len(edges)))
    out = []
    for i in range(len(edges) - 1):
        rows = range(bounds[i], bounds[i + 1])
        timed = [(float(times[k, 0]), float(times[k, 1]), str(symbols[k])) for k in rows]
        out.append((str(texts[i]), audio[edges[i] : edges[i + 1]], timed))
    return out


def make_shard(shard: Shard, seed: int) -> list[tuple[str, NDArray[np.int16], list[Phone]]]:
    """Speak random sentences with the shard's voice until it is long enough."""
    # The seed depends on the name alone, so adding a shard leaves the others as they were.
    rng = np.random.default_rng([seed, zlib.crc32(shard.name.encode())])
    speak = engine(shard.engine)
    clips: list[tuple[str, NDArray[np.int16], list[Phone]]] = []
    wanted, have = round(shard.minutes * 60 * 16000), 0
    while have < wanted:
        texts = [sentence(shard.language, rng) for _ in range(_BATCH)]
        before = have
        for spoken in speak(shard.voice, shard.language, texts, rng):
            if have >= wanted:
                break
            if len(spoken.samples) < 4000 or np.abs(spoken.samples).max() < 1e-3:
                continue
            clips.append((spoken.text, (np.clip(spoken.samples, -1, 1) * 32767).astype(np.int16), spoken.phones))
            have += len(spoken.samples)
        if have == before:
            raise RuntimeError(f"{shard.name}: 25 sentences gave no sound; is the voice installed?")
    return clips


def licence_of(shard: Shard) -> str:
    """Licence of the voice a shard is spoken with."""
    return LICENCES.get(f"{shard.engine}-{shard.voice}") or LICENCES[shard.engine]


def main(settings: Settings) -> None:
    folder = settings.data / "synthetic"
    folder.mkdir(parents=True, exist_ok=True)
    manifest_path = folder / "manifest.json"
    manifest = json.loads(manifest_path.read_text("utf8")) if manifest_path.exists() else {}
    for number, shard in enumerate(settings.shards, start=1):
        path = folder / f"{shard.name}.npz"
        if not path.exists():
            clips = make_shard(shard, settings.seed)
            save_shard(path, clips)
            seconds = sum(len(samples) for _, samples, _ in clips) / 16000
            manifest[shard.name] = {
                **asdict(shard), "clips": len(clips), "seconds": round(seconds, 1), "licence": licence_of(shard),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }  # fmt: skip
            manifest_path.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf8")
        print(f"corpus {number}/{len(settings.shards)} {shard.name}", flush=True)


if __name__ == "__main__":
    main(load(Path(sys.argv[1])))
