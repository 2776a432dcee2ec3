"""Extraction against what was written, against GNU tar and umoci, and back to the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings

from wherry.layer.apply import extract, read_index_of
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
from wherry.layer.forms import TRUSTED, USER, OverlayForm
from wherry.layer.streams import regenerated
from wherry.oci import descriptor as descriptors
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import Descriptor
from wherry.oci.platform import Platform
from wherry.testing import trees

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners and devices")


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """On a file system in memory: thousands of small trees."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="wherry-test-", dir=base) as folder:
        yield Path(folder)


def _fresh(scratch: Path, name: str) -> Path:
    folder = scratch / name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    return folder


def _expected(entries: list[Entry], contents: trees.Contents) -> dict[str, tuple[object, ...]]:
    """What `trees.facts` must find."""
    kinds = {FILE: stat.S_IFREG, DIRECTORY: stat.S_IFDIR, SYMLINK: stat.S_IFLNK, FIFO: stat.S_IFIFO}
    by_path = {entry.path: entry for entry in entries}
    first: dict[str, str] = {}
    for path in _breadth_first(by_path):
        first.setdefault(by_path[path].link if by_path[path].kind == HARDLINK else path, path)
    found: dict[str, tuple[object, ...]] = {}
    for path, named in by_path.items():
        entry = by_path[named.link] if named.kind == HARDLINK else named
        mode = kinds.get(entry.kind, stat.S_IFCHR) | (0o777 if entry.kind == SYMLINK else entry.mode)
        content = contents.get(entry.path) if entry.kind == FILE else entry.link or None
        found[path] = (
            *(mode, entry.uid, entry.gid, os.makedev(*entry.device), entry.mtime),
            *(first[entry.path] if entry.kind == FILE else path, content, entry.xattrs),
        )
    return found


def _breadth_first(paths: dict[str, Entry]) -> list[str]:
    """The order in which `trees.facts` walks."""
    found, waiting = [], [""]
    while waiting:
        here = waiting.pop(0)
        below = sorted(path for path in paths if path.rpartition("/")[0] == here)
        found += [here] if here else []
        waiting += below
    return found


@root_only
@given(trees.layers())
@settings(deadline=None)
def test_extracted_is_what_was_written(scratch: Path, made: tuple[list[Entry], trees.Contents]) -> None:
    folder = _fresh(scratch, "ours")
    layer, stream = trees.write(*made)
    assert extract(io.BytesIO(stream), str(folder), TRUSTED) == layer
    assert trees.facts(str(folder)) == _expected(*made)
    assert read_index_of(io.BytesIO(stream)) == layer
    with regenerated(layer, str(folder)) as again:
        assert again.read() == stream


@root_only
@given(trees.layers())
@settings(max_examples=25, deadline=None)
def test_gnu_tar_extracts_the_same(scratch: Path, made: tuple[list[Entry], trees.Contents]) -> None:
    layer, stream = trees.write(*made)
    ours, theirs = _fresh(scratch, "ours"), _fresh(scratch, "theirs")
    extract(io.BytesIO(stream), str(ours), TRUSTED)
    _gnu_tar(stream, theirs)
    assert trees.facts(str(theirs)) == trees.facts(str(ours))
    assert len(trees.facts(str(ours))) == len(layer.entries)


def _gnu_tar(stream: bytes, folder: Path) -> None:
    options = "--numeric-owner --same-owner --delay-directory-restore --xattrs --xattrs-include=*"
    command = ["tar", "-xpf", "-", "-C", str(folder), *options.split()]
    done = subprocess.run(command, input=stream, capture_output=True)
    # it warns of strange times, and gets them right
    assert done.returncode == 0, done.stderr


@root_only
def test_paths_of_four_thousand_bytes(scratch: Path) -> None:
    entries, path = [], "d"
    while len(os.fsencode(path)) < 3700:
        entries.append(Entry(path, DIRECTORY, 0o755))
        path += "/" + "é" * 100
    entries.append(Entry(path, DIRECTORY, 0o755))
    entries.append(Entry(path + "/" + "f" * (4000 - len(os.fsencode(path)) - 1), FILE, 0o644, size=4))
    assert len(os.fsencode(entries[-1].path)) == 4000
    layer, stream = trees.write(entries, {entries[-1].path: b"deep"})
    ours, theirs = _fresh(scratch, "ours"), _fresh(scratch, "theirs")
    assert extract(io.BytesIO(stream), str(ours), TRUSTED) == layer
    _gnu_tar(stream, theirs)
    assert trees.facts(str(ours)) == trees.facts(str(theirs))
    with regenerated(layer, str(ours)) as again:
        assert again.read() == stream


