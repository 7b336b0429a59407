"""Reading of what the synthesisers say about their phones; the synthesisers themselves run in `test_pipeline`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="training needs the extra `train`: pip install facewave[train]")
pytest.importorskip("soxr", reason="training needs the extra `train`: pip install facewave[train]")

from facewave.providers.embedded.transcript.coarticulation import rules
from training import text
from training.engines import EngineError, engine, espeak, festival, flite
from training.engines.base import contiguous
from training.settings import ROOT, SettingsError, load


def test_flite_ends_become_spans_and_diphthongs_two_vowels() -> None:
    phones = flite._phones("pau:0.100 m:0.200 ay:0.400 pau:0.500 ")
    assert [p[2] for p in phones] == ["sil", "m", "a", "ɪ", "sil"]
    assert phones[1][:2] == (0.1, 0.2)
    assert phones[2][1] == pytest.approx(0.1 + 0.1 + 0.6 * 0.2)
    assert phones[3][1] == 0.4


@pytest.mark.parametrize(
    ("name", "symbols"),
    [
        ("ts.h", ["t", "ʂ"]),
        ("onɡ", ["o", "ŋ"]),
        ("ɯᵝ", ["ɯ"]),
        ("(en)", []),
        ("", []),
        ("aɪ", ["a", "ɪ"]),
        ("uː", ["u"]),
    ],
)
def test_espeak_names_become_known_symbols(name: str, symbols: list[str]) -> None:
    assert espeak.symbols_of(name) == symbols


def test_espeak_boundaries_are_no_pauses_but_long_gaps_are() -> None:
    late = espeak.EVENT_LATE_S
    events = [
        (0.1 + late, "a"),
        (0.2 + late, ""),
        (0.21 + late, "b"),
        (0.3 + late, ""),
        (0.6 + late, "a"),
        (0.7 + late, ""),
    ]
    phones = contiguous(espeak._phones(events, 1.0), 1.0)
    assert [p[2] for p in phones] == ["a", "b", "sil", "a", "sil"]
    assert phones[1][1] == pytest.approx(0.3)


def test_festival_segments_are_read_with_the_voices_names(tmp_path: Path) -> None:
    path = tmp_path / "u.seg"
    path.write_text("#\n0.2 100 pau\n0.3 100 tS\n0.5 100 O1\n0.6 100 #\n", "utf8")
    phones = festival._phones(path, festival.VOICES["lp_diphone"])
    assert [p[2] for p in phones] == ["sil", "t", "ʃ", "ɔ", "sil"]
    assert phones[1][1] == pytest.approx(0.25)


def test_an_unknown_festival_phone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "u.seg"
    path.write_text("#\n0.2 100 §\n", "utf8")
    with pytest.raises(EngineError, match="§"):
        festival._phones(path, festival.VOICES["lp_diphone"])


def test_every_symbol_of_the_festival_tables_has_a_target() -> None:
    from facewave.providers.embedded.transcript.pronounce import ipa_symbols

    known = rules().target
    for voice in festival.VOICES.values():
        for ipa in (voice.phones or {}).values():
            assert all(symbol in known for symbol in ipa_symbols(ipa)), ipa


def test_phones_are_closed_up_and_reach_both_ends() -> None:
    phones = contiguous([(0.1, 0.2, "a"), (0.25, 0.4, "b"), (0.4, 0.4, "m")], 0.5)
    assert phones == [(0.0, 0.2, "a"), (0.2, 0.4, "b"), (0.4, 0.5, "sil")]


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineError, match="flite, festival, espeak"):
        engine("sam")


@pytest.mark.parametrize("language", ["en", "de", "ja", "cmn", "ca"])
def test_sentences_are_reproducible_and_differ(language: str) -> None:
    first = [text.sentence(language, np.random.default_rng(3)) for _ in range(2)]
    assert first[0] == first[1]
    rng = np.random.default_rng(3)
    assert len({text.sentence(language, rng) for _ in range(20)}) > 10


def test_shipped_configurations_load_and_keep_test_voices_out_of_training() -> None:
    for name in ("tiny", "base"):
        settings = load(ROOT / "training" / "configs" / f"{name}.toml")
        trained = {(s.engine, s.voice) for s in settings.shards if s.split != "test"}
        assert all((s.engine, s.voice) not in trained for s in settings.shards if s.split == "test")
        for shard in settings.shards:
            text.words(shard.language)


def test_copyleft_voice_data_is_never_trained_on() -> None:
    from training.corpus import licence_of

    settings = load(ROOT / "training" / "configs" / "base.toml")
    assert any("evaluation only" in licence_of(shard) for shard in settings.shards)
    for shard in settings.shards:
        if "evaluation only" in licence_of(shard):
            assert shard.split == "test", shard.name


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(
        (ROOT / "training" / "configs" / "tiny.toml").read_text("utf8").replace("hidden =", "hiden ="), "utf8"
    )
    with pytest.raises(SettingsError, match="hiden"):
        load(path)
