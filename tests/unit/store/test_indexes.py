"""Names of several images: what they mean, what they hold, and stores from before there were any."""

from __future__ import annotations

import io
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.base.errors import NotFound
from wherry.layer.layers import Layers
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.digest import Digest
from wherry.store.gc import Scope, collect, trim
from wherry.store.indexes import Member
from wherry.store.parts import of_images
from wherry.store.store import Store

AMD64, ARM64, S390X, RISCV = (
    platforms.parse(f"linux/{name}") for name in ("amd64", "arm64", "s390x", "riscv64")
)
HERE = platforms.host()
APP = references.parse("app:v1")


def image(store: Store, platform: platforms.Platform, text: str = "", **labels: str) -> Digest:
    config = ImageConfig(platform, Execution(user=text, labels=tuple(labels.items())))
    return store.images.put(config.encode())


def members(store: Store, *chosen: platforms.Platform) -> list[Member]:
    return [Member(platform, image(store, platform)) for platform in chosen]


def layer(store: Store, text: str) -> Digest:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(text))
    buffer.seek(0)
    return Layers(store).add_stream(buffer, extract=False).diff_id


def tagged(store: Store, found: list[Member], name: str = "app:v1") -> Digest:
    index_id = store.indexes.put(found)
    index = store.indexes.get(index_id)
    assert index is not None
    store.images.tag(references.parse(name), index.primary, index_id)
    return index_id


def ids(found: list[Member]) -> list[Digest]:
    return [member.image for member in found]


