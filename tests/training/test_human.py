"""Alignment of human recordings: the path search, pronunciations, the split by speaker, and resuming."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from facewave.errors import TranscriptError
from facewave.providers.embedded.transcript.alignment import trim_swallowed_silence, with_silences
from facewave.providers.embedded.transcript.pronounce import (
    ARPABET,
    NEAREST,
    SIL,
    arpabet_to_ipa,
    english_phones,
    ipa_symbols,
)
from facewave.providers.embedded.transcript.viterbi import viterbi
from facewave.providers.embedded.transcript.words import words_of
from training import human
from training.align_check import start_errors

ROOT = Path(__file__).resolve().parent.parent.parent
SILENCE = 0


def brute_force(log_probs: np.ndarray, words: list[list[int]], min_frames: int) -> float:
    """Best score over every way of cutting the frames, found by trying all of them."""
    best = -math.inf
    for present in itertools.product([False, True], repeat=len(words) + 1):
        chain = [SILENCE] if present[0] else []
        for word, silent in zip(words, present[1:], strict=True):
            chain += [*word, *([SILENCE] if silent else [])]
        for cuts in itertools.combinations(range(1, len(log_probs)), len(chain) - 1):
            edges = [0, *cuts, len(log_probs)]
            lengths = np.diff(edges)
            if (lengths < min_frames).any():
                continue
            best = max(best, sum(log_probs[a:b, cls].sum() for a, b, cls in zip(edges, edges[1:], chain, strict=False)))
    return best


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("min_frames", [1, 2])
def test_viterbi_finds_the_best_of_all_paths(seed: int, min_frames: int) -> None:
    random = np.random.default_rng(seed)
    log_probs = np.log(random.dirichlet(np.ones(4), size=9)).astype(np.float32)
    words = [[1, 2], [3]]
    stretches, mean = viterbi(log_probs, words, SILENCE, min_frames=min_frames)
    assert mean * len(log_probs) == pytest.approx(brute_force(log_probs, words, min_frames), abs=1e-4)
    assert [cls for *_, cls, where in stretches if where >= 0] == [1, 2, 3]
    assert stretches[0][0] == 0
    assert stretches[-1][1] == len(log_probs)
    assert all(b - a >= min_frames for a, b, *_ in stretches)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(stretches))


def test_viterbi_places_clear_classes_exactly() -> None:
    spoken = [0, 0, 0, 1, 1, 2, 2, 2, 0, 0, 3, 3, 3, 3]
    log_probs = np.log(np.full((len(spoken), 4), 0.01) + 0.96 * np.eye(4)[spoken])
    stretches, _ = viterbi(log_probs.astype(np.float32), [[1, 2], [3]], SILENCE)
    assert stretches == [(0, 3, 0, -1), (3, 5, 1, 0), (5, 8, 2, 1), (8, 10, 0, -1), (10, 14, 3, 2)]


def test_viterbi_refuses_more_phones_than_frames() -> None:
    with pytest.raises(TranscriptError, match="5 phones do not fit into 9 frames"):
        viterbi(np.zeros((9, 4), np.float32), [[1, 2, 3, 1, 2]], SILENCE)


def test_every_symbol_we_write_is_known_to_the_articulation_rules() -> None:
    rules = pytest.importorskip("facewave.providers.embedded.transcript.coarticulation")
    known = set(rules.rules().target)
    assert set(NEAREST) <= known
    assert {symbol for symbols in ARPABET.values() for symbol in symbols} <= known


def test_arpabet_diphthongs_share_their_time() -> None:
    assert arpabet_to_ipa(1.0, 1.2, "AY1") == [(1.0, pytest.approx(1.12), "a"), (pytest.approx(1.12), 1.2, "ɪ")]
    assert arpabet_to_ipa(0.0, 0.1, "AH0")[0][2] == "ə"
    assert arpabet_to_ipa(0.0, 0.1, "AH1")[0][2] == "ʌ"


def test_marks_that_do_not_move_lips_are_dropped() -> None:
    assert ipa_symbols("sˤifr") == ["s", "i", "f", "r"]
    assert ipa_symbols("ˈçaːʊ̯") == ["ç", "a", "ʊ"]
    assert english_phones(["tʃ"[0], "tʃ"[1], "a", "ɪ", "l", "d"]) == ["CH", "AY", "L", "D"]
    with pytest.raises(ValueError, match="unknown IPA symbol 'Q'"):
        ipa_symbols("aQ")


def test_gaps_become_silence_and_silences_join() -> None:
    phones = [(0.2, 0.3, "b"), (0.3, 0.4, SIL), (0.5, 0.6, "a")]
    assert with_silences(phones, 1.0) == [
        (0.0, 0.2, SIL),
        (0.2, 0.3, "b"),
        (0.3, 0.5, SIL),
        (0.5, 0.6, "a"),
        (0.6, 1.0, SIL),
    ]


def test_a_stop_gives_back_the_silence_it_swallowed() -> None:
    samples = np.zeros(16000, np.float32)
    samples += np.random.default_rng(0).normal(0, 1e-4, 16000).astype(np.float32)
    samples[8000:12000] += 0.3 * np.sin(np.arange(4000) * 0.1).astype(np.float32)
    phones = trim_swallowed_silence([(0.0, 0.55, "b"), (0.55, 0.9, "a"), (0.9, 1.0, SIL)], samples)
    assert phones[0][0] == pytest.approx(0.42, abs=0.011)  # burst at 0.5 s, 80 ms of closure
    assert phones[1][1] == pytest.approx(0.81, abs=0.011)  # sound stops at 0.75 s, 60 ms of release


def utterance(name: str, speaker: str, corpus: str) -> human.Utterance:
    return human.Utterance(name, "file.flac", 0.0, 1.0, speaker, "en", "bed", corpus)


def test_split_is_by_speaker_and_does_not_depend_on_order() -> None:
    some = [utterance(f"u{i}", f"speaker{i % 40}", "big") for i in range(200)]
    some += [
        utterance("k", "kerstin", "rhasspy_kerstin"),
        utterance("x", "some_unknown", "crowd"),
        utterance("y", "solo", "one"),
    ]
    parts = human.split_speakers(some)
    assert parts == human.split_speakers(some[::-1])
    counts = [list(parts.values()).count(part) for part in ("train", "val", "test")]
    assert counts == [34 + 2, 2, 4 + 1]
    assert parts["kerstin"] == "test"
    assert parts["some_unknown"] == "train"
    assert parts["solo"] == "train"


def test_words_keep_inner_apostrophes_and_lose_punctuation() -> None:
    assert words_of("Don’t stop, the boys' well-known “game”.") == [
        "don't",
        "stop",
        "the",
        "boys'",
        "well",
        "known",
        "game",
    ]


def test_start_errors_match_phones_by_name() -> None:
    ours = [(0.0, 0.1, SIL), (0.1, 0.2, "b"), (0.2, 0.3, "ʌ"), (0.3, 0.4, "t")]
    theirs = [(0.11, 0.2, "b"), (0.2, 0.28, "ə"), (0.28, 0.3, "s"), (0.3, 0.4, "t")]
    assert start_errors(ours, theirs) == [("b", pytest.approx(-0.01)), ("ʌ", 0.0), ("t", 0.0)]


def make_corpus(folder: Path) -> None:
    """The bundled clip as a corpus of three utterances, one with a transcript that is not what is said."""
    samples, rate = sf.read(ROOT / "src" / "facewave" / "data" / "demo.wav", dtype="float32")
    folder.mkdir(parents=True)
    sf.write(folder / "one.flac", samples, rate)
    heads = ["id", "file", "start_s", "end_s", "speaker", "language", "transcript", "corpus"]
    rows = [
        ["a", "one.flac", "0.00", "2.80", "s1", "en", "My mother bought a warm blue pot for father.", "demo"],
        ["b", "one.flac", "2.80", "6.00", "s2", "en", "We all saw five very happy baby lambs", "demo"],
        [
            "c",
            "one.flac",
            "6.00",
            "6.40",
            "s2",
            "en",
            "supercalifragilistic extraordinary considerations overwhelmingly",
            "demo",
        ],
    ]
    lines = ["\t".join(row) for row in [heads, *rows]]
    (folder / "index.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_aligns_the_bundled_clip_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed; it is part of the extra `train`")
    make_corpus(tmp_path / "speech")
    out = tmp_path / "out"
    arguments = ["--speech", str(tmp_path / "speech"), "--out", str(out)]
    human.main(arguments)
    first = (out / "alignments.tsv").read_bytes()

    truth: list[tuple[float, float, str]] = []
    for line in (ROOT / "src" / "facewave" / "data" / "demo_phones.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        start, end, symbol = line.split("\t")
        if float(end) <= 2.8 and symbol != SIL:
            truth.append((float(start), float(end), symbol))
    from training.align_check import read_alignments

    found = read_alignments(out / "alignments.tsv")
    assert found["a"][0][0] == 0.0
    assert found["a"][-1][1] == pytest.approx(2.8)
    errors = np.abs([error for _, error in start_errors(found["a"], truth)])
    assert len(errors) >= 0.9 * len(truth)
    assert (errors <= 0.03).mean() >= 0.85
    assert "c" not in found
    assert "c\tdemo\t" in (out / "dropped.tsv").read_text(encoding="utf-8")

    lines = (out / "aligned" / "demo_en.jsonl").read_text(encoding="utf-8").splitlines()
    # A run that was stopped in the middle of a line: the rest is done again, with the same result.
    (out / "aligned" / "demo_en.jsonl").write_text(lines[0] + "\n" + lines[1][:40], encoding="utf-8")
    human.main(arguments)
    assert (out / "alignments.tsv").read_bytes() == first
    again = (out / "aligned" / "demo_en.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in again] == ["a", "b", "c"]


def test_a_missing_index_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.tsv"):
        human.read_index(tmp_path)
    (tmp_path / "index.tsv").write_text("id\tfile\n", encoding="utf-8")
    with pytest.raises(ValueError, match="columns missing: corpus, end_s"):
        human.read_index(tmp_path)


def test_recordings_with_inferred_words_are_trained_on_alone(tmp_path: Path) -> None:
    heads = "id\tfile\tstart_s\tend_s\tspeaker\tlanguage\ttranscript\tcorpus\n"

    def listed(name: str, speakers: range) -> None:
        rows = [f"{name}{i}\tone.flac\t0\t1\tspeaker{i}\ten\tone\tdemo\n" for i in speakers]
        (tmp_path / name).write_text(heads + "".join(rows), encoding="utf-8")

    listed("index.tsv", range(20))
    alone = human.read_index(tmp_path)
    listed("index_derived.tsv", range(15, 40))
    both = human.read_index(tmp_path)
    assert (len(alone), len(both)) == (20, 45)
    assert {one.id for one in both if one.inferred} == {f"index_derived.tsv{i}" for i in range(15, 40)}
    parts = human.split_speakers(both)
    assert {parts[f"speaker{i}"] for i in range(15, 40)} == {"train"}
    assert set(parts.values()) == {"train", "val", "test"}
