"""Copies while the container's processes exchange what they can: nothing of the machine is read or written.

The attacker is a process beside the copy. None of the checks depends on who is faster.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from wherry.base.errors import WherryError
from wherry.base.paths import Root
from wherry.container.files import copying
from wherry.container.files.places import Place
from wherry.container.files.seen import Seen

pytestmark = pytest.mark.needs("root")

ROUNDS = 200
SECRET = "a secret of the machine's"
_EXCHANGE = 2
_AT_FDCWD = -100


def exchange(one: str, other: str) -> None:
    """renameat2(2): both names are there all the time."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE)


@contextmanager
def attacker(attack: Callable[[], None]) -> Iterator[None]:
    """Goes on with the attack until the block ends."""
    child = os.fork()
    if not child:
        try:
            while True:
                with suppress(OSError):
                    attack()
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """What opens a pipe would wait for ever."""
    signal.alarm(240)
    yield
    signal.alarm(0)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the machine's, with what is in the container too."""
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    (folder / "file").write_text(SECRET)
    (folder / "deep/file").write_text(SECRET)
    return folder


def _links(outside: Path) -> list[str]:
    """To what lies outside, for whoever joins paths."""
    return [str(outside), "../../outside", "../outside", "../../../../../../../../.." + str(outside)]


def _is_as_it_was(outside: Path) -> bool:
    found = {path.name: path for path in outside.rglob("*")}
    files = (outside / "file", outside / "deep/file")
    return set(found) == {"deep", "file"} and all(
        path.read_text() == SECRET and stat.S_IMODE(path.stat().st_mode) == 0o644 for path in files
    )


def copy_in(root: Path, source: str, target: str) -> None:
    with Root(str(root), follow=True) as opened, suppress(WherryError):
        copying.copy_in(Place("", source), Seen(opened, True), Place("web", target), keep=True, follow=True)


def copy_out(root: Path, source: str, target: str, *, follow: bool = True) -> None:
    with Root(str(root), follow=True) as opened, suppress(WherryError):
        seen, place = Seen(opened, True), Place("web", source)
        copying.copy_out(seen, place, Place("", target), keep=True, follow=follow, is_root=True)


@pytest.mark.parametrize("number", range(4))
def test_folders_that_become_links(tmp_path: Path, outside: Path, number: int) -> None:
    """CVE-2018-15664 (docker), CVE-2019-1002101 and its successors (kubectl)."""
    root, machine = tmp_path / "root", tmp_path / "machine"
    (root / "a/b/deep").mkdir(parents=True)
    (root / "a/b/file").write_text("of the container")
    (root / "link").symlink_to(_links(outside)[number])
    (machine / "b/deep").mkdir(parents=True)
    (machine / "b/file").write_text("new")
    (machine / "b/deep/file").write_text("new")
    (machine / "b/deep/other").symlink_to("x")
    with attacker(lambda: exchange(f"{root}/a/b", f"{root}/link")):
        for turn in range(ROUNDS):
            copy_in(root, f"{machine}/b", "/a")
            copy_in(root, f"{machine}/b/.", "/a/b/deep/..")
            copy_in(root, f"{machine}/b/file", "/a/b/file")
            for source in ("/a", "/a/b", "/a/b/file", "/a/b/."):
                copy_out(root, source, f"{tmp_path}/out-{turn % 8}")
    assert _is_as_it_was(outside)
    for path in tmp_path.glob("out-*/**/file"):
        assert path.read_text() != SECRET


