"""The second alignment: the bundled network's phone head finds phones whose times are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from facewave.inference.onnx import load_network
from facewave.providers.embedded.transcript.head import HeadAligner
from facewave.providers.embedded.transcript.pronounce import SIL, Phone
from training.align_check import start_errors
from training.human import replace
from training.realign import main, second, words_between_pauses

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "src" / "facewave" / "data"
MODEL = ROOT / "src" / "facewave" / "providers" / "embedded" / "model.onnx"


@pytest.fixture(scope="module")
def aligner() -> HeadAligner:
    return HeadAligner(load_network(MODEL))


@pytest.fixture(scope="module")
def phones() -> list[Phone]:
    lines = (DATA / "demo_phones.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [(float(a), float(b), symbol) for a, b, symbol in (line.split("\t") for line in lines)]


def test_words_are_parted_at_pauses() -> None:
    phones = [(0.0, 0.1, SIL), (0.1, 0.2, "b"), (0.2, 0.3, "a"), (0.3, 0.5, SIL), (0.5, 0.6, "t"), (0.6, 0.7, SIL)]
    assert words_between_pauses(phones) == [["b", "a"], ["t"]]


def test_log_probabilities_are_one_row_a_frame(aligner: HeadAligner) -> None:
    samples = np.zeros(16000 + 1, np.float32)
    found = aligner.log_probs(samples)
    assert found.shape == (61, 24)
    assert np.exp(found).sum(axis=1) == pytest.approx(1, abs=1e-3)


def test_finds_the_phones_of_the_bundled_clip(aligner: HeadAligner, phones: list[Phone]) -> None:
    samples, _ = sf.read(DATA / "demo.wav", dtype="float32")
    found = aligner.align(samples, words_between_pauses(phones))
    spoken = [phone for phone in phones if phone[2] != SIL]
    assert [phone[2] for phone in found.phones if phone[2] != SIL] == [phone[2] for phone in spoken]
    errors = np.abs([error for _, error in start_errors(found.phones, spoken)])
    assert np.median(errors) <= 0.02
    assert (errors <= 0.05).mean() >= 0.8
    assert found.phones[0][0] == 0
    assert found.phones[-1][1] == pytest.approx(len(samples) / 16000)


def test_a_second_alignment_far_from_the_first_is_not_taken(aligner: HeadAligner, phones: list[Phone]) -> None:
    samples, _ = sf.read(DATA / "demo.wav", dtype="float32")
    late = [(start + 0.5, end + 0.5, symbol) for start, end, symbol in phones]
    kept, reason = second(aligner, samples, late)
    assert kept == late
    assert "moved by 0." in reason


def test_a_second_alignment_that_does_not_sound_like_its_phones_is_not_taken(
    aligner: HeadAligner, phones: list[Phone]
) -> None:
    samples, _ = sf.read(DATA / "demo.wav", dtype="float32")
    wrong = [(start, end, symbol if symbol == SIL else "s") for start, end, symbol in phones]
    kept, reason = second(aligner, samples, wrong)
    assert kept == wrong
    assert reason.startswith("score")


def test_keeps_the_first_table(tmp_path: Path, phones: list[Phone]) -> None:
    speech, out = tmp_path / "speech", tmp_path / "out"
    speech.mkdir()
    out.mkdir()
    samples, rate = sf.read(DATA / "demo.wav", dtype="float32")
    sf.write(speech / "demo.flac", samples, rate)
    heads = ["id", "file", "start_s", "end_s", "speaker", "language", "transcript", "corpus"]
    row = ["a", "demo.flac", "0", f"{len(samples) / rate:.4f}", "s", "en", "words", "demo"]
    replace(speech / "index.tsv", "\t".join(heads) + "\n" + "\t".join(row) + "\n")
    lines = ["id\tstart_s\tend_s\tphone", *(f"a\t{a + 0.03:.3f}\t{b + 0.03:.3f}\t{symbol}" for a, b, symbol in phones)]
    replace(out / "alignments.tsv", "\n".join(lines) + "\n")
    main(["--speech", str(speech), "--out", str(out), "--model", str(MODEL)])
    first = (out / "alignments.first.tsv").read_text(encoding="utf-8")
    assert first == "\n".join(lines) + "\n"
    assert (out / "alignments.tsv").read_text(encoding="utf-8") != first
