"""What is a change and what is not, case by case, each on a real mount and as the layer that comes of it."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from wherry.base.errors import Unsupported
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer, LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot.changes import changes, commit
from wherry.snapshot.copy import Copies
from wherry.snapshot.overlay import Mounted, overlay
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")

SECOND = 1_000_000_000
OLD = 10**9 * SECOND
"""The time of all that is in the base: 2001."""
CLAMP = 315532800
"""1980: earlier than that."""

BASE = (
    Entry("d", DIRECTORY, 0o755, mtime=OLD),
    Entry("d/e", DIRECTORY, 0o755, mtime=OLD),
    Entry("d/e/y", FILE, 0o644, mtime=OLD, size=3),
    Entry("d/x", FILE, 0o644, mtime=OLD, size=3),
    Entry("empty", DIRECTORY, 0o700, mtime=OLD),
    Entry("l", SYMLINK, 0o777, mtime=OLD, link="d"),
    Entry("one", FILE, 0o644, mtime=OLD, size=3),
    Entry("two", HARDLINK, 0o644, mtime=OLD, link="one"),
)


class Step:
    """A store with the base, and the layer that a function's changes to it make."""

    def __init__(self, store: Store, copies: bool = False) -> None:
        self.store = store
        self.layers = Layers(store)
        self.copies = None
        if copies:
            os.makedirs(f"{store.root}/trees")
            self.copies = Copies(store, self.layers, f"{store.root}/trees")
        self.base = self.add(*BASE)

    def add(self, *entries: Entry) -> Digest:
        def write(writer: LayerWriter) -> None:
            for entry in entries:
                writer.add(entry, b"low" if entry.kind == FILE else None)

        return self.layers.add_tar(write).diff_id

    def commit(
        self, change: Callable[[Path], object], clamp: int | None = None, chain: tuple[Digest, ...] = ()
    ) -> Layer | None:
        chain = chain or (self.base,)
        view = View(self.layers, chain)
        with self.store.scratch("test") as scratch:
            with self.to_write_to(chain, scratch) as mounted:
                change(Path(mounted.path))
            return commit(self.layers, mounted.upper, view, clamp=clamp, told=mounted.told)

    def to_write_to(self, chain: tuple[Digest, ...], scratch: str) -> AbstractContextManager[Mounted]:
        if self.copies:
            return self.copies.mounted(chain, scratch, view=View(self.layers, chain))
        return overlay(self.store, self.layers, chain, scratch)

    def names(self, change: Callable[[Path], object], clamp: int | None = None) -> list[tuple[str, str]]:
        """(kind, path) of the layer's entries, none for no layer; checked against the tree that is kept."""
        layer = self.commit(change, clamp)
        if layer is None:
            return []
        kept = {path[1:] for path in _below(self.layers.contents(layer.diff_id), "")}
        hidden = {entry.path for entry in layer.entries if entry.kind == WHITEOUT}
        assert kept | hidden == {entry.path for entry in layer.entries if entry.path}
        return [(entry.kind, entry.path) for entry in layer.entries]


def _below(root: str, path: str) -> list[str]:
    found = [path] if path else []
    if stat.S_ISDIR(os.lstat(root + path).st_mode):
        for name in os.listdir(root + path):
            found += _below(root, f"{path}/{name}")
    return found


@pytest.fixture(
    params=[(False, False), (True, False), (False, True), (True, True)],
    ids=["root", "user-namespace", "root-copy", "user-namespace-copy"],
)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Step], None]], None]:
    user, copies = request.param

    def with_step(check: Callable[[Step], None]) -> None:
        def inside() -> None:
            with Store.open(f"{tmp_path}/store") as store:
                check(Step(store, copies))

        with_own_mounts(inside, user=user)

    return with_step


Run = Callable[[Callable[[Step], None]], None]


def touch(path: Path) -> None:
    os.utime(path)


def rewrite(path: Path, text: str) -> None:
    with path.open("r+") as file:
        file.write(text)


def with_time_kept(path: Path, change: Callable[[], object]) -> None:
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


def listen(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)  # a socket's name has 108 bytes at most
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def make_and_remove(path: Path) -> None:
    path.mkdir()
    path.rmdir()


