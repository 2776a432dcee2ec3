"""What a shell script calls: its simple commands, as far as they can be told without running it.

A sketch of the POSIX grammar that is right for the scripts of Dockerfiles and takes linear time for any
text: quotes, escapes, comments, operators, redirections, `NAME=value` in front. What is inside `$(...)` and
backquotes counts as commands of its own.
"""

from __future__ import annotations

import re

from wherry.base.tuples import NamedTuple
from wherry.dockerfile.heredocs import opener
from wherry.dockerfile.instructions import Run


class Command(NamedTuple):
    """`words` begin with the program. `before` is the operator in front: "" for the first, `|`, `&&`, ...

    `variables` are what stands before the program: `("DEBIAN_FRONTEND=noninteractive",)`.
    """

    words: tuple[str, ...]
    before: str = ""
    variables: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """Without its folder."""
        return self.words[0].rpartition("/")[2] if self.words else ""

    def flags(self) -> tuple[str, ...]:
        return tuple(word for word in self.words[1:] if word.startswith("-"))

    def arguments(self) -> tuple[str, ...]:
        return tuple(word for word in self.words[1:] if not word.startswith("-"))


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\\\r?\n)
    |(?P<comment>(?<![^\s;&|()`])\#[^\n]*)
    |(?P<redirection>(?:[0-9]+(?=[<>]))?(?:&>>?|<<<|<<-?|>>|>&|<&|>\||<>|[<>])[ \t]*[^\s;&|()`]*)
    |(?P<operator>&&|\|\||\|&|;;|\$\(|[;&|()`\n])
    |(?P<word>(?:'[^']*+'?|"(?:\\.|[^"\\])*+"?|\\.|\$(?!\()|[^\s;&|()`'"\\$<>])++)
    |(?P<rest>.)""",
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(r"""'([^']*)'?|"((?:\\.|[^"\\])*)"?|\\(.)|([^'"\\]+)""", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_KEYWORDS = frozenset(
    (
        *("if", "then", "elif", "else", "do", "while", "until", "!", "{", "}"),
        *("time", "exec", "command", "nohup", "env"),
    )
)
_SHELLS = frozenset(("sh", "bash", "ash", "dash", "zsh", "ksh"))


def commands(script: str) -> tuple[Command, ...]:
    found: list[Command] = []
    words: list[str] = []
    before = ""
    for token in _TOKEN.finditer(script):
        if token.lastgroup == "word":
            words.append(_plain(token[0]))
        elif token.lastgroup == "operator":
            if words:
                found.append(_command(words, before))
            words, before = [], token[0]
    if words:
        found.append(_command(words, before))
    return tuple(found)


def _plain(word: str) -> str:
    """Without quotes and escapes; variables stay as they are written."""
    if not any(char in word for char in "'\"\\"):
        return word
    return "".join("".join(filter(None, part)) for part in _PART.findall(word))


def _command(words: list[str], before: str) -> Command:
    start = 0
    variables: list[str] = []
    while start < len(words) and (words[start] in _KEYWORDS or _ASSIGNMENT.match(words[start])):
        if words[start] not in _KEYWORDS:
            variables.append(words[start])
        start += 1
    return Command(tuple(words[start:]), before, tuple(variables))


def is_posix(shell: tuple[str, ...] | None) -> bool:
    """Whether SHELL (None: the default) reads scripts as `sh` does."""
    return not shell or shell[0].rpartition("/")[2] in _SHELLS


def script(run: Run) -> str:
    """The text that a RUN has a shell read; "" where it is another interpreter, or none."""
    if not run.shell:
        return _given_to_shell(run.command)
    if not run.heredocs:
        return run.command[0] if run.command else ""
    if len(run.heredocs) > 1 or opener(run.command[0]) is None:
        return run.command[0]  # the heredocs are what its commands read
    text = run.heredocs[0].text()
    first = text.partition("\n")[0]
    is_shell = not first.startswith("#!") or any(first.endswith(name) for name in _SHELLS)
    return text if is_shell else ""


def _given_to_shell(words: tuple[str, ...]) -> str:
    if len(words) >= 3 and words[0].rpartition("/")[2] in _SHELLS and words[1].endswith("c"):
        return words[2]
    return ""


def of_run(run: Run, shell: tuple[str, ...] | None) -> tuple[Command, ...]:
    """The commands of a RUN: those of its script, or the one of its exec form."""
    if run.shell and not is_posix(shell):
        return ()
    if not run.shell and not _given_to_shell(run.command):
        return (Command(run.command),) if run.command else ()
    return commands(script(run))
