"""What was looked at, told from names: a result that is said to hold must be the one that a new run gives.

Programs run for real, in a root filesystem of their own, on Linux's own rules for links, folders and `..`.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import folders, stacks
from support.stacks import Stack
from wherry.base.errors import Corrupt
from wherry.layer.entry import DIRECTORY, FILE, SYMLINK, Entry
from wherry.snapshot import observations
from wherry.snapshot.differences import ALL, CONTENT, FACE, NAMES, differences
from wherry.snapshot.observations import broken, joined, split
from wherry.snapshot.tracks import Incomplete, Mount, Tracks, Tree
from wherry.snapshot.view import View

Operation = tuple[str, str, str]
OPERATIONS = (
    "read",
    "stat",
    "lstat",
    "list",
    "link",
    "write",
    "new",
    "mkdir",
    "symlink",
    "rename",
    "cd",
    "unlink",
)
names = st.one_of(
    stacks.paths,
    stacks.paths.map(lambda path: f"/{path}"),
    st.lists(st.sampled_from((*stacks.NAMES, "..", ".")), min_size=1, max_size=4).map("/".join),
    st.sampled_from(("/", "..", "a/", "/b/")),
)
programs = st.lists(st.tuples(st.sampled_from(OPERATIONS), names, names), min_size=1, max_size=8)


def materialize(view: View, folder: Path) -> None:
    """A view's files, with their kinds and modes; content is its digest."""
    for found in view.walk():
        entry, path = found.entry, folder / found.entry.path
        if entry.kind == DIRECTORY:
            path.mkdir(exist_ok=True)
            path.chmod(entry.mode)
        elif entry.kind == SYMLINK:
            path.symlink_to(entry.link)
        else:
            path.write_bytes(entry.digest)
            path.chmod(entry.mode)