def renew(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def renew_alike(root: Path) -> None:
    renew(root / "empty")
    os.chmod(root / "empty", 0o700)


def renew_with_the_same_file(root: Path) -> None:
    renew(root / "d/e")
    (root / "d/e/y").write_text("low")
    os.utime(root / "d/e/y", ns=(OLD, OLD))


def folder_to_file(root: Path) -> None:
    shutil.rmtree(root / "d")
    (root / "d").write_text("file")


def link_to_folder(root: Path) -> None:
    (root / "l").unlink()
    (root / "l").mkdir()


def file_to_socket(root: Path) -> None:
    (root / "one").unlink()
    listen(root / "one")


NOTHING: list[tuple[str, str]] = []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: None, NOTHING),
        (lambda root: (root / "d/x").open("r+").close(), NOTHING),
        (lambda root: os.chown(root / "d/x", 0, 0), NOTHING),
        (lambda root: os.chown(root / "l", 0, 0, follow_symlinks=False), NOTHING),
        (lambda root: os.chmod(root / "d", 0o755), NOTHING),
        (lambda root: with_time_kept(root / "d/x", lambda: rewrite(root / "d/x", "low")), NOTHING),
        (lambda root: make_and_remove(root / "d/new"), NOTHING),
        (lambda root: touch(root / "d"), NOTHING),
        (renew_alike, NOTHING),
        (lambda root: listen(root / "d/socket"), NOTHING),
        (lambda root: (root / "etc/hosts").unlink(), NOTHING),
        (lambda root: os.system(f"chown -R 0:0 {root}"), NOTHING),
        (lambda root: (root / "etc/new").touch(), [("d", "etc"), ("f", "etc/new")]),
        (lambda root: (root / "etc/hosts").write_text("x"), [("d", "etc"), ("f", "etc/hosts")]),
        (lambda root: touch(root / "d/x"), [("d", "d"), ("f", "d/x")]),
        (
            lambda root: with_time_kept(root / "d/x", lambda: rewrite(root / "d/x", "LOW")),
            [("d", "d"), ("f", "d/x")],
        ),
        (lambda root: os.chmod(root / "d/e", 0o700), [("d", "d"), ("d", "d/e")]),
        (lambda root: os.chmod(root / "d/x", 0o4755), [("d", "d"), ("f", "d/x")]),
        (lambda root: os.chown(root / "l", 0, 5, follow_symlinks=False), [("l", "l")]),
        (lambda root: os.setxattr(root / "d/x", "user.a", b""), [("d", "d"), ("f", "d/x")]),
        (lambda root: (root / "d/x").unlink(), [("d", "d"), ("w", "d/x")]),
        (lambda root: shutil.rmtree(root / "d"), [("w", "d")]),
        (lambda root: renew(root / "d"), [("d", "d"), ("o", "d")]),
        (
            renew_with_the_same_file,
            [("d", "d"), ("d", "d/e"), ("o", "d/e"), ("f", "d/e/y")],
        ),
        (lambda root: (root / "new").mkdir(), [("d", "new")]),
        (folder_to_file, [("f", "d")]),
        (link_to_folder, [("d", "l")]),
        (file_to_socket, [("w", "one")]),
        (lambda root: os.link(root / "d/x", root / "a"), [("f", "a"), ("d", "d"), ("h", "d/x")]),
        (lambda root: (root / "d/x").rename(root / "z"), [("d", "d"), ("w", "d/x"), ("f", "z")]),
        (lambda root: os.mkfifo(root / "pipe"), [("p", "pipe")]),
        (lambda root: os.chmod(root, 0o711), [("d", "")]),
    ],
)
def test_what_is_a_change(
    run: Run, change: Callable[[Path], object], expected: list[tuple[str, str]]
) -> None:
    def check(step: Step) -> None:
        assert step.names(change) == expected

    run(check)


def test_writing_to_one_name_of_a_file_of_lower_layers(run: Run) -> None:
    """Overlay parts the names; in a copy they stay one file, as on any file system."""

    def check(step: Step) -> None:
        names = step.names(lambda root: rewrite(root / "one", "LOW"))
        assert names == ([("f", "one"), ("h", "two")] if step.copies else [("f", "one")])

    run(check)