@root_only
def test_umoci_unpacks_the_same(tmp_path: Path) -> None:
    entries = [
        Entry("", DIRECTORY, 0o755),
        Entry("bin", DIRECTORY, 0o2755, 0, 5, 10**18),
        Entry("bin/su", FILE, 0o4755, 0, 0, 10**18, 3, xattrs=(("security.capability", _capability()),)),
        Entry("bin/su2", HARDLINK, 0o4755, 0, 0, 10**18, link="bin/su"),
        Entry("bin/\udcff\udcfe", FILE, 0o600, 1000, 1000, 10**18 + 5, 1),
        Entry("deep", DIRECTORY, 0o700),
        Entry("link", SYMLINK, 0o777, 3, 4, 10**18, link="../../etc"),
        Entry("pipe", FIFO, 0o600, 0, 0, 10**18),
        Entry("null", CHARACTER, 0o666, 0, 0, 10**18, device=(1, 3)),
    ]
    path = "deep"
    while len(path) < 3000:
        path += "/" + "n" * 200
        entries.append(Entry(path, DIRECTORY, 0o755, 0, 0, 10**18))
    entries.append(Entry(path + "/" + "f" * 250, FILE, 0o644, 0, 0, 10**18, 4))
    contents = {"bin/su": b"abc", "bin/\udcff\udcfe": b"x", entries[-1].path: b"deep"}
    layer, stream = trees.write(entries, contents)
    layout = tmp_path / "layout"
    _write_layout(layout, layer.diff_id, stream)
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:latest", str(tmp_path / "bundle")],
        check=True,
        capture_output=True,
    )
    extract(io.BytesIO(stream), str(tmp_path / "ours"), TRUSTED)
    ours = trees.facts(str(tmp_path / "ours"))
    assert trees.facts(str(tmp_path / "bundle/rootfs")) == ours
    assert ours["bin/su"] == ours["bin/su2"]
    assert ours["bin/su"][-1] == (("security.capability", _capability()),)
    assert ours["bin/su"][0] == stat.S_IFREG | 0o4755
    assert len(entries[-1].path) > 3000


def _capability() -> bytes:
    """cap_net_raw=ep, as file capabilities of version 2."""
    return bytes.fromhex("0100000200200000000000000000000000000000")


def _write_layout(layout: Path, diff_id: str, stream: bytes) -> None:
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> Descriptor:
        digest = digests.of(data)
        (blobs / digests.hex_of(digest)).write_bytes(data)
        return Descriptor(media_type, digest, len(data))

    config = ImageConfig(Platform("linux", "amd64", ""), diff_ids=(digests.parse(diff_id),))
    manifest = descriptors.make_manifest(put(config.encode(), media.CONFIG), (put(stream, media.LAYER_TAR),))
    named = put(manifest.raw, media.MANIFEST)._replace(
        annotations=(("org.opencontainers.image.ref.name", "latest"),)
    )
    (layout / "index.json").write_bytes(descriptors.make_index((named,)).raw)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


@root_only
@pytest.mark.parametrize("form", [TRUSTED, USER])
def test_whiteouts_take_overlays_form(tmp_path: Path, form: OverlayForm) -> None:
    entries = [
        Entry("a", DIRECTORY, 0o755, mtime=5 * 10**9),
        Entry("a/gone", WHITEOUT),
        Entry("b", DIRECTORY, 0o755),
        Entry("b/new", FILE),
        Entry("b", OPAQUE),
    ]
    layer, stream = trees.write(entries, {"b/new": b""})
    assert extract(io.BytesIO(stream), str(tmp_path / "fs"), form).entries == layer.entries
    status = os.lstat(tmp_path / "fs/a/gone")
    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == 0
    assert os.getxattr(tmp_path / "fs/b", form.opaque) == b"y"
    assert os.listxattr(tmp_path / "fs/a") == []
    assert os.stat(tmp_path / "fs/a").st_mtime_ns == 5 * 10**9


