"""Cache folders: who shares one, who waits, who gets one of his own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.store.cachefolders import LOCKED, PRIVATE, SHARED, CacheFolders
from wherry.store.gc import Scope, collect
from wherry.store.store import Store


class HadToWait(Exception):
    pass


def wait(seconds: float) -> None:
    raise HadToWait


def test_shared_folders_are_one(store: Store) -> None:
    caches = CacheFolders(store)
    with caches.use("a", SHARED, os.mkdir, wait) as one, caches.use("a", SHARED, os.mkdir, wait) as two:
        assert one == two
        with caches.use("b", SHARED, os.mkdir, wait) as other:
            assert other != one


@pytest.mark.parametrize(("first", "second"), [(LOCKED, LOCKED), (LOCKED, SHARED), (SHARED, LOCKED)])
def test_locked_folders_are_waited_for(store: Store, first: str, second: str) -> None:
    caches = CacheFolders(store)
    with (
        caches.use("a", first, os.mkdir, wait),
        pytest.raises(HadToWait),
        caches.use("a", second, os.mkdir, wait),
    ):
        pass
    with caches.use("a", second, os.mkdir, wait):
        pass


def test_private_folders_are_used_again_and_never_shared(store: Store) -> None:
    caches = CacheFolders(store)
    with caches.use("a", PRIVATE, os.mkdir, wait) as one, caches.use("a", PRIVATE, os.mkdir, wait) as two:
        assert one != two
        Path(one, "kept").touch()
    with caches.use("a", PRIVATE, os.mkdir, wait) as again:
        assert os.listdir(again) == ["kept"]


@pytest.mark.parametrize(
    ("scope", "stays"),
    [
        (Scope(), True),
        (Scope(everything=True), False),
        (Scope(images=False), False),
        (Scope(everything=True, records=False), True),
        (Scope(everything=True, until=1.0), True),
        (Scope(everything=True, labels=("a",)), True),
    ],
)
def test_prune(store: Store, scope: Scope, stays: bool) -> None:
    caches = CacheFolders(store)
    with caches.use("a", SHARED, os.mkdir, wait) as path:
        Path(path, "file").write_bytes(b"x" * 5000)
    reclaimed = collect(store, scope)
    assert bool(caches.all()) == stays
    assert (reclaimed.size >= 5000) != stays
