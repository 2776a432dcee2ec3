"""Random changes on a real overlay mount: the layers made of them must give that very tree again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.layer.entry import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK
from wherry.layer.forms import USER, current_form
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci.digest import Digest
from wherry.snapshot.changes import changes, commit
from wherry.snapshot.overlay import overlay
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

SECOND = 1_000_000_000
STUB = {"dev", "etc", "proc", "sys"}
"""The top-level names of overlay's stub: no test makes any of them."""
KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts, owners and devices need root")


class Node(NamedTuple):
    """What a file is, all but its name. `names`: all the names that its content has, if several."""

    kind: str
    mode: int
    owner: tuple[int, int]
    mtime: int
    content: bytes
    link: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, bytes], ...]
    names: tuple[str, ...]

    def without_time_of_folder(self) -> Node:
        return self._replace(mtime=0) if self.kind == DIRECTORY else self


Tree = dict[str, Node]


def loose(tree: Tree) -> Tree:
    """Without the times of folders, and of the root anything: a layer need not say them."""
    return {path: node.without_time_of_folder() for path, node in tree.items() if path}


def check_links(before: Tree, left: Tree, after: Tree) -> None:
    """No link that the step left is lost. One more may be there: overlay parts the names of a lower layer's
    file when it copies one of them up, and a copy that is no change is dropped again. (In a user namespace,
    overlay also shows two numbers for one file that was copied up to be linked.)"""
    for path, node in after.items():
        names = set(node.names)
        assert set(left[path].names) <= names
        assert current_form() is USER or names <= {
            path,
            *left[path].names,
            *(before[path].names if path in before else ()),
        }


def comparable(tree: Tree, clamp: int | None) -> Tree:
    """What must be the same before and after a layer is made, links aside: with `clamp`, no time at all."""
    tree = {path: node._replace(names=()) for path, node in loose(tree).items()}
    return tree if clamp is None else {path: node._replace(mtime=0) for path, node in tree.items()}


# a real tree, and a view, as the same value


