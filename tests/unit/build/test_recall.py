"""What is remembered of a context: never a digest that reading it anew would not give."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.build import recall
from wherry.build.context import Context
from wherry.build.filedigests import TICK, FileDigests
from wherry.build.files import Trees
from wherry.build.gather import content_of, gather, unknown_bytes, with_digests
from wherry.build.step import Copy
from wherry.dockerfile.ignore import Patterns

COPIES = [
    Copy((".",), "/"),
    Copy(("a",), "/x/"),
    Copy(("a", "b*"), "/x/"),
    Copy((".",), "/", excludes=("**/c",)),
    Copy(("a/./b",), "/", parents=True),
]
IGNORED = ["", "b\n", "*\n!a/b\n", "a/*\n!a/b/c\n"]

Edit = Callable[[Path], object]


def settle() -> None:
    """Until the clock of the file system is so far on that what was written shows every change."""
    time.sleep(2 * TICK / 1e9)


class Build:
    """One build's knowledge of the context `root`, kept in `memory`."""

    def __init__(self, root: Path, memory: Path, ignored: str) -> None:
        patterns = Patterns.parse(ignored)
        self.digests = FileDigests(str(memory), str(root))
        self.context = Context(str(root), patterns, self.digests)

    def recalled(self, operation: Copy) -> str | None:
        return recall.recalled(operation, self.context)

    def found_out(self, operation: Copy) -> str:
        trees = Trees(self.context)
        gathered = gather(operation, trees)
        answers = self.context.seen.answers
        content = content_of(with_digests(gathered, trees))
        if answers:
            recall.remember(operation, self.context, answers, content)
        return content

    def close(self) -> None:
        self.context.save()
        self.context.close()


def fresh(root: Path, empty: Path, ignored: str, operation: Copy) -> str | None:
    """The digest as it is found out by one who knows nothing."""
    build = Build(root, empty, ignored)
    try:
        trees = Trees(build.context)
        return content_of(with_digests(gather(operation, trees), trees))
    except Exception as error:
        return f"{type(error).__name__}"
    finally:
        build.context.close()


def write(text: str) -> Edit:
    return lambda path: path.write_text(text)


def same_size_and_time(path: Path) -> None:
    """As an editor or `cp --preserve` may do it."""
    status = path.stat()
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_name("unfinished")
    shutil.copy2(path, other)
    other.write_bytes(bytes(byte ^ 2 for byte in path.read_bytes()))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("somewhere")


def removed(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def folder_instead(path: Path) -> None:
    removed(path)
    path.mkdir()


def swapped(path: Path) -> None:
    """Two files of the same size change their names."""
    other = path.parent / ("c" if path.name != "c" else "b.txt")
    if other.exists():
        between = path.with_name("between")
        path.rename(between)
        other.rename(path)
        between.rename(other)


EDITS: dict[str, Edit] = {
    "grow": write("longer than before"),
    "empty": write(""),
    "same size and time": same_size_and_time,
    "replaced": replaced,
    "link": linked,
    "removed": removed,
    "folder": folder_instead,
    "mode": lambda path: path.chmod(0o711),
    "touch": lambda path: os.utime(path),
    "new beside": lambda path: write("n")(path.parent / "new"),
    "swapped": swapped,
}
FILES = ["a/b/c", "a/b/d", "a/c", "b.txt", "c", "a/link"]


def make(root: Path) -> None:
    for number, name in enumerate(FILES[:-1]):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {number}")
    (root / "a/link").symlink_to("b")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(COPIES),
    st.sampled_from(IGNORED),
    st.lists(st.tuples(st.sampled_from(FILES), st.sampled_from(sorted(EDITS))), max_size=3),
    st.booleans(),
)
def test_what_is_recalled_is_what_reading_gives(
    tmp_path_factory: pytest.TempPathFactory,
    operation: Copy,
    ignored: str,
    edits: list[tuple[str, str]],
    settles: bool,
) -> None:
    folder = tmp_path_factory.mktemp("recall")
    root, memory = folder / "context", folder / "memory"
    memory.mkdir()
    make(root)
    settle()
    first = Build(root, memory, ignored)
    expected = fresh(root, folder, ignored, operation)
    if expected is not None and " " not in expected:
        first.close()
        return  # nothing can be copied: it is an error each time
    assert first.found_out(operation) == expected
    first.close()
    unchanged = Build(root, memory, ignored)
    assert unchanged.recalled(operation) == expected
    unchanged.close()
    for name, edit in edits:
        path = root / name
        if edit in ("link", "removed", "folder") if path.is_symlink() else path.is_file():
            EDITS[edit](path)
    if settles:
        settle()
    expected = fresh(root, folder, ignored, operation)
    second = Build(root, memory, ignored)
    assert second.recalled(operation) in (None, expected)
    if expected is not None and " " in expected:
        assert second.found_out(operation) == expected
    second.close()
    third = Build(root, memory, ignored)
    assert third.recalled(operation) in (None, expected)
    third.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("edit", sorted(set(EDITS) - {"touch"}))
