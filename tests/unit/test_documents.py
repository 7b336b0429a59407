"""JSON, YAML and TOML that somebody else wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from facewave import documents
from facewave.documents import Form, parse, read_document
from facewave.errors import SettingsError

LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 8)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        ("JSON", "[" * 40 + "]" * 40, "inside one another"),
        ("JSON", "[" * 100_000, "inside one another"),
        ("JSON", "1" * 400, "whole number of"),
        ("JSON", "1" * 5000, "digits"),
        ("JSON", "[NaN]", "found NaN"),
        ("YAML", LAUGHS, "aliases counted"),
        ("YAML", MERGED, "aliases counted"),
        ("YAML", "&a [*a]", "contains itself"),
        ("YAML", "!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("YAML", "!!int ''", "does not fit its tag"),
        ("YAML", "!!timestamp x", "does not fit its tag"),
        ("YAML", "a: 2001-99-99", "month"),
        ("YAML", "!!binary aGk=", "a bytes"),
        ("YAML", "? !!binary aGk=\n: 1", "as the key of a table"),
        ("YAML", "a\0b", "special characters"),
        ("TOML", "a = " + "[" * 2000, "inside one another"),
    ],
)
def test_what_would_cost_too_much_or_mean_too_much_is_refused(form: Form, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text, form)


def test_plain_values_come_out() -> None:
    text = "1: one\nwhen: 2001-01-01\nnested: [{a: null, b: yes, c: 1.5}]\nagain: &x {k: v}\nalias: *x\n"
    assert parse(text, "YAML") == {
        "1": "one",
        "when": "2001-01-01",
        "nested": [{"a": None, "b": True, "c": 1.5}],
        "again": {"k": "v"},
        "alias": {"k": "v"},
    }
    assert parse("", "YAML") is None


def test_a_file_beyond_the_limit_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_BYTES", 10)
    (tmp_path / "a.json").write_text("[1, 2, 3, 4]")
    with pytest.raises(SettingsError, match="the keys: found more than 10 bytes"):
        read_document(tmp_path / "a.json", "JSON", "the keys")