def tree_of(root: str) -> Tree:
    names: dict[int, list[str]] = {}
    tree: Tree = {}
    pending = [""]
    while pending:
        path = pending.pop()
        full = f"{root}/{path}" if path else root
        status = os.lstat(full)
        if stat.S_ISSOCK(status.st_mode):
            continue
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        if kind == DIRECTORY:
            below = [name for name in os.listdir(full) if path or name not in STUB]
            pending += [f"{path}/{name}" if path else name for name in below]
        elif kind == FILE and status.st_nlink > 1:
            names.setdefault(status.st_ino, []).append(path)
        tree[path] = Node(
            kind,
            stat.S_IMODE(status.st_mode),
            (status.st_uid, status.st_gid),
            status.st_mtime_ns // SECOND,
            hashlib.sha256(Path(full).read_bytes()).digest() if kind == FILE else b"",
            os.readlink(full) if kind == SYMLINK else "",
            (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in (CHARACTER, BLOCK) else (0, 0),
            tuple(
                (name, os.getxattr(full, name, follow_symlinks=False))
                for name in sorted(os.listxattr(full, follow_symlinks=False))
                if not name.startswith("trusted.")
            ),
            (),
        )
    for group in names.values():
        for path in group:
            tree[path] = tree[path]._replace(names=tuple(sorted(group)) if len(group) > 1 else ())
    return tree


def tree_of_view(view: View) -> Tree:
    """Two names in a view share a file if one layer says so."""
    groups: dict[tuple[Digest, str], list[str]] = {}
    tree: Tree = {}
    for entry, diff_id in view.walk():
        tree[entry.path] = Node(
            entry.kind,
            entry.mode,
            (entry.uid, entry.gid),
            entry.mtime // SECOND,
            entry.digest,
            entry.link,
            entry.device,
            entry.xattrs,
            (),
        )
        if diff_id:
            raw = view.cache.of(diff_id).entries.get(entry.path)
            if raw is not None and raw.kind in (FILE, HARDLINK):
                groups.setdefault((diff_id, raw.link or raw.path), []).append(entry.path)
    for group in groups.values():
        for path in group:
            tree[path] = tree[path]._replace(names=tuple(sorted(group)) if len(group) > 1 else ())
    return tree


# changes


class Change(NamedTuple):
    """`function(root, *arguments)`"""

    function: Callable[..., object]
    arguments: tuple[object, ...]

    def __repr__(self) -> str:
        return f"{self.function.__name__}{self.arguments}"


FOLDERS = ["a", "a/a", "a/b", "a/a/a", "b", "b/a", os.fsdecode(b"b/\xe9")]
FILES = ["c", "a/c", "a/a/b", "a/a/a/a", "a/b/c", "b/b", "b/a/a", os.fsdecode(b"b/\xe9/\xff")]
NEW = ["d", "a/d", "a/a/c", "b/c", "b/a/.w", os.fsdecode(b"\xff")]
paths = st.sampled_from(FOLDERS + FILES + NEW)
modes = st.sampled_from([0o600, 0o755, 0o4755, 0o1777, 0o000, 0o2711])
owners = st.sampled_from([0, 1000, 65000])
times = st.sampled_from([1, 10**9, 4 * 10**9]).map(lambda seconds: seconds * SECOND + 7)


def opened(root: str, path: str, flags: int = 0) -> BinaryIO:
    """For reading and writing, without waiting where it is a pipe."""
    descriptor = os.open(f"{root}/{path}", os.O_RDWR | os.O_NONBLOCK | flags, 0o644)
    return open(descriptor, "r+b", buffering=0)


def write(root: str, path: str, content: bytes) -> None:
    with opened(root, path, os.O_CREAT | os.O_TRUNC) as file:
        file.write(content)


def append(root: str, path: str) -> None:
    with opened(root, path, os.O_APPEND) as file:
        file.write(b"more")


def open_only(root: str, path: str) -> None:
    """Copies the file up, and changes nothing."""
    opened(root, path).close()


def sparse(root: str, path: str) -> None:
    with opened(root, path, os.O_CREAT | os.O_TRUNC) as file:
        file.seek(300_000)
        file.write(b"end")


def delete(root: str, path: str) -> None:
    full = f"{root}/{path}"
    if os.path.isdir(full) and not os.path.islink(full):
        shutil.rmtree(full)
    else:
        os.unlink(full)


def mkdir(root: str, path: str, mode: int) -> None:
    os.mkdir(f"{root}/{path}", mode)


def renew(root: str, path: str) -> None:
    """Replaces a folder by a new one of its name: overlay marks it opaque."""
    delete(root, path)
    os.mkdir(f"{root}/{path}")


def make_and_remove(root: str, path: str) -> None:
    os.mkdir(f"{root}/{path}")
    os.rmdir(f"{root}/{path}")


def listen(root: str, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{root}/{path}")


def set_xattr(root: str, path: str, name: str) -> None:
    capability = b"\1\0\0\2" + b"\1\0\0\0" + bytes(12)  # cap_chown+ep, revision 2
    value = capability if name == "security.capability" else b"value\0\xff"
    os.setxattr(f"{root}/{path}", name, value, follow_symlinks=False)


def remove_xattr(root: str, path: str) -> None:
    os.removexattr(f"{root}/{path}", "user.one", follow_symlinks=False)


def chmod(root: str, path: str, mode: int) -> None:
    os.chmod(f"{root}/{path}", mode)


def chown(root: str, path: str, owner: int) -> None:
    os.chown(f"{root}/{path}", owner, owner, follow_symlinks=False)


def touch(root: str, path: str, time: int) -> None:
    os.utime(f"{root}/{path}", ns=(time, time), follow_symlinks=False)


def symlink(root: str, path: str, target: str) -> None:
    os.symlink(target, f"{root}/{path}")


def mkfifo(root: str, path: str) -> None:
    os.mkfifo(f"{root}/{path}")


def mknod(root: str, path: str) -> None:
    os.mknod(f"{root}/{path}", 0o640 | stat.S_IFCHR, os.makedev(1, 3))


def rename(root: str, path: str, target: str) -> None:
    os.rename(f"{root}/{path}", f"{root}/{target}")


def link(root: str, path: str, target: str) -> None:
    os.link(f"{root}/{path}", f"{root}/{target}", follow_symlinks=False)


def of(function: Callable[..., object], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Change]:
    return st.tuples(paths, *arguments).map(lambda drawn: Change(function, drawn))


change: st.SearchStrategy[Change] = st.one_of(
    of(write, st.sampled_from([b"", b"one", b"two", bytes(5000)])),
    of(mkdir, modes),
    of(mkdir, modes),
    of(append),
    of(open_only),
    of(sparse),
    of(delete),
    of(renew),
    of(make_and_remove),
    of(listen),
    of(set_xattr, st.sampled_from(["user.one", "user.two", "security.capability"])),
    of(remove_xattr),
    of(chmod, modes),
    of(chown, owners),
    of(touch, times),
    of(symlink, st.sampled_from(["a", "/b/c", "../..", "nowhere"])),
    of(mkfifo),
    of(mknod),
    of(rename, paths),
    of(link, paths),
)
FIRST = [
    *(Change(mkdir, (path, 0o755)) for path in FOLDERS),
    *(Change(write, (path, path.encode(errors="replace"))) for path in FILES),
    Change(symlink, ("s", "a")),
    Change(link, ("c", "b/linked")),
]
steps = st.lists(st.lists(change, max_size=10), min_size=1, max_size=3).map(lambda drawn: [FIRST, *drawn])


def apply(root: str, step: list[Change]) -> None:
    for one in step:
        try:
            one.function(root, *one.arguments)
        except OSError:
            pass  # no such file, or one too many: a change that cannot be made


class Machine:
    """A store, and a second one that gets the layers as tar streams only."""

    def __init__(self, root: str) -> None:
        self.store = Store.open(f"{root}/here")
        self.layers = Layers(self.store)
        self.other_store = Store.open(f"{root}/there")
        self.other_layers = Layers(self.other_store)

    def run(self, chain: tuple[Digest, ...], step: list[Change], clamp: int | None) -> tuple[Digest, ...]:
        """One step, checked against the tree that it left."""
        view = View(self.layers, chain)
        with self.store.scratch("test") as scratch:
            with overlay(self.store, self.layers, chain, scratch) as mounted:
                before = tree_of(mounted.path)
                apply(mounted.path, step)
                left = tree_of(mounted.path)
            planned = changes(mounted.upper, view, clamp=clamp)
            layer = commit(self.layers, mounted.upper, view, clamp=clamp)
        if layer is None:
            assert planned == ()
            assert comparable(before, clamp) == comparable(left, clamp)
            return chain
        assert [entry._replace(digest=b"", offset=-1) for entry in layer.entries] == list(planned)
        self.send(layer.diff_id)
        chain = (*chain, layer.diff_id)
        check_links(before, left, self.check(chain, left, clamp))
        return chain

    def send(self, diff_id: Digest) -> None:
        with self.layers.open_tar(diff_id) as tar:
            received = self.other_layers.add_stream(tar, extract=True)
        assert received.diff_id == diff_id

    def check(self, chain: tuple[Digest, ...], left: Tree, clamp: int | None) -> Tree:
        here = tree_of_view(View(self.layers, chain))
        there = tree_of_view(View(self.other_layers, chain))
        mounted_here = self.mounted(self.store, self.layers, chain)
        mounted_there = self.mounted(self.other_store, self.other_layers, chain)
        assert here == there == mounted_here == mounted_there
        assert comparable(here, clamp) == comparable(left, clamp)
        return here

    def mounted(self, store: Store, layers: Layers, chain: tuple[Digest, ...]) -> Tree:
        with store.scratch("test") as scratch, overlay(store, layers, chain, scratch) as mounted:
            return tree_of(mounted.path)


def check_steps(root: str, user: bool, examples: int) -> None:
    machines: list[Machine] = []

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps, st.sampled_from([None, 315532800]))
    def check(sequence: list[list[Change]], clamp: int | None) -> None:
        if not machines:
            machines.append(Machine(root))
        chain: tuple[Digest, ...] = ()
        for step in sequence:
            chain = machines[0].run(chain, step, clamp)

    with_own_mounts(check, user=user)


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
def test_layers_give_the_tree_that_steps_left(user: bool) -> None:
    root = f"/dev/shm/wherry-test-{os.getpid()}"
    os.mkdir(root)
    try:
        check_steps(root, user, 60)
    finally:
        shutil.rmtree(root)


def test_layers_give_the_tree_that_steps_left_on_a_disk(tmp_path: Path) -> None:
    check_steps(str(tmp_path), user=False, examples=15)


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
def test_umoci_unpacks_the_tree_that_steps_left(tmp_path: Path) -> None:
    machines: list[Machine] = []

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def check(sequence: list[list[Change]]) -> None:
        if not machines:
            machines.append(Machine(str(tmp_path)))
        machine = machines[0]
        chain: tuple[Digest, ...] = ()
        for step in sequence:
            chain = machine.run(chain, step, None)
        unpacked = tree_of(unpack(machine.layers, chain, tmp_path / "umoci"))
        # umoci gives folders the time of what it unpacked into them last
        assert loose(unpacked) == loose(tree_of_view(View(machine.layers, chain)))

    with_own_mounts(check)


def unpack(layers: Layers, chain: tuple[Digest, ...], folder: Path) -> str:
    """The root filesystem that umoci makes of the layers."""
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "image/blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    tars = []
    for diff_id in chain:
        with layers.open_tar(diff_id) as tar:
            data = bytearray()
            while block := tar.read(1 << 20):
                data += block
        tars.append(put(bytes(data), media.LAYER_TAR))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": list(chain)},
        "history": [{"created_by": "test"} for _ in chain],
    }
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(config).encode(), media.CONFIG),
        "layers": tars,
    }
    index = put(json.dumps(manifest).encode(), media.MANIFEST)
    index["annotations"] = {"org.opencontainers.image.ref.name": "test"}
    (folder / "image/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "image/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))
    command = ["umoci", "unpack", "--image", f"{folder}/image:test", f"{folder}/bundle"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return f"{folder}/bundle/rootfs"