class TestMeaning:
    def test_an_index_comes_back_as_it_was_put(self, store: Store) -> None:
        windows = platforms.parse("windows(10.0.17763.1+win32k)/amd64")
        raw, manifest = digests.of(b"raw"), digests.of(b"m")
        found = [
            Member(windows, image(store, windows), manifest, (("a", "ü\ud800"),), (("d", "e"),)),
            *members(store, ARM64),
        ]
        built = store.indexes.get(store.indexes.put(found, {"z": "1", "b": "2"}))
        assert built and (built.members, built.source, built.whole) == (tuple(found), None, False)
        assert built.annotations == (("b", "2"), ("z", "1"))
        whole = store.indexes.get(store.indexes.put_whole(raw, found, [manifest]))
        assert whole and (whole.id, whole.source, whole.whole) == (raw, raw, True)
        assert whole.members == tuple(found) and store.indexes.blobs() == {raw, manifest}
        assert store.indexes.get(digests.of(b"none")) is None

    def test_its_id_depends_on_all_that_it_is(self, store: Store) -> None:
        one, two = members(store, AMD64, ARM64)
        put = store.indexes.put
        different = [
            put([one, two]),
            put([two, one]),
            put([one]),
            put([one, two], {"a": "b"}),
            put([one, two], source=digests.of(b"s")),
            put([one, two._replace(annotations=(("a", "b"),))]),
            put([one, two._replace(described=(("a", "b"),))]),
            put([one, two._replace(platform=S390X)]),
            put([one, two._replace(manifest=digests.of(b"m"))]),
        ]
        assert len(set(different)) == len(different) == len(store.indexes.all())
        assert put([one, two]) == different[0] and len(store.indexes.all()) == len(different)

    def test_a_name_means_this_machines_image(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        found = members(store, S390X, ARM64, AMD64)
        for here, expected in ((ARM64, 1), (AMD64, 2), (RISCV, 0)):
            monkeypatch.setattr(platforms, "host", lambda here=here: here)
            tagged(store, found)
            assert store.images.find("app:v1").id == found[expected].image

    def test_a_platform_chooses(self, store: Store) -> None:
        found = members(store, AMD64, ARM64)
        tagged(store, found)
        assert store.images.find("app:v1", ARM64).id == found[1].image
        assert store.images.find("app:v1", platforms.parse("linux/amd64/v3")).id == found[0].image
        assert store.images.resolve("app:v1", platform=S390X) is None
        with pytest.raises(NotFound, match="app:v1 has no image for linux/s390x") as caught:
            store.images.find("app:v1", S390X)
        assert caught.value.hint == "it is here for: linux/amd64, linux/arm64"

    def test_the_newest_windows_goes_before_one_without_a_version(self, store: Store) -> None:
        texts = ("windows/amd64", "windows(10.0.17763.1)/amd64", "windows(10.0.20348.1)/amd64")
        found = [Member(platforms.parse(text), image(store, AMD64, text)) for text in texts]
        tagged(store, found)
        assert store.images.find("app:v1", platforms.parse(texts[0])).id == found[2].image

    def test_a_name_is_looked_up_without_what_knows_indexes(self, store: Store) -> None:
        tagged(store, members(store, AMD64, ARM64))
        words = (
            "import sys; from wherry.oci import platform; from wherry.store.store import Store;"
            f"store = Store.open({store.root!r});"
            "assert store.images.resolve('app:v1', platform=platform.parse('linux/arm64'));"
            "assert not {'wherry.store.indexes', 'wherry.oci.match'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", words], check=True)

    def test_the_indexes_word_goes_before_the_configs(self, store: Store) -> None:
        """A config may say less than the index, or nothing that is true."""
        found = [
            Member(platforms.parse("linux/arm/v6"), image(store, AMD64, "v6")),
            Member(platforms.parse("linux/arm/v7"), image(store, AMD64, "v7")),
        ]
        tagged(store, found)
        assert store.images.find("app:v1", platforms.parse("linux/arm/v7")).id == found[1].image
        assert store.images.resolve("app:v1", platform=AMD64) is None

    def test_platforms_that_come_at_once_all_stay(self, store: Store) -> None:
        """Each process reads what the name means, and adds to it."""
        source = digests.of(b"index")
        arrived = [
            Member(platforms.parse(f"linux/arm64/v8.{n}"), image(store, ARM64, str(n))) for n in range(8)
        ]
        reference = references.parse("localhost:5000/app:v1")

        def come(member: Member) -> None:
            with Store.open(store.root) as own:
                own.images.add_platform(reference, source, member)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(come, arrived))
        index = store.images.index_of(str(reference))
        assert index and {member.image for member in index.members} == set(ids(arrived))
        assert (index.source, index.whole) == (source, False)

    def test_a_platform_of_one_image_alone(self, store: Store) -> None:
        one = image(store, ARM64)
        store.images.tag(APP, one)
        for text in ("app:v1", one, one[7:19]):
            assert store.images.find(text, ARM64).id == one
            with pytest.raises(NotFound, match=r"has no image for linux/amd64"):
                store.images.find(text, AMD64)
        with pytest.raises(NotFound, match="no such image: other"):
            store.images.find("other", AMD64)

    def test_digests_mean_the_index_and_each_of_its_images(self, store: Store) -> None:
        manifests = [digests.of(text) for text in (b"1", b"2")]
        raw = digests.of(b"raw")
        found = [
            member._replace(manifest=manifest)
            for member, manifest in zip(members(store, AMD64, ARM64), manifests, strict=True)
        ]
        store.indexes.put_whole(raw, found, manifests)
        store.images.add_repo_digest("localhost:5000/app", raw, found[0].image, raw)
        assert store.images.find(f"localhost:5000/app@{raw}", ARM64).id == found[1].image
        for member in found:
            assert store.images.find(f"localhost:5000/app@{member.manifest}").id == member.image
            assert store.images.repo_digests(member.image) == [f"localhost:5000/app@{raw}"]
        assert store.images.resolve(f"localhost:5000/other@{manifests[1]}") is None

    def test_a_name_that_moves_on_forgets_index_and_annotations(self, store: Store) -> None:
        found = members(store, AMD64, ARM64)
        index = store.indexes.put(found)
        store.images.tag(APP, found[0].image, index, (("a", "b"),))
        name = store.images.name(APP)
        assert name and (name.image, name.index_id, name.annotations) == (
            found[0].image,
            index,
            (("a", "b"),),
        )
        store.images.tag(APP, found[0].image)
        name = store.images.name(APP)
        assert name and (name.index_id, name.annotations) == (None, ())
        assert store.images.index_of("app:v1") is None


