"""What `wherry --help` prints, and what an unknown command is answered; made from the table alone."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.cli.commands import COMMANDS, FAMILIES, GROUPS, Command
from wherry.cli.misuse import Misuse

_ABSENT = {
    "update": "what a container is granted is settled when it is made",
    "checkpoint": "processes cannot be kept on disk; `wherry pause` keeps them in memory",
}
"""docker's commands for containers that are not there, and why not."""


def overview() -> str:
    parts = ["Usage:  wherry [OPTIONS] COMMAND", "", "Container images from Dockerfiles, with no daemon"]
    for title, group in GROUPS.items():
        parts += ["", f"{title}:", *_listed(group)]
    families = {name: Command("", title) for name, (title, _) in FAMILIES.items()}
    parts += ["", "Two-word forms:", *_listed(families)]
    parts += ["", "Options:", "  -D, --debug     Show where in wherry an error comes from"]
    parts += ["  -v, --version   Show the version and exit"]
    parts += ["", "Run 'wherry COMMAND --help' for more information on a command.", ""]
    return "\n".join(parts)


def family(name: str) -> str:
    title, members = FAMILIES[name]
    parts = [f"Usage:  wherry {name} COMMAND", "", title, "", "Commands:", *_listed(members)]
    return "\n".join(
        [*parts, "", f"Run 'wherry {name} COMMAND --help' for more information on a command.", ""]
    )


def unknown(words: list[str]) -> Misuse:
    """The error for words that name no command, with the names that look like them."""
    from difflib import get_close_matches

    parent = words[0] if words[0] in FAMILIES else ""
    members = FAMILIES[parent][1] if parent else [*COMMANDS, *FAMILIES]
    program = f"wherry {parent}" if parent else "wherry"
    wrong = words[1] if parent else words[0]
    near = () if words[0] in _ABSENT else get_close_matches(wrong, members)
    lines = [f"wherry: '{f'{parent} {wrong}'.strip()}' is not a wherry command"]
    if near:
        lines += ["", "Did you mean:", *(f"  {program} {name}" for name in near)]
    if words[0] in _ABSENT:
        lines += ["", f"docker has it, and wherry has not: {_ABSENT[words[0]]}"]
    return Misuse("\n".join([*lines, "", f"Run '{program} --help' for the list of commands"]), 1)


def unknown_flag(flag: str) -> Misuse:
    return Misuse(
        f"unknown flag: {flag}\n\nUsage:  wherry [OPTIONS] COMMAND [ARG...]\n\n"
        "Run 'wherry --help' for more information",
        125,
    )


def _listed(members: Mapping[str, Command]) -> list[str]:
    return [f"  {name:<12}  {command.help}" for name, command in members.items()]
