"""Command lines as docker reads them, on top of argparse.

docker's flags differ from argparse's in ways that people rely on: flags and arguments mix (`rmi app -f`),
a flag's value may begin with a dash, `--rm=false` is understood, and mistakes are told in other words
and end with other exit codes. `Parser` brings a command line into the one form that argparse reads as
docker means it: every flag as `--name=value`, then the arguments.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from wherry.base.errors import Unsupported
from wherry.cli.misuse import Misuse

_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def boolean(text: str) -> bool:
    """Go's `strconv.ParseBool`, as a type for flags with `nargs="?", const=True`: `-H`, `--human=false`."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def add_tls_verify(parser: argparse.ArgumentParser) -> None:
    """`--tls-verify`, as podman, buildah and skopeo call it, for a command that speaks to registries.

    What was said goes to `registry.config.load`.
    """
    parser.add_argument(
        "--tls-verify",
        nargs="?",
        const=True,
        type=boolean,
        help="insist on TLS and a certificate that is trusted; =false: do without",
    )


def add_tags(parser: argparse.ArgumentParser) -> None:
    """`-t`, the names that a new image gets, for a command that makes one."""
    parser.add_argument(
        "-t",
        "--tag",
        action="append",
        default=[],
        metavar="NAME[:TAG]",
        help="name the image; may be repeated",
    )


class Parser(argparse.ArgumentParser):
    """The parser of one command. `interspersed` is set to False by commands whose arguments are a command
    line themselves (`run`): there, flags end at the first argument. `behind` is set to a name by commands
    that take a command line behind `--` (`debug`): it gets those words, and they are no arguments.
    `refused` are docker's flags that the command has not, each with the reason."""

    interspersed = True
    behind = ""
    refused: Mapping[str, str] = {}

    def __init__(self, words: Sequence[str], description: str) -> None:
        super().__init__(
            prog=" ".join(["wherry", *words]),
            description=description,
            add_help=False,
            allow_abbrev=False,
            # A width given spares argparse the import of shutil.
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80),
        )
        self.set_defaults(words=tuple(words))
        self.add_argument("--help", action="help", help=argparse.SUPPRESS)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The namespace for `argv`, or Misuse."""
        flags, arguments, behind = self._split(argv)
        if self.behind:
            self.set_defaults(**{self.behind: behind})
        else:
            arguments += behind
        if "--help" in flags:
            self.print_help()
            self.exit()
        self._check_count(len(arguments))
        # Behind `--` argparse takes everything for an argument; older versions would hand the `--` itself
        # to an argument of nargs=REMAINDER, so it is left out where it is not needed.
        ambiguous = any(item.startswith("-") for item in arguments) or any(
            a.nargs == "?" for a in self._flags()
        )
        return self.parse_args([*flags, *(["--"] if ambiguous and arguments else []), *arguments])

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings and arg_strings == ["--"]:
            return self._get_value(action, "--")  # argparse would take a flag's value `--` away
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        raise self.misuse(_in_dockers_words(message), 125)

    def _refusal(self, name: str) -> Unsupported:
        error = Unsupported(f"{name} is not supported: {self.refused[name]}")
        error.exit_code = 125
        return error

    def misuse(self, message: str, exit_code: int) -> Misuse:
        return Misuse(
            f"{message}\n\nUsage:  {self.usage_line()}\n\nRun '{self.prog} --help' for more information",
            exit_code,
        )

    def usage_line(self) -> str:
        """`wherry images [OPTIONS] [REPOSITORY[:TAG]]`."""
        if self.usage:
            return self.usage
        options = ["[OPTIONS]"] if len(list(self._flags())) > 1 else []
        return " ".join([self.prog, *options, *(_argument_usage(action) for action in self._arguments())])

    def format_usage(self) -> str:
        return f"Usage:  {self.usage_line()}\n"

    def format_help(self) -> str:
        rows = [_flag_help(action) for action in self._flags() if action.help != argparse.SUPPRESS]
        parts = [self.format_usage(), self.description or ""]
        parts += ["", "Options:", *_columns(rows)] if rows else []
        parts += ["", self.epilog] if self.epilog else []
        return "\n".join(parts) + "\n"

    def _flags(self) -> Iterator[argparse.Action]:
        return (action for action in self._actions if action.option_strings)

    def _arguments(self) -> Iterator[argparse.Action]:
        return (action for action in self._actions if not action.option_strings)

    def _split(self, argv: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Flags, each in one piece, arguments, and what is behind `--`, by the rules of Go's pflag."""
        known = {name: action for action in self._flags() for name in action.option_strings}
        flags: list[str] = []
        arguments: list[str] = []
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if word == "--":
                return flags, arguments, rest
            if not word.startswith("-") or word == "-":
                arguments.append(word)
                if not self.interspersed:
                    return flags, arguments + rest, []
            elif word.startswith("--"):
                self._long(word, rest, known, flags)
            else:
                self._short(word, rest, known, flags)
        return flags, arguments, []

    def _long(self, word: str, rest: list[str], known: dict[str, argparse.Action], flags: list[str]) -> None:
        name, given, value = word.partition("=")
        action = known.get(name)
        if action is None and name in self.refused:
            raise self._refusal(name)
        if action is None:
            self.error(f"unknown flag: {name}")
        if given:
            self._add(action, name, value, flags)
        elif action.nargs in (0, "?"):
            flags.append(name)
        elif rest:
            flags.append(f"{name}={rest.pop(0)}")
        else:
            self.error(f"flag needs an argument: {name}")

    def _short(self, word: str, rest: list[str], known: dict[str, argparse.Action], flags: list[str]) -> None:
        """`-a`, `-aq`, `-fvalue`, `-f=value`, `-f value`, `-it=false`."""
        letters = word[1:]
        while letters:
            name, letters = f"-{letters[0]}", letters[1:]
            action = known.get(name)
            if action is None and word == "-h":
                flags.append("--help")
                return
            if action is None and name in self.refused:
                raise self._refusal(name)
            if action is None:
                self.error(f"unknown shorthand flag: {name[1]!r} in {word}")
            if letters.startswith("="):
                self._add(action, name, letters[1:], flags)
                return
            if action.nargs in (0, "?"):
                flags.append(name)
            elif letters or rest:
                flags.append(f"{name}={letters or rest.pop(0)}")
                return
            else:
                self.error(f"flag needs an argument: {name[1]!r} in {word}")

    def _add(self, action: argparse.Action, name: str, value: str, flags: list[str]) -> None:
        """A flag with a value behind `=`. A switch takes true and false, and the last one wins."""
        if action.nargs != 0:
            flags.append(f"{name}={value}")
        elif value in _TRUE:
            flags.append(name)
        elif value in _FALSE:
            flags[:] = [item for item in flags if item not in action.option_strings]
        else:
            names = ", ".join(action.option_strings)
            self.error(f'invalid argument "{value}" for "{names}" flag: it is neither true nor false')

    def _check_count(self, count: int) -> None:
        least, most = 0, 0
        for action in self._arguments():
            least += (
                1 if action.nargs in (None, "+") else action.nargs if isinstance(action.nargs, int) else 0
            )
            most += (
                1 if action.nargs in (None, "?") else action.nargs if isinstance(action.nargs, int) else 10**9
            )
        if least <= count <= most:
            return
        if most == 0:
            wanted = "accepts no arguments"
        else:
            number = least if count < least else most
            bound = "" if least == most else "at least " if count < least else "at most "
            wanted = f"requires {bound}{number} argument{'' if number == 1 else 's'}"
        raise self.misuse(f"wherry: '{self.prog}' {wanted}", 1)