class TestHolding:
    def test_members_stay_as_long_as_the_name(self, store: Store) -> None:
        found = members(store, AMD64, ARM64)
        index = tagged(store, found)
        assert store.images.holders(found[1].image) == [APP] and store.images.names(found[1].image) == []
        collect(store, Scope())
        assert {image.id for image in store.images.all()} == set(ids(found))
        store.images.untag(APP)
        assert set(collect(store, Scope()).images) == set(ids(found))
        assert store.indexes.get(index) is None and list(store.blobs.all()) == []

    def test_what_a_whole_index_needs_stays_and_goes_with_it(self, store: Store) -> None:
        raw, manifest, attestation = (store.blobs.put(text) for text in (b"raw", b"m", b"attestation"))
        (member,) = members(store, AMD64)
        store.indexes.put_whole(raw, [member._replace(manifest=manifest)], [manifest, attestation])
        store.images.tag(APP, member.image, raw)
        collect(store, Scope())
        assert {digest for digest, _ in store.blobs.all()} == {raw, manifest, attestation, member.image}
        paths = set(of_images(store, store.images.all()))
        assert paths == {store.blobs.path(digest) for digest, _ in store.blobs.all()}
        store.images.tag(APP, member.image)
        collect(store, Scope())
        assert [digest for digest, _ in store.blobs.all()] == [member.image]

    def test_a_digest_alone_holds_nothing_as_with_one_image(self, store: Store) -> None:
        found = members(store, AMD64, ARM64)
        index = store.indexes.put(found)
        store.images.add_repo_digest("localhost:5000/app", digests.of(b"raw"), found[0].image, index)
        store.images.tag(APP, found[0].image)
        collect(store, Scope())
        assert [image.id for image in store.images.all()] == [found[0].image]
        assert store.indexes.all() == []
        assert store.images.find(f"localhost:5000/app@{digests.of(b'raw')}").id == found[0].image

    def test_an_image_that_is_deleted_takes_the_index_along(self, store: Store) -> None:
        found = members(store, AMD64, ARM64)
        tagged(store, found)
        store.images.delete(found[1].image)
        assert store.images.index_of("app:v1") is None and store.indexes.all() == []
        assert store.images.find("app:v1").id == found[0].image
        tagged(store, members(store, AMD64, ARM64), "other")
        assert store.images.index_of("app:v1") is None, "the same one under another name is none of its"
        store.images.delete(found[0].image)
        assert store.images.all_names() == []

    @pytest.mark.parametrize(
        "scope",
        [
            Scope(everything=True, labels=("a",)),
            Scope(everything=True, in_use=lambda store: [image(store, ARM64)]),
            Scope(everything=True, images=False),
        ],
    )
    def test_the_images_of_a_name_go_together_or_not_at_all(self, store: Store, scope: Scope) -> None:
        one, two = members(store, ARM64)[0], Member(AMD64, image(store, AMD64, a="b"))
        tagged(store, [one, two])
        tagged(store, [two, Member(S390X, image(store, S390X, a="b"))], "other")
        collect(store, scope)
        assert len(store.images.all()) == 3 and len(store.indexes.all()) == 2

    def test_a_limit_of_the_stores_size_spares_members_too(self, store: Store) -> None:
        layers = [layer(store, text) for text in ("one", "two", "three")]
        one, two, three = (
            store.images.put(ImageConfig(AMD64, diff_ids=(diff_id,)).encode()) for diff_id in layers
        )
        tagged(store, [Member(AMD64, one), Member(ARM64, two)])
        gone, _ = trim(store, 0, 0, set(), lambda store: ())
        assert gone.images == (three,) and {item.id for item in store.images.all()} == {one, two}

    def test_all_goes_where_all_may_go(self, store: Store) -> None:
        tagged(store, members(store, AMD64, ARM64))
        collect(store, Scope(everything=True))
        assert not (store.images.all() or store.images.all_names() or store.indexes.all())


_NAMES = [references.parse(text) for text in ("one:1", "two:1", "three:1")]
_IMAGE = st.integers(0, 4)
_NAME = st.sampled_from(_NAMES)
_INDEX = st.lists(_IMAGE, min_size=1, max_size=3, unique=True)
_OPERATION = st.one_of(
    st.tuples(st.just("tag"), _NAME, _IMAGE),
    st.tuples(st.just("index"), _NAME, _INDEX, st.booleans()),
    st.tuples(st.just("copy"), _NAME, _NAME),
    st.tuples(st.just("digest"), _NAME, _INDEX),
    st.tuples(st.just("pull"), _NAME, st.sampled_from([b"1", b"2"]), st.sampled_from([HERE, S390X]), _IMAGE),
    st.tuples(st.just("untag"), _NAME),
    st.tuples(st.just("delete"), _IMAGE),
    st.tuples(st.just("prune")),
)


