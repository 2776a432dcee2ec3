"""The user's pages: their links lead somewhere, and the commands and flags in them exist."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from wherry.cli.commands import find
from wherry.cli.parser import Parser

ROOT = Path(__file__).parent.parent
PAGES = sorted({ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/README.md")})

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_SEPARATORS = {"|", "||", "&&", ";", "(", ")", ">", "<", "&"}
_NO_COMMAND = {"help", "-v", "--version", "-h", "--help"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_links_lead_to_something(page: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if heading:
            assert heading in _anchors(target), f"{link}: there is no such heading"


@pages
def test_commands_and_flags_exist(page: Path) -> None:
    for words in _invocations(page):
        _check(words)


@pytest.mark.parametrize("words", [["biuld", "."], ["build", "--frob", "."], ["run", "--rm", "-Z", "image"]])
def test_what_does_not_exist_is_found(words: list[str]) -> None:
    with pytest.raises(AssertionError):
        _check(words)


@pytest.mark.parametrize("name", ["run", "create"])
def test_every_option_of_a_container_is_in_its_table(name: str) -> None:
    page = (ROOT / "docs" / "containers.md").read_text()
    section = re.split("^## ", page.partition("## Options of run and create")[2], flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    there = {word for row in rows for word in re.findall(r"(?<![\w-])--?[\w-]+", row.split(" | ")[0])}
    parser = Parser([name], "")
    import_module(f"wherry.cli.{name}").register(parser)
    has = [set(action.option_strings) for action in parser._actions if action.help != argparse.SUPPRESS]
    missing = [names for names in has if names and not names & there]
    assert missing == []
    assert {flag for flag in parser.refused if flag not in there} == set()
    assert {flag for flag in there if flag.startswith("--") and not _is_known(flag, parser, has)} == set()


def _is_known(flag: str, parser: Parser, has: list[set[str]]) -> bool:
    return flag in parser.refused or any(flag in names for names in has) or flag in ("--detach", *_OF_RUN)


_OF_RUN = ("--attach", "--detach-keys", "--sig-proxy", "--wait", "--wait-timeout")


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _invocations(page: Path) -> Iterator[list[str]]:
    """The words behind each `wherry` in the page's console blocks."""
    for kind, text in _FENCED.findall(page.read_text()):
        if kind != "console":
            continue
        for line in re.findall(r"^\$ (.*(?:(?<=\\)\n.*)*)", text, re.MULTILINE):
            yield from _wherry_in(line.replace("\\\n", " "))


def _wherry_in(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    command: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _SEPARATORS:
            command.append(word)
            continue
        if "wherry" in command:
            yield command[command.index("wherry") + 1 :]
        command = []


def _check(words: list[str]) -> None:
    while words and words[0] in ("-D", "--debug"):
        words = words[1:]
    if not words or words[0] in _NO_COMMAND:
        return
    found = find(words)
    assert found is not None, f"wherry {' '.join(words)}: there is no such command"
    command, count = found
    parser = Parser(words[:count], command.help)
    import_module(f"wherry.cli.{command.module}").register(parser)
    flags = _flags(words[count:], parser)
    known = {name for action in parser._actions for name in action.option_strings} | set(parser.refused)
    for flag in flags:
        assert flag in known, f"wherry {' '.join(words)}: there is no {flag}"


def _flags(words: list[str], parser: Parser) -> Iterator[str]:
    """The flags among the words, those of a command that is to be run left out."""
    takes_value = {name: _takes_value(action) for action in parser._actions for name in action.option_strings}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return
        if not word.startswith("-") or word == "-":
            if not parser.interspersed:
                return
            continue
        names = [word.partition("=")[0]] if word.startswith("--") else [f"-{letter}" for letter in word[1:]]
        for name in names:
            yield name
            if takes_value.get(name):
                if name == names[-1] and "=" not in word:
                    del rest[:1]
                break


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs not in (0, "?")