def test_a_file_that_was_touched_to_the_same_limited_time_is_no_change(run: Run) -> None:
    def check(step: Step) -> None:
        def write(root: Path) -> None:
            (root / "new").write_text("text")

        first = step.commit(write, CLAMP)
        assert first and [entry.mtime for entry in first.entries] == [CLAMP * SECOND]
        chain = (step.base, first.diff_id)
        assert step.commit(lambda root: touch(root / "new"), CLAMP, chain) is None
        assert step.commit(write, CLAMP, chain) is None
        again = step.commit(lambda root: touch(root / "new"), None, chain)
        assert again and [entry.path for entry in again.entries] == ["new"]

    run(check)


def test_times_are_whole_seconds_and_those_the_step_set_are_limited(run: Run) -> None:
    def check(step: Step) -> None:
        def change(root: Path) -> None:
            os.chmod(root / "d/x", 0o600)
            (root / "late").touch()
            (root / "early").touch()
            os.utime(root / "early", ns=(0, 5 * SECOND + 999))

        layer = step.commit(change, CLAMP)
        assert layer
        times = {entry.path: entry.mtime for entry in layer.entries}
        assert times == {
            "d": OLD,  # its names did not change
            "d/x": OLD,
            "early": 5 * SECOND,
            "late": CLAMP * SECOND,
        }
        tree = step.layers.tree(layer.diff_id)
        assert {path: os.stat(f"{tree}/{path}").st_mtime_ns for path in times} == times

    run(check)


def test_a_changed_python_source_never_gets_the_time_of_the_one_before(run: Run) -> None:
    """Or Python would run bytecode of the old one, where the size is the same."""

    def check(step: Step) -> None:
        chain: tuple[Digest, ...] = (step.base,)
        times = []
        for text in ("a = 1", "a = 2", "a = 1"):

            def write(root: Path, text: str = text) -> None:
                (root / "m.py").write_text(text)

            layer = step.commit(write, CLAMP, chain)
            assert layer
            times.append(layer.entries[0].mtime // SECOND)
            chain = (*chain, layer.diff_id)
        assert times == [CLAMP, CLAMP - 1, CLAMP - 2]

    run(check)


def test_only_attributes_that_belong_to_the_file_are_kept(run: Run) -> None:
    capability = b"\1\0\0\2" + b"\1\0\0\0" + bytes(12)  # revision 2, cap_chown+ep

    def check(step: Step) -> None:
        def change(root: Path) -> None:
            (root / "new").touch()
            for name, value in (
                ("user.b", b"\0\xff"),
                ("user.a", b""),
                ("user.overlay.opaque", b"y"),
                ("trusted.mine", b"1"),
                ("security.capability", capability),
            ):
                try:
                    os.setxattr(root / "new", name, value)
                except OSError:
                    assert name in ("user.overlay.opaque", "trusted.mine")

        layer = step.commit(change)
        assert layer
        assert layer.entries[0].xattrs == (
            ("security.capability", capability),
            ("user.a", b""),
            ("user.b", b"\0\xff"),
        )

    run(check)


def test_an_opaque_mark_of_the_other_kind_hides_nothing(tmp_path: Path) -> None:
    """As real root, a process may set `user.overlay.opaque` on any folder."""

    def check() -> None:
        with Store.open(f"{tmp_path}/store") as store:
            step = Step(store)
            layer = step.commit(lambda root: os.setxattr(root / "d", "user.overlay.opaque", b"y"))
            assert layer is None

    with_own_mounts(check)


def test_names_and_paths_of_any_bytes_and_length(run: Run) -> None:
    def check(step: Step) -> None:
        odd = os.fsdecode(b"\xff\xfe \n'\"")

        def change(root: Path) -> None:
            (root / odd).mkdir()
            here = os.open(root / odd, os.O_RDONLY)
            for _ in range(19):
                os.mkdir("n" * 200, dir_fd=here)
                below = os.open("n" * 200, os.O_RDONLY, dir_fd=here)
                os.close(here)
                here = below
            os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=here))
            os.close(here)

        layer = step.commit(change)
        assert layer
        assert layer.entries[-1].path == "/".join([odd, *["n" * 200] * 19, "end"])
        assert len(layer.entries) == 21

    run(check)