class _World:
    """The store, and beside it what each name has to reach, kept in the plainest way."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.names: dict[references.Reference, tuple[Digest, tuple[Digest, ...], Digest | None]] = {}
        self.pulled: dict[tuple[str, bytes], dict[platforms.Platform, Digest]] = {}
        """By repository and index what is here of that."""

    def images(self, numbers: list[int]) -> list[Digest]:
        return [image(self.store, AMD64, str(number)) for number in numbers]

    def tag(self, name: references.Reference, number: int) -> None:
        (one,) = self.images([number])
        self.store.images.tag(name, one)
        self.names[name] = (one, (), None)

    def _members(self, numbers: list[int]) -> list[Member]:
        found = self.images(numbers)
        return [Member(AMD64, one, self.store.blobs.put(b"manifest" + one.encode())) for one in found]

    def index(self, name: references.Reference, numbers: list[int], whole: bool) -> None:
        found = self._members(numbers)
        raw = self.store.blobs.put(repr(numbers).encode()) if whole else None
        if raw:
            index_id = self.store.indexes.put_whole(raw, found, [m.manifest for m in found if m.manifest])
        else:
            index_id = self.store.indexes.put(found)
        self.store.images.tag(name, found[0].image, index_id)
        self.names[name] = (found[0].image, tuple(ids(found)), raw)

    def digest(self, name: references.Reference, numbers: list[int]) -> None:
        found = self._members(numbers)
        index_id = self.store.indexes.put(found)
        digest = digests.of(repr(numbers).encode())
        self.store.images.add_repo_digest(name.name, digest, found[0].image, index_id)

    def pull(
        self, name: references.Reference, index: bytes, platform: platforms.Platform, number: int
    ) -> None:
        (member,) = self._members([number])
        self.store.images.add_platform(name, digests.of(index), member._replace(platform=platform))
        here = self.pulled.setdefault((name.name, index), {})
        here.pop(platform, None)
        here[platform] = member.image
        main = here.get(HERE) or next(iter(here.values()))
        self.names[name] = (main, tuple(here.values()) if len(here) > 1 else (), None)

    def copy(self, source: references.Reference, target: references.Reference) -> None:
        if meant := self.store.images.name(source):
            self.store.images.tag(target, meant.image, meant.index_id, meant.annotations)
            self.names[target] = self.names[source]

    def untag(self, name: references.Reference) -> None:
        assert self.store.images.untag(name) is (name in self.names)
        self.names.pop(name, None)

    def delete(self, number: int) -> None:
        (one,) = self.images([number])
        self.store.images.delete(one)
        for name, (main, index, _) in list(self.names.items()):
            if main == one:
                del self.names[name]
            elif one in index:
                self.names[name] = (main, (), None)
        self._forget({one})

    def _forget(self, gone: set[Digest]) -> None:
        for here in self.pulled.values():
            if gone & set(here.values()):
                here.clear()

    def prune(self) -> None:
        self._forget(set(collect(self.store, Scope()).images))
        expected = {one for main, index, _ in self.names.values() for one in (main, *index)}
        assert {one.id for one in self.store.images.all()} == expected
        raws = {raw for _, _, raw in self.names.values() if raw}
        kept = {digest for digest, _ in self.store.blobs.all()}
        manifests = {digests.of(b"manifest" + one.encode()) for one in expected}
        needed = {
            digests.of(b"manifest" + one.encode()) for _, index, _ in self.names.values() for one in index
        }
        assert expected | raws | needed <= kept <= expected | raws | manifests

    def check(self) -> None:
        """Whatever was done, each name means what it was last given."""
        assert {name.reference for name in self.store.images.all_names()} == set(self.names)
        for name, (main, index, raw) in self.names.items():
            assert self.store.images.find(str(name)).id == main
            found = self.store.images.index_of(str(name))
            assert (tuple(ids(list(found.members))) if found else ()) == index
            assert (found.id if found and found.whole else None) == raw
            assert all(name in self.store.images.holders(one) for one in (main, *index))


@given(st.lists(_OPERATION, max_size=25))
@settings(max_examples=150, deadline=None)
def test_what_a_name_reaches_stays_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[object, ...]]
) -> None:
    root = tmp_path_factory.mktemp("world")
    try:
        with Store.open(str(root / "store")) as store:
            world = _World(store)
            for word, *arguments in [*operations, ("prune",)]:
                getattr(world, str(word))(*arguments)
                world.check()
    finally:
        shutil.rmtree(root)


_VERSION_4 = """
CREATE TABLE images (id TEXT PRIMARY KEY, created REAL NOT NULL, manifest TEXT);
INSERT INTO "images" VALUES('sha256:1408f38aeccb760294ae15cd8cd93c24431f75bc1e6e53d51a33cb692cfa8d8b',
    1700000000.5,'sha256:e45f42287a034901e9df4d8796d33a26afc132b0490fe834d3ff4e34b16d0d87');
