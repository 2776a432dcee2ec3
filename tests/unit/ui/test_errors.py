from __future__ import annotations

from wherry.base.errors import Location, WherryError
from wherry.base.source import excerpt
from wherry.ui.errors import render


def test_an_error_shows_where_what_and_what_to_try() -> None:
    error = WherryError(
        'process "/bin/sh -c false" did not complete successfully: exit code: 1',
        where=Location("Dockerfile", 2),
        excerpt=excerpt(["FROM x", "RUN false"], 2),
        hint="read the log",
    )
    assert render(error, color=False) == (
        'error: process "/bin/sh -c false" did not complete successfully: exit code: 1\n'
        "  --> Dockerfile:2\n"
        "--------------------\n"
        "   1 |     FROM x\n"
        "   2 | >>> RUN false\n"
        "--------------------\n"
        "hint: read the log"
    )


def test_only_the_message_where_there_is_no_more() -> None:
    assert render(WherryError("no such image: x"), color=False) == "error: no such image: x"


def test_colors_mark_the_line() -> None:
    text = render(WherryError("x", excerpt=excerpt(["FROM x", "RUN false"], 2)), color=True)
    assert text.startswith("\x1b[1;31merror:\x1b[0m x\n")
    assert "\x1b[1m   2 | >>> RUN false\x1b[0m" in text
    assert "\x1b[1m   1" not in text


def test_nothing_in_an_error_commands_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;x\x07"
    error = WherryError(f"a{evil}", where=Location(f"D{evil}", 1), excerpt=f"e{evil}", hint=f"h{evil}")
    assert render(error, color=False) == (
        "error: a\n  --> D:1\n--------------------\ne\n--------------------\nhint: h"
    )


def test_an_error_of_the_system_names_the_file() -> None:
    assert (
        render(PermissionError(13, "Permission denied", "/x"), color=False) == "error: Permission denied: /x"
    )


def test_a_bug_says_so() -> None:
    assert render(KeyError("x"), color=False).splitlines() == [
        "error: wherry has a bug: KeyError: 'x'",
        "hint: run the same command as `wherry --debug ...` and report what it prints",
    ]