def test_a_thousand_folders_in_each_other(run: Run) -> None:
    def check(step: Step) -> None:
        path = "/".join(["d"] * 900)
        layer = step.commit(lambda root: os.system(f"mkdir -p {root}/{path}"))
        assert layer and len(layer.entries) == 900
        above = step.commit(lambda root: (root / path / "x").touch(), None, (step.base, layer.diff_id))
        assert above and above.entries[-1].path == f"{path}/x"

    run(check)


def test_holes_stay_holes(run: Run) -> None:
    def check(step: Step) -> None:
        def change(root: Path) -> None:
            with (root / "sparse").open("wb") as file:
                file.truncate(50_000_000)

        layer = step.commit(change)
        assert layer and layer.entries[0].size == 50_000_000
        assert os.stat(f"{step.layers.tree(layer.diff_id)}/sparse").st_blocks < 100

    run(check)


def test_what_is_no_change_does_not_come_along_to_another_parent(run: Run) -> None:
    def check(step: Step) -> None:
        def change(root: Path) -> None:
            (root / "d/new").touch()
            renew(root / "empty")  # marked opaque by overlay, with nothing to hide
            os.chown(root / "d/x", 0, 0)

        layer = step.commit(change)
        other = step.add(
            Entry("d", DIRECTORY, 0o755),
            Entry("d/x", FILE, 0o600, 7, 7, size=3),
            Entry("empty", DIRECTORY, 0o755),
            Entry("empty/old", FILE, 0o644, size=3),
        )
        assert layer
        chain = (other, layer.diff_id)
        with (
            step.store.scratch("test") as scratch,
            overlay(step.store, step.layers, chain, scratch) as mounted,
        ):
            assert os.stat(f"{mounted.path}/d/x").st_uid == 7
            assert os.path.exists(f"{mounted.path}/d/new")
            assert os.listdir(f"{mounted.path}/empty") == ["old"]

    run(check)


def test_the_same_changes_give_the_same_layer(run: Run) -> None:
    def check(step: Step) -> None:
        def change(root: Path, order: int) -> None:
            for name in ("a", "b", "c")[::order]:
                (root / name).mkdir()
                (root / name / "file").write_text(name)

        one = step.commit(lambda root: change(root, 1), CLAMP)
        other = step.commit(lambda root: change(root, -1), CLAMP)
        assert one == other

    run(check)


def test_changes_only_looks(run: Run) -> None:
    def check(step: Step) -> None:
        view = View(step.layers, (step.base,))
        with step.store.scratch("test") as scratch:
            with overlay(step.store, step.layers, (step.base,), scratch) as mounted:
                os.chown(f"{mounted.path}/one", 0, 0)
                shutil.rmtree(f"{mounted.path}/d")
            assert changes(mounted.upper, view) == (Entry("d", WHITEOUT),)
            assert sorted(_below(mounted.upper, "")) == ["/d", "/one"]

    run(check)


def test_a_name_that_means_a_whiteout_is_refused(run: Run) -> None:
    def check(step: Step) -> None:
        with pytest.raises(Unsupported, match=r"\.wh\."):
            step.commit(lambda root: (root / ".wh.x").touch())

    run(check)


def test_the_layer_s_stream_can_be_made_again_from_its_tree(run: Run) -> None:
    def check(step: Step) -> None:
        def change(root: Path) -> None:
            renew(root / "d")
            (root / "d/big").write_bytes(os.urandom(3_000_000))
            os.link(root / "d/big", root / "d/same")
            os.symlink("nowhere", root / "d/link")
            (root / "one").unlink()

        layer = step.commit(change, CLAMP)
        assert layer
        assert {entry.kind for entry in layer.entries} == {
            DIRECTORY,
            OPAQUE,
            FILE,
            HARDLINK,
            SYMLINK,
            WHITEOUT,
        }
        with step.layers.open_tar(layer.diff_id) as tar:
            while tar.read(1 << 20):  # raises where the digest is another
                pass

    run(check)
