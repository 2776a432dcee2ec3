"""Syntax: what is refused, with message and place; comments, blank lines, speed, and any input at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.linear import assert_linear
from wherry.dockerfile import directives
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.lexer import SPACE, split_words
from wherry.dockerfile.parser import document, parse
from wherry.dockerfile.typed import typed

REFUSED = [
    ("", 1, "file with no instructions"),
    ("\n\n# nothing\n", 1, "file with no instructions"),
    ("# escape=x\nFROM a\n", 1, "invalid escape token 'x' does not match ` or \\"),
    ("# escape=\\\\\nFROM a\n", 1, "invalid escape token"),
    ("# syntax=a\n# escape=` \n# Syntax=b\nFROM a\n", 3, "only one syntax parser directive can be used"),
    ('FROM a\nRUN ["a", 1]\n', 2, "arrays must be comprised of strings only"),
    ('FROM a\n\nCOPY ["a", ["b"]]\n', 3, "arrays must be comprised of strings only"),
    ("FROM a\nVOLUME [null]\n", 2, "arrays must be comprised of strings only"),
    ("FROM a\nHEALTHCHECK CMD [{}]\n", 2, "arrays must be comprised of strings only"),
    ("FROM a\nENV A=b \\\n  C\n", 2, "Syntax error - can't find = in 'C'. Must be of the form: name=value"),
    ("FROM a\nENV A\n", 2, "ENV must have two arguments"),
    ("FROM a\nLABEL A\n", 2, "LABEL must have two arguments"),
    ("FROM a\nRUN <<EOF\nfoo\n EOF\n", 2, "unterminated heredoc"),
    ("FROM a\nRUN <<A <<B\nx\nA\ny\n", 2, "unterminated heredoc"),
    ("FROM a\nRUN <<-EOF\n EOF\n", 2, "unterminated heredoc"),
    ("FROM a\n" + "ONBUILD " * 100 + "RUN x\n", 2, "Chaining ONBUILD"),
]


@pytest.mark.parametrize(("text", "line", "message"), REFUSED)
def test_refused(text: str, line: int, message: str) -> None:
    with pytest.raises(DockerfileError, match=re.escape(message)) as error:
        parse(text, "app.Dockerfile")
    assert error.value.where is not None
    assert str(error.value).startswith(f"app.Dockerfile:{line}: ")


def test_an_error_shows_its_lines() -> None:
    text = "FROM a\n\nRUN x\nENV A=1 \\\n    B\nRUN y\nRUN z\nRUN not shown\n"
    with pytest.raises(DockerfileError) as error:
        parse(text)
    assert error.value.excerpt.splitlines() == [
        "   2 |",
        "   3 |     RUN x",
        "   4 | >>> ENV A=1 \\",
        "   5 | >>>     B",
        "   6 |     RUN y",
        "   7 |     RUN z",
    ]


DIRECTIVES = [
    ("# escape=`\n# syntax=a/b:1\nFROM x", {"escape": "`", "syntax": "a/b:1"}, "`"),
    ("#escape=`\nFROM x", {"escape": "`"}, "`"),
    ("  #  ESCAPE  =  `  \nFROM x", {"escape": "`"}, "`"),
    ("# escape=\\\nFROM x", {"escape": "\\"}, "\\"),
    ("# a comment\n# escape=`\nFROM x", {}, "\\"),
    ("\n# escape=`\nFROM x", {}, "\\"),
    ("# unknown=1\n# escape=`\nFROM x", {}, "\\"),
    ("FROM x\n# escape=`\n", {}, "\\"),
    ("# escape\n# escape=`\nFROM x", {}, "\\"),
    ("# check=skip=A,B;error=true\nFROM x", {"check": "skip=A,B;error=true"}, "\\"),
    ("# syntax=\nFROM x", {}, "\\"),
    ("\ufeff# escape=`\nFROM x", {"escape": "`"}, "`"),
    ("#!/bin/x\n# escape=`\n# syntax=s\nFROM x", {"syntax": "s"}, "\\"),
    ("// check=skip=all\n// syntax=s\nFROM x", {"syntax": "s"}, "\\"),
    ("# 1a=b\n# escape=`\nFROM x", {}, "\\"),
]


@pytest.mark.parametrize(("text", "values", "escape"), DIRECTIVES)
def test_directives(text: str, values: dict[str, str], escape: str) -> None:
    found = parse(text.encode())
    assert (found.directives, found.escape) == (values, escape)


DETECTED = [
    ('{"syntax": "a"}', "a"),
    ('\n {"check": 1, "syntax": "a"}\n', "a"),
    ('{"syntax": 1}', ""),
    ('["syntax"]', ""),
    ('{"syntax": "a"', ""),
    ("{" * 100_000, ""),
    ("# syntax=a\n// syntax=b", "a"),
    ("# check=x\n# check=y\n# syntax=b", ""),
    ("// nothing\n// syntax=b", ""),
    ("#!x", ""),
]


@pytest.mark.parametrize(("text", "value"), DETECTED, ids=range(len(DETECTED)))
def test_syntax_is_found_in_other_kinds_of_files(text: str, value: str) -> None:
    assert directives.detect(text, "syntax") == value


def test_comments_describe_what_is_below_them() -> None:
    text = "# old\n#\n# foo is\n\n# and\nARG foo\nARG bar\n# last\nFROM a\nRUN x \\\n# inside\n y\nRUN z"
    assert [node.comments for node in parse(text).instructions] == [
        ("foo is", "and"),
        (),
        ("last",),
        (),
        (),
    ]


def test_blank_lines_inside_continuations_are_reported() -> None:
    text = "FROM a\nRUN x \\\n\n  y \\\n# comment\n \t\n  z\n\nRUN b \\\n"
    found = parse(text)
    assert found.blank_continuations == (3, 6)
    assert [node.original for node in found.instructions] == ["FROM a", "RUN x   y   z", "RUN b "]


def test_bytes_that_are_not_utf8_are_kept() -> None:
    node = parse(b"FROM a\nCOPY caf\xe9 /x\n").instructions[1]
    assert node.args[0].encode("utf-8", "surrogateescape") == b"caf\xe9"
    # JSON has no such strings; Go puts U+FFFD there
    assert parse(b'FROM a\nCMD ["\xe9", "\\ud800"]\n').instructions[1].args == ("\ufffd", "\ufffd")


JSON_FORMS = [
    ("[]", ()),
    ("[ ]", ()),
    ('["a"]', ("a",)),
    ('[ "a" ,\t"b" ]  ', ("a", "b")),
    ('["a","b\\tc"]', ("a", "b\tc")),
    ('["\\ud83d\\ude00"]', ("😀",)),
    ('["\\/"]', ("/",)),
    ('["a",]', None),
    ('["a" "b"]', None),
    ('["a"] x', None),
    ("['a']", None),
    ('["a\tb"]', None),
    ('["\\x"]', None),
    ("[", None),
    ('["a', None),
    ("[" * 100_000, None),
    ("[NaN]", None),
]


@pytest.mark.parametrize(("text", "args"), JSON_FORMS, ids=range(len(JSON_FORMS)))
def test_json_form_or_the_shell(text: str, args: tuple[str, ...] | None) -> None:
    node = parse(f"FROM a\nCMD {text}\n").instructions[1]
    assert (node.form, node.args) == (("shell", (text.strip(),)) if args is None else ("exec", args))


def slow_split(text: str, escape: str) -> tuple[str, ...]:
    """The frontend's words, one character after the other."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        char = text[position]
        if char == escape and quote != "'":
            if position + 1 < len(text):
                word += text[position : position + 2]
            position += 2
            continue
        if not quote and char in SPACE:
            words += [word] if word else []
            word = ""
        else:
            word += char
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
        position += 1
    return (*words, word) if word else tuple(words)