@root_only
def test_a_real_overlay_hides_what_the_layer_removes(tmp_path: Path) -> None:
    lower = [Entry("d", DIRECTORY, 0o755), Entry("d/old", FILE), Entry("file", FILE), Entry("kept", FILE)]
    upper = [Entry("d", DIRECTORY, 0o755), Entry("d/new", FILE), Entry("d", OPAQUE), Entry("file", WHITEOUT)]
    for name, entries in (("lower", lower), ("upper", upper)):
        _, stream = trees.write(entries, {entry.path: b"" for entry in entries if entry.kind == FILE})
        extract(io.BytesIO(stream), str(tmp_path / name), TRUSTED)
    (tmp_path / "merged").mkdir()
    script = f"mount -t overlay overlay -o lowerdir={tmp_path}/upper:{tmp_path}/lower {tmp_path}/merged"
    listed = subprocess.run(
        ["unshare", "-m", "sh", "-ec", f"{script}; cd {tmp_path}/merged; find . | sort"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.split() == [".", "./d", "./d/new", "./kept"]


@root_only
def test_holes_are_not_written(tmp_path: Path) -> None:
    content = bytes(30 << 20) + b"middle" + bytes(30 << 20)
    _, stream = trees.write([Entry("f", FILE, size=len(content))], {"f": content})
    layer = extract(io.BytesIO(stream), str(tmp_path / "fs"), TRUSTED)
    assert os.stat(tmp_path / "fs/f").st_size == len(content)
    assert os.stat(tmp_path / "fs/f").st_blocks * 512 < 64 << 10
    assert layer.entries[0].digest == hashlib.sha256(content).digest()
    assert (tmp_path / "fs/f").read_bytes() == content


@root_only
def test_the_processes_umask_does_not_matter(tmp_path: Path) -> None:
    entries = [Entry("d", DIRECTORY, 0o1777), Entry("d/f", FILE, 0o666), Entry("p", FIFO, 0o622)]
    _, stream = trees.write(entries, {"d/f": b""})
    before = os.umask(0o077)
    try:
        extract(io.BytesIO(stream), str(tmp_path / "fs"), TRUSTED)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(os.lstat(tmp_path / "fs" / path).st_mode) for path in ("d", "d/f", "p")}
    assert stat.S_IMODE(os.stat(tmp_path / "fs").st_mode) == 0o755
    assert modes == {"d": 0o1777, "d/f": 0o666, "p": 0o622}


def test_folders_may_be_closed_to_their_owner(scratch: Path) -> None:
    """To be extracted by a user without any rights over others' files, too."""
    uid, gid = os.geteuid(), os.getegid()
    entries = [
        Entry("d", DIRECTORY, 0o555, uid, gid),
        Entry("d/e", DIRECTORY, 0o500, uid, gid, 5 * 10**9),
        Entry("d/e/f", FILE, 0o400, uid, gid),
        Entry("d", OPAQUE),
    ]
    layer, stream = trees.write(entries, {"d/e/f": b""})
    folder = _fresh(scratch, "closed")
    try:
        assert extract(io.BytesIO(stream), str(folder), USER) == layer
        found = trees.facts(str(folder))
        assert [stat.S_IMODE(int(str(found[path][0]))) for path in ("d", "d/e", "d/e/f")] == [
            0o555,
            0o500,
            0o400,
        ]
        assert os.stat(folder / "d/e").st_mtime_ns == 5 * 10**9
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)


@root_only
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file system in memory has access lists")
def test_a_folder_s_default_access_list_is_not_given_to_what_the_layer_has_in_it() -> None:
    acl = b"\2\0\0\0" + b"".join(struct.pack("<HHI", tag, 7, 2**32 - 1) for tag in (1, 4, 32))
    entries = [
        Entry("d", DIRECTORY, 0o755, xattrs=(("system.posix_acl_default", acl),)),
        Entry("d/f", FILE, 0o644),
        Entry("d/d", DIRECTORY, 0o755),
    ]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        extract(io.BytesIO(trees.write(entries, {"d/f": b""})[1]), f"{folder}/x", TRUSTED)
        assert os.listxattr(f"{folder}/x/d") == ["system.posix_acl_default"]
        assert os.listxattr(f"{folder}/x/d/f") == os.listxattr(f"{folder}/x/d/d") == []


