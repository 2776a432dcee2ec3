"""The builds that a store keeps: found, bounded, and nobody's to delete while they are used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.base.errors import NotFound
from wherry.oci.digest import Digest
from wherry.store import builds as module
from wherry.store.builds import Builds, Busy
from wherry.store.store import Store


def left(store: Store, size: int) -> str:
    """What a process left: a file of so many bytes."""
    upper = Path(store.path("tmp"), f"made-{os.urandom(4).hex()}", "upper")
    upper.mkdir(parents=True)
    (upper / "file").write_bytes(b"x" * size)
    return str(upper)


def test_what_is_kept_is_found_again(store: Store) -> None:
    builds = Builds(store)
    layer = Digest("sha256:" + "1" * 64)
    first = builds.keep_failed({"n": 1}, {}, (layer,), left(store, 10))
    second = builds.keep_failed({"n": 2}, {}, ())
    assert [kept.id for kept in builds.all()] == [second, first]
    found = builds.find(first)
    assert (found.document, found.layers, found.failed) == ({"n": 1}, (layer,), True)
    assert found.size > 0
    assert Path(store.path("builds", first, "upper", "file")).read_bytes() == b"x" * 10
    for name in (first, second):
        assert builds.find(builds.shortest(name)).id == name
    with pytest.raises(NotFound, match="no such build"):
        builds.find("xyz")
    with pytest.raises(NotFound, match="several"):
        builds.find("")


def test_the_same_build_again_is_the_same_entry_and_young_again(store: Store) -> None:
    builds = Builds(store)
    first = builds.keep_succeeded({"n": 1}, {})
    os.utime(store.path("builds", first), (1, 1))
    second = builds.keep_succeeded({"n": 2}, {})
    assert [kept.id for kept in builds.all()] == [second, first]
    os.utime(store.path("builds", second), (2, 2))
    assert builds.keep_succeeded({"n": 1}, {}) == first
    assert [kept.id for kept in builds.all()] == [first, second]


def test_an_account_is_of_the_last_time_a_build_was_made(store: Store) -> None:
    builds = Builds(store)
    name = builds.keep_succeeded({"n": 1}, {"seconds": 1})
    failed = builds.keep_failed({"n": 2}, {"seconds": 2}, ())
    for age, other in enumerate((name, failed)):
        os.utime(store.path("builds", other), (age, age))
    assert [kept.account for kept in builds.newest()] == [{"seconds": 2}, {"seconds": 1}]
    builds.keep_succeeded({"n": 1}, {"seconds": 3})
    assert [(kept.id, kept.account) for kept in builds.newest()] == [
        (name, {"seconds": 3}),
        (failed, {"seconds": 2}),
    ]
    assert builds.find(name).document == {"n": 1}
    assert os.listdir(store.path("tmp")) == []


@pytest.mark.parametrize("damage", [None, b"", b"\0" * 50, b"[]", b"{"])
def test_a_build_without_an_account_is_a_build(store: Store, damage: bytes | None) -> None:
    builds = Builds(store)
    name = builds.keep_succeeded({"n": 1}, {"seconds": 1})
    account = Path(store.path("builds", name, "account.json"))
    account.unlink()
    if damage is not None:
        account.write_bytes(damage)
    assert builds.find(name).account == {}
    assert builds.keep_succeeded({"n": 1}, {"seconds": 2}) == name
    assert builds.find(name).account == {"seconds": 2}


def test_only_so_many_are_kept_and_those_of_the_others_do_not_count(store: Store) -> None:
    builds = Builds(store)
    failed = [builds.keep_failed({"n": n}, {}, ()) for n in range(module.MOST_FAILED + 3)]
    succeeded = [builds.keep_succeeded({"n": n}, {}) for n in range(100)]
    kept = {kept.id for kept in builds.all()}
    assert kept >= set(failed[3:])
    assert not kept & set(failed[:3])
    assert (
        module.MOST_SUCCEEDED
        <= len(kept & set(succeeded))
        <= 2 * (module.MOST_FAILED + module.MOST_SUCCEEDED)
    )
    assert succeeded[-1] in kept


def test_large_states_push_out_old_ones_but_never_the_newest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100_000)
    builds = Builds(store)
    first, second = (builds.keep_failed({}, {}, (), left(store, 40_000)) for _ in range(2))
    assert {kept.id for kept in builds.all()} == {first, second}
    third = builds.keep_failed({}, {}, (), left(store, 40_000))
    assert {kept.id for kept in builds.all()} == {second, third}
    huge = builds.keep_failed({}, {}, (), left(store, 500_000))
    assert {kept.id for kept in builds.all()} == {huge}
    assert os.listdir(store.path("builds")) == [huge]


def test_what_is_used_is_not_deleted_and_what_is_changed_is_used_by_one(store: Store) -> None:
    builds = Builds(store)
    name = builds.keep_failed({}, {}, (), left(store, 10))
    with builds.use(name), builds.use(name):
        with pytest.raises(Busy):
            builds.delete(name)
        with pytest.raises(Busy), builds.use(name, alone=True):
            raise AssertionError
        for n in range(module.MOST_FAILED + 1):
            builds.keep_failed({"n": n}, {}, ())
        assert name in {kept.id for kept in builds.all()}
    with builds.use(name, alone=True), pytest.raises(Busy), builds.use(name):
        raise AssertionError
    builds.delete(name)
    with pytest.raises(NotFound, match="just been removed"), builds.use(name):
        raise AssertionError
    assert not any(item.startswith("build-") for item in os.listdir(store.path("tmp")))


def test_a_damaged_entry_is_passed_over(store: Store) -> None:
    builds = Builds(store)
    name = builds.keep_failed({}, {}, ())
    other = builds.keep_failed({}, {}, ())
    Path(store.path("builds", name, "build.json")).write_bytes(b"\0" * 50)
    Path(store.path("builds", "stray")).mkdir()
    assert [kept.id for kept in builds.all()] == [other]
