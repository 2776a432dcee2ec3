"""Archives that other programs wrote."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.layer.apply import extract
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.forms import TRUSTED
from wherry.layer.reader import read_layer
from wherry.testing import trees

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners and devices")
_TYPES = {
    "f": tarfile.REGTYPE,
    "d": tarfile.DIRTYPE,
    "l": tarfile.SYMTYPE,
    "h": tarfile.LNKTYPE,
    "c": tarfile.CHRTYPE,
    "p": tarfile.FIFOTYPE,
}


def read(stream: bytes) -> list[Entry]:
    return [entry for entry, _ in read_layer(io.BytesIO(stream))]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@settings(deadline=None)
@given(made=trees.layers(), prefix=st.sampled_from(["", "./", "/", ".//"]))
def test_tarfiles_archives(made: tuple[list[Entry], trees.Contents], prefix: str, form: int) -> None:
    entries, contents = made
    whole = [entry._replace(mtime=max(entry.mtime, 0) // 10**9 * 10**9, xattrs=()) for entry in entries]
    stream = io.BytesIO()
    with tarfile.open(
        fileobj=stream, mode="w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for entry in whole:
            member = tarfile.TarInfo(prefix + entry.path)
            member.type = _TYPES[entry.kind]
            member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
            member.mtime = entry.mtime // 10**9
            member.linkname = prefix + entry.link if entry.kind == HARDLINK else entry.link
            member.size = entry.size
            member.devmajor, member.devminor = entry.device
            tar.addfile(member, io.BytesIO(contents.get(entry.path, b"")))
    found = []
    for entry, content in read_layer(io.BytesIO(stream.getvalue())):
        assert content.read() == contents.get(entry.path, b"")
        found.append(entry._replace(offset=-1))
    assert found == whole


@root_only
@pytest.mark.parametrize(
    "options",
    ["--format=v7", "--format=oldgnu", "--format=gnu", "--format=ustar", "--format=posix --xattrs"],
)
def test_gnu_tars_archives(tmp_path: Path, options: str) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_bytes(b"content")
    (tree / "sub/file").chmod(0o4750)
    (tree / "sub/hard").hardlink_to(tree / "sub/file")
    (tree / "link").symlink_to("../../etc/passwd")
    os.chown(tree / "link", 7, 8, follow_symlinks=False)
    if options not in ("--format=v7", "--format=ustar"):
        (tree / ("long" * 50)).write_bytes(b"x")
    if "posix" in options:
        os.setxattr(tree / "sub/file", "user.note", b"\x00\xff")
    else:
        for path in [tree, *tree.rglob("*")]:
            os.utime(path, (10**9, 10**9), follow_symlinks=False)
    if options != "--format=v7":
        os.mkfifo(tree / "pipe")
        os.utime(tree / "pipe", (10**9, 10**9))
        os.utime(tree, (10**9, 10**9))
    command = ["tar", "-C", str(tree), *options.split(), "-cf", "-", "."]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    extract(io.BytesIO(archive), str(tmp_path / "fs"), TRUSTED)
    assert trees.facts(str(tmp_path / "fs")) == trees.facts(str(tree))
    assert len(trees.facts(str(tree))) > 3


@root_only
@pytest.mark.parametrize("version", ["oldgnu", "0.0", "0.1", "1.0"])
@settings(deadline=None, max_examples=20)
@given(parts=st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=9000)), max_size=40))
def test_sparse_files_of_gnu_tar(
    tmp_path_factory: pytest.TempPathFactory, version: str, parts: list[tuple[int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("sparse")
    with (folder / "file").open("wb") as file:
        for pages, data in parts:
            file.seek(pages * 4096, os.SEEK_CUR)
            file.write(data)
        file.truncate(file.tell() + 1_000_000)
    (folder / "after").write_bytes(b"the next entry is found")
    kind = ["--format=oldgnu"] if version == "oldgnu" else ["--format=posix", f"--sparse-version={version}"]
    command = ["tar", "-C", str(folder), "-S", *kind, "-cf", "-", "file", "after"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    assert len(archive) < 1_000_000 + sum(len(data) + 4096 for _, data in parts)
    layer = extract(io.BytesIO(archive), str(folder / "fs"), TRUSTED)
    expected = (folder / "file").read_bytes()
    assert (folder / "fs/file").read_bytes() == expected
    assert (folder / "fs/after").read_bytes() == b"the next entry is found"
    assert layer.entries[0].digest == hashlib.sha256(expected).digest()
    assert layer.entries[0].size == len(expected)
    assert os.stat(folder / "fs/file").st_blocks * 512 <= len(expected) - 900_000
    read_back = {entry.path: content.read() for entry, content in read_layer(io.BytesIO(archive))}
    assert read_back["file"] == expected


def test_whiteouts() -> None:
    stream = archive(
        "a/.wh.gone", "a/.wh..wh..opq", ".wh.top", ".wh..wh.plnk", ".wh..wh.plnk/1.2", ".wh..wh..opq"
    )
    assert read(stream) == [
        Entry("a/gone", WHITEOUT),
        Entry("a", OPAQUE),
        Entry("top", WHITEOUT),
        Entry("", OPAQUE),
    ]


def test_overlays_own_whiteout_in_a_foreign_archive() -> None:
    """A character device 0:0, as an upper folder archived by hand has: it would act as a whiteout."""
    member = tarfile.TarInfo("a/gone")
    member.type = tarfile.CHRTYPE
    assert read(archive(member)) == [Entry("a/gone", WHITEOUT)]


def test_overlays_attributes_are_dropped() -> None:
    member = tarfile.TarInfo("d")
    member.type = tarfile.DIRTYPE
    member.pax_headers = {
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.user.kept": "",
    }
    assert [entry.xattrs for entry in read(archive(member))] == [(("user.kept", b""),)]


def test_names_are_made_normal() -> None:
    names = ["./", "./a/", "/b", "c//d/./e", ".hidden", "..twodots", "g/..x"]
    found = [entry.path for entry in read(archive(*names))]
    assert found == ["", "a", "b", "c/d/e", ".hidden", "..twodots", "g/..x"]


def test_a_name_with_a_slash_at_its_end_was_once_how_folders_were_told() -> None:
    assert read(archive("old/")) == [Entry("old", DIRECTORY, 0o644)]


def test_global_headers_hold_until_they_are_changed() -> None:
    stream = io.BytesIO()
    headers = {"uid": "70000000", "comment": "from git archive"}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as tar:
        for name in ("a", "b"):
            tar.addfile(tarfile.TarInfo(name))
    assert [entry.uid for entry in read(stream.getvalue())] == [70_000_000, 70_000_000]


def test_links_with_a_size_have_no_content() -> None:
    """As cpio and some old tars write them."""
    member = tarfile.TarInfo("link")
    member.type, member.linkname, member.size = tarfile.SYMTYPE, "to", 7
    assert [entry.kind for entry in read(archive(member, "next"))] == [SYMLINK, FILE]


def test_an_archive_without_its_end_is_read() -> None:
    assert len(read(archive("a", "b")[: 2 * 512])) == 2
    assert read(b"") == []


def archive(*members: str | tarfile.TarInfo) -> bytes:
    """Empty files of these names, or members as they are, with headers by tarfile."""
    headers = [tarfile.TarInfo(member) if isinstance(member, str) else member for member in members]
    return b"".join(header.tobuf(tarfile.PAX_FORMAT) for header in headers) + bytes(1024)