CREATE TABLE layer_blobs (
    diff_id TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    compressor TEXT NOT NULL, PRIMARY KEY (diff_id, digest)
);
CREATE TABLE layers (diff_id TEXT PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE names (name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images(id), updated REAL NOT NULL);
INSERT INTO "names" VALUES('localhost:5000/app:v1',
    'sha256:1408f38aeccb760294ae15cd8cd93c24431f75bc1e6e53d51a33cb692cfa8d8b',1700000000.5);
CREATE TABLE records (
    key TEXT PRIMARY KEY, recipe TEXT NOT NULL, parent TEXT NOT NULL, layer TEXT,
    created REAL NOT NULL, used REAL NOT NULL, seconds REAL NOT NULL, description TEXT NOT NULL
, made REAL NOT NULL DEFAULT 0, networked INTEGER NOT NULL DEFAULT 1, unobserved TEXT NOT NULL DEFAULT '');
CREATE TABLE repo_digests (
    repository TEXT NOT NULL, manifest TEXT NOT NULL, image TEXT NOT NULL REFERENCES images(id),
    PRIMARY KEY (repository, manifest)
);
INSERT INTO "repo_digests" VALUES('localhost:5000/app',
    'sha256:e45f42287a034901e9df4d8796d33a26afc132b0490fe834d3ff4e34b16d0d87',
    'sha256:1408f38aeccb760294ae15cd8cd93c24431f75bc1e6e53d51a33cb692cfa8d8b');
CREATE TABLE trace_parts (
    trace INTEGER NOT NULL REFERENCES traces(id), tree INTEGER NOT NULL, top BLOB NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (trace, tree, top)
) WITHOUT ROWID;
CREATE TABLE traces (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, chains TEXT NOT NULL, layer TEXT, seconds REAL NOT NULL,
    used REAL NOT NULL
, made REAL NOT NULL DEFAULT 0, networked INTEGER NOT NULL DEFAULT 1);
CREATE INDEX names_by_image ON names(image);
CREATE INDEX layer_blobs_by_digest ON layer_blobs(digest);
CREATE INDEX records_by_recipe ON records(recipe);
CREATE INDEX traces_by_key ON traces(key);
PRAGMA user_version = 4;
"""
"""What `.dump` says of a store that the last version before indexes has written."""


def test_a_store_from_before_keeps_its_names(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with sqlite3.connect(tmp_path / "store" / "store.db") as old:
        old.executescript(_VERSION_4)
    old.close()
    with Store.open(str(tmp_path / "store")) as store:
        one = store.blobs.put(ImageConfig(AMD64, Execution(user="old")).encode())
        store.blobs.put(b'{"manifest":1}')
        found = store.images.find("localhost:5000/app:v1")
        assert (found.id, found.config.execution.user, found.created) == (one, "old", 1700000000.5)
        (digest,) = store.images.repo_digests(one)
        assert store.images.find(digest) == found and store.images.index_of(digest) is None
        (name,) = store.images.all_names()
        assert (name.image, name.updated, name.index_id, name.annotations) == (one, 1700000000.5, None, ())
        store.images.tag(APP, one, store.indexes.put([Member(AMD64, one), *members(store, ARM64)]))
        collect(store, Scope())
        assert len(store.images.all()) == 2 and len(store.images.all_names()) == 2
        assert store.blobs.has(digests.of(b'{"manifest":1}'))