def _in_dockers_words(message: str) -> str:
    """argparse's complaint about a flag's value, as docker words it."""
    import re

    pattern = r"argument (\S+): invalid (int value|choice): '(.*?)'(?: \(choose from (.*)\))?"
    match = re.fullmatch(pattern, message, re.DOTALL)
    if not match:
        return message
    flag, kind, value, choices = match.groups()
    reason = "not a whole number" if kind == "int value" else "it is one of " + choices.replace("'", "")
    return f'invalid argument "{value}" for "{", ".join(flag.split("/"))}" flag: {reason}'


def _argument_usage(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    forms = {
        "?": f"[{name}]",
        "*": f"[{name}...]",
        "+": f"{name} [{name}...]",
        argparse.REMAINDER: f"[{name}...]",
    }
    return forms.get(str(action.nargs), name)


def _flag_help(action: argparse.Action) -> tuple[str, str]:
    names = ", ".join(sorted(action.option_strings, key=len))
    indent = "" if any(len(name) == 2 for name in action.option_strings) else "    "
    kind = "" if action.nargs in (0, "?") else " " + str(action.metavar or action.dest).lower()
    text = (action.help or "") % {"default": action.default}
    return f"{indent}{names}{kind}", text[:1].upper() + text[1:]


def _columns(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    import shutil
    import textwrap

    indent = max(len(left) for left, _ in rows) + 5
    width = max(shutil.get_terminal_size().columns - indent, 24)
    for left, right in rows:
        first, *more = textwrap.wrap(right, width) or [""]
        yield f"  {left:<{indent - 2}}{first}"
        for line in more:
            yield " " * indent + line
