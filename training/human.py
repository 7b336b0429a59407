"""Aligns a folder of human recordings with their transcripts, and splits them by speaker.

    python -m training.human --speech DIR --out training/data/human

`DIR` holds `index.tsv` (columns id, file, start_s, end_s, speaker, language, transcript, corpus, among others; 16 kHz
mono files) and, where there are Arabic words, `arabic_keywords.tsv`. An `index_derived.tsv` of the same form may list
recordings whose wording is partly inferred. Written into the output folder:

- `alignments.tsv`: id, start_s, end_s, phone (IPA symbol, or `sil`); times from the start of the utterance.
- `split.tsv`: id, speaker, split (train, val or test), language, corpus.
- `dropped.tsv`: id, corpus, reason: utterances left out, because their alignment looks wrong.
- `aligned/*.jsonl`: one line an utterance as it was aligned; a run that was stopped goes on from there.

Whole speakers go to one part. Test: `TEST_SPEAKERS`, and of every corpus whose speakers are known a tenth; validation:
a twentieth of the others. The choice follows a hash of the speaker's name, so another machine makes the same one.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from facewave.errors import TranscriptError
from facewave.providers.embedded.transcript.alignment import Alignment
from facewave.providers.embedded.transcript.pronounce import Phone, espeak_words, ipa_symbols
from facewave.providers.embedded.transcript.sphinx import SphinxAligner
from facewave.providers.embedded.transcript.words import words_of
from facewave.timing import SAMPLE_RATE

SPHINX_BIAS_S = 0.006
"""Added to every boundary. PocketSphinx sets boundaries early: 5 to 7 ms on three flite voices, whose times are exact,
and 6.5 ms on four LibriSpeech speakers against the Montreal Forced Aligner (`python -m training.align_check`)."""

TEST_SPEAKERS = frozenset({"kerstin", "nathalie"})
"""Single-speaker corpora kept whole for testing: German and Dutch."""

INDEX, DERIVED = "index.tsv", "index_derived.tsv"
"""The second may be missing. What it lists may be wrong here and there: good enough to train on, never to test."""

TEST_SHARE = 0.1
VAL_SHARE = 0.05
LEFT_OUT = frozenset({"aishell1"})
"""Corpora whose licence is not settled; `--include` takes them in."""

FIRST = ("librispeech", "an4", "rhasspy_kathleen", "google_speech_commands", "picovoice_wakeword")
"""Corpora aligned first, by what they add to training."""

SCORE_OUTLIER = 3.5
"""Drop an utterance whose score lies this many robust deviations below its corpus."""

RUSHED_MOST = 0.5
"""Drop an utterance in which more than this share of the phones has the shortest length."""

LONGEST_CONSONANT_S = 0.45
LONGEST_VOWEL_S = 0.9
VOWELS = frozenset("iɪeɛæaɑɐɒəʌɜɘɵɨɯɤʉoɔuʊyʏøœɚ")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of `index.tsv`."""

    id: str
    file: str
    start_s: float
    end_s: float
    speaker: str
    language: str
    transcript: str
    corpus: str
    inferred: bool = False
    """Whether parts of the transcript are a guess."""

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def read_index(speech: Path, include: Iterable[str] = ()) -> list[Utterance]:
    """Every utterance of the folder, the most useful corpora first.

    Raises:
        FileNotFoundError: No `index.tsv` there.
        ValueError: A column is missing.
    """
    if not (speech / INDEX).is_file():
        raise FileNotFoundError(
            f"{speech / INDEX} not found; expected a folder of recordings with an index.tsv, see training/README.md"
        )
    taken = set(include)
    found = [
        one
        for path in (speech / INDEX, speech / DERIVED)
        if path.is_file()
        for one in _listed(path)
        if one.corpus not in LEFT_OUT or one.corpus in taken
    ]
    return sorted(found, key=lambda one: (order(one), one.corpus, one.language))


