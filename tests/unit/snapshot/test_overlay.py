"""Mounting layers. Each test runs in a process with mounts of its own."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.base.errors import WherryError
from wherry.layer.entry import DIRECTORY, FILE, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot.overlay import overlay
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")

Check = Callable[[Store, Layers], None]


@pytest.fixture(params=[False, True], ids=["root", "user-namespace"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Check], None]:
    """Calls a check with a new store, in a mount namespace."""

    def in_store(check: Check) -> None:
        def inside() -> None:
            with Store.open(f"{tmp_path}/store") as store:
                check(store, Layers(store))

        with_own_mounts(inside, user=request.param)

    return in_store


Run = Callable[[Check], None]


def add(layers: Layers, *entries: Entry) -> Digest:
    """A layer; every regular file is empty."""

    def write(writer: LayerWriter) -> None:
        for entry in entries:
            writer.add(entry, b"" if entry.kind == FILE else None)

    return layers.add_tar(write).diff_id


def names(path: str) -> set[str]:
    return set(os.listdir(path))


def mounts_below(path: str) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if path in line]


def test_127_layers(run: Run) -> None:
    def check(store: Store, layers: Layers) -> None:
        chain = [add(layers, Entry(f"f{number}", FILE, 0o644)) for number in range(127)]
        with store.scratch("test") as scratch, overlay(store, layers, chain, scratch) as mounted:
            assert {f"f{number}" for number in range(127)} <= names(mounted.path)

    run(check)


def test_too_many_layers_are_refused_with_their_number(run: Run) -> None:
    def check(store: Store, layers: Layers) -> None:
        chain = [add(layers, Entry(f"f{number}", FILE, 0o644)) for number in range(240)]
        with (
            store.scratch("test") as scratch,
            pytest.raises(WherryError, match="240 layers"),
            overlay(store, layers, chain, scratch),
        ):
            pass

    run(check)


def test_a_layer_that_comes_twice_counts_where_it_is_highest(run: Run) -> None:
    def check(store: Store, layers: Layers) -> None:
        one = add(layers, Entry("x", FILE, 0o644))
        other = add(layers, Entry("x", WHITEOUT), Entry("y", FILE, 0o644))
        with store.scratch("test") as scratch, overlay(store, layers, [one, other, one], scratch) as mounted:
            assert {"x", "y"} <= names(mounted.path)
        with (
            store.scratch("test") as scratch,
            overlay(store, layers, [other, one, other], scratch) as mounted,
        ):
            assert "x" not in names(mounted.path)

    run(check)


def test_an_image_without_layers_has_only_mountpoints(run: Run) -> None:
    def check(store: Store, layers: Layers) -> None:
        with store.scratch("test") as scratch:
            with overlay(store, layers, [], scratch) as mounted:
                assert names(mounted.path) == {"dev", "etc", "proc", "sys"}
                assert names(f"{mounted.path}/etc") == {"hostname", "hosts", "resolv.conf"}
                Path(mounted.path, "x").write_text("works")
            assert names(mounted.upper) == {"x"}

    run(check)


@pytest.mark.parametrize(
    "hiding",
    [
        (Entry("other", DIRECTORY, 0o755),),
        (Entry("etc", DIRECTORY, 0o711, 3, 4), Entry("etc", OPAQUE)),
        (Entry("etc", DIRECTORY, 0o711, 3, 4), Entry("etc/hosts", WHITEOUT)),
        (Entry("etc", WHITEOUT),),
        (Entry("etc", WHITEOUT), Entry("etc", SYMLINK, link="/real"), Entry("real", DIRECTORY, 0o700, 5, 6)),
    ],
)
def test_mountpoints_are_there_whatever_the_image_hides(run: Run, hiding: tuple[Entry, ...]) -> None:
    def check(store: Store, layers: Layers) -> None:
        chain = [add(layers, Entry("etc", DIRECTORY, 0o750)), add(layers, *hiding)]
        extra = ("/var/cache/new/", "/etc/ssl/ca.crt")
        with store.scratch("test") as scratch:
            with overlay(store, layers, chain, scratch, mountpoints=extra) as mounted:
                root = mounted.path
                for path in ("real" if names(f"{root}") & {"real"} else "etc", "proc", "var/cache/new"):
                    assert os.path.isdir(f"{root}/{path}"), path
                etc = f"{root}/real" if os.path.islink(f"{root}/etc") else f"{root}/etc"
                assert {"hosts", "hostname", "resolv.conf", "ssl"} <= names(etc)
                for entry in hiding:
                    if entry.kind == DIRECTORY:
                        status = os.stat(f"{root}/{entry.path}")
                        assert stat.S_IMODE(status.st_mode) == entry.mode
                        assert (status.st_uid, status.st_gid) == (entry.uid, entry.gid)
            assert names(mounted.upper) == set()

    run(check)


def test_a_file_in_the_way_of_a_mountpoint_stays(run: Run) -> None:
    def check(store: Store, layers: Layers) -> None:
        chain = [add(layers, Entry("etc", FILE, 0o644))]
        with store.scratch("test") as scratch, overlay(store, layers, chain, scratch) as mounted:
            assert os.path.isfile(f"{mounted.path}/etc")

    run(check)


def test_the_root_is_as_the_image_says(run: Run) -> None:
    def check(store: Store, layers: Layers) -> None:
        chain = [
            add(layers, Entry("", DIRECTORY, 0o1751, 7, 8, 10**18)),
            add(layers, Entry("x", FILE, 0o644)),
        ]
        with store.scratch("test") as scratch, overlay(store, layers, chain, scratch) as mounted:
            status = os.stat(mounted.path)
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o1751, 7, 8)
            assert status.st_mtime_ns == 10**18
        with store.scratch("test") as scratch, overlay(store, layers, [], scratch) as mounted:
            assert stat.S_IMODE(os.stat(mounted.path).st_mode) == 0o755

    run(check)


def test_nothing_stays_but_the_changes_whatever_happens(run: Run) -> None:
    def check(store: Store, layers: Layers) -> None:
        with store.scratch("test") as scratch:
            with pytest.raises(KeyError), overlay(store, layers, [], scratch) as mounted:
                held = open(f"{mounted.path}/held", "w")  # noqa: SIM115 - somebody still uses the mount
                raise KeyError
            assert names(scratch) == {"root", "upper"}
            assert names(mounted.path) == set()
            assert mounts_below(store.root) == []
            held.close()
        assert names(store.path("tmp")) == set()

    run(check)


@pytest.mark.parametrize("durable", [False, True])
def test_changes_of_an_earlier_mount_are_there_again(run: Run, durable: bool) -> None:
    def check(store: Store, layers: Layers) -> None:
        chain = [add(layers, Entry("x", FILE, 0o644))]
        with store.scratch("test") as scratch:
            for number in range(3):
                with overlay(store, layers, chain, scratch, durable=durable) as mounted:
                    assert f"n{number - 1}" in names(mounted.path) or number == 0
                    Path(mounted.path, f"n{number}").touch()
                    volatile = "volatile" in mounts_below(scratch)[-1]
                    assert volatile is not durable

    run(check)


def test_threads_mount_at_once(run: Run) -> None:
    def check(store: Store, layers: Layers) -> None:
        chain = [add(layers, Entry("x", FILE, 0o644))]
        failures: list[BaseException] = []
        together = threading.Barrier(4)

        def mount(number: int) -> None:
            try:
                for _ in range(5):
                    with store.scratch("test") as scratch:
                        together.wait(60)
                        with overlay(store, layers, chain, scratch) as mounted:
                            Path(mounted.path, f"n{number}").touch()
                        assert names(mounted.upper) == {f"n{number}"}
            except BaseException as error:
                failures.append(error)
                together.abort()

        threads = [threading.Thread(target=mount, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    run(check)


def test_a_store_may_have_any_name(tmp_path: Path) -> None:
    long = "/".join([str(tmp_path), "a,b:c\\d", "x" * 200, "y" * 200])

    def check() -> None:
        with Store.open(long) as store:
            layers = Layers(store)
            chain = [add(layers, Entry("x", FILE, 0o644))]
            with store.scratch("test") as scratch, overlay(store, layers, chain, scratch) as mounted:
                assert "x" in names(mounted.path)

    with_own_mounts(check)


def test_a_store_that_overlay_refuses_is_named(tmp_path: Path) -> None:
    """A store on overlay itself: what a container without a volume has."""

    def check() -> None:
        with (
            Store.open(f"{tmp_path}/outer") as outer,
            outer.scratch("test") as scratch,
            overlay(outer, Layers(outer), [], scratch) as mounted,
            Store.open(f"{mounted.path}/inner") as inner,
            inner.scratch("test") as below,
        ):
            with pytest.raises(WherryError, match="cannot mount a root filesystem below") as caught:
                overlay(inner, Layers(inner), [], below).__enter__()
            assert "WHERRY_ROOT" in caught.value.hint
            assert os.strerror(errno.EINVAL) in caught.value.message

    with_own_mounts(check)
