"""Root filesystems made by copying: where overlay is refused, and what must not be taken for unchanged."""

from __future__ import annotations

import mmap
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer, LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot.changes import commit
from wherry.snapshot.copy import Copies
from wherry.snapshot.harvest import harvest
from wherry.snapshot.overlay import overlay
from wherry.snapshot.replica import Replica
from wherry.snapshot.signature import signature
from wherry.snapshot.told import Told
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

pytestmark = pytest.mark.needs("root")

OLD = 10**18
BASE = (
    Entry("d", DIRECTORY, 0o755, mtime=OLD),
    Entry("d/e", DIRECTORY, 0o755, mtime=OLD),
    Entry("d/e/y", FILE, 0o644, 7, 8, mtime=OLD, size=3, xattrs=(("user.a", b"1"),)),
    Entry("d/x", FILE, 0o4755, mtime=OLD, size=3),
    Entry("l", SYMLINK, 0o777, mtime=OLD, link="d"),
    Entry("one", FILE, 0o644, mtime=OLD, size=3),
    Entry("two", HARDLINK, 0o644, mtime=OLD, link="one"),
)
Change = Callable[[Path], object]


class Steps:
    """A store on some file system, and steps on a base by copying."""

    def __init__(self, root: str) -> None:
        self.store = Store.open(f"{root}/store")
        self.layers = Layers(self.store)
        self.trees = f"{root}/store/tmp/trees"
        os.mkdir(self.trees)
        self.copies = Copies(self.store, self.layers, self.trees)
        self.chain = (self.add(*BASE),)

    def add(self, *entries: Entry) -> Digest:
        def write(writer: LayerWriter) -> None:
            for entry in entries:
                writer.add(entry, b"low" if entry.kind == FILE else None)

        return self.layers.add_tar(write).diff_id

    def run(self, change: Change, chain: tuple[Digest, ...] = ()) -> Layer | None:
        chain = chain or self.chain
        with self.store.scratch("test") as scratch:
            view = View(self.layers, chain)
            with self.copies.mounted(chain, scratch, view=view) as mounted:
                change(Path(mounted.path))
            return commit(self.layers, mounted.upper, view, clamp=None, told=mounted.told)

    def names(self, change: Change) -> list[tuple[str, str]]:
        layer = self.run(change)
        return [(entry.kind, entry.path) for entry in layer.entries] if layer else []


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    made = Steps(str(tmp_path))
    with made.store:
        yield made


def nothing(root: Path) -> None:
    pass


def test_what_is_written_at_once_and_with_the_old_time_is_seen(steps: Steps) -> None:
    """In the clock's tick after the copy, with size and time as before: only the time of change tells."""

    def change(root: Path) -> None:
        with (root / "d/x").open("r+b") as file:
            file.write(b"LOW")
        os.utime(root / "d/x", ns=(OLD, OLD))
        os.chmod(root / "d/x", 0o4755)

    for _ in range(5):
        assert steps.names(change) == [("d", "d"), ("f", "d/x")]


def test_what_is_written_through_memory_is_seen(steps: Steps) -> None:
    def change(root: Path) -> None:
        descriptor = os.open(root / "d/x", os.O_RDWR)
        with mmap.mmap(descriptor, 3) as memory:
            memory[0] = ord("L")
        os.close(descriptor)
        os.utime(root / "d/x", ns=(OLD, OLD))

    assert steps.names(change) == [("d", "d"), ("f", "d/x")]


def test_contents_are_compared_where_times_do_not_tell(tmp_path: Path, steps: Steps) -> None:
    """A file system that sets no time of change, imitated: what is known is made to say what is there."""
    view = View(steps.layers, steps.chain)
    replica = Replica(f"{tmp_path}/tree", str(tmp_path))
    replica.show(steps.layers, view, {})
    for name in ("d/x", "one"):
        with Path(replica.path, name).open("r+b") as file:
            file.write(b"LOW")
    for path, known in replica.known.items():
        replica.known[path] = known._replace(signature=signature(os.lstat(f"{replica.path}/{path}")))
    replica.trusts_times = False
    harvest(replica, f"{tmp_path}/upper", Told())
    found = {path.name for path in Path(tmp_path, "upper").rglob("*") if not path.is_dir()}
    assert found == {"x", "one", "two"}


def test_a_chain_of_steps_goes_on_with_one_tree(steps: Steps) -> None:
    inodes = []

    def look(root: Path) -> None:
        inodes.append((os.lstat(root / "d/e/y").st_ino, os.lstat(root / "d/x").st_ino))

    def change(root: Path) -> None:
        look(root)
        (root / "d/new").write_text("new")
        (root / "two").unlink()

    layer = steps.run(change)
    assert layer
    chain = (*steps.chain, layer.diff_id)

    def check(root: Path) -> None:
        look(root)
        assert (root / "d/new").read_text() == "new"
        assert os.lstat(root / "d/new").st_nlink == 1  # not the layer's own file
        assert not (root / "two").exists()

    assert steps.run(check, chain) is None
    assert inodes[0] == inodes[1]
    assert os.listdir(steps.trees) == ["tree-1"]