def _listed(path: Path) -> Iterator[Utterance]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = {"id", "file", "start_s", "end_s", "speaker", "language", "transcript", "corpus"} - set(
            rows.fieldnames or ()
        )
        if missing:
            raise ValueError(f"{path}: columns missing: {', '.join(sorted(missing))}")
        for row in rows:
            yield Utterance(
                row["id"], row["file"], float(row["start_s"]), float(row["end_s"]), row["speaker"], row["language"],
                row["transcript"], row["corpus"], path.name == DERIVED,
            )  # fmt: skip


def order(utterance: Utterance) -> int:
    if utterance.corpus in FIRST:
        return FIRST.index(utterance.corpus)
    return len(FIRST) + (utterance.language != "en")


def split_speakers(utterances: Collection[Utterance]) -> dict[str, str]:
    """Train, val or test for each speaker, the same on every machine and for any order of the utterances."""
    speakers: dict[str, set[str]] = defaultdict(set)
    for one in utterances:
        speakers[one.corpus].add(one.speaker)
    to_train = {one.speaker for one in utterances if one.inferred or "_unknown" in one.speaker}
    parts: dict[str, str] = {}
    for names in speakers.values():
        known = sorted((name for name in names if name not in to_train | TEST_SPEAKERS), key=speaker_hash)
        n_test = max(round(TEST_SHARE * len(known)), 1) if len(known) > 1 else 0
        n_val = round(VAL_SHARE * (len(known) - n_test))
        for i, name in enumerate(known):
            parts[name] = "test" if i < n_test else "val" if i < n_test + n_val else "train"
        for name in names - set(known):
            parts[name] = "train" if name in to_train else "test"
    return parts


def speaker_hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


class Recordings:
    """Reads utterances out of the corpus files; keeps the last file, because neighbours share it."""

    def __init__(self, speech: Path) -> None:
        self._speech = speech
        self._file = ""
        self._samples = np.zeros(0, np.float32)

    def read(self, utterance: Utterance) -> NDArray[np.float32]:
        """Samples of one utterance, shape (n,), 16 kHz mono.

        Raises:
            ValueError: The file has another rate.
        """
        if utterance.file != self._file:
            samples, rate = sf.read(self._speech / utterance.file, dtype="float32")
            if rate != SAMPLE_RATE:
                raise ValueError(f"{utterance.file} has {rate} Hz, expected {SAMPLE_RATE} Hz; resample it first")
            self._file, self._samples = utterance.file, samples
        return self._samples[round(utterance.start_s * SAMPLE_RATE) : round(utterance.end_s * SAMPLE_RATE)]


def pronunciation(utterance: Utterance, arabic: dict[str, str]) -> list[list[str]]:
    """IPA symbols for each word of an utterance in any language."""
    if utterance.language == "ar" and utterance.transcript in arabic:
        return [ipa_symbols(arabic[utterance.transcript])]
    return [list(word) for word in espeak_words(utterance.transcript, utterance.language)]


def read_arabic(speech: Path) -> dict[str, str]:
    """Spelling to IPA of the Arabic command words, empty without the table."""
    path = speech / "arabic_keywords.tsv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["arabic"]: row["ipa"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


class Worker:
    """Aligns one utterance after another in its own process."""

    def __init__(self, speech: Path, bias_s: float) -> None:
        self._recordings = Recordings(speech)
        self._aligner = SphinxAligner(bias_s)
        self._arabic = read_arabic(speech)

    def align(self, utterance: Utterance) -> dict[str, object]:
        """One line of `aligned/*.jsonl`: phones, score and share of rushed phones, or an error."""
        samples = self._recordings.read(utterance)
        try:
            found = self._align(utterance, samples)
        except (TranscriptError, ValueError) as error:
            return {"id": utterance.id, "error": str(error)}
        phones = [[round(start, 3), round(end, 3), symbol] for start, end, symbol in found.phones]
        return {"id": utterance.id, "score": round(found.score, 3), "rushed": round(found.rushed, 3), "phones": phones}

    def _align(self, utterance: Utterance, samples: NDArray[np.float32]) -> Alignment:
        if utterance.language != "en":
            return self._aligner.align_ipa(samples, pronunciation(utterance, self._arabic))
        words = words_of(utterance.transcript)
        spoken = {
            word: [symbol for part in espeak_words(word, "en") for symbol in part]
            for word in words
            if not self._aligner.knows(word)
        }
        return self._aligner.align_english(samples, words, spoken)


