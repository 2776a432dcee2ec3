"""Copies between two folders, one of them a container's root: what comes where, and that it is the same."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from support.changing import Change, apply, steps
from support.realtrees import Tree, tree_of
from wherry.base.errors import WherryError
from wherry.base.paths import Root
from wherry.container.files import copying
from wherry.container.files.copying import Copied
from wherry.container.files.places import Place, clean, parse
from wherry.container.files.seen import Seen
from wherry.layer.entry import BLOCK, CHARACTER

pytestmark = pytest.mark.needs("root")

Copy = Callable[..., Copied]


def copy_in(root: Path, source: str, target: str, *, keep: bool = False, follow: bool = False) -> Copied:
    with Root(str(root), follow=True) as opened:
        place = Place("web", clean(target, "/"))
        return copying.copy_in(
            Place("", clean(source, "/")), Seen(opened, True), place, keep=keep, follow=follow
        )


def copy_out(
    root: Path, source: str, target: str, *, keep: bool = False, follow: bool = False, is_root: bool = True
) -> Copied:
    with Root(str(root), follow=True) as opened:
        seen, place = Seen(opened, True), Place("web", clean(source, "/"))
        return copying.copy_out(
            seen, place, Place("", clean(target, "/")), keep=keep, follow=follow, is_root=is_root
        )


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("web:/etc/hosts", ("web", "/etc/hosts")),
        ("web:etc//x/../hosts", ("web", "/etc/hosts")),
        ("web:../../x", ("web", "/x")),
        ("web:", ("web", "/.")),
        ("web:/", ("web", "/")),
        ("web:.", ("web", "/.")),
        ("web:/a/", ("web", "/a/")),
        ("web:/a/.", ("web", "/a/.")),
        ("web:/a:b", ("web", "/a:b")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "HERE/a:b")),
        ("../a:b", ("", "/a:b")),
        (".a:b", ("", "HERE/.a:b")),
        ("a", ("", "HERE/a")),
        (".", ("", "HERE/.")),
        ("a/.", ("", "HERE/a/.")),
        ("a/..", ("", "HERE")),
        ("//a", ("", "/a")),
    ],
)
def test_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str, place: tuple[str, str]) -> None:
    if word == "../a:b":
        monkeypatch.chdir("/usr")
    else:
        monkeypatch.chdir(tmp_path)
    container, path = parse(word)
    assert (container, path.replace(str(tmp_path), "HERE")) == place


def _sources(folder: Path) -> None:
    (folder / "d").mkdir(parents=True)
    (folder / "d/x").write_text("x")
    (folder / "f").write_text("f")
    (folder / "lf").symlink_to("f")
    (folder / "ld").symlink_to("d")
    (folder / "absolute").symlink_to("/from/d")
    (folder / "gone").symlink_to("nothing")


def _targets(folder: Path) -> None:
    (folder / "dir").mkdir(parents=True)
    (folder / "old").write_text("old")
    (folder / "tof").symlink_to("old")
    (folder / "tod").symlink_to("dir")
    (folder / "dangling").symlink_to("made")
    (folder / "round").symlink_to("round")


def _shown(folder: Path) -> dict[str, str]:
    """By path: a file's text, a link's target after an arrow; nothing for a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        text = path.read_text() if path.is_file() else ""
        if path.is_symlink():
            text = f"-> {os.readlink(path)}"
        found[str(path.relative_to(folder))] = text
    return found


