"""The audit: what it reads from packages, and what it does not let pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.audit import Package, installed, licence_of, run_time_requirements

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("metadata", "classifiers", "expected"),
    [
        ({"License-Expression": "MIT", "License": "whatever"}, [], "MIT"),
        ({"License": "UNKNOWN"}, ["License :: OSI Approved", "License :: OSI Approved :: MIT License"], "MIT"),
        ({"License": "Apache 2.0\n\nlong text"}, [], "Apache 2.0"),
        ({}, ["License :: OSI Approved"], ""),
        ({"License": "UNKNOWN"}, [], ""),
    ],
)
def test_a_licence_is_told_by_the_clearest_field(
    metadata: dict[str, str], classifiers: list[str], expected: str
) -> None:
    assert licence_of(metadata, classifiers) == expected


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("MIT", True),
        ("LGPL-2.1-or-later", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("AGPL-3.0", False),
        ("MIT AND GPL-2.0-or-later", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("", False),
    ],
)
def test_the_gpl_and_silence_are_problems(licence: str, accepted: bool) -> None:
    assert (Package("x", "1", licence, "facewave").problem == "") is accepted


def test_requirements_of_requirements_are_found_and_absent_ones_named() -> None:
    packages, missing = installed({"facewave": ["typer>=0.1"], "extra": ["no-such-package-here>=1"]})
    assert {"typer", "shellingham"} <= {row.name for row in packages}
    assert missing == [("no-such-package-here", "extra")]


def test_every_extra_of_a_user_is_looked_at_and_none_of_a_developer() -> None:
    wanted = run_time_requirements()
    assert {"facewave", "studio", "server", "hub"} <= set(wanted)
    assert not {"dev", "docs", "train"} & set(wanted)


def test_the_audit_passes_here() -> None:
    """Without pip-audit, whose database is no part of a test."""
    result = subprocess.run(
        [sys.executable, "-m", "tools.audit"],
        cwd=ROOT, env={"PATH": "", "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 with a licence that is not accepted" in result.stdout


def test_what_is_vendored_is_in_the_notices_with_its_licence() -> None:
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    for path in (ROOT / "src" / "facewave").rglob("vendor/*"):
        assert path.relative_to(ROOT / "src").as_posix() in notices