def test_a_tree_of_one_chain_becomes_that_of_another(steps: Steps) -> None:
    other = steps.add(
        Entry("d", FILE, 0o600, mtime=OLD, size=3),
        Entry("one", DIRECTORY, 0o700, mtime=OLD),
        Entry("one/inside", FILE, 0o600, mtime=OLD, size=3),
    )
    assert steps.run(nothing) is None

    def check(root: Path) -> None:
        assert sorted(path for path in os.listdir(root) if path not in ("dev", "etc", "proc", "sys")) == [
            "d", "one",
        ]  # fmt: skip
        assert (root / "d").read_text() == "low"
        assert os.listdir(root / "one") == ["inside"]
        assert stat.S_IMODE(os.stat(root / "one").st_mode) == 0o700

    assert steps.run(check, (other,)) is None
    assert steps.run(nothing) is None


def test_a_failed_step_s_tree_serves_nobody_else(steps: Steps) -> None:
    def fail(root: Path) -> None:
        (root / "d/x").write_text("broken")
        raise KeyError

    with pytest.raises(KeyError):
        steps.run(fail)
    assert steps.run(lambda root: (root / "d/x").read_text() == "low" or pytest.fail("not as it was")) is None


def test_a_new_folder_with_the_inode_of_the_old_one_is_a_new_one() -> None:
    """ext4 gives the number of a removed folder to the next one."""
    root = tempfile.mkdtemp(prefix="wherry-test-", dir="/var/tmp")
    try:
        steps = Steps(root)
        same = []

        def change(root: Path) -> None:
            before = os.stat(root / "d/e").st_ino
            shutil.rmtree(root / "d/e")
            (root / "d/e").mkdir()
            same.append(os.stat(root / "d/e").st_ino == before)

        assert steps.names(change) == [("d", "d"), ("d", "d/e"), ("o", "d/e")]
        assert same == [True] or os.statvfs(root).f_fsid == 0
    finally:
        shutil.rmtree(root)


def test_a_step_cannot_hide_files_by_what_overlay_would_take_for_marks(steps: Steps) -> None:
    def change(root: Path) -> None:
        os.setxattr(root / "d", "user.overlay.opaque", b"y")
        os.setxattr(root / "d/x", "user.overlay.whiteout", b"y")
        (root / "one").unlink()
        os.mknod(root / "one", stat.S_IFCHR, 0)
        os.mknod(root / "new", stat.S_IFCHR, 0)

    layer = steps.run(change)
    assert layer
    assert [(entry.kind, entry.path) for entry in layer.entries] == [("w", "one")]
    again = steps.run(lambda root: os.setxattr(root / "d/x", "user.overlay.whiteout", b"y"))
    assert again is None


def test_a_store_on_overlay_gives_the_same_layers(tmp_path: Path) -> None:
    """A container's own folders: no whiteout can be made there, and no opaque folder be marked."""

    def change(root: Path) -> None:
        shutil.rmtree(root / "d/e")
        (root / "d/e").mkdir()
        (root / "d/x").unlink()
        (root / "new").write_text("new")

    def check() -> None:
        with Store.open(f"{tmp_path}/outer") as outer, outer.scratch("test") as scratch:
            ground = Steps(f"{tmp_path}/outer")
            view = View(ground.layers, ground.chain)
            with ground.store.scratch("test") as below:
                with overlay(ground.store, ground.layers, ground.chain, below) as mounted:
                    change(Path(mounted.path))
                wanted = commit(ground.layers, mounted.upper, view, clamp=100)
            with overlay(outer, Layers(outer), [], scratch) as mounted:
                inner = Steps(mounted.path)
                with inner.store.scratch("test") as below:
                    with inner.copies.mounted(inner.chain, below, view=view) as tree:
                        change(Path(tree.path))
                    found = commit(inner.layers, tree.upper, view, clamp=100, told=tree.told)
                assert found is not None and wanted is not None
                assert found.diff_id == wanted.diff_id
                assert {entry.kind for entry in found.entries} >= {WHITEOUT, OPAQUE}
                with inner.layers.open_tar(found.diff_id) as tar:
                    while tar.read(1 << 20):  # made again from a tree without marks
                        pass
                chain = (*inner.chain, found.diff_id)
                above = View(inner.layers, chain)
                with (
                    inner.store.scratch("test") as below,
                    inner.copies.mounted(chain, below, view=above) as tree,
                ):
                    assert sorted(os.listdir(f"{tree.path}/d")) == ["e"]
                    assert os.listdir(f"{tree.path}/d/e") == []

    with_own_mounts(check)


def test_a_kept_tree_is_there_again_with_all_changes(tmp_path: Path, steps: Steps) -> None:
    view = View(steps.layers, steps.chain)
    for number in range(2):
        with steps.copies.kept(
            steps.chain, str(tmp_path), view=view, mountpoints=(), durable=True
        ) as mounted:
            assert (Path(mounted.path) / "mine").exists() == (number == 1)
            (Path(mounted.path) / "mine").touch()


def test_a_part_of_an_image_is_copied_alone(tmp_path: Path, steps: Steps) -> None:
    view = View(steps.layers, steps.chain)
    with steps.copies.shown(view, str(tmp_path), "d/e") as root:
        found = sorted(str(path.relative_to(root)) for path in Path(root).rglob("*"))
        assert found == ["d", "d/e", "d/e/y"]
        assert os.getxattr(f"{root}/d/e/y", "user.a") == b"1"