TABLE: list[tuple[str, str, dict[str, str] | str]] = [
    # a file
    ("f", "new", {"new": "f"}),
    ("f", "new/", "there is no such folder"),
    ("f", "no/new", "there is no folder"),
    ("f", "old", {"old": "f"}),
    ("f", "old/", "it is not a folder"),
    ("f", "old/new", "Not a directory"),
    ("f", "dir", {"dir/f": "f"}),
    ("f", "dir/", {"dir/f": "f"}),
    ("f", "dir/.", {"dir/f": "f"}),
    ("f", "tof", {"old": "f"}),
    ("f", "tod", {"dir/f": "f"}),
    ("f", "tod/in", {"dir/in": "f"}),
    ("f", "dangling", {"made": "f"}),
    ("f", "round", "Too many levels"),
    ("f/", "dir", "it is not a folder"),
    ("f/.", "dir", "it is not a folder"),
    ("nothing", "dir", "there is no such file"),
    # a folder
    ("d", "new", {"new": "", "new/x": "x"}),
    ("d", "new/", {"new": "", "new/x": "x"}),
    ("d/.", "new", {"new": "", "new/x": "x"}),
    ("d", "no/new", "there is no folder"),
    ("d", "dir", {"dir/d": "", "dir/d/x": "x"}),
    ("d/", "dir", {"dir/d": "", "dir/d/x": "x"}),
    ("d/.", "dir", {"dir/x": "x"}),
    ("d/.", "dir/.", {"dir/x": "x"}),
    ("d", "old", "cannot copy the folder"),
    ("d/.", "old", "cannot copy the folder"),
    ("d", "tod", {"dir/d": "", "dir/d/x": "x"}),
    # links
    ("lf", "new", {"new": "-> f"}),
    ("lf", "dir", {"dir/lf": "-> f"}),
    ("lf", "old", {"old": "-> f"}),
    ("ld", "dir", {"dir/ld": "-> d"}),
    ("ld/", "dir", {"dir/ld": "", "dir/ld/x": "x"}),
    ("ld/.", "dir", {"dir/x": "x"}),
    ("gone", "new", {"new": "-> nothing"}),
    ("-L lf", "new", {"new": "f"}),
    ("-L lf", "dir", {"dir/lf": "f"}),
    ("-L ld", "dir", {"dir/ld": "", "dir/ld/x": "x"}),
    ("-L gone", "dir", "there is no such file"),
    ("-L f", "dir", {"dir/f": "f"}),
]