def run(program: Sequence[Operation], root: Path) -> tuple[list[Any], list[Any]]:
    """What the program got, and what it left; and the names that it used, as the observer would tell them."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.chroot(root)
            os.chdir("/")
            used: list[Any] = []
            results = []
            for operation in program:
                results.append(execute(operation, used))
            os.write(writer, json.dumps([[results, contents()], used]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        found = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return found[0], found[1]


def execute(operation: Operation, used: list[Any]) -> Any:
    kind, path, other = operation
    here = os.getcwd()
    name, second = (text if text.startswith("/") else f"{here}/{text}" for text in (path, other))
    try:
        if kind == "symlink":
            used.append(("linked", second, path))
            used.append(("look", second, FACE, False))
            return os.symlink(path, other)
        if kind == "rename":
            used.append(("look", name, FACE | CONTENT, False))
            used.append(("look", second, FACE, False))
            used.append(("moved", name, second))
            return os.rename(path, other)
        if kind == "link":
            used.append(("look", name, FACE | CONTENT, False))
            used.append(("look", second, FACE, False))
            used.append(("moved", name, second))
            return os.link(path, other, follow_symlinks=False)
        if kind == "mkdir":
            used.append(("made", name))
            used.append(("look", name, FACE, False))
            return os.mkdir(path)
        used.append(("look", name, FACE | CONTENT, kind not in ("lstat", "unlink")))
        if kind == "read":
            return Path(path).read_bytes().hex()
        if kind in ("stat", "lstat"):
            state = os.stat(path, follow_symlinks=kind == "stat")
            return [state.st_mode, state.st_size if stat.S_ISREG(state.st_mode) else 0]
        if kind == "list":
            with os.scandir(path) as listing:
                found = sorted((item.name, item.is_symlink(), item.is_dir()) for item in listing)
            os.chdir(path)
            used.append(("look", os.getcwd(), FACE | NAMES, True))
            os.chdir(here)
            return found
        if kind == "cd":
            return os.chdir(path)
        if kind == "unlink":
            return os.unlink(path)
        flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if kind == "new" else os.O_APPEND)
        with open(os.open(path, flags, 0o600), "wb") as file:
            file.write(b"+")
        return None
    except OSError as error:
        return error.errno


def contents() -> list[Any]:
    return sorted(
        (path, sorted(below), sorted((name, os.lstat(f"{path}/{name}").st_mode) for name in files))
        for path, below, files in os.walk("/")
    )


def tracked(view: View, used: Sequence[Any]) -> dict[str, int] | None:
    """None where a link leads through itself, so that the program has to run again."""
    tree = Tree(view)
    tracks = Tracks(tree)
    try:
        for name, *arguments in (item for item in used if item[0] != "look"):
            getattr(tracks, name)(*arguments)
        for _, *arguments in (item for item in used if item[0] == "look"):
            tracks.look(*arguments)
    except Incomplete:
        return None
    return tree.found


@pytest.mark.needs("root")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(stacks.drawn, min_size=1, max_size=4), programs, st.data())
def test_where_nothing_that_was_looked_at_differs_a_program_does_the_same(
    drawn: list[Any], program: list[Operation], data: st.DataObject
) -> None:
    stack = Stack()
    known = [stack.add(stacks.layer(items)) for items in drawn]
    chain = st.lists(st.sampled_from(known), max_size=4, unique=True)
    old, new = View(stack, data.draw(chain)), View(stack, data.draw(chain))
    scratch = Path(tempfile.mkdtemp(dir=folders.fast()))
    try:
        for name, view in (("old", old), ("new", new)):
            (scratch / name).mkdir()
            materialize(view, scratch / name)
        got, used = run(program, scratch / "old")
        found = tracked(old, used)
        if found is not None and not list(broken(differences(old, new), found)):
            again, _ = run(program, scratch / "new")
            assert got[0] == again[0]
    finally:
        shutil.rmtree(scratch)


def file(path: str, text: bytes = b"") -> Entry:
    return Entry(path, FILE, 0o644, size=len(text), digest=text.ljust(32))


def view(*entries: Entry) -> View:
    stack = Stack()
    return View(stack, [stack.add(list(entries))])


def folder(path: str) -> Entry:
    return Entry(path, DIRECTORY, 0o755)


BASE = view(
    folder("app"),
    file("app/a"),
    folder("srv"),
    file("srv/x"),
    Entry("app/s", SYMLINK, 0o777, link="../srv"),
    Entry("app/abs", SYMLINK, 0o777, link="/srv/x"),
)


def looked(
    *arguments: Any, mounts: dict[str, Mount] | None = None, changes: Sequence[Any] = ()
) -> dict[str, int]:
    tree = Tree(BASE)
    tracks = Tracks(tree, mounts)
    for name, *rest in changes:
        getattr(tracks, name)(*rest)
    tracks.look(*arguments)
    return tree.found


def test_every_link_on_the_way_is_looked_at() -> None:
    assert looked("/app/s/x", CONTENT) == {
        "": FACE,
        "app": FACE,
        "app/s": FACE | CONTENT,
        "srv": FACE,
        "srv/x": CONTENT,
    }


def test_a_link_itself_is_looked_at_and_not_what_it_names() -> None:
    assert looked("/app/abs", FACE, False) == {"": FACE, "app": FACE, "app/abs": FACE}


def test_below_what_is_not_there_nothing_is_looked_at() -> None:
    assert looked("/app/new/deep/er", CONTENT) == {"": FACE, "app": FACE, "app/new": FACE}


@pytest.mark.parametrize("name", ["/app/new/../a", "/app/new/deep/../../a", "/app/a/../a", "/new/../app/a"])
def test_from_a_folder_that_the_process_made_the_way_leads_up_again(name: str) -> None:
    """`mkdir build && cd build && cat ../a`"""
    assert looked(name, CONTENT)["app/a"] & CONTENT


def test_a_link_that_the_process_made_leads_where_it_says() -> None:
    found = looked("/app/mine/x", CONTENT, changes=[("linked", "/app/mine", "../srv")])
    assert found["srv/x"] == CONTENT


def test_a_folder_that_was_moved_is_what_it_was_under_its_old_name() -> None:
    changes = [("made", "/d"), ("linked", "/d/to", "/srv"), ("moved", "/d", "/e")]
    assert looked("/e/to/x", CONTENT, changes=changes)["srv/x"] == CONTENT


def test_a_link_deep_in_folders_that_the_process_made_leads_where_it_says() -> None:
    found = looked("/d/e/f/mine/x", CONTENT, changes=[("made", "/d"), ("linked", "/d/e/f/mine", "/srv")])
    assert found["srv/x"] == CONTENT


def test_folders_that_are_renamed_one_in_the_other_mean_one_thing_each() -> None:
    """As dpkg makes them: were each name another meaning of the other, there would be 2 ** 30 ways."""
    changes, path = [], ""
    for _ in range(30):
        changes += [("made", f"{path}/d.new"), ("moved", f"{path}/d.new", f"{path}/d")]
        path += "/d"
    changes.append(("linked", f"{path}/to", "/srv"))
    assert looked(f"{path}/to/x", CONTENT, changes=changes)["srv/x"] == CONTENT


def test_a_folder_that_was_moved_with_a_folder_in_it_is_what_it_was() -> None:
    changes = [("made", "/d"), ("made", "/d/e"), ("linked", "/d/e/to", "/srv"), ("moved", "/d/e", "/d/f")]
    changes += [("moved", "/d", "/g")]
    assert looked("/g/f/to/x", CONTENT, changes=changes)["srv/x"] == CONTENT


def test_a_process_in_a_root_of_its_own_does_not_get_out_by_links() -> None:
    assert looked("/../../a", CONTENT, True, "/app") == {"app": FACE, "app/a": CONTENT}
    assert looked("/s/x", CONTENT, True, "/app").keys() == {"app", "app/s", "app/srv"}


def test_a_mount_is_no_part_of_the_root_filesystem() -> None:
    assert looked("/srv/x", CONTENT, mounts={"srv": Mount()}) == {"": FACE}


def test_in_another_tree_that_is_mounted_its_own_files_are_looked_at() -> None:
    other = Tree(view(folder("src"), file("src/m"), Entry("src/up", SYMLINK, 0o777, link="/app/a")))
    mounts = {"srv": Mount(other, "/src")}
    assert looked("/srv/m", CONTENT, mounts=mounts) == {"": FACE}
    assert other.found == {"src": FACE, "src/m": CONTENT}
    assert looked("/srv/up", CONTENT, mounts=mounts)["app/a"] == CONTENT


def test_a_link_that_a_cache_had_before_leads_back_into_the_image(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/app")
    found = looked("/srv/link/a", CONTENT, mounts={"srv": Mount(folder=str(tmp_path))})
    assert found["app/a"] == CONTENT


@pytest.mark.parametrize(
    "name", ["/proc/self/root/app/a", "/proc/1/cwd/a", "/proc/7/fd/3/a", "/dev/fd/3/a", "/proc/self/root/app"]
)
def test_names_that_mean_something_else_than_they_say_are_told(name: str) -> None:
    mounts = {"proc": Mount(), "dev": Mount()}
    with pytest.raises(Incomplete):
        looked(name, CONTENT, mounts=mounts)


def test_plain_names_below_proc_and_dev_are_nothing_to_tell() -> None:
    mounts = {"proc": Mount(), "dev": Mount()}
    for name in ("/proc/self/status", "/proc/self/fd/3", "/proc/self/root", "/dev/null", "/dev/fd/3"):
        assert looked(name, CONTENT, mounts=mounts) == {"": FACE}


def test_links_without_end_come_to_an_end() -> None:
    changes = [("linked", f"/l{number}", f"/l{(number + 1) % 50}") for number in range(50)]
    looked("/l0/x", CONTENT, changes=changes)


@given(st.dictionaries(stacks.paths, st.integers(1, ALL), max_size=20))
def test_observations_come_back_as_they_were_put_down(observations: dict[str, int]) -> None:
    parts = split(observations)
    assert joined(parts.values()) == observations
    assert all(path.partition("/")[0] == top for top, part in parts.items() for path in joined([part]))


def test_observations_are_read_to_a_limit() -> None:
    data = zlib.compress(bytes(1 << 20))
    assert observations._inflated(data, 1000) == bytes(1000)
    with pytest.raises(Corrupt, match="cut off"):
        observations._inflated(data[:-1], 2 << 20)
    endless = zlib.compress(bytes(3_000_000) + b"\xff" + bytes(2_999_999))
    with pytest.raises(Corrupt, match="no end"):
        joined([endless])