_worker: Worker | None = None


def start_worker(speech: Path, bias_s: float) -> None:
    global _worker
    # Ctrl-C is the parent's to answer; it ends the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = Worker(speech, bias_s)


def work(utterance: Utterance) -> dict[str, object]:
    assert _worker is not None
    return _worker.align(utterance)


def align_all(speech: Path, out: Path, utterances: list[Utterance], jobs: int, bias_s: float) -> None:
    """Align what is not aligned yet, into one file for each corpus and language."""
    folder = out / "aligned"
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for one in utterances:
        groups[f"{one.corpus}_{one.language}"].append(one)
    with get_context("spawn").Pool(jobs, start_worker, (speech, bias_s)) as pool:
        for name, members in groups.items():
            path = folder / f"{name}.jsonl"
            done = read_lines(path)
            left = [one for one in members if one.id not in done]
            with path.open("a", encoding="utf-8") as file:
                for i, result in enumerate(pool.imap(work, left, chunksize=8), start=1):
                    file.write(json.dumps(result, ensure_ascii=False) + "\n")
                    if i % 20 == 0 or i == len(left):
                        file.flush()
                        count = len(members) - len(left) + i
                        print(f"\r{name}: {count}/{len(members)}", end="", file=sys.stderr, flush=True)
            if left:
                print(file=sys.stderr)


def read_results(out: Path) -> dict[str, dict[str, object]]:
    """Everything aligned so far, by id, whichever run did it."""
    results: dict[str, dict[str, object]] = {}
    for path in sorted((out / "aligned").glob("*.jsonl")):
        results.update(read_lines(path))
    return results


def read_lines(path: Path) -> dict[str, dict[str, object]]:
    """What an earlier run finished; a line cut short by its end is dropped from the file."""
    if not path.is_file():
        return {}
    done: dict[str, dict[str, object]] = {}
    whole = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            result = json.loads(line)
        except json.JSONDecodeError:
            continue
        done[result["id"]] = result
        whole.append(line)
    replace(path, "".join(line + "\n" for line in whole))
    return done


def replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def phones_of(result: dict[str, object]) -> list[Phone]:
    phones = result["phones"]
    assert isinstance(phones, list)
    return [(start, end, symbol) for start, end, symbol in phones]


def number(result: dict[str, object], key: str) -> float:
    value = result[key]
    assert isinstance(value, int | float)
    return float(value)


def find_wrong(utterances: list[Utterance], results: dict[str, dict[str, object]]) -> dict[str, str]:
    """Reasons to leave utterances out, by id."""
    wrong: dict[str, str] = {}
    groups: dict[str, list[str]] = defaultdict(list)
    for one in utterances:
        result = results[one.id]
        if "error" in result:
            wrong[one.id] = str(result["error"])
        else:
            groups[f"{one.corpus}_{one.language}"].append(one.id)
    for ids in groups.values():
        scores = np.array([number(results[key], "score") for key in ids])
        middle = float(np.median(scores))
        spread = 1.4826 * float(np.median(np.abs(scores - middle))) + 1e-6
        for key, score in zip(ids, scores, strict=True):
            if score < middle - SCORE_OUTLIER * spread:
                wrong[key] = f"score {score:.1f}, its corpus has {middle:.1f} +- {spread:.1f}"
            elif number(results[key], "rushed") > RUSHED_MOST:
                wrong[key] = f"{number(results[key], 'rushed'):.0%} of the phones have the shortest length"
            else:
                for start, end, symbol in phones_of(results[key]):
                    longest = LONGEST_VOWEL_S if symbol in VOWELS else LONGEST_CONSONANT_S
                    if symbol != "sil" and end - start > longest:
                        wrong[key] = f"{symbol} lasts {end - start:.2f} s"
    return wrong


