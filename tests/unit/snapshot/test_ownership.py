"""Whose a file is that a step with one id has left: every case of the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.layer.entry import DIRECTORY, FIFO, FILE, SYMLINK, Entry
from wherry.layer.owners import Asked
from wherry.snapshot.ownership import Ownership, read_journal

STEP = Ownership(1000, 1001)
PLAIN = Entry("", DIRECTORY, 0o755)
SHARED = Entry("mail", DIRECTORY, 0o2775, 0, 8)
SHADOW = Entry("shadow", FILE, 0o640, 0, 42)
ROOTS = Entry("file", FILE, 0o644)
LINK = Entry("link", SYMLINK, 0o777, 5, 6, link="there")


@pytest.mark.parametrize(
    ("entry", "asked", "is_copy", "before", "original", "folder", "expected"),
    [
        # nothing was asked
        (FILE, None, False, None, None, PLAIN, (1000, 1001)),
        (FILE, None, False, None, None, SHARED, (1000, 8)),
        (FILE, None, True, ROOTS, None, PLAIN, (0, 0)),
        (FILE, None, True, ROOTS, None, SHARED, (0, 0)),
        (FILE, None, False, SHADOW, None, PLAIN, (1000, 1001)),
        (DIRECTORY, None, True, PLAIN, None, SHARED, (0, 0)),
        (FIFO, None, False, Entry("p", FIFO, 0o600, 5, 6), None, PLAIN, (5, 6)),
        (SYMLINK, None, False, LINK, None, PLAIN, (5, 6)),
        (SYMLINK, None, False, LINK._replace(link="elsewhere"), None, PLAIN, (1000, 1001)),
        # a part of it was
        (FILE, Asked(7, None), False, None, None, PLAIN, (7, 1001)),
        (FILE, Asked(7, None), False, None, None, SHARED, (7, 8)),
        (FILE, Asked(None, 7), True, ROOTS, None, PLAIN, (0, 7)),
        (SYMLINK, Asked(7, None), False, LINK, None, PLAIN, (7, 6)),
        # all of it was
        (FILE, Asked(7, 9), True, SHADOW, None, SHARED, (7, 9)),
        (FILE, Asked(1000, 1001), True, SHADOW, None, PLAIN, (1000, 1001)),
        # what stat(2) shows was: of the file that is replaced, or backed up
        (FILE, Asked(1000, 1001, True), False, SHADOW, None, PLAIN, (0, 42)),
        (FILE, Asked(1000, 1001, True), False, None, None, SHARED, (1000, 1001)),
        (FILE, Asked(1000, 1001, True), False, None, SHADOW, PLAIN, (0, 42)),
        (FILE, Asked(1000, 1001), True, SHADOW, SHADOW, PLAIN, (0, 42)),
        (FILE, Asked(7, 9), True, SHADOW, SHADOW, PLAIN, (7, 9)),
        (DIRECTORY, Asked(1000, 1001, True), False, SHARED, None, PLAIN, (1000, 1001)),
    ],
)
def test_the_owner(
    entry: str,
    asked: Asked | None,
    is_copy: bool,
    before: Entry | None,
    original: Entry | None,
    folder: Entry,
    expected: tuple[int, int],
) -> None:
    made = Entry("made", entry, 0o644, link="there" if entry == SYMLINK else "")
    assert STEP.of(made, asked, is_copy, before, original, folder) == expected


def test_the_journals_last_word_on_each_id_counts(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"12 99 7:8\n13 99 5:-\n12 99 -:3\n12 98 1:1\n14 1 x:y\n")
    assert read_journal(str(tmp_path / "journal")) == {
        (12, 99): Asked(7, 3),
        (13, 99): Asked(5, None),
        (12, 98): Asked(1, 1),
    }
    assert read_journal(str(tmp_path / "none")) == {}
