"""The store's promises: whole or not there, many at once, nothing lost to a collection."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.base.errors import Corrupt, NotFound, WherryError
from wherry.layer.layers import Layers
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.store.gc import Scope, collect
from wherry.store.records import Result
from wherry.store.store import Store
from wherry.store.usage import disk_usage

AMD64 = Platform("linux", "amd64")


def image(
    store: Store, text: str = "", *diff_ids: Digest, labels: tuple[tuple[str, str], ...] = ()
) -> Digest:
    config = ImageConfig(AMD64, Execution(user=text, labels=labels), diff_ids)
    return store.images.put(config.encode())


def layer(store: Store, text: str) -> Digest:
    """A layer with one file, as `load` brings them in."""
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    buffer.seek(0)
    return Layers(store).add_stream(buffer, extract=False).diff_id


def unfinished(store: Store) -> list[str]:
    return os.listdir(store.path("tmp"))


class TestBlobs:
    def test_round_trip(self, store: Store) -> None:
        digest = store.blobs.put(b"content")
        assert digest == "sha256:" + hashlib.sha256(b"content").hexdigest()
        assert (store.blobs.read(digest), store.blobs.size(digest)) == (b"content", 7)
        assert list(store.blobs.all()) == [(digest, 7)]

    def test_what_was_not_committed_is_not_there(self, store: Store) -> None:
        with store.blobs.writer() as writer:
            writer.write(b"half")
            assert unfinished(store)
        assert not list(store.blobs.all()) and not unfinished(store)

    def test_a_wrong_digest_is_refused_and_nothing_kept(self, store: Store) -> None:
        with pytest.raises(Corrupt, match="not sha256:"), store.blobs.writer() as writer:
            writer.write(b"content")
            writer.commit(digests.of(b"other"))
        assert not list(store.blobs.all()) and not unfinished(store)

    def test_a_missing_and_an_oversized_blob(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.blobs.read(digests.of(b"none"))
        with pytest.raises(Corrupt, match="more than 3 bytes"):
            store.blobs.read(store.blobs.put(b"content"), limit=3)


class TestImages:
    def test_names_move_and_ids_stay(self, store: Store) -> None:
        one, two = image(store, "1"), image(store, "2")
        name = references.parse("app:v1")
        store.images.tag(name, one)
        store.images.tag(name, two)
        found = store.images.find("app:v1")
        assert found.id == two and store.images.get(one).config.execution.user == "1"
        assert store.images.names(one) == []

    @pytest.mark.parametrize(
        "text", ["app", "app:latest", "docker.io/library/app", "docker.io/library/app:latest"]
    )
    def test_every_way_to_write_a_name(self, store: Store, text: str) -> None:
        one = image(store)
        store.images.tag(references.parse("app"), one)
        assert store.images.find(text).id == one

    def test_ids_and_their_beginnings(self, store: Store) -> None:
        one = image(store)
        for text in (one, one[7:], one[7:19], one[:20]):
            assert store.images.find(text).id == one
        with pytest.raises(NotFound, match="no such image: nothing"):
            store.images.find("nothing")

    def test_an_ambiguous_beginning_is_refused(self, store: Store) -> None:
        by_first: dict[str, Digest] = {}
        for number in range(40):
            one = image(store, str(number))
            if one[7] in by_first:
                with pytest.raises(WherryError, match="several image IDs"):
                    store.images.resolve(one[7])
                return
            by_first[one[7]] = one
        raise AssertionError("40 digests have 17 different first digits")

    def test_a_name_goes_before_an_id(self, store: Store) -> None:
        one, two = image(store, "1"), image(store, "2")
        store.images.tag(references.parse(one[7:15]), two)
        assert store.images.find(one[7:15]).id == two

    def test_repo_digests(self, store: Store) -> None:
        one, manifest = image(store), digests.of(b"manifest")
        store.images.add_repo_digest("localhost:5000/app", manifest, one)
        assert store.images.repo_digests(one) == [f"localhost:5000/app@{manifest}"]
        assert store.images.find(f"localhost:5000/app@{manifest}").id == one

    def test_delete_takes_the_names_along(self, store: Store) -> None:
        one = image(store)
        store.images.tag(references.parse("app"), one)
        store.images.delete(one)
        assert store.images.resolve("app") is None and store.images.all() == []

    def test_what_is_no_config_is_refused(self, store: Store) -> None:
        with pytest.raises(Corrupt):
            store.images.put(b'{"rootfs": {"diff_ids": [1]}}')
        assert store.images.all() == []


class TestRecords:
    def test_round_trip_and_replacement(self, store: Store) -> None:
        key, recipe, parent = (digests.of(text) for text in (b"k", b"r", b"p"))
        store.records.put(key, recipe, parent, Result(None, 1.5, 60), "RUN true")
        found = store.records.get(key)
        assert found is not None
        assert (found.layer, found.result, found.description) == (None, Result(None, 1.5, 60), "RUN true")
        store.records.put(key, recipe, parent, Result(recipe, 2.5, 60), "RUN false")
        found = store.records.get(key)
        assert found is not None and found.layer == recipe
        store.records.put(parent, recipe, parent, Result(recipe, 3.5, 50), "RUN false")
        assert (store.records.seconds(recipe), store.records.seconds(key)) == (2.5, None)
        store.records.delete([key])
        assert store.records.get(key) is None

    @pytest.mark.parametrize(("before", "is_late"), [(7200, True), (1800, False)])
    def test_a_use_is_written_down_once_an_hour(self, tmp_path: Path, before: int, is_late: bool) -> None:
        keys = [digests.of(text) for text in (b"a", b"b")]
        then = time.time() - before
        with Store.open(str(tmp_path / "store")) as store:
            for key in keys:
                store.records.put(key, key, key, Result(None, 1.0, 1.0), "RUN true")
            store._database.execute("UPDATE records SET used = ?", (then,))
            for key in keys:
                assert store.records.get(key)
        with Store.open(str(tmp_path / "store")) as store:
            assert all((record.used > then) is is_late for record in store.records.all())


class TestCollection:
    def test_a_named_image_keeps_its_layers_and_an_unnamed_one_does_not(self, store: Store) -> None:
        kept, dropped, shared = layer(store, "kept"), layer(store, "dropped"), layer(store, "shared")
        named, unnamed = image(store, "1", shared, kept), image(store, "2", shared, dropped)
        store.images.tag(references.parse("app"), named)
        reclaimed = collect(store, Scope())
        assert reclaimed.images == (unnamed,)
        assert reclaimed.layers == (dropped,)
        assert reclaimed.size > 0
        assert sorted(os.listdir(store.path("layers"))) == sorted(map(digests.hex_of, (kept, shared)))
        assert Layers(store).index(kept).entries[0].path == "file"
        assert {digest for digest, _ in store.blobs.all()} == {named}

    def test_everything(self, store: Store) -> None:
        used = image(store, "used", layer(store, "used"))
        store.images.tag(references.parse("app"), image(store, "named", layer(store, "named")))
        reclaimed = collect(store, Scope(everything=True, in_use=lambda _: {used}))
        assert [found.id for found in store.images.all()] == [used]
        assert len(reclaimed.layers) == 1

    def test_until_spares_what_is_younger(self, store: Store) -> None:
        one = image(store)
        assert collect(store, Scope(until=time.time() - 60)).images == ()
        assert collect(store, Scope(until=time.time() + 60)).images == (one,)

    def test_labels(self, store: Store) -> None:
        one = image(store, "1", labels=(("a", "1"),))
        image(store, "2")
        assert collect(store, Scope(labels=("a=2",))).images == ()
        assert collect(store, Scope(labels=("a",))).images == (one,)

    def test_records_of_a_named_image_stay_and_others_go(self, store: Store) -> None:
        kept, dropped = layer(store, "kept"), layer(store, "dropped")
        store.images.tag(references.parse("app"), image(store, "", kept))
        for found in (kept, dropped):
            store.records.put(found, found, found, Result(found, 1, 60), "")
        assert collect(store, Scope()).records == 1
        assert [record.layer for record in store.records.all()] == [kept]

    def test_waits_for_a_lease(self, store: Store) -> None:
        done = threading.Event()

        def prune() -> None:
            collect(store, Scope())
            done.set()

        with store.lease():
            thread = threading.Thread(target=prune)
            thread.start()
            assert not done.wait(0.2)
        assert done.wait(60)
        thread.join()

    def test_leases_do_not_exclude_each_other(self, store: Store) -> None:
        with (
            store.lease(),
            store.lease(),
            pytest.raises(BlockingIOError),
            store.exclusive(wait=False),
        ):
            pass
        with store.exclusive(wait=False):
            pass


class TestScratch:
    def test_is_gone_afterwards_even_with_rights_taken_away(self, store: Store) -> None:
        with store.scratch("test") as folder:
            os.makedirs(f"{folder}/a/b")
            Path(folder, "a", "file").touch()
            os.chmod(f"{folder}/a", 0)
        assert unfinished(store) == []

    def test_sweep_spares_the_living_and_takes_the_dead(self, store: Store) -> None:
        code = (
            "import os, sys; from wherry.store.store import Store\n"
            "store = Store.open(sys.argv[1])\n"
            "with store.scratch('dead') as folder, store.blobs.writer() as writer:\n"
            "    writer.write(b'x'); open(folder + '/file', 'w').close(); os._exit(1)\n"
        )
        subprocess.run([sys.executable, "-c", code, store.root], check=False)
        assert len(unfinished(store)) == 2
        with store.scratch("living") as folder:
            assert store.sweep() == 2
            assert unfinished(store) == [os.path.basename(folder)]

    def test_a_link_in_it_is_not_followed(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("x")
        with store.scratch("test") as folder:
            os.symlink(tmp_path, f"{folder}/link")
        assert (tmp_path / "precious").exists()


def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WherryError, match="cannot use the store") as caught:
        Store.open(str(tmp_path / "file" / "store"))
    assert "WHERRY_ROOT" in caught.value.hint


def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    import sqlite3

    Store.open(str(tmp_path / "store")).close()
    connection = sqlite3.connect(tmp_path / "store" / "store.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(Corrupt, match="another version"):
        Store.open(str(tmp_path / "store"))


def test_damaged_tables_are_one_clear_error(tmp_path: Path) -> None:
    Store.open(str(tmp_path / "store")).close()
    (tmp_path / "store" / "store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(WherryError, match="tables"):
        Store.open(str(tmp_path / "store"))


def test_many_processes_make_one_store_and_write_to_it(tmp_path: Path) -> None:
    code = (
        "import sys; from wherry.store.store import Store\n"
        "from wherry.oci.config import ImageConfig\nfrom wherry.oci.platform import host\n"
        "from wherry.oci import reference\n"
        "store = Store.open(sys.argv[1])\n"
        "for number in range(10):\n"
        "    text = f'{sys.argv[2]}-{number}'\n"
        "    image = store.images.put(ImageConfig(host(), author=text).encode())\n"
        "    store.images.tag(reference.parse(text), image)\n"
    )
    root = str(tmp_path / "store")
    processes = [subprocess.Popen([sys.executable, "-c", code, root, f"p{number}"]) for number in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    with Store.open(root) as store:
        assert len(store.images.all()) == len(store.images.all_names()) == 60


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_disk_usage_counts_each_file_once(contents: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(contents):
            Path(folder, str(number)).write_bytes(content)
        once = disk_usage(folder)
        for number in range(len(contents)):
            os.link(f"{folder}/{number}", f"{folder}/link{number}")
        assert disk_usage(folder) - once <= 4096
        assert disk_usage(f"{folder}/none") == 0