@given(st.text("ab= '\"\\`\t\u3000", max_size=20), st.sampled_from("\\`"))
def test_words_keep_quotes_and_escapes(text: str, escape: str) -> None:
    assert split_words(text, escape) == slow_split(text, escape)


LINE = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "FROM a",
            "FROM a AS b",
            "RUN <<EOF",
            "EOF",
            "COPY <<-'E F' <<X /x",
            "\tE F",
            "X",
            "RUN --mount=type=cache,target=$x echo \\",
            "# comment",
            "  # escape=`",
            "# escape=`",
            'CMD ["a", "b"]',
            "CMD [",
            "ENV a=b c='d",
            "ENV a b",
            "LABEL a",
            "ONBUILD ONBUILD RUN x",
            "ONBUILD COPY <<EOF /x",
            "HEALTHCHECK --interval=1s CMD x",
            "EXPOSE 80-90/tcp",
            "ARG x=${y:-z}",
            "",
            "\\",
            "`",
            "\ufeff",
            "RUN --x='a b",
            "ADD --checksum a b",
            "\r",
            "SHELL []",
        ]
    ),
)


@given(st.lists(LINE, max_size=12).map("\n".join))
@example("\\\n")
@example("\\")
@example("RUN \\\n#")
@example("FROM a\n\\\n\\\n\n")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
        assert document(found)["instructions"]
        for node in found.instructions:
            assert 1 <= node.start_line <= node.end_line <= text.count("\n") + 1
        typed(found)
    except DockerfileError as error:
        assert error.message
        assert error.where is not None
        assert error.where.line >= 1


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        typed(parse(data))
    except DockerfileError as error:
        assert str(error)


