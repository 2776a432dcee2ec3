"""`wherry`: find the command, read its flags, run it, print its error.

Lean on purpose: a build with nothing to do takes a few tens of milliseconds, so only the module of the
command that was called is imported, and argparse only with it.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from wherry.base.errors import WherryError
from wherry.cli.commands import FAMILIES, Command, find
from wherry.cli.misuse import Misuse

_INTERRUPTED = 130
_BROKEN_PIPE = 141
"""What a shell shows for a program that SIGPIPE ended, as it ends docker."""


def program() -> NoReturn:
    """The command `wherry`: `main`, and then an end at once.

    To take the interpreter apart takes three milliseconds, and gives nothing back that the kernel does not.
    Only where there are other threads it is left to end as it does, since it may have to wait for them.
    """
    _open_closed_streams()
    code = main()
    threading = sys.modules.get("threading")
    if threading is None or threading.active_count() == 1:
        with suppress(OSError):
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            os._exit(code)
    sys.exit(code)


def _open_closed_streams() -> None:
    """A command that was started without one of its three streams has none of its files in their places."""
    for number, mode in enumerate("rww"):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(number, True)
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
            setattr(sys, ("stdin", "stdout", "stderr")[number], stream)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = bool(os.environ.get("WHERRY_DEBUG"))
    while words and words[0] in ("-D", "--debug"):
        words.pop(0)
        debug = True
    _accept_any_text()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as interrupt:
        return _interrupted(getattr(interrupt, "exit_code", _INTERRUPTED))
    except BrokenPipeError:
        _discard_output()
        return _BROKEN_PIPE
    except SystemExit as leave:  # how argparse ends after --help
        return leave.code if isinstance(leave.code, int) else 0
    except Exception as error:
        return _report(error, debug)


def _dispatch(words: list[str]) -> int:
    if words and words[0] == "help":
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help"):
        return _print_help("")
    if words[0] in ("-v", "--version"):
        from wherry import __version__

        print(f"wherry version {__version__}")
        return 0
    if words[0] in FAMILIES and (len(words) == 1 or words[1] in ("-h", "--help")):
        return _print_help(words[0])
    found = find(words)
    if found is None:
        from wherry.cli import help

        raise help.unknown_flag(words[0]) if words[0].startswith("-") else help.unknown(words)
    command, count = found
    return _call(command, words[:count], words[count:])


def _call(command: Command, words: list[str], argv: list[str]) -> int:
    with _no_garbage():
        from importlib import import_module

        from wherry.cli.parser import Parser

        parser = Parser(words, command.help)
        module = import_module(f"wherry.cli.{command.module}")
        module.register(parser)
    code: int = module.run(parser.parse(argv))
    return code


@contextmanager
def _no_garbage() -> Iterator[None]:
    """What is made within is never looked through for garbage, neither now nor when the interpreter ends.

    Of modules all is kept; to look at it takes a seventh of the time of a build with nothing to do.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _print_help(family: str) -> int:
    from wherry.cli import help

    print(help.family(family) if family else help.overview(), end="")
    return 0


def _report(error: Exception, debug: bool) -> int:
    """Prints `error` on stderr; the exit code."""
    from wherry.ui import errors, terminal

    if debug:
        import traceback

        traceback.print_exc()
    try:
        sys.stdout.flush()
        text = (
            error.message if isinstance(error, Misuse) else errors.render(error, terminal.colors(sys.stderr))
        )
        print(text, file=sys.stderr)
    except OSError:
        _discard_output()
    return error.exit_code if isinstance(error, WherryError) else 1


def _interrupted(code: int) -> int:
    try:
        # A terminal has echoed `^C`, and is still on that line.
        print("\ninterrupted" if sys.stderr.isatty() else "interrupted", file=sys.stderr)
    except OSError:  # the terminal is closed
        _discard_output()
    return code


def _accept_any_text() -> None:
    """Names of files and images may hold characters that the locale's encoding lacks; they are escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Nobody reads: what is still buffered must not raise when the interpreter flushes it at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(null, stream.fileno())
    os.close(null)


if __name__ == "__main__":
    program()
