from __future__ import annotations

from pathlib import Path

import pytest

from facewave.errors import SettingsError
from facewave.settings import load_settings

FILE = """
provider = "RemoteA2F"
[embedded]
look_ahead_ms = 50
[remote]
url = "http://host:52000"
api_key = "file-secret"
[models]
path = ["models", "more"]
"""


def test_file_then_environment(tmp_path: Path) -> None:
    path = tmp_path / "facewave.toml"
    path.write_text(FILE)
    environment = {"FACEWAVE_REMOTE_API_KEY": "from-env", "FACEWAVE_MODELS_THREADS": "2", "PATH": "x"}
    settings = load_settings(path, environment)
    assert settings.provider == "RemoteA2F"
    assert settings.embedded.look_ahead_ms == 50
    assert (settings.remote.url, settings.remote.api_key) == ("http://host:52000", "from-env")
    assert (settings.models.path, settings.models.threads) == (("models", "more"), 2)


def test_the_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environment={}).provider == ""
    (tmp_path / "facewave.toml").write_text('provider = "here"')
    assert load_settings(environment={}).provider == "here"
    (tmp_path / "other.toml").write_text('provider = "named"')
    assert load_settings(environment={"FACEWAVE_CONFIG": str(tmp_path / "other.toml")}).provider == "named"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('providr = "x"', "unknown setting 'providr' .did you mean provider"),
        ("[remote]\nurll = 'x'", "unknown setting 'remote.urll'"),
        ("remote = 3", "expected a table"),
        ("[embedded]\nlook_ahead_ms = 'soon'", "look_ahead_ms.*expected int"),
        ("[models]\npath = [1]", "expected list of text"),
        ("provider = true", "expected str"),
        ("=", "not valid TOML"),
    ],
)
def test_wrong_settings_say_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "facewave.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_settings(path, {})


def test_an_unknown_variable_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"environment: unknown setting 'remote\.ulr'"):
        load_settings(environment={"FACEWAVE_REMOTE_ULR": "x"})


def test_variables_that_name_places_are_not_settings() -> None:
    places = {f"FACEWAVE_{name}": "somewhere" for name in ("SHARED", "GOLDEN", "SPEECH", "TRAINING_DATA")}
    assert load_settings(environment=places) == load_settings(environment={})


def test_secrets_do_not_show(tmp_path: Path) -> None:
    path = tmp_path / "facewave.toml"
    path.write_text(FILE)
    assert "file-secret" not in repr(load_settings(path, {}))
    path.write_text("[remote]\napi_key = 12345")
    with pytest.raises(SettingsError) as caught:
        load_settings(path, {})
    assert "12345" not in str(caught.value)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.toml", {})