def test_descriptors_do_not_run_out(tmp_path: Path) -> None:
    """More folders than a process may open, wide and deep, with hard links between distant ones."""
    entries = [Entry(f"w{number}", DIRECTORY, 0o755) for number in range(1500)]
    deep = ""
    for _ in range(600):
        deep = f"{deep}/d" if deep else "d"
        entries.append(Entry(deep, DIRECTORY, 0o755))
    entries.append(Entry(f"{deep}/f", FILE, 0o600))
    entries += [Entry(f"w{number}/l", HARDLINK, 0o600, link=f"{deep}/f") for number in range(0, 1500, 100)]
    layer, stream = trees.write(entries, {f"{deep}/f": b""})
    before = len(os.listdir("/proc/self/fd"))
    assert extract(io.BytesIO(stream), str(tmp_path / "fs"), TRUSTED) == layer
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.stat(tmp_path / "fs/w700/l").st_nlink == 16


_IN_A_NAMESPACE = """
import sys
from wherry.base.errors import Denied
from wherry.layer.apply import extract
from wherry.layer.forms import SINGLE, USER, current_form
assert current_form() is SINGLE
form = SINGLE if sys.argv[3] == "single" else USER
with open(sys.argv[1], "rb") as stream:
    try:
        print(extract(stream, sys.argv[2], form).diff_id)
    except Denied as error:
        print("denied:", error.hint)
"""


def _extract_in_a_namespace(folder: Path, stream: bytes, form: str = "user") -> str:
    (folder / "tar").write_bytes(stream)
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", _IN_A_NAMESPACE]
    done = subprocess.run(
        [*command, str(folder / "tar"), str(folder / "fs"), form],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _has_namespaces() -> bool:
    return (
        subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True).returncode == 0
    )


namespaces = pytest.mark.skipif(not _has_namespaces(), reason="this machine allows no user namespaces")


@namespaces
def test_in_a_user_namespace_devices_are_left_out(tmp_path: Path) -> None:
    entries = [
        Entry("d", DIRECTORY, 0o755),
        Entry("d", OPAQUE),
        Entry("gone", WHITEOUT),
        Entry("null", CHARACTER, 0o666, device=(1, 3)),
        Entry("null2", HARDLINK, 0o666, link="null"),
        Entry("su", FILE, 0o4755, xattrs=(("trusted.t", b"x"), ("user.u", b"y"))),
    ]
    layer, stream = trees.write(entries, {"su": b""})
    assert _extract_in_a_namespace(tmp_path, stream).strip() == layer.diff_id
    assert sorted(os.listdir(tmp_path / "fs")) == ["d", "gone", "su"]
    assert os.lstat(tmp_path / "fs/gone").st_rdev == 0
    assert os.getxattr(tmp_path / "fs/d", "user.overlay.opaque") == b"y"
    assert os.listxattr(tmp_path / "fs/su") == ["user.u"]
    assert stat.S_IMODE(os.stat(tmp_path / "fs/su").st_mode) == 0o4755


@namespaces
def test_owners_that_a_user_namespace_does_not_have(tmp_path: Path) -> None:
    _, stream = trees.write([Entry("f", FILE, uid=1234)], {"f": b""})
    assert _extract_in_a_namespace(tmp_path, stream).startswith("denied: files of other owners need")


@namespaces
def test_where_there_is_one_id_an_attribute_tells_the_owner(tmp_path: Path) -> None:
    entries = [
        Entry("d", DIRECTORY, 0o2775, 0, 8),
        Entry("d/f", FILE, 0o4755, 1234, 56, xattrs=(("user.u", b"y"),)),
        Entry("d/l", SYMLINK, 0o777, 7, 8, link="f"),
        Entry("d/own", FILE, 0o644),
        Entry("d/p", FIFO, 0o640, 7, 8),
    ]
    layer, stream = trees.write(entries, {"d/f": b"", "d/own": b""})
    assert _extract_in_a_namespace(tmp_path, stream, "single").strip() == layer.diff_id
    tree = tmp_path / "fs"
    assert os.getxattr(tree / "d", "user.wherry.owner") == b"0:8"
    assert os.getxattr(tree / "d/f", "user.wherry.owner") == b"1234:56"
    assert os.listxattr(tree / "d/own") == []
    assert stat.S_IMODE(os.stat(tree / "d").st_mode) == 0o2775
    assert stat.S_IMODE(os.stat(tree / "d/f").st_mode) == 0o4755
    assert {os.lstat(tree / "d" / name).st_uid for name in ("f", "l", "p")} == {os.geteuid()}