def write_tables(
    out: Path, utterances: list[Utterance], results: dict[str, dict[str, object]], parts: dict[str, str]
) -> None:
    """Write `alignments.tsv`, `split.tsv` and `dropped.tsv`, and print what is in them."""
    wrong = find_wrong(utterances, results)
    kept = [one for one in utterances if one.id not in wrong]
    lines = ["id\tstart_s\tend_s\tphone"]
    for one in kept:
        lines += [f"{one.id}\t{start:.3f}\t{end:.3f}\t{symbol}" for start, end, symbol in phones_of(results[one.id])]
    replace(out / "alignments.tsv", "\n".join(lines) + "\n")
    rows = [f"{one.id}\t{one.speaker}\t{parts[one.speaker]}\t{one.language}\t{one.corpus}" for one in kept]
    replace(out / "split.tsv", "\n".join(["id\tspeaker\tsplit\tlanguage\tcorpus", *rows]) + "\n")
    drops = [f"{one.id}\t{one.corpus}\t{wrong[one.id]}" for one in utterances if one.id in wrong]
    replace(out / "dropped.tsv", "\n".join(["id\tcorpus\treason", *drops]) + "\n")
    for line in summary(kept, [one for one in utterances if one.id in wrong], parts):
        print(line)


def summary(kept: list[Utterance], dropped: list[Utterance], parts: dict[str, str]) -> Iterator[str]:
    """A table of utterances, hours and speakers for each corpus, language and part."""
    yield f"{'corpus':26}{'lang':6}{'part':7}{'utterances':>11}{'hours':>8}{'speakers':>10}{'dropped':>9}"
    lost = Counter((one.corpus, one.language, parts[one.speaker]) for one in dropped)
    groups: dict[tuple[str, str, str], list[Utterance]] = defaultdict(list)
    for one in kept:
        groups[one.corpus, one.language, parts[one.speaker]].append(one)
    for key, members in groups.items():
        hours = sum(one.duration_s for one in members) / 3600
        speakers = len({one.speaker for one in members})
        yield f"{key[0]:26}{key[1]:6}{key[2]:7}{len(members):11}{hours:8.2f}{speakers:10}{lost[key]:9}"
    hours = sum(one.duration_s for one in kept) / 3600
    yield f"{'all':39}{len(kept):11}{hours:8.2f}{len({one.speaker for one in kept}):10}{len(dropped):9}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="folder with index.tsv")
    parser.add_argument("--out", type=Path, default=Path("training/data/human"))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--include", nargs="*", default=[], help="corpora left out by default: aishell1")
    parser.add_argument("--only", nargs="*", default=[], help="align these corpora alone")
    parser.add_argument("--limit", type=int, default=0, help="at most this many utterances of each corpus (0: all)")
    options = parser.parse_args(arguments)
    utterances = read_index(options.speech, options.include)
    parts = split_speakers(utterances)
    wanted = [one for one in utterances if not options.only or one.corpus in options.only]
    if options.limit:
        seen: Counter[str] = Counter()
        for one in list(wanted):
            seen[one.corpus] += 1
            if seen[one.corpus] > options.limit:
                wanted.remove(one)
    try:
        align_all(options.speech, options.out, wanted, options.jobs, SPHINX_BIAS_S)
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; what is aligned is kept, and the same command goes on from there") from None
    results = read_results(options.out)
    write_tables(options.out, [one for one in utterances if one.id in results], results, parts)


if __name__ == "__main__":
    main()
