"""The layers of a store: in by every way, out by every way, always the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from wherry.base.errors import Corrupt, NotFound, WherryError
from wherry.layer.compress import decompressed
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, WHITEOUT, Entry
from wherry.layer.forms import TRUSTED
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer, LayerWriter
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import Descriptor
from wherry.store.store import Store
from wherry.testing import trees

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners and devices")

ENTRIES = [
    Entry("d", DIRECTORY, 0o755, mtime=10**18),
    Entry("d/file", FILE, 0o640, 0, 7, 10**18, 5),
    Entry("d/hard", HARDLINK, 0o640, 0, 7, 10**18, link="d/file"),
    Entry("d/large", FILE, 0o644, size=3 << 20),
    Entry("gone", WHITEOUT),
    Entry("link", SYMLINK, 0o777, link="/etc/passwd"),
]
CONTENTS = {"d/file": b"hello", "d/large": os.urandom(3 << 20)}
LAYER, STREAM = trees.write(ENTRIES, CONTENTS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store")) as opened:
        yield opened


def write(writer: LayerWriter) -> None:
    for entry in ENTRIES:
        writer.add(entry, CONTENTS.get(entry.path))


def whole(stream: BinaryIO) -> bytes:
    with stream:
        return stream.read()


def parts(store: Store, layer: Layer = LAYER) -> set[str]:
    folder = store.layers.folder(layer.diff_id)
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


def put_blob(store: Store, data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type, store.blobs.put(data), len(data))


def check_all(store: Store) -> None:
    """Every way out, by a `Layers` that remembers nothing."""
    layers = Layers(store)
    assert layers.has(LAYER.diff_id)
    assert layers.index(LAYER.diff_id) == LAYER
    assert whole(layers.open_tar(LAYER.diff_id)) == STREAM
    for entry in LAYER.entries:
        if entry.kind in (FILE, HARDLINK):
            assert whole(layers.open_file(LAYER.diff_id, entry)) == CONTENTS[entry.link or entry.path]
    for compression in ("gzip", "zstd", "uncompressed"):
        blob = layers.compressed(LAYER.diff_id, compression)
        assert decompressed(store.blobs.open(blob.digest)).read() == STREAM
        assert layers.compressed(LAYER.diff_id, compression) == blob
    tree = Path(layers.tree(LAYER.diff_id))
    assert tree == Path(store.layers.folder(LAYER.diff_id)) / "fs"
    assert os.lstat(tree / "gone").st_rdev == 0
    assert (tree / "d/large").read_bytes() == CONTENTS["d/large"]
    assert os.listdir(store.path("tmp")) == []
    assert store.layers.size(LAYER.diff_id) == len(STREAM)


@root_only
def test_from_a_writer(store: Store) -> None:
    assert Layers(store).add_tar(write) == LAYER
    assert parts(store) == {"index", "tar"}
    check_all(store)
    assert parts(store) == {"index", "tar", "fs"}


@root_only
@pytest.mark.parametrize("extract", [True, False])
def test_from_a_stream(store: Store, extract: bool) -> None:
    assert Layers(store).add_stream(io.BytesIO(STREAM), extract=extract) == LAYER
    assert parts(store) == ({"index", "tar", "fs"} if extract else {"index", "tar"})
    check_all(store)


@root_only
def test_from_an_upper_folder(store: Store) -> None:
    with store.scratch("run") as scratch:
        upper = f"{scratch}/upper"
        Layers(store).add_tar(write)
        shutil.copytree(Layers(store).tree(LAYER.diff_id), upper, symlinks=True, ignore=ignore_nodes)
        os.unlink(f"{upper}/d/hard")
        os.link(f"{upper}/d/file", f"{upper}/d/hard")
        os.mknod(f"{upper}/gone", 0o020000, 0)
        shutil.rmtree(store.layers.folder(LAYER.diff_id))
        layers = Layers(store)
        openers = {path: opener(f"{upper}/{path}") for path in CONTENTS}
        found = layers.add_upper(upper, [(entry, openers.get(entry.path)) for entry in ENTRIES], TRUSTED)
        assert not os.path.exists(upper)
    assert found == LAYER
    assert parts(store) == {"index", "fs"}
    check_all(store)


def opener(path: str) -> Callable[[], BinaryIO]:
    return lambda: open(path, "rb")


def ignore_nodes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "gone"]


@root_only
@pytest.mark.parametrize("media_type", [media.LAYER_GZIP, media.DOCKER_LAYER_GZIP])
def test_from_a_pulled_blob(store: Store, media_type: str) -> None:
    import gzip

    blob = put_blob(store, gzip.compress(STREAM), media_type)
    store.layers.add_blob(LAYER.diff_id, blob)
    assert Layers(store).has(LAYER.diff_id)
    assert Layers(store).compressed(LAYER.diff_id) == blob._replace(media_type=media.LAYER_GZIP)
    assert parts(store) == set()
    check_all(store)
    assert parts(store) == {"index", "fs"}


@root_only
def test_a_blob_that_is_not_what_the_config_says(store: Store) -> None:
    other, _ = trees.write([Entry("x", DIRECTORY)], {})
    store.layers.add_blob(other.diff_id, put_blob(store, STREAM, media.LAYER_TAR))
    layers = Layers(store)
    for use in (
        layers.index,
        layers.tree,
        lambda diff_id: whole(layers.open_tar(diff_id)),
        layers.compressed,
    ):
        with pytest.raises(Corrupt, match="another digest"):
            use(other.diff_id)
    assert parts(store, other) == set()
    assert os.listdir(store.path("tmp")) == []


def test_a_layer_that_is_not_there(store: Store) -> None:
    layers = Layers(store)
    assert not layers.has(LAYER.diff_id)
    for use in (layers.index, layers.tree, layers.open_tar, layers.compressed):
        with pytest.raises(NotFound, match="not in the store"):
            use(LAYER.diff_id)


@root_only
def test_a_changed_tree_is_noticed(store: Store) -> None:
    layers = Layers(store)
    layers.add_tar(write)
    tree = Path(layers.tree(LAYER.diff_id))
    os.unlink(tree.parent / "tar")
    (tree / "d/file").write_bytes(b"hullo")
    with pytest.raises(Corrupt, match="another digest"):
        whole(layers.open_tar(LAYER.diff_id))
    (tree / "d/file").write_bytes(b"hi")
    with pytest.raises(Corrupt, match="too short"):
        whole(layers.open_tar(LAYER.diff_id))
    (tree / "d/file").unlink()
    (tree / "d/file").symlink_to("/etc/passwd")
    with pytest.raises(Corrupt, match="damaged"):
        whole(layers.open_tar(LAYER.diff_id))


@root_only
def test_content_is_never_read_through_a_link(store: Store) -> None:
    layers = Layers(store)
    layers.add_tar(write)
    tree = Path(layers.tree(LAYER.diff_id))
    os.unlink(tree.parent / "tar")
    shutil.rmtree(tree / "d")
    (tree / "d").symlink_to("/etc")
    with pytest.raises(Corrupt, match="symbolic links"):
        layers.open_file(LAYER.diff_id, Entry("d/passwd", FILE))


@root_only
def test_a_lost_index_is_made_again(store: Store) -> None:
    Layers(store).add_tar(write)
    index = Path(store.layers.folder(LAYER.diff_id)) / "index"
    index.write_bytes(b"")
    check_all(store)
    index.unlink()
    check_all(store)


def test_an_error_while_writing_leaves_nothing(store: Store) -> None:
    def fail(writer: LayerWriter) -> None:
        write(writer)
        raise WherryError("the context is gone")

    with pytest.raises(WherryError, match="context is gone"):
        Layers(store).add_tar(fail)
    assert parts(store) == set()
    assert os.listdir(store.path("tmp")) == []


def test_a_sparse_file_is_no_burden_on_the_disk(store: Store) -> None:
    layer = Layers(store).add_tar(
        lambda writer: writer.add(Entry("s", FILE, size=50 << 20), io.BytesIO(bytes(50 << 20))) and None
    )
    status = os.stat(f"{store.layers.folder(layer.diff_id)}/tar")
    assert status.st_size == layer.size
    assert status.st_blocks * 512 < 1 << 20
    assert whole(Layers(store).open_file(layer.diff_id, layer.entries[0])) == bytes(50 << 20)


_WORKER = """
import sys
from wherry.layer.forms import TRUSTED
from wherry.layer.layers import Layers
from wherry.store.store import Store
from wherry.layer.entry import *
def write(writer):
    for number in range(300):
        writer.add(Entry(f"f{number}", FILE, 0o644, size=20_000), bytes([number % 256]) * 20_000)
