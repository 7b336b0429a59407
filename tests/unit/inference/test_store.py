"""The model store: entries, names, the search path."""

from __future__ import annotations

from pathlib import Path

import pytest

from facewave.errors import ModelError, ModelFormatError, ModelNotFoundError, SettingsError
from facewave.inference.store import ENTRY, ModelStore, cache_folder, data_folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "a model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    return folder / "model.json"


def test_an_added_folder_stays_where_it_is(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "store")
    assert store.models() == []
    added = store.add("mark", model, kind="regression")
    assert (added.path, added.kind, added.own) == (model, "regression", False)
    assert store.find("MARK") == added
    assert store.models() == [added]
    store.remove("mark")
    assert model.is_file()
    assert store.models() == []


def test_a_models_own_files_go_with_it(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    place = store.place("pulled")
    place.mkdir()
    (place / "model.json").write_text("{}")
    added = store.add("pulled", place / "model.json", kind="diffusion", source="hub")
    assert added.own
    assert added.path == place / "model.json"
    store.remove("pulled")
    assert not place.exists()


def test_the_search_path_comes_first(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "store", [model.parent.parent])
    store.add("other", model, kind="regression")
    assert [found.name for found in store.models()] == ["a model", "other"]
    assert not store.find("a model").listed
    with pytest.raises(ModelError, match="search path"):
        store.remove("a model")


def test_a_name_stands_for_one_model(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "store")
    store.add("mark", model, kind="regression")
    store.add("mark", model, kind="regression")
    elsewhere = tmp_path / "b" / "model.json"
    elsewhere.parent.mkdir()
    elsewhere.write_text("{}")
    with pytest.raises(ModelError, match=r"already stands for .*a model.*--name"):
        store.add("mark", elsewhere, kind="regression")


def test_unknown_names_list_the_known_ones(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "store")
    with pytest.raises(ModelNotFoundError, match="the store is empty"):
        store.find("mark")
    store.add("mark", model, kind="regression")
    with pytest.raises(ModelNotFoundError, match=r"did you mean mark\?.*expected one of: mark"):
        store.find("marc")


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "a b", "x" * 101])
def test_names_that_could_leave_the_store_are_refused(tmp_path: Path, model: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="model name"):
        ModelStore(tmp_path).add(name, model, kind="regression")


def test_a_damaged_entry_says_how_to_get_rid_of_it(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "store")
    store.add("mark", model, kind="regression")
    (store.place("mark") / ENTRY).write_text("{")
    with pytest.raises(ModelFormatError, match="facewave models remove mark"):
        store.models()
    store.remove("mark")
    assert store.models() == []


def test_places_follow_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder() == tmp_path / "data" / "facewave"
    assert cache_folder() == tmp_path / "cache" / "facewave"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_folder().name == "facewave"