def test_files_that_become_links_pipes_and_devices(tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a/file").write_text("of the container")
    (root / "link").symlink_to(outside / "file")
    os.mkfifo(root / "pipe")
    os.mknod(root / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero: it has no end

    def attack() -> None:
        for name in ("link", "pipe", "device"):
            exchange(f"{root}/a/file", f"{root}/{name}")
            exchange(f"{root}/a/file", f"{root}/{name}")

    (tmp_path / "out").mkdir()
    (tmp_path / "new").write_text("new")
    with attacker(attack):
        for turn in range(ROUNDS):
            copy_out(root, "/a/file", f"{tmp_path}/out/{turn // 2}", follow=turn % 2 == 0)
            copy_out(root, "/a", f"{tmp_path}/out/a{turn}")
            copy_in(root, f"{tmp_path}/new", "/a/file")
    assert _is_as_it_was(outside)
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_symlink() or path.is_dir() or path.is_fifo() or path.read_text() != SECRET
        assert not stat.S_ISCHR(path.lstat().st_mode)


@pytest.mark.parametrize("place", ["inside", "shared"])
def test_names_of_what_is_unfinished_become_links(tmp_path: Path, outside: Path, place: str) -> None:
    """A container may write to the folder that is copied to: its own, or one of the machine's that it was
    given. Owners, modes and times are then of other files than it hopes for."""
    root, machine, shared = tmp_path / "root", tmp_path / "machine", tmp_path / "root/shared"
    shared.mkdir(parents=True)
    (root / "from").mkdir()
    machine.mkdir()
    source = machine if place == "inside" else root / "from"
    (source / "link").symlink_to("nowhere")
    os.mkfifo(source / "pipe", 0o666)
    (source / "pipe").chmod(0o7777)
    (source / "file").write_text("new")
    (source / "file").chmod(0o7777)
    (source / "folder").mkdir()
    (source / "folder").chmod(0o7777)
    for path in source.iterdir():
        os.chown(path, 1234, 1234, follow_symlinks=False)

    def attack() -> None:
        for name in os.listdir(shared):
            os.symlink(outside / "file", f"{shared}/trap")
            exchange(f"{shared}/{name}", f"{shared}/trap")
            os.unlink(f"{shared}/trap")

    before = (outside / "file").stat()
    with attacker(attack):
        for _ in range(ROUNDS):
            if place == "inside":
                copy_in(root, f"{machine}/.", "/shared")
            else:
                copy_out(root, "/from/.", str(shared))
            for path in list(shared.iterdir()):
                with suppress(OSError):
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    after = (outside / "file").stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns, after.st_nlink) == (
        before.st_mode,
        before.st_uid,
        before.st_mtime_ns,
        before.st_nlink,
    )
    assert _is_as_it_was(outside)


def test_a_second_copy_follows_no_link_of_the_first(tmp_path: Path, outside: Path) -> None:
    root, machine = tmp_path / "root", tmp_path / "machine"
    (root / "d").mkdir(parents=True)
    machine.mkdir()
    (root / "d/evil").symlink_to(outside)
    copy_out(root, "/d", str(machine))
    assert (machine / "d/evil").is_symlink()
    (root / "d/evil").unlink()
    (root / "d/evil").mkdir()
    (root / "d/evil/file").write_text("overwritten")
    copy_out(root, "/d", str(machine))
    assert _is_as_it_was(outside)
    assert (machine / "d/evil").is_symlink()


def test_folders_in_each_other_without_end(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    above = os.open(root, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=above)
        inner = os.open("d", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = inner
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=above))
    os.close(above)
    with Root(str(root), follow=True) as opened:
        (tmp_path / "out").mkdir()
        copying.copy_out(
            Seen(opened, True),
            Place("web", "/d"),
            Place("", f"{tmp_path}/out"),
            keep=False,
            follow=False,
            is_root=True,
        )
    depth, folder = 0, os.open(tmp_path / "out", os.O_RDONLY)
    while "d" in os.listdir(folder):
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        depth, folder = depth + 1, inner
    assert (depth, os.listdir(folder)) == (5000, ["leaf"])
    os.close(folder)
    from wherry.base import removal

    for name in ("out", "root"):  # pytest's own way calls itself for each level
        parent = os.open(tmp_path, os.O_RDONLY)
        removal.remove(name, parent)
        os.close(parent)
