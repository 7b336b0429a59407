from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from facewave.errors import ProviderError, ProviderUnavailableError, UnknownProviderError
from facewave.providers import open_provider, provider_names
from facewave.settings import FacewaveSettings

PLUGIN = """
from facewave.providers.replay import ReplayProvider
from facewave.frames import Animation, StreamInfo
import numpy as np
from fractions import Fraction

def make(settings):
    return ReplayProvider(Animation(StreamInfo(Fraction(25)), np.zeros((3, 68), np.float32)))

def wrong(settings):
    return object()
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with entry points, installed the way pip leaves one."""
    (tmp_path / "facewave_plugin_under_test.py").write_text(PLUGIN)
    info = tmp_path / "plugin_under_test-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-under-test\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[facewave.providers]\n"
        "Quiet = facewave_plugin_under_test:make\n"
        "Wrong = facewave_plugin_under_test:wrong\n"
        "Gone = no_such_module_at_all:make\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("facewave_plugin_under_test", None)


def test_the_default_comes_first() -> None:
    assert provider_names()[0] == "Embedded"


def test_resolution_explicit_then_configured_then_embedded() -> None:
    assert open_provider().info.name == "Embedded"
    assert open_provider("default").info.name == "Embedded"
    assert open_provider("EMBEDDED").info.name == "Embedded"
    with pytest.raises(UnknownProviderError, match="'Configured'"):
        open_provider(settings=FacewaveSettings(provider="Configured"))
    assert open_provider("Embedded", FacewaveSettings(provider="Configured")).info.name == "Embedded"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownProviderError, match=r"did you mean Embedded.*expected one of: Embedded"):
        open_provider("Embeded")


@pytest.mark.usefixtures("plugin")
def test_plugins_are_found_by_entry_point() -> None:
    assert {"Quiet", "Wrong", "Gone"} <= set(provider_names())
    assert open_provider("quiet").info.frame_rate == 25
    with pytest.raises(ProviderError, match=r"plugin-under-test.*lacks info, open, allocate, free"):
        open_provider("Wrong")
    with pytest.raises(ProviderUnavailableError, match=r"'Gone'.*cannot be imported.*no_such_module_at_all"):
        open_provider("Gone")
