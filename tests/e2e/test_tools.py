"""`wherry parse`, `ignore-check` and `expand`: what other programs rely on."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.cli import Wherry

Context = Callable[[Mapping[str, str | bytes]], Path]
GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "dockerfile").glob("*.Dockerfile"))

FILE = """\
# Syntax=docker/dockerfile:1
# ESCAPE=\\
# check=skip=all

FROM --platform=linux/amd64 debian  AS base
ENV A b  "c" $D
ENV X=1 Y="two  words" \\
    Z=$X
LABEL "a b"='c'
RUN --mount=type=cache,target=/x --odd apt-get update && \\
    # not part of it
    apt-get install -y git
CMD ["a", "b c"]
ENTRYPOINT ['not', 'JSON']
HEALTHCHECK --interval=5s CMD curl -f "http://x"  || exit 1
HEALTHCHECK CMD ["curl", "x"]
HEALTHCHECK NONE
ONBUILD COPY --from=base "a b" /c
COPY ["a b", "/c"]
ADD "a b" $c
EXPOSE 80  443/tcp
VOLUME /a /b
FROB --x y z
RUN <<-'EOF' cat
\tone $A
\tEOF
"""

# keyword, flags, args, form, first line, last line
INSTRUCTIONS: list[tuple[str, list[str], list[object], str, int, int]] = [
    ("FROM", ["--platform=linux/amd64"], ["debian", "AS", "base"], "shell", 5, 5),
    ("ENV", [], [["A", 'b  "c" $D']], "shell", 6, 6),
    ("ENV", [], [["X", "1"], ["Y", '"two  words"'], ["Z", "$X"]], "shell", 7, 8),
    ("LABEL", [], [['"a b"', "'c'"]], "shell", 9, 9),
    (
        "RUN",
        ["--mount=type=cache,target=/x", "--odd"],
        ["apt-get update &&     apt-get install -y git"],
        "shell",
        10,
        12,
    ),
    ("CMD", [], ["a", "b c"], "exec", 13, 13),
    ("ENTRYPOINT", [], ["['not', 'JSON']"], "shell", 14, 14),
    ("HEALTHCHECK", ["--interval=5s"], ["CMD", 'curl -f "http://x"  || exit 1'], "shell", 15, 15),
    ("HEALTHCHECK", [], ["CMD", "curl", "x"], "exec", 16, 16),
    ("HEALTHCHECK", [], ["NONE"], "shell", 17, 17),
    (
        "ONBUILD",
        [],
        [
            {
                "keyword": "COPY",
                "flags": ["--from=base"],
                "args": ['"a', 'b"', "/c"],
                "form": "shell",
                "heredocs": [],
                "start_line": 18,
                "end_line": 18,
                "original": 'COPY --from=base "a b" /c',
            }
        ],
        "shell",
        18,
        18,
    ),
    ("COPY", [], ["a b", "/c"], "exec", 19, 19),
    ("ADD", [], ['"a', 'b"', "$c"], "shell", 20, 20),
    ("EXPOSE", [], ["80", "443/tcp"], "shell", 21, 21),
    ("VOLUME", [], ["/a", "/b"], "shell", 22, 22),
    ("FROB", ["--x"], [], "shell", 23, 23),
    ("RUN", [], ["<<-'EOF' cat"], "shell", 24, 26),
]


@pytest.mark.parametrize("flags", [[], ["--format", "json"], ["--format=json"]])
def test_parse_prints_the_syntax(wherry: Wherry, context: Context, flags: list[str]) -> None:
    found = json.loads(wherry.ok("parse", context({"Dockerfile": FILE}) / "Dockerfile", *flags))
    assert list(found) == ["directives", "escape", "instructions"]
    assert found["directives"] == {"syntax": "docker/dockerfile:1", "escape": "\\", "check": "skip=all"}
    assert found["escape"] == "\\"
    names = ("keyword", "flags", "args", "form", "start_line", "end_line")
    assert [tuple(item[name] for name in names) for item in found["instructions"]] == INSTRUCTIONS
    last = found["instructions"][-1]
    assert last["heredocs"] == [{"name": "EOF", "content": "\tone $A\n", "expand": False, "chomp": True}]
    assert last["original"] == "RUN <<-'EOF' cat"


def test_parse_prints_the_golden_files(wherry: Wherry) -> None:
    file = next(file for file in GOLDEN if file.stem == "heredocs")
    assert wherry.ok("parse", file) == file.with_suffix(".json").read_text()


def test_parse_reads_standard_input(wherry: Wherry) -> None:
    found = json.loads(wherry.ok("parse", "-", stdin=b"\xef\xbb\xbfRUN caf\xe9 \xc3\xa9\r\n"))
    assert found["instructions"][0]["args"] == ["caf\ufffd é"]
    assert wherry("parse", "-", stdin="").err.startswith("-:1: file with no instructions\n")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "FROM a\n\nENV A=1 \\\n  B\n",
            3,
            "Syntax error - can't find = in 'B'. Must be of the form: name=value",
        ),
        ("FROM a\nRUN <<EOF\nx\n", 2, "unterminated heredoc"),
        ("FROM a\nCMD ['x']\nCMD [\"x\", 1]\n", 3, "arrays must be comprised of strings only"),
        ("# syntax=a\n# escape=x\nFROM a\n", 2, "invalid escape token 'x' does not match ` or \\"),
        ("# nothing\n", 1, "file with no instructions"),
    ],
)
def test_parse_names_the_place_of_an_error(
    wherry: Wherry, context: Context, text: str, line: int, message: str
) -> None:
    folder = context({"app/Dockerfile": text})
    result = wherry("parse", "app/Dockerfile", cwd=folder)
    assert (result.code, result.out) == (1, "")
    first, *rest = result.err.splitlines()
    assert first.startswith(f"app/Dockerfile:{line}: ")
    assert first.endswith(message)
    assert any(line_.startswith(f"{line:4} | >>> ") for line_ in rest)


def test_an_error_has_no_control_characters(wherry: Wherry) -> None:
    result = wherry("parse", "-", stdin="ENV a=b \x1b[2Jc\x07\n")
    assert result.code == 1
    assert not {"\x1b", "\x07"} & set(result.err)


@pytest.mark.parametrize(
    ("patterns", "paths", "kept"),
    [
        ("*\n!src\n# no\nsrc/*.pyc\n", "a src src/a.py src/a.pyc src/x/a.pyc", "src src/a.py src/x/a.pyc"),
        ("**/.git\n", "z/.git .git/config b a b", "b a b"),
        ("/a/\n", "./a /a a/ a/b ./b/ //c", "./b/ //c"),
        ("", "a b", "a b"),
        ("a", "a", ""),
        ("x\n", "--help -x x", "--help -x"),
        ("x\n", "", ""),
    ],
)
def test_ignore_check_prints_what_is_kept(
    wherry: Wherry, context: Context, patterns: str, paths: str, kept: str
) -> None:
    file = context({"ignore": patterns}) / "ignore"
    out = wherry.ok("ignore-check", "--ignore-file", file, "--", *paths.split())
    assert out.splitlines() == kept.split()


def test_ignore_check_takes_any_path(wherry: Wherry) -> None:
    # Bytes that are not UTF-8 come out as they went in.
    path = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert wherry.ok("ignore-check", "--ignore-file=-", "--", path, stdin="x\n") == "caf\ufffd\n"
    assert wherry.ok("ignore-check", "--ignore-file=-", "--", path, stdin=b"caf\xe9\n") == ""


@pytest.mark.parametrize(
    ("patterns", "line"), [("a\n\n[b\n", 3), ("!\n", 1), ("# [\na\\\n", 2), ("[b-a]", 1)]
)
def test_ignore_check_refuses_a_malformed_pattern(
    wherry: Wherry, context: Context, patterns: str, line: int
) -> None:
    folder = context({".dockerignore": patterns})
    result = wherry("ignore-check", "--ignore-file", ".dockerignore", "--", "a", cwd=folder)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f".dockerignore:{line}: ")


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["--", "plain"], "plain\n"),
        (["--", ""], "\n"),
        (["--env", "a=b=c d", "--", "$a"], "b=c d\n"),
        (["--env", "a=1", "--env", "a=2", "--env=b=", "--", "${a}${b:-x}${b-y}"], "2x\n"),
        (["--env", "a=b  c", "--", "'$a' \"$a\"  \\$a"], "$a b  c  $a\n"),
        (["--words", "--env", "a=b  c", "--", "$a \"$a\" d' 'e"], "b\nc\nb  c\nd e\n"),
        (["--words", "--", "  "], ""),
        (["--words", "--", 'a "" b'], "a\nb\n"),
        (["--", "$HOME"], "\n"),
        (["--", "--words"], "--words\n"),
        (["--env", "p=/usr/lib/x.so", "${p##*/}${p%.*}${p/usr/opt}"], "x.so/usr/lib/x/opt/lib/x.so\n"),
    ],
)
def test_expand(wherry: Wherry, words: list[str], printed: str) -> None:
    assert wherry.ok("expand", *words) == printed


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("${x?}", "x: is not allowed to be unset"),
        ("${e:?no value}", "e: no value"),
        ("${x", "syntax error: missing '}'"),
        ("'x", "unexpected end of statement while looking for matching single-quote"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--words"]])
def test_expand_refuses(wherry: Wherry, word: str, message: str, flags: list[str]) -> None:
    result = wherry("expand", "--env", "e=", *flags, "--", word)
    assert (result.code, result.out, result.err) == (1, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("parse", 1, "'wherry parse' requires 1 argument"),
        ("parse --format xml -", 125, "--format"),
        ("parse --frob -", 125, "unknown flag: --frob"),
        ("parse /nowhere", 1, "there is no file '/nowhere'"),
        ("parse /", 1, "cannot read '/': Is a directory"),
        ("ignore-check -- a", 125, "--ignore-file"),
        ("ignore-check --ignore-file /nowhere -- a", 1, "there is no file '/nowhere'"),
        ("expand", 1, "'wherry expand' requires 1 argument"),
        ("expand a b", 1, "'wherry expand' requires 1 argument"),
        ("expand --env a -- b", 125, "--env"),
        ("expand --env =a -- b", 125, "--env"),
    ],
)
def test_misuse(wherry: Wherry, words: str, code: int, message: str) -> None:
    result = wherry(*words.split())
    assert (result.code, result.out) == (code, "")
    assert message in result.err.splitlines()[0]


def test_the_tools_need_no_store(wherry: Wherry) -> None:
    wherry.ok("parse", "-", stdin="FROM a\n")
    wherry.ok("expand", "a")
    wherry.ok("ignore-check", "--ignore-file", "-", "a")
    assert not wherry.root.exists()


def test_the_page_shows_what_is_printed(wherry: Wherry, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "tools.md"
    steps = [
        step
        for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        for step in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]
    assert len(steps) >= 8
    for line, shown in steps:
        program, *words = shlex.split(line)
        if program == "cat":
            (tmp_path / words[0]).write_text(shown)
        else:
            result = wherry(*words, cwd=tmp_path)
            assert result.out + result.err == shown, line
