"""Root, by the kernel's openat2 and by hand: both must do the same, and neither may leave the folder."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.base import paths
from wherry.base.paths import Opener, Root

OPENERS = [pytest.param(paths._openat2, id="openat2"), pytest.param(lambda: paths.by_component, id="by-hand")]
both = pytest.mark.parametrize("opener", OPENERS)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    root = tmp_path / "root"
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/f").write_text("file")
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("inside")
    (root / "out").symlink_to("../outside")
    (root / "absolute").symlink_to("/etc")
    (root / "up").symlink_to("../../../../etc/passwd")
    (root / "d/back").symlink_to("../etc")
    (root / "loop").symlink_to("loop")
    (root / "magic").symlink_to("/proc/self/root/etc")
    return tmp_path


def text(root: Root, path: str) -> str:
    with open(root.open(path), "rb") as file:
        return file.read().decode()


@both
def test_no_link_is_followed(base: Path, opener: Callable[[], Opener]) -> None:
    with Root(str(base / "root"), opener=opener()) as root:
        assert text(root, "d/e/f") == text(root, "/d//e/./f") == "file"
        for path in ("out/secret", "absolute/passwd", "up", "d/back/passwd", "loop", "out"):
            with pytest.raises(OSError) as caught:
                root.open(path)
            assert caught.value.errno == errno.ELOOP
        for path in ("..", "../outside/secret", "d/../../outside/secret"):
            with pytest.raises(OSError) as caught:
                root.open(path)
            assert caught.value.errno == errno.EXDEV


@both
def test_links_are_followed_within_the_root(base: Path, opener: Callable[[], Opener]) -> None:
    with Root(str(base / "root"), follow=True, opener=opener()) as root:
        for path in ("absolute/passwd", "up", "d/back/passwd", "../../etc/passwd", "absolute/../etc/passwd"):
            assert text(root, path) == "inside"
        for path, number in (("out/secret", errno.ENOENT), ("loop", errno.ELOOP), ("d/e/f/x", errno.ENOTDIR)):
            with pytest.raises(OSError) as caught:
                root.open(path)
            assert caught.value.errno == number
        with pytest.raises(OSError):
            root.open("magic/passwd")
        with pytest.raises(OSError) as caught:
            root.open("up", os.O_RDONLY | os.O_NOFOLLOW)
        assert caught.value.errno == errno.ELOOP


_parts = st.sampled_from(["a", "b", "l", "m", "..", ".", "", "x"])
_paths = st.lists(_parts, max_size=6).map("/".join)


@settings(deadline=None, max_examples=150)
@given(path=_paths, targets=st.tuples(_paths, _paths), follow=st.booleans(), folder=st.booleans())
def test_both_ways_agree(
    tmp_path_factory: pytest.TempPathFactory, path: str, targets: tuple[str, str], follow: bool, folder: bool
) -> None:
    """The same file or the same error, on random paths through random links."""
    base = tmp_path_factory.mktemp("agree")
    (base / "root/a/b").mkdir(parents=True)
    (base / "root/b").mkdir()
    (base / "root/a/x").write_text("x")
    for name, target in zip(("root/l", "root/a/m"), targets, strict=True):
        (base / name).symlink_to(target or ".")
    flags = os.O_PATH | (os.O_DIRECTORY if folder else 0)
    found: list[object] = []
    for opener in (paths._openat2(), paths.by_component):
        with Root(str(base / "root"), follow=follow, opener=opener) as root:
            try:
                descriptor = root.open(path, flags)
                status = os.fstat(descriptor)
                os.close(descriptor)
                found.append((status.st_dev, status.st_ino))
            except OSError as error:
                found.append(errno.errorcode[error.errno or 0])
    assert found[0] == found[1]


@both
def test_making_and_removing(base: Path, opener: Callable[[], Opener]) -> None:
    before = os.umask(0o077)
    try:
        with Root(str(base / "root"), follow=True, opener=opener()) as root:
            assert root.makedirs("absolute/new/deep", 0o775) == ["absolute/new", "absolute/new/deep"]
            assert stat.S_IMODE(os.stat(base / "root/etc/new/deep").st_mode) == 0o775
            assert root.makedirs("etc/new/deep") == []
            with open(root.open("etc/new/deep/f", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(b"made")
            root.link("etc/new/deep/f", "second")
            root.rename("second", "third")
            assert root.stat("third").st_nlink == 2
            root.symlink("/outside", "s")
            assert root.readlink("s") == "/outside"
            assert stat.S_ISLNK(root.lstat("s").st_mode)
            assert root.exists("s")
            assert not root.exists("outside")
            root.mknod("p", stat.S_IFIFO | 0o600)
            root.chmod("p", 0o622)
            root.chmod("s", 0o600)
            assert stat.S_IMODE(root.lstat("p").st_mode) == 0o622
            root.utime("s", 5 * 10**9)
            assert root.lstat("s").st_mtime_ns == 5 * 10**9
            root.utime("", 7 * 10**9)
            assert os.stat(base / "root").st_mtime_ns == 7 * 10**9
            root.setxattr("third", "user.a", b"b")
            assert root.getxattr("third", "user.a") == b"b"
            assert root.listxattr("third") == ["user.a"]
            root.chown("s", os.geteuid(), os.getegid())
            root.unlink("p")
            root.rmtree("etc/new")
            root.rmtree("out")
            root.unlink("d/e/f")
            root.rmdir("d/e")
            assert sorted(root.listdir("d")) == ["back"]
    finally:
        os.umask(before)
    assert (base / "outside/secret").read_text() == "secret"


@both
def test_the_last_name_must_be_one(base: Path, opener: Callable[[], Opener]) -> None:
    with Root(str(base / "root"), opener=opener()) as root:
        for path in ("", "/", ".", "d/..", ".."):
            with pytest.raises(OSError):
                root.unlink(path)
            with pytest.raises(OSError):
                root.rmtree(path)


@both
def test_removing_a_tree_follows_no_link(base: Path, opener: Callable[[], Opener]) -> None:
    (base / "root/d/escape").symlink_to(base / "outside")
    with Root(str(base / "root"), follow=True, opener=opener()) as root:
        root.rmtree("d")
    assert (base / "outside/secret").exists()


@both
def test_a_link_swapped_while_we_look(base: Path, opener: Callable[[], Opener]) -> None:
    """CVE-2018-15664: a component is exchanged for a link that leads out, over and over."""
    (base / "root/swap").mkdir()
    (base / "root/swap/secret").write_text("inside")
    done = threading.Event()

    def swap() -> None:
        link, kept = base / "root/link", base / "root/kept"
        while not done.is_set():
            link.symlink_to(base / "outside")
            os.rename(base / "root/swap", kept)
            os.rename(link, base / "root/swap")
            os.unlink(base / "root/swap")
            os.rename(kept, base / "root/swap")

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[str] = set()
    tries = 0
    try:
        with Root(str(base / "root"), follow=True, opener=opener()) as root:
            while tries < 2000 or (tries < 1_000_000 and "inside" not in seen):
                tries += 1
                try:
                    seen.add(text(root, "swap/secret"))
                except OSError:
                    seen.add("error")
    finally:
        done.set()
        thread.join()
    assert "secret" not in seen
    assert "inside" in seen


def test_nothing_stays_open(base: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for opener in (paths._openat2(), paths.by_component):
        with Root(str(base / "root"), follow=True, opener=opener) as root:
            for path in ("d/e/f", "up", "absolute/passwd", "missing/x", "loop", "d/../d/../d/e"):
                try:
                    os.close(root.open(path))
                except OSError:
                    pass
    assert len(os.listdir("/proc/self/fd")) == before
