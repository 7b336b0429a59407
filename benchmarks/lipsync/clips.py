"""The clips of the benchmark: synthesised on the spot with known phone times, and recorded speech that was aligned.

Three groups: `human` (speakers no training saw; needs a folder of recordings and its alignments), `held-out`
(festival voices and espeak-ng languages no training saw), `known` (flite and espeak-ng voices that training used,
other sentences). Synthesis is kept in a cache folder, because festival takes its time.
"""

from __future__ import annotations

import csv
import hashlib
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from facewave.providers.embedded.transcript.pronounce import Phone
from training.align_check import read_alignments
from training.engines import EngineError, engine
from training.human import Recordings, read_index

SAMPLE_RATE = 16000
SENTENCES = Path(__file__).parent / "sentences.tsv"


@dataclass(frozen=True, slots=True)
class Voice:
    """One synthetic voice and the sentences it speaks."""

    group: str
    engine: str
    name: str
    language: str


VOICES = (
    *(Voice("known", "flite", name, "en") for name in ("slt", "rms", "awb", "kal16")),
    *(Voice("known", "espeak", name, name) for name in ("de", "fr", "es", "it", "pt-br", "ru", "tr", "hi", "ja")),
    Voice("known", "espeak", "en-us", "en"),
    Voice("held-out", "festival", "ked_diphone", "en"),
    Voice("held-out", "festival", "msu_ru_nsh_clunits", "ru"),
    Voice("held-out", "festival", "upc_ca_ona_hts", "ca"),
    Voice("held-out", "festival", "lp_diphone", "it"),
    Voice("held-out", "festival", "suo_fi_lj_diphone", "fi"),
    Voice("held-out", "festival", "czech_ph", "cs"),
    Voice("held-out", "espeak", "pl", "pl"),
    Voice("held-out", "espeak", "eu", "eu"),
)
"""Which voices training used: `training/configs/base.toml`."""

HUMAN_SECONDS = {
    "librispeech": 240.0, "an4": 120.0, "google_speech_commands": 120.0, "arabic_speech_commands": 60.0,
    "rhasspy_kerstin": 100.0, "rhasspy_nathalie": 80.0, "vctk": 60.0, "aishell3": 20.0,
}  # fmt: skip
"""At most this much of each corpus's test speakers."""

QUICK_SHARE = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A recording with its phone times."""

    id: str
    group: str
    language: str
    voice: str
    """Speaker or synthetic voice."""

    samples: NDArray[np.float32]
    """Shape (n,), 16 kHz, in [-1, 1]."""

    phones: list[Phone]

    text: str = ""
    """What is said."""


def synthetic_clips(cache: Path, quick: bool, say: Callable[[str], None]) -> list[Clip]:
    """Clips of every voice whose engine is installed; `say` hears which ones are missing and why."""
    texts: dict[str, list[str]] = defaultdict(list)
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            texts[row["language"]].append(row["text"])
    clips: list[Clip] = []
    for voice in VOICES:
        wanted = texts[voice.language][: 1 if quick else None]
        try:
            clips += voice_clips(voice, wanted, cache)
        except EngineError as error:
            say(f"left out {voice.engine} {voice.name}: {error}")
    return clips


def voice_clips(voice: Voice, texts: list[str], cache: Path) -> Iterator[Clip]:
    """One clip a text, from the cache where it is there."""
    for text in texts:
        key = hashlib.sha256(f"{voice.engine}/{voice.name}/{text}".encode()).hexdigest()[:12]
        path = cache / f"{voice.engine}-{voice.name}-{key}.npz"
        if not path.is_file():
            random = np.random.default_rng(zlib.crc32(key.encode()))
            spoken = list(engine(voice.engine)(voice.name, voice.language, [text], random))
            if not spoken:
                continue
            starts, ends, symbols = zip(*spoken[0].phones, strict=True)
            cache.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.stem + ".new.npz")
            np.savez_compressed(
                temporary,
                samples=spoken[0].samples,
                starts=np.array(starts),
                ends=np.array(ends),
                symbols=np.array(symbols),
            )
            os.replace(temporary, path)
        with np.load(path) as kept:
            phones = [
                (float(a), float(b), str(symbol))
                for a, b, symbol in zip(kept["starts"], kept["ends"], kept["symbols"], strict=True)
            ]
            yield Clip(
                path.stem, voice.group, voice.language, f"{voice.engine} {voice.name}", kept["samples"], phones, text
            )


def human_clips(speech: Path, aligned: Path, quick: bool) -> list[Clip]:
    """Test-speaker recordings, spread over the speakers of each corpus.

    Raises:
        FileNotFoundError: No recordings or no alignments; the message says how to make them.
    """
    if not (aligned / "alignments.tsv").is_file() or not (aligned / "split.tsv").is_file():
        raise FileNotFoundError(
            f"no alignments in {aligned}; make them with: python -m training.human --speech {speech} --out {aligned}"
        )
    with (aligned / "split.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        test = {row["id"] for row in rows if row["split"] == "test"}
    by_corpus: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    utterances = [one for one in read_index(speech, ["aishell1"]) if one.id in test]
    for i, one in enumerate(utterances):
        by_corpus[one.corpus][one.speaker].append(i)
    chosen: list[int] = []
    for corpus, speakers in by_corpus.items():
        left = HUMAN_SECONDS.get(corpus, 60.0) * (QUICK_SHARE if quick else 1.0)
        turns = max(len(members) for members in speakers.values())
        for turn in range(turns):
            for members in speakers.values():
                if turn < len(members) and left > 0:
                    chosen.append(members[turn])
                    left -= utterances[members[turn]].duration_s
    phones = read_alignments(aligned / "alignments.tsv")
    recordings = Recordings(speech)
    return [
        Clip(one.id, "human", one.language, one.corpus, recordings.read(one).copy(), phones[one.id], one.transcript)
        for one in (utterances[i] for i in sorted(chosen))
    ]


def demo_clip() -> Clip:
    """The clip that ships with the package."""
    folder = Path(str(resources.files("facewave") / "data"))
    samples, _ = sf.read(folder / "demo.wav", dtype="float32")
    with (folder / "demo_phones.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        phones = [(float(row["start_s"]), float(row["end_s"]), row["ipa"]) for row in rows]
    return Clip("demo", "known", "en", "flite slt", samples, phones)