LARGE = {
    "one long line": lambda n: "FROM a\nRUN " + "x" * n,
    "a long line of words": lambda n: "FROM a\nENV " + "a=b " * n,
    "a long line of quotes": lambda n: "FROM a\nENV a=" + "\"a'" * n,
    "a long line of escapes": lambda n: "FROM a\nENV a=" + "\\\\" * n + " b=" + "\\" * n,
    "a long line of blanks": lambda n: "FROM a\nCOPY a" + " " * n + "b",
    "a long directive": lambda n: "# syntax=a" + " " * n + "b" + " " * n + "\nFROM a",
    "a long word": lambda n: "x" * n + "\nFROM a",
    "many instructions": lambda n: "FROM a\n" + "RUN x\n" * (n // 10),
    "many continuations": lambda n: "FROM a\nRUN " + "x \\\n" * (n // 4),
    "blank continuations": lambda n: "FROM a\nRUN \\\n" + "\n" * n + "x",
    "comments inside": lambda n: "FROM a\nRUN \\\n" + "#\n" * (n // 2) + "x",
    "comments before": lambda n: "# x\n" * (n // 4) + "FROM a",
    "one long heredoc": lambda n: "FROM a\nRUN <<EOF\n" + "x\n" * (n // 2) + "EOF\n",
    "an unterminated heredoc": lambda n: "FROM a\nRUN <<EOF\n" + "x\n" * (n // 2),
    "many heredocs": lambda n: "FROM a\nCOPY " + "<<E " * (n // 20) + "/x\n" + "E\n" * (n // 20),
    "a long name of a heredoc": lambda n: "FROM a\nRUN <<" + "E" * n + "\n" + "E" * n + "\n",
    "many flags": lambda n: "FROM a\nRUN " + "--mount=type=cache,target=/x " * (n // 30) + "x",
    "a long flag": lambda n: "FROM a\nRUN --mount=" + "type=cache," * (n // 10) + "target=/x x",
    "long JSON": lambda n: "FROM a\nCMD [" + '"a", ' * (n // 5) + '"b"]',
    "escaped JSON": lambda n: "FROM a\nCMD [" + '"\\n", ' * (n // 5) + '"b"]',
    "deep JSON": lambda n: "FROM a\nCMD " + "[" * n,
    "unfinished JSON": lambda n: "FROM a\nCMD [" + '"a", ' * (n // 5),
    "variables and a heredoc": lambda n: "FROM a\nRUN <<E " + "${a:-$b} " * (n // 8) + "\nE\n",
    "deep variables and a heredoc": lambda n: "FROM a\nRUN <<E " + "${a:-" * n + "\nE\n",
    "nested ONBUILD": lambda n: "FROM a\n" + "ONBUILD " * (n // 8),
    "binary noise": lambda n: "FROM a\n" + "".join(map(chr, range(256))) * (n // 256),
}


@pytest.mark.parametrize("kind", LARGE)
def test_time_is_linear(kind: str) -> None:
    def run(size: int) -> None:
        try:
            typed(parse(LARGE[kind](size)))
        except DockerfileError:
            pass

    assert_linear(run, 16_000)


@pytest.mark.parametrize("text", ["x" * 10**6, "ENV a=b " + "c" * 10**6, "RUN --" + "x" * 10**6 + " y"])
def test_messages_do_not_quote_a_whole_megabyte(text: str) -> None:
    with pytest.raises(DockerfileError) as error:
        typed(parse(f"FROM a\n{text}\n"))
    assert len(str(error.value)) < 1000
    assert len(error.value.excerpt) < 5000
    assert len(error.value.hint) < 1000
