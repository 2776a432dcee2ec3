"""What a README shows, done: the commands of its `console` blocks in one shell, and what each one prints."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What is another in each run. An ID stays an ID, and a time a time.
_VARYING = [
    (re.compile(r"\b[0-9a-f]{64}\b"), "<64 digits>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<12 digits>"),
    (re.compile(r"\b(About an?|Less than a|\d+) (second|minute|hour)s?\b"), "<time>"),
    (re.compile(r"[ \t]+"), " "),
]


class Shown(NamedTuple):
    """A command, and the lines below it."""

    command: str
    printed: list[str]


def shown(readme: Path) -> list[Shown]:
    """All commands of a README, in their order."""
    found: list[Shown] = []
    for block in _BLOCK.findall(readme.read_text()):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Shown(line[2:], []))
            else:
                found[-1].printed.append(line)
    return found


def follow(
    readme: Path,
    environment: Mapping[str, str],
    replaced: Mapping[str, str],
    prefix: Sequence[str] = (),
    timeout: float = 300,
) -> None:
    """Do what `readme` shows, in its folder. AssertionError where a command fails or prints something else;
    warnings, which tell what a machine lacks, are left out.

    `replaced`: what stands for what in commands and in what they print, such as ports that are free here.
    `prefix`: words before the shell (see ordinary.py). `timeout` in seconds, for all of it.
    """
    wanted = shown(readme)
    mark = "-- end of a command"
    lines = ["exec 2>&1", f"cd {shlex.quote(str(readme.parent))}"]
    for item in wanted:
        lines += [_replace(item.command, replaced), f'printf "\\n{mark} $?\\n"']
    done = subprocess.run(
        [*prefix, "bash", "-c", "\n".join(lines)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout,
    )
    parts = re.split(rf"^{mark} (\d+)$\n", done.stdout, flags=re.MULTILINE)
    for item, printed, code in zip(wanted, parts[0::2], parts[1::2], strict=False):
        assert code == "0", f"$ {item.command}\n{printed}(exit code {code})"
        expected = [_replace(line, replaced) for line in item.printed]
        assert _plain(printed.split("\n")) == _plain(expected), f"$ {item.command}\n{printed}"
    assert len(parts) == 2 * len(wanted) + 1, done.stdout


def _replace(text: str, replaced: Mapping[str, str]) -> str:
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


def _plain(lines: list[str]) -> list[str]:
    """The lines that say something, without what is another in each run."""
    for pattern, word in _VARYING:
        lines = [pattern.sub(word, line).strip() for line in lines]
    return [line for line in lines if line and not line.startswith("warning: ")]
