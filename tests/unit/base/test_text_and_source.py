"""What is shown to a user can neither command his terminal nor hide what it says."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base import source
from wherry.base.text import clipped, harmless, one_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢", "plain é 漢"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdcs\x1b\\x", "x"),
        ("\x1b(Bx\x1bcx\x1b", "xx"),
        ("\x9b31mred", "red"),
        ("bell\x07 back\x08 del\x7f nul\x00", "bell back del nul"),
        ("a\rb", "ab"),
        ("right\u202eto left", "rightto left"),
        ("caf\udce9", "caf\\xe9"),
        ("\x1b]0;never closed\nnext", "\nnext"),
    ],
)
def test_harmless(text: str, expected: str) -> None:
    assert harmless(text) == expected


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    left = {character for character in harmless(text) if unicodedata.category(character) in ("Cc", "Cs")}
    assert left <= {"\n", "\t"}


def test_one_line() -> None:
    assert one_line("RUN <<EOF\n\tmake\nEOF\n") == "RUN <<EOF make EOF"


def test_clipped() -> None:
    assert [clipped("abcdef", width) for width in (6, 5, 1, 0)] == ["abcdef", "abcd…", "…", ""]


DOCKERFILE = ["FROM busybox", "WORKDIR /app", "COPY . .", "RUN false", "CMD x", "USER 1", "ENV a=b", ""]


def test_an_excerpt_marks_the_lines_as_buildkit_does() -> None:
    assert source.excerpt(DOCKERFILE, 4, 4) == (
        "   2 |     WORKDIR /app\n"
        "   3 |     COPY . .\n"
        "   4 | >>> RUN false\n"
        "   5 |     CMD x\n"
        "   6 |     USER 1"
    )


def test_an_excerpt_at_the_ends_of_the_file() -> None:
    assert source.excerpt(["FROM a", "RUN \\", "  x"], 2, 3).split("\n") == [
        "   1 |     FROM a",
        "   2 | >>> RUN \\",
        "   3 | >>>   x",
    ]
    assert source.excerpt(["FROM a", ""], 1, 9) == "   1 | >>> FROM a"
    assert [
        source.excerpt(lines, number) for lines, number in ((["FROM a"], 2), ([], 1), (["FROM a"], 0))
    ] == [
        "",
        "",
        "",
    ]


def test_the_middle_of_a_long_instruction_is_left_out() -> None:
    lines = source.excerpt([f"line {number}" for number in range(1, 101)], 10, 60).split("\n")
    assert lines[0] == "   8 |     line 8"
    assert lines.count("     | ...") == 1
    assert "  10 | >>> line 10" in lines
    assert "  60 | >>> line 60" in lines
    assert len(lines) < 25


def test_an_excerpt_is_harmless_and_not_wide() -> None:
    text = source.excerpt(["RUN \x1b[2Jx\t" + "y" * 1000], 1)
    assert "\x1b" not in text
    assert len(text) < 420
