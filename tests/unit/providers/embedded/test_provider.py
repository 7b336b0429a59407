"""The provider of the bundled model beyond its sessions."""

from __future__ import annotations

from pathlib import Path

from facewave.providers.base import Versioned
from facewave.providers.embedded.provider import EmbeddedProvider


def test_the_version_is_that_of_the_file_and_loads_nothing(tmp_path: Path) -> None:
    own = EmbeddedProvider()
    assert isinstance(own, Versioned)
    assert own.version() == EmbeddedProvider().version()
    assert not own.info.loaded
    (tmp_path / "other.onnx").write_bytes(b"another model")
    assert EmbeddedProvider(model=tmp_path / "other.onnx").version() != own.version()
