"""What several test modules share: where outside data is, and the bundled clip."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[1]


def shared_folder(name: str) -> Path | None:
    """A folder of data that the project does not ship: under FACEWAVE_SHARED, or ../shared beside the checkout."""
    root = Path(os.environ.get("FACEWAVE_SHARED", _REPOSITORY.parent / "shared"))
    return root / name if (root / name).is_dir() else None


@pytest.fixture(scope="session")
def demo_clip() -> Path:
    """The bundled speech."""
    return Path(str(resources.files("facewave") / "data" / "demo.wav"))


@pytest.fixture(scope="session")
def _places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("places")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, _places: Path) -> None:
    """Tests see the default settings and an empty model store, whatever the developer's own are."""
    monkeypatch.setenv("XDG_DATA_HOME", str(_places / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(_places / "cache"))
    for variable in [name for name in os.environ if name.startswith("FACEWAVE_")]:
        if variable not in ("FACEWAVE_SHARED", "FACEWAVE_GOLDEN"):
            monkeypatch.delenv(variable)