def test_each_change_of_a_file_is_seen(tmp_path: Path, edit: str) -> None:
    root, memory = tmp_path / "context", tmp_path / "memory"
    memory.mkdir()
    make(root)
    settle()
    build = Build(root, memory, "")
    build.found_out(COPIES[0])
    build.close()
    EDITS[edit](root / "b.txt")
    again = Build(root, memory, "")
    assert again.recalled(COPIES[0]) is None
    again.close()


def test_what_was_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    """It could be written once more within the clock's tick and look the same."""
    make(tmp_path / "context")
    settle()
    for _ in range(20):
        (tmp_path / "context/c").write_text("new")
        build = Build(tmp_path / "context", tmp_path, "")
        if time.time_ns() - (tmp_path / "context/c").stat().st_ctime_ns < TICK:
            break  # else this machine stood still meanwhile
        build.context.close()
    build.found_out(COPIES[0])
    build.close()
    again = Build(tmp_path / "context", tmp_path, "")
    assert again.recalled(COPIES[0]) is None
    assert unknown_bytes(gather(COPIES[0], Trees(again.context))) == 3
    again.close()


def test_a_file_that_changes_while_it_is_copied_is_not_remembered(tmp_path: Path) -> None:
    make(tmp_path / "context")
    settle()
    build = Build(tmp_path / "context", tmp_path, "")
    trees = Trees(build.context)
    gathered = gather(COPIES[0], trees)
    answers = build.context.seen.answers
    assert answers
    same_size_and_time(tmp_path / "context/c")
    settle()
    content = content_of(with_digests(gathered, trees))
    recall.remember(COPIES[0], build.context, answers, content)
    assert not build.context.digests.is_firm
    assert build.context.digests._copies == {}
    build.close()


def test_folders_that_are_gone_are_forgotten_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def known() -> set[str]:
        again = Build(tmp_path / "context", tmp_path, "")
        again.digests.get("", (0, 0, 0, 0, 0, 0))
        again.context.close()
        return set(again.digests._rows)

    monkeypatch.setattr("wherry.build.filedigests._SPARE", 0)
    make(tmp_path / "context")
    for number in range(4):
        (tmp_path / f"context/old{number}").mkdir()
    for expected in ({"", "a", "a/b", "old0", "old1", "old2", "old3"}, {"", "a", "a/b"}):
        build = Build(tmp_path / "context", tmp_path, "")
        build.found_out(COPIES[0])
        build.close()
        assert known() == expected
        for folder in (tmp_path / "context").glob("old*"):
            folder.rmdir()


def test_another_ignore_file_is_another_question(tmp_path: Path) -> None:
    make(tmp_path / "context")
    settle()
    for ignored in ("", "b.txt\n", ""):
        build = Build(tmp_path / "context", tmp_path, ignored)
        assert build.recalled(COPIES[0]) is None
        build.found_out(COPIES[0])
        build.close()


def test_what_is_ignored_may_change(tmp_path: Path) -> None:
    make(tmp_path / "context")
    settle()
    build = Build(tmp_path / "context", tmp_path, "b.txt\na\n")
    content = build.found_out(COPIES[0])
    build.close()
    (tmp_path / "context/b.txt").write_text("other")
    (tmp_path / "context/a/new").write_text("other")
    again = Build(tmp_path / "context", tmp_path, "b.txt\na\n")
    assert again.recalled(COPIES[0]) == content
    again.close()
