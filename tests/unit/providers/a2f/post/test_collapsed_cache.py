from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facewave.providers.a2f.post.collapsed import CollapsedSkin, CollapsedTongue, SkinProjection, TongueProjection
from facewave.providers.a2f.post.collapsed_cache import CollapsedCache, content_key


def entry(value: float = 1.0) -> CollapsedSkin:
    return CollapsedSkin(np.full((3, 7), value), np.ones((3, 7)), np.arange(3.0), np.eye(3), 54.7)


def test_an_entry_is_built_once_and_comes_back_whole(tmp_path: Path) -> None:
    calls = []

    def build() -> CollapsedSkin:
        calls.append(1)
        return entry(0.1)

    cache = CollapsedCache(tmp_path / "made" / "when needed")
    first = cache.get(CollapsedSkin, "abc", build)
    second = cache.get(CollapsedSkin, "abc", build)
    assert len(calls) == 1
    assert second.box_diagonal == first.box_diagonal
    for name in ("lower", "upper", "constant", "gram"):
        assert np.array_equal(getattr(second, name), getattr(first, name))
    assert [path.name for path in cache.folder.iterdir()] == ["skin-abc.npz"] if cache.folder else False


def test_kinds_and_keys_do_not_meet(tmp_path: Path) -> None:
    cache = CollapsedCache(tmp_path)
    tongue = CollapsedTongue(np.ones((2, 3)), np.zeros(2), np.ones(2), np.ones(2), np.eye(2), 8.0)
    assert cache.get(CollapsedSkin, "k", entry).lower[0, 0] == 1
    assert cache.get(CollapsedTongue, "k", lambda: tongue).box_diagonal == 8
    assert cache.get(CollapsedSkin, "other", lambda: entry(5)).lower[0, 0] == 5


def test_projections_come_back_whole(tmp_path: Path) -> None:
    tongue = CollapsedTongue(np.ones((2, 3)), np.zeros(2), np.ones(2), np.ones(2), np.eye(2), 8.0)
    components = np.arange(9)
    lower, upper = np.full((7, 3), 0.3, np.float32), np.full((5, 3), 0.4, np.float32)
    skin = SkinProjection(lower, upper, components, entry(0.1))
    cache = CollapsedCache(tmp_path)
    cache.get(SkinProjection, "k", lambda: skin)
    cache.get(TongueProjection, "k", lambda: TongueProjection(np.ones((9, 2), np.float32), components, tongue))

    def not_again() -> Any:
        raise AssertionError("built although stored")

    found = cache.get(SkinProjection, "k", not_again)
    assert np.array_equal(found.lower_poses, lower)
    assert np.array_equal(found.upper_poses, upper)
    assert found.upper_poses.dtype == np.float32
    assert np.array_equal(found.components, components)
    assert np.array_equal(found.collapsed.lower, skin.collapsed.lower)
    assert found.collapsed.box_diagonal == 54.7
    assert cache.get(TongueProjection, "k", not_again).collapsed.box_diagonal == 8
    # Entries of a projection's own matrices have another name.
    assert cache.get(CollapsedSkin, "k", lambda: entry(9)).lower[0, 0] == 9


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, content: bytes) -> None:
    cache = CollapsedCache(tmp_path)
    cache.get(CollapsedSkin, "k", entry)
    (tmp_path / "skin-k.npz").write_bytes(content)
    assert cache.get(CollapsedSkin, "k", lambda: entry(2)).lower[0, 0] == 2
    assert cache.get(CollapsedSkin, "k", lambda: entry(3)).lower[0, 0] == 2


def test_an_entry_with_pickled_objects_is_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "skin-k.npz", lower=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert CollapsedCache(tmp_path).get(CollapsedSkin, "k", entry).lower[0, 0] == 1


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert CollapsedCache(tmp_path).get(CollapsedSkin, "k", entry).lower[0, 0] == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_costs_only_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CollapsedCache(tmp_path / "file")
    assert cache.get(CollapsedSkin, "k", lambda: entry(4)).lower[0, 0] == 4
    assert CollapsedCache(None).get(CollapsedSkin, "k", entry).lower[0, 0] == 1


def test_every_part_of_the_content_is_in_the_key(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 3_000_000)
    array = np.arange(6, dtype=np.float32)
    parts: list[Any] = [array, 0.6, "skin", None, path]
    key = content_key(*parts)
    assert key == content_key(array.copy(), 0.6, "skin", None, path)
    others: list[list[Any]] = [
        [array.reshape(2, 3), *parts[1:]],
        [array.astype(np.float64), *parts[1:]],
        [array + 1, *parts[1:]],
        [array, 0.61, *parts[2:]],
        [array, 0.6, "tongue", None, path],
        [array, 0.6, "skin", path],
        [0.6, array, "skin", None, path],
    ]
    keys = {content_key(*other) for other in others}
    path.write_bytes(b"x" * 2_999_999 + b"y")
    keys.add(content_key(*parts))
    assert key not in keys
    assert len(keys) == len(others) + 1
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key(np.zeros(0, np.float32)) != content_key()
    assert content_key(np.asfortranarray(np.arange(6.0).reshape(2, 3))) == content_key(np.arange(6.0).reshape(2, 3))