@pytest.mark.parametrize("copy", [copy_in, copy_out], ids=["in", "out"])
@pytest.mark.parametrize(("source", "target", "expected"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_the_table(
    tmp_path: Path, copy: Copy, source: str, target: str, expected: dict[str, str] | str
) -> None:
    root, machine = tmp_path / "root", tmp_path / "machine"
    inside = copy is copy_in
    _sources((machine if inside else root) / "from")
    there = (root if inside else machine) / "to"
    _targets(there)
    before = _shown(there)
    follow, source = source.startswith("-L "), source.removeprefix("-L ")
    words = (f"{machine}/from/{source}", f"/to/{target}")
    words = words if inside else (f"/from/{source}", f"{machine}/to/{target}")
    if isinstance(expected, str):
        with pytest.raises(WherryError, match=expected):
            copy(root, *words, follow=follow)
        assert _shown(there) == before
    else:
        copy(root, *words, follow=follow)
        if copy is copy_out and target in ("tof", "dangling"):
            expected = {target: "f"}  # what it leads to may be the container's choice
        assert _shown(there) == before | expected


def test_links_of_a_container_lead_nowhere_else(tmp_path: Path) -> None:
    root, machine = tmp_path / "root", tmp_path / "machine"
    _sources(root / "from")
    machine.mkdir()
    (root / "up").symlink_to("../../../../../../from")
    (root / "etc").symlink_to("/from")
    for source in ("/from/absolute/.", "/up/d/.", "/etc/d/."):
        copy_out(root, source, f"{machine}/new")
        assert _shown(machine / "new") == {"x": "x"}
        shutil.rmtree(machine / "new")
    (machine / "secret").write_text("secret")
    for target in (f"{machine}/secret", "/proc/self/root", "/proc/self/cwd"):
        (root / "out").symlink_to(target)
        with pytest.raises(WherryError):
            copy_out(root, "/out", f"{machine}/new", follow=True)
        with pytest.raises(WherryError):
            copy_in(root, f"{machine}/secret", "/out/x")
        (root / "out").unlink()


@pytest.mark.parametrize(("source", "there"), [("f", "folder"), ("d", "file"), ("d", "link")])
def test_what_is_in_the_way_stays(tmp_path: Path, source: str, there: str) -> None:
    """Neither is a folder replaced by a file, nor the other way round; a link to a folder is none."""
    _sources(tmp_path / "machine")
    target = tmp_path / "root" / source
    target.parent.mkdir()
    (tmp_path / "root/other").mkdir()
    if there == "folder":
        target.mkdir()
    elif there == "file":
        target.write_text("")
    else:
        target.symlink_to("/other")
    before = _shown(tmp_path / "root")
    with pytest.raises(WherryError, match=f"cannot copy a (file|folder) to web:/{source}"):
        copy_in(tmp_path / "root", f"{tmp_path}/machine/{source}", "/")
    assert _shown(tmp_path / "root") == before


def test_a_device_is_neither_copied_nor_overwritten(tmp_path: Path) -> None:
    root, machine = tmp_path / "root", tmp_path / "machine"
    machine.mkdir()
    (root / "dev").mkdir(parents=True)
    os.mknod(root / "dev/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    os.mknod(root / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (root / "dev/file").write_text("text")
    assert copy_out(root, "/dev", f"{machine}", keep=True)[:2] == (4, 2)
    assert _shown(machine) == {"dev": "", "dev/file": "text"}
    with pytest.raises(WherryError, match="a device is there"):
        copy_in(root, f"{machine}/dev/file", "/dev/null")
    assert stat.S_ISCHR((root / "dev/null").stat().st_mode)


@pytest.mark.parametrize("keep", [False, True], ids=["plain", "kept"])
@pytest.mark.parametrize("copy", [copy_in, copy_out], ids=["in", "out"])
def test_whose_files_are(tmp_path: Path, copy: Copy, keep: bool) -> None:
    root, machine = tmp_path / "root", tmp_path / "machine"
    root.mkdir()
    machine.mkdir()
    source, target = (machine, root) if copy is copy_in else (root, machine)
    (source / "d").mkdir()
    (source / "d/su").write_text("program")
    os.setxattr(source / "d/su", "user.colour", b"blue")
    os.chown(source / "d/su", 1000, 1001)
    os.chown(source / "d", 1000, 1001)
    os.setxattr(source / "d/su", "security.capability", b"\1\0\0\2\1\0\0\0" + bytes(12))
    (source / "d/su").chmod(0o6755)
    (source / "d").chmod(0o3770)
    words = (f"{source}/d", "/") if copy is copy_in else ("/d", str(target))
    copy(root, *words, keep=keep)
    made, folder = (target / "d/su").stat(), (target / "d").stat()
    assert (made.st_uid, made.st_gid) == (folder.st_uid, folder.st_gid) == ((1000, 1001) if keep else (0, 0))
    assert stat.S_IMODE(made.st_mode) == (0o6755 if keep else 0o755)
    assert stat.S_IMODE(folder.st_mode) == (0o3770 if keep else 0o1770)
    names = os.listxattr(target / "d/su")
    assert ("security.capability" in names, "user.colour" in names) == (keep, True)


def test_a_user_keeps_nobody_elses_owner(tmp_path: Path) -> None:
    root, machine = tmp_path / "root", tmp_path / "machine"
    root.mkdir()
    machine.mkdir()
    (root / "own").write_text("")
    (root / "other").write_text("")
    os.chown(root / "other", 33, 33)
    copy_out(root, "/own", str(machine), keep=True, is_root=False)
    with pytest.raises(WherryError, match="cannot give other to its owner, 33:33"):
        copy_out(root, "/other", str(machine), keep=True, is_root=False)
    assert _shown(machine) == {"own": ""}


def test_folders_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    root, machine = tmp_path / "root", tmp_path / "machine"
    _sources(machine)
    (root / "tmp/d").mkdir(parents=True)
    for path in (root / "tmp", root / "tmp/d"):
        path.chmod(0o1777)
        os.chown(path, 5, 6)
    copy_in(root, f"{machine}/.", "/tmp", keep=True)
    for path in (root / "tmp", root / "tmp/d"):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o1777, 5)
    assert (root / "tmp/d/x").read_text() == "x"


def test_a_file_that_something_is_mounted_on_is_written_to(tmp_path: Path) -> None:
    """As a container's /etc/hosts: nobody can replace it."""
    from wherry.runtime.init import linux
    from wherry.testing.namespaces import with_own_mounts

    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hosts").write_text("")
    (tmp_path / "hosts").write_text("a rather long text that was there before")
    (tmp_path / "new").write_text("new")
    (tmp_path / "link").symlink_to("new")
    os.mkfifo(tmp_path / "pipe")

    def check() -> None:
        tree = linux.open_tree(f"{tmp_path}/hosts", recursive=False)
        place = os.open(root / "etc/hosts", os.O_PATH)
        linux.attach(tree, place)
        copy_in(root, f"{tmp_path}/new", "/etc/hosts")
        for name in ("link", "pipe"):
            with pytest.raises(WherryError, match="something is mounted there"):
                copy_in(root, f"{tmp_path}/{name}", "/etc/hosts")
        assert sorted(os.listdir(root / "etc")) == ["hosts"]

    with_own_mounts(check)
    assert (tmp_path / "hosts").read_text() == "new"


def test_a_folder_is_not_copied_into_itself(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "data/deep").mkdir(parents=True)
    for target in ("/data", "/data/deep", "/data/new"):
        with pytest.raises(WherryError, match="into itself"):
            copy_in(root, f"{root}/data", target)


def _without_nodes(tree: Tree) -> Tree:
    return {path: node for path, node in tree.items() if path and node.kind not in (CHARACTER, BLOCK)}


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
def test_any_tree_there_and_back_is_the_same(user: bool) -> None:
    """In files and in an archive, through a container that has none of it."""
    from wherry.testing.namespaces import with_own_mounts

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def check(sequence: list[list[Change]]) -> None:
        with tempfile.TemporaryDirectory(prefix="wherry-test-", dir="/dev/shm") as folder:
            for name in ("first", "inside", "back", "unpacked"):
                os.mkdir(f"{folder}/{name}")
            for step in sequence:
                apply(f"{folder}/first", step)
            _check_there_and_back(folder)

    with_own_mounts(check, user=user)


def _check_there_and_back(folder: str) -> None:
    inside = Path(folder, "inside")
    copy_in(inside, f"{folder}/first/.", "/new", keep=True)
    copy_out(inside, "/new/.", f"{folder}/back", keep=True)
    archive = io.BytesIO()
    with Root(str(inside), follow=True) as root:
        copying.pack(Seen(root, True), Place("web", "/new/."), archive, follow=False)
    archive.seek(0)
    with Root(f"{folder}/unpacked", follow=True) as root:
        copying.unpack(archive, Seen(root, True), Place("web", "/"))
    expected = _without_nodes(tree_of(f"{folder}/first"))
    for name in ("inside/new", "back", "unpacked"):
        assert _without_nodes(tree_of(f"{folder}/{name}")) == expected
    times = {path: os.lstat(f"{folder}/first/{path}").st_mtime_ns for path in expected}
    assert {path: os.lstat(f"{folder}/unpacked/{path}").st_mtime_ns for path in expected} == times


def test_holes_stay_holes(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with open(tmp_path / "sparse", "wb") as file:
        file.seek(50_000_000)
        file.write(b"end")
    assert copy_in(tmp_path / "root", f"{tmp_path}/sparse", "/").size == 50_000_003
    made = (tmp_path / "root/sparse").stat()
    assert made.st_size == 50_000_003
    assert made.st_blocks < 1000


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../out", tarfile.REGTYPE, "")], r"\.\."),
        ([("a", tarfile.SYMTYPE, "/elsewhere"), ("a/x", tarfile.REGTYPE, "")], "no folder"),
        ([("a", tarfile.LNKTYPE, "etc/passwd")], "which was not copied"),
        ([("etc", tarfile.REGTYPE, "")], "a folder is there"),
    ],
)
def test_archives_of_strangers(tmp_path: Path, members: list[tuple[str, bytes, str]], message: str) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text("")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            tar.addfile(member)
    archive.seek(0)
    with (
        Root(f"{tmp_path}/root", follow=True) as root,
        pytest.raises(WherryError, match=message),
    ):
        copying.unpack(archive, Seen(root, True), Place("web", "/"))
    assert sorted(os.listdir(tmp_path)) == ["root"]


def test_an_archive_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Root(str(tmp_path), follow=True) as root:
        for path in ("/nothing", "/file"):
            with pytest.raises(WherryError, match="there is no such folder"):
                copying.unpack(io.BytesIO(bytes(1024)), Seen(root, True), Place("web", path))
