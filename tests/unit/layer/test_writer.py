"""What LayerWriter writes, read back by programs that are not ours."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from wherry.base.errors import Corrupt, Unsupported
from wherry.layer.entry import (
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    Entry,
)
from wherry.layer.reader import read_layer
from wherry.layer.writer import LayerWriter
from wherry.testing import trees

_TYPES = {
    FILE: tarfile.REGTYPE,
    DIRECTORY: tarfile.DIRTYPE,
    SYMLINK: tarfile.SYMTYPE,
    HARDLINK: tarfile.LNKTYPE,
    CHARACTER: tarfile.CHRTYPE,
    FIFO: tarfile.FIFOTYPE,
}


@settings(deadline=None)
@given(trees.layers())
def test_tarfile_reads_what_was_written(made: tuple[list[Entry], trees.Contents]) -> None:
    entries, contents = made
    layer, stream = trees.write(entries, contents)
    assert layer.diff_id == "sha256:" + hashlib.sha256(stream).hexdigest()
    assert layer.size == len(stream)
    with tarfile.open(fileobj=io.BytesIO(stream), encoding="utf-8", errors="surrogateescape") as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [entry.path for entry in entries]
        for member, entry in zip(members, layer.entries, strict=True):
            assert member.type == _TYPES[entry.kind]
            assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
            assert member.mtime == pytest.approx(entry.mtime / 1e9)
            assert member.linkname == entry.link
            assert member.size == entry.size
            assert (member.devmajor, member.devminor) == entry.device
            if entry.kind == FILE:
                file = tar.extractfile(member)
                assert file is not None
                assert file.read() == contents[entry.path]
                assert stream[entry.offset : entry.offset + entry.size] == contents[entry.path]
                assert entry.digest == hashlib.sha256(contents[entry.path]).digest()


@settings(deadline=None)
@given(trees.layers())
def test_our_reader_reads_what_was_written(made: tuple[list[Entry], trees.Contents]) -> None:
    layer, stream = trees.write(*made)
    found = []
    for entry, content in read_layer(io.BytesIO(stream)):
        data = content.read()
        if entry.kind == FILE:
            entry = entry._replace(digest=hashlib.sha256(data).digest())
        found.append(entry)
    assert tuple(found) == layer.entries


@given(trees.layers())
@settings(max_examples=25, deadline=None)
def test_gnu_tar_finds_nothing_wrong(made: tuple[list[Entry], trees.Contents]) -> None:
    _, stream = trees.write(*made)
    listing = subprocess.run(
        ["tar", "--quoting-style=literal", "--null", "-tf", "-"], input=stream, capture_output=True
    )
    assert listing.stderr == b""
    assert listing.returncode == 0
    assert listing.stdout.count(b"\n") >= len(made[0])


def test_bytes_are_those_that_were_agreed() -> None:
    """Diff IDs of all layers follow from these bytes: a change of theirs makes every cached result miss."""
    entries = [
        Entry("etc", DIRECTORY, 0o755),
        Entry("etc/passwd", FILE, 0o644, 1, 2, 1_700_000_000 * 10**9, 4),
        Entry("etc/link", SYMLINK, 0o777, link="passwd"),
        Entry("etc/gone", WHITEOUT),
        Entry("etc", OPAQUE),
        Entry("é" * 60, FILE, 0o4755, 3_000_000, 0, 1, 0, xattrs=(("user.k", b"v\0"),)),
    ]
    layer, stream = trees.write(entries, {"etc/passwd": b"root", "é" * 60: b""})
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        assert tar.getnames()[3:5] == ["etc/.wh.gone", "etc/.wh..wh..opq"]
        assert tar.getmembers()[5].pax_headers == {
            "path": "é" * 60,
            "uid": "3000000",
            "mtime": "0.000000001",
            "SCHILY.xattr.user.k": "v\0",
        }
    assert layer.diff_id == "sha256:6719ddc2795c770988fd2a02df6c28b1410d500ef66cb16eda4202949d74e279"


def test_a_name_goes_into_ustar_where_it_fits() -> None:
    """Extended headers cost 1 KiB each and trouble old readers."""
    long = "/".join(["d" * 80, "e" * 70, "f" * 90])
    assert len(trees.write([Entry(long, FILE)], {long: b""})[1]) == 512 + 1024
    too_long = "g" * 101
    assert len(trees.write([Entry(too_long, FILE)], {too_long: b""})[1]) == 3 * 512 + 1024


def test_no_large_file_is_held_in_memory() -> None:
    """Blocks come out while the file is still being read, each of about 1 MiB."""
    size = 40 << 20
    sizes: list[int] = []
    seen_at: list[int] = []

    class Zeros:
        given = 0

        def read(self, wanted: int) -> bytes:
            data = bytes(min(wanted, size - self.given))
            self.given += len(data)
            return data

    content = Zeros()

    def sink(block: bytes) -> None:
        sizes.append(len(block))
        seen_at.append(content.given)

    with LayerWriter(sink) as writer:
        writer.add(Entry("big", FILE, 0o644, size=size), content)
        layer = writer.finish()
    assert max(sizes) <= 2 << 20
    assert seen_at[0] < 12 << 20
    assert sum(sizes) == layer.size
    assert layer.entries[0].digest == hashlib.sha256(bytes(size)).digest()


@pytest.mark.parametrize("size", [5, 3 << 20])
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, size: int, difference: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size + difference))
    for source in ("descriptor", "file", "bytes"):
        with LayerWriter() as writer, path.open("rb") as file, pytest.raises(Corrupt, match="changed while"):
            content = {"descriptor": file.fileno(), "file": file, "bytes": bytes(size + difference)}[source]
            writer.add(Entry("a", FILE, size=size), content)  # type: ignore[arg-type]


def test_a_full_disk_reaches_the_caller() -> None:
    def sink(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with LayerWriter(sink) as writer, pytest.raises(OSError, match="No space left"):
        for number in range(100):
            writer.add(Entry(f"f{number}", FILE, size=1 << 20), bytes(1 << 20))
        writer.finish()


@pytest.mark.parametrize("path", [".wh.a", "a/.wh.b", "a/.wh..wh..opq", ".wh.d/file"])
def test_names_reserved_for_whiteouts_are_refused(path: str) -> None:
    with LayerWriter() as writer, pytest.raises(Unsupported, match=r"\.wh\."):
        writer.add(Entry(path, FILE), b"")


def test_a_hole_in_a_file_is_written_as_zeros(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
    size = os.stat(path).st_size
    with LayerWriter() as writer, path.open("rb") as file:
        entry = writer.add(Entry("sparse", FILE, size=size), file.fileno())
    assert entry.digest == hashlib.sha256(bytes(5 << 20) + b"end").digest()
