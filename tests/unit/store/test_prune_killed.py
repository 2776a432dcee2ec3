"""`prune`, killed at any of its calls, leaves whole things, and the next one ends clean."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.layer.layers import Layers
from wherry.layer.streams import regenerated
from wherry.layer.writer import LayerWriter
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.digest import NO_LAYERS, Digest
from wherry.oci.platform import Platform
from wherry.store.builds import Builds
from wherry.store.cachefolders import SHARED, CacheFolders
from wherry.store.gc import Scope, collect, trim
from wherry.store.records import Result
from wherry.store.room import Room
from wherry.store.store import Store

FILES = 12
SCOPES: dict[str, Callable[[Store], object]] = {
    "all": lambda store: collect(store, Scope(everything=True)),
    "some": lambda store: collect(store, Scope()),
    "size": lambda store: collect(store, Scope(images=False, room=Room(reserved=0))),
    "trim": lambda store: trim(store, 0, 0, set(), lambda _: ()),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with layers in every form, images, records, traces, builds, a cache folder."""
    root = tmp_path_factory.mktemp("prepared") / "store"
    with Store.open(str(root)) as store:
        layers = Layers(store)
        chain: tuple[Digest, ...] = ()
        for number in range(4):
            layer = layers.add_tar(_writer(number)).diff_id
            layers.tree(layer)
            if number % 2:
                layers.compressed(layer)
                os.unlink(f"{store.layers.folder(layer)}/tar")
            below = digests.chain_id(chain)
            store.records.put(below, below, below, Result(layer, 1.0, 1.0), f"RUN {number}")
            chain = (*chain, layer)
            store.traces.put(below, (chain,), Result(layer, 1.0, 1.0), [{"a": b"x"}])
        store.records.put(digests.of(b"none"), NO_LAYERS, NO_LAYERS, Result(None, 1.0, 1.0), "RUN true")
        for name, stack in (("base", chain[:1]), ("", chain[:2])):
            image = store.images.put(ImageConfig(Platform("linux", "amd64"), diff_ids=stack).encode())
            if name:
                store.images.tag(references.parse(name), image)
        Builds(store).keep_succeeded({"image": "x"}, {})
        left = Path(store.path("tmp", "left", "upper"))
        left.mkdir(parents=True)
        (left / "file").write_bytes(bytes(5000))
        Builds(store).keep_failed({}, {}, chain[:3], str(left))
        with CacheFolders(store).use("npm", SHARED, os.mkdir, lambda _: None) as folder:
            for number in range(FILES):
                Path(folder, str(number)).write_bytes(b"kept")
        Path(store.path("cache", "http")).mkdir()
        Path(store.path("cache", "http", "content")).write_bytes(b"fetched")
    return root


def _writer(number: int) -> Callable[[LayerWriter], None]:
    def write(writer: LayerWriter) -> None:
        writer.add(Entry("folder", DIRECTORY, 0o755))
        for count in range(FILES):
            content = b"%d %d" % (number, count) * 100
            writer.add(Entry(f"folder/{count}", FILE, 0o644, size=len(content)), content)

    return write


def _run_and_die(root: Path, work: Callable[[Store], object], calls: int) -> bool:
    """Do the work in a process that dies without notice at so many calls into C; whether it did not."""
    child = os.fork()
    if child == 0:
        try:
            with Store.open(str(root)) as store:
                left = calls

                def count(_frame: object, event: str, _argument: object) -> None:
                    nonlocal left
                    left -= event == "c_call"
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

                sys.setprofile(count)
                work(store)
                sys.setprofile(None)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _calls(prepared: Path, scratch: Path, work: Callable[[Store], object]) -> Iterator[int]:
    """Some of the instants between beginning and end, others in each run of the tests."""
    most = 1000
    while True:
        shutil.copytree(prepared, scratch / "counted")
        if _run_and_die(scratch / "counted", work, most):
            break
        most *= 2
        shutil.rmtree(scratch / "counted")
    numbers = random.Random()
    yield from (numbers.randrange(most * part // 25, most * (part + 1) // 25) for part in range(25))


@pytest.mark.parametrize("name", SCOPES)
def test_a_killed_prune_leaves_whole_things(prepared: Path, tmp_path: Path, name: str) -> None:
    killed = 0
    for calls in _calls(prepared, tmp_path, SCOPES[name]):
        root = tmp_path / f"store-{calls}"
        shutil.copytree(prepared, root)
        killed += not _run_and_die(root, SCOPES[name], calls)
        with Store.open(str(root)) as store:
            _check_whole(store)
            SCOPES[name](store)
            _check_whole(store)
            assert os.listdir(store.path("tmp")) == []
            collect(store, Scope(everything=True))
            left = [name for name in ("layers", "cache", "cache-mounts", "builds") if os.listdir(root / name)]
            assert (left, list(store.blobs.all()), store.traces.all()) == ([], [], [])
        shutil.rmtree(root)
    assert killed > 8


def _check_whole(store: Store) -> None:
    """What is found by its place is all there."""
    layers = Layers(store)
    for name in os.listdir(store.path("layers")):
        diff_id = digests.from_hex(name)
        if layers.has(diff_id):
            with layers.open_tar(diff_id) as tar:
                while tar.read(1 << 20):
                    pass
        for tree in ("fs", "fs-user"):
            folder = f"{store.layers.folder(diff_id)}/{tree}"
            if os.path.isdir(folder):
                _check_tree(layers, diff_id, folder)
    for image in store.images.all():
        assert all(map(layers.has, image.config.diff_ids))
    for record in store.records.all():
        if record.layer and os.path.isdir(store.layers.folder(record.layer)):
            assert layers.has(record.layer)
    for cache in CacheFolders(store).all():
        assert len(os.listdir(f"{store.path('cache-mounts')}/{cache.name}/0")) == FILES
    for build in Builds(store).all():
        if build.failed:
            assert os.path.getsize(f"{store.path('builds')}/{build.id}/upper/file") == 5000
    if os.path.isdir(store.path("cache", "http")):
        assert os.listdir(store.path("cache", "http")) == ["content"]


def _check_tree(layers: Layers, diff_id: Digest, folder: str) -> None:
    with regenerated(layers.index(diff_id), folder) as stream:
        assert digests.of(b"".join(iter(lambda: stream.read(1 << 20), b""))) == diff_id
