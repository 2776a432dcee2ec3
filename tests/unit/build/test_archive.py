"""Archives by GNU tar, and archives that are out to do harm, unpacked into a folder."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import folders, ordinary
from support.cli import write_files
from wherry.base.errors import WherryError
from wherry.build.remote.archive import Incoming, unpack
from wherry.layer.source import Limits
from wherry.store.store import remove_tree


def unpacked(data: bytes, folder: Path, bounds: Limits | None = None) -> Path:
    folder.mkdir()
    unpack(Incoming(io.BytesIO(data), "the archive"), str(folder), bounds)
    return folder


def made(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info, b"x" if kind == tarfile.REGTYPE else b""


def gnu_tar(folder: Path, *words: str) -> bytes:
    return subprocess.run(["tar", *words, "."], cwd=folder, capture_output=True, check=True).stdout


def shown(root: Path) -> dict[str, tuple[str, str]]:
    """Path -> (type and mode, content or target)."""
    found = {}
    for path in root.rglob("*"):
        content = ""
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()[:40].decode("latin-1")
        found[str(path.relative_to(root))] = (stat.filemode(path.lstat().st_mode), content)
    return found


COMPRESSIONS = ["", "--gzip", "--bzip2", "--xz", "--zstd"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "d" / "closed").mkdir(parents=True)
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o4755)
    (folder / "d" / "closed" / "f").write_text("deep")
    (folder / "d" / "closed" / ".wh.f").write_text("no whiteout")
    (folder / "d" / "closed").chmod(0o555)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / ("long" * 50)).write_text("l")
    os.link(folder / "run", folder / "twin")
    os.mkfifo(folder / "pipe", 0o640)
    with (folder / "sparse").open("wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
        file.truncate(6_000_000)
    return folder


@pytest.mark.needs("tar", "bzip2", "xz", "zstd")
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_archives_of_gnu_tar(source: Path, tmp_path: Path, compression: str, form: str) -> None:
    words = ["-cS", f"--format={form}", *filter(None, [compression])]
    folder = unpacked(gnu_tar(source, *words), tmp_path / "out")
    assert shown(folder) == shown(source)
    assert (folder / "run").stat().st_ino == (folder / "twin").stat().st_ino
    assert (folder / "sparse").stat().st_size == 6_000_000
    assert (folder / "sparse").stat().st_blocks * 512 < 100_000


@pytest.mark.needs("git")
def test_an_archive_of_git(tmp_path: Path) -> None:
    """It begins with a global header, not with a file."""
    from support.repositories import Work

    work = Work(tmp_path / "r")
    work.commit({"a": "1", "d/b": "2"})
    done = subprocess.run(["git", "archive", "HEAD"], cwd=work.folder, capture_output=True, check=True)
    assert Incoming(io.BytesIO(done.stdout), "").is_archive
    assert set(shown(unpacked(done.stdout, tmp_path / "out"))) == {"a", "d", "d/b"}


_UNPACK = """
import sys, os
from wherry.build.remote.archive import Incoming, unpack
os.mkdir(sys.argv[1])
unpack(Incoming(sys.stdin.buffer, "the archive"), sys.argv[1])
print(os.listdir(sys.argv[1] + "/d"), open(sys.argv[1] + "/d/closed/f").read())
"""


@pytest.mark.needs("root", "tar")
def test_a_user_without_rights(source: Path) -> None:
    """Owners that he cannot give, and folders that he may not write to."""
    os.chown(source / "run", 1234, 4321)
    with ordinary.user(subordinate=False) as user:
        done = subprocess.run(
            [*user.prefix, sys.executable, "-c", _UNPACK, str(user.home / "out")],
            input=gnu_tar(source, "-c", "--numeric-owner"),
            capture_output=True,
        )
        assert done.stdout == b"['closed'] deep\n", done.stderr.decode()
        assert (user.home / "out" / "run").stat().st_uid == ordinary.UID


def test_names_and_links_stay_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    data = made(
        member("/absolute"),
        member("out", tarfile.SYMTYPE, str(outside)),
        member("up", tarfile.SYMTYPE, "../../.."),
        member("out/evil"),
        member("up/evil2"),
        member("a//./b"),
    )
    folder = unpacked(data, tmp_path / "out")
    assert list(outside.iterdir()) == []
    assert {"absolute", "out", "up", "a", "a/b", "evil2"} <= set(shown(folder))
    assert (folder / "out").is_symlink()
    assert not (tmp_path / "evil2").exists()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member("../evil")], r"a path with '\.\.'"),
        ([member("a/../../evil")], r"a path with '\.\.'"),
        ([member("hard", tarfile.LNKTYPE, "/etc/passwd")], "which is no file in it"),
        ([member("hard", tarfile.LNKTYPE, "../../etc/passwd")], r"a path with '\.\.'"),
        ([member("f"), member("f/below")], "which is no folder"),
        ([member("null", tarfile.CHRTYPE)], "the device node 'null'"),
        ([member("disk", tarfile.BLKTYPE)], "the device node 'disk'"),
        ([member("a" * 300)], "too long"),
    ],
)
def test_what_is_refused(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], reason: str) -> None:
    with pytest.raises(WherryError, match=rf"the archive cannot be unpacked: .*{reason}"):
        unpacked(made(*members), tmp_path / "out")


def test_a_later_entry_takes_an_earlier_ones_place(tmp_path: Path) -> None:
    data = made(
        member("x", tarfile.SYMTYPE, "/etc/hosts"),
        member("x"),
        member("d", tarfile.DIRTYPE, mode=0o500),
        member("d/y"),
        member("d", tarfile.DIRTYPE, mode=0o750),
        member("gone/z"),
        member("gone"),
    )
    folder = unpacked(data, tmp_path / "out")
    assert shown(folder) == {
        "x": ("-rw-r--r--", "x"),
        "d": ("drwxr-x---", ""),
        "d/y": ("-rw-r--r--", "x"),
        "gone": ("-rw-r--r--", "x"),
    }


def test_the_archives_own_root(tmp_path: Path) -> None:
    folder = unpacked(made(member("./", tarfile.DIRTYPE, mode=0o700), member("./a")), tmp_path / "out")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_bombs(tmp_path: Path) -> None:
    huge = tarfile.TarInfo("huge")
    huge.size = 1 << 40
    with pytest.raises(WherryError, match="more than 1000 bytes"):
        unpacked(huge.tobuf(tarfile.GNU_FORMAT), tmp_path / "a", Limits(size=1000))
    many = made(*(member(str(number)) for number in range(20)))
    with pytest.raises(WherryError, match="more than 10 entries"):
        unpacked(many, tmp_path / "b", Limits(entries=10))


def test_archives_that_are_damaged(tmp_path: Path) -> None:
    import gzip

    plain = made(member("a"), member("b"))
    for number, data in enumerate(
        (plain[:700], gzip.compress(plain)[:-20], b"\x1f\x8b!!!!!!!!", plain[:1024] + b"?" * 512)
    ):
        with pytest.raises(WherryError, match="the archive cannot be unpacked"):
            unpacked(data, tmp_path / str(number))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"FROM scratch\n", False),
        (b"", False),
        (b"FROM scratch\n" + b"# " + b"x" * 1000, False),
        (b"\0" * 1024, True),
        (b"\0" * 100, False),
        (made(member("a")), True),
    ],
)
def test_what_a_stream_is(data: bytes, expected: bool) -> None:
    class Slow(io.RawIOBase):
        """A pipe gives what it has."""

        def __init__(self) -> None:
            self.left = data

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
            piece, self.left = self.left[:7], self.left[7:]
            buffer[: len(piece)] = piece
            return len(piece)

    stream = Incoming(io.BufferedReader(Slow()), "")
    assert stream.is_archive == expected
    parts = []
    while part := stream.read(100):
        parts.append(part)
    assert b"".join(parts) == data
    assert Incoming(io.BytesIO(data), "").read() == data


_OUT = "OUTSIDE"
"""Stands for a folder that is there already, by its absolute path."""
_NAMES = st.sampled_from(["a", "b", "a/a", "a/b", "b/a", "a/b/a", "./a", "/b", "../a"])
_PLACES = st.sampled_from(["a", "b", "a/b", "..", "../outside", _OUT, f"{_OUT}/y", "/", "../outside/x"])
_KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE]
)
_MEMBERS = st.tuples(_NAMES, _KINDS, _PLACES, st.sampled_from([0o644, 0o777, 0]))


@settings(max_examples=300, deadline=None)
@given(st.lists(_MEMBERS, max_size=8))
def test_nothing_is_written_outside(members: list[tuple[str, bytes, str, int]]) -> None:
    """Whatever names and links say: the archive is unpacked or refused, and its folder goes away again."""
    with tempfile.TemporaryDirectory(dir=folders.fast()) as scratch:
        outside = write_files(Path(scratch, "outside"), {"x": "kept", "y/x": "kept"})
        before = shown(Path(scratch))
        made_of = [
            member(name.replace(_OUT, str(outside)), kind, link.replace(_OUT, str(outside)), mode)
            for name, kind, link, mode in members
        ]
        with contextlib.suppress(WherryError):
            unpacked(made(*made_of), Path(scratch, "in"))
        remove_tree(f"{scratch}/in")
        assert shown(Path(scratch)) == before