with Store.open(sys.argv[1]) as store:
    layers = Layers(store)
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        layer = layers.add_tar(write)
        layers.tree(layer.diff_id)
        layers.compressed(layer.diff_id)
        print(layer.diff_id, flush=True)
        if sys.argv[2] == "once": break
"""


def worker(store: Store, mode: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, store.root, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@root_only
def test_two_processes_make_the_same_layer_at_once(store: Store) -> None:
    workers = [worker(store, "once") for _ in range(3)]
    for process in workers:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in workers]
    assert [process.returncode for process in workers] == [0, 0, 0]
    assert len(set(said)) == 1
    layers = Layers(store)
    diff_id = digests.parse(said[0])
    stream = whole(layers.open_tar(diff_id))
    assert "sha256:" + hashlib.sha256(stream).hexdigest() == diff_id
    assert len(os.listdir(layers.tree(diff_id))) == 300
    assert os.listdir(store.path("tmp")) == []


@root_only
@pytest.mark.parametrize("after", [0.0, 0.015, 0.04, 0.1])
def test_a_kill_at_any_instant_leaves_a_whole_store(store: Store, after: float) -> None:
    process = worker(store, "loop")
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store.sweep()
    assert os.listdir(store.path("tmp")) == []
    layers = Layers(store)
    for diff_id in store.layers.all():
        assert layers.has(diff_id)
        assert layers.index(diff_id).diff_id == diff_id
        assert len(os.listdir(layers.tree(diff_id))) == 300
        assert len(whole(layers.open_tar(diff_id))) == layers.index(diff_id).size
    again = worker(store, "once")
    said, _ = again.communicate("go\n")
    assert again.returncode == 0
    assert layers.has(digests.parse(said.strip()))


_ON_A_SMALL_DISK = """
import io, os, sys
from wherry.base.errors import WherryError
from wherry.layer.entry import *
from wherry.layer.forms import TRUSTED
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.store.store import Store
big = os.urandom(9 << 20)
parts = []
with LayerWriter(parts.append) as writer:
    writer.add(Entry("f", FILE, size=len(big)), big)
    writer.finish()
stream = b"".join(parts)
with Store.open(sys.argv[1]) as store:
    layers = Layers(store)
    tries = [
        lambda: layers.add_tar(lambda writer: writer.add(Entry("f", FILE, size=len(big)), big)),
        lambda: layers.add_stream(io.BytesIO(stream), extract=False),
        lambda: layers.add_stream(io.BytesIO(stream), extract=True),
    ]
    for attempt in tries:
        try:
            attempt()
            print("written")
        except WherryError as error:
            print(error.message.partition(": ")[2])
    print(os.listdir(store.path("tmp")), os.listdir(store.path("layers")))
    print(layers.add_tar(lambda writer: writer.add(Entry("small", FILE, size=1), b"x")).size)
"""


@root_only
def test_a_full_disk(tmp_path: Path) -> None:
    """One sentence, nothing left behind, and the store goes on working."""
    script = f"mount -t tmpfs -o size=6m none {tmp_path} && exec {sys.executable} - {tmp_path}/store"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script], input=_ON_A_SMALL_DISK, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["No space left on device"] * 3 + ["[] []", "2048"]
