"""`wherry debug`: enter a step that failed, or any step of a build that is kept."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from wherry.base.errors import UsageError, WherryError
from wherry.base.proxies import configured
from wherry.cli.parser import Parser
from wherry.cli.refusals import told_apart
from wherry.store.builds import Builds, Kept
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.options import Options


_HEADERS = {
    "ID": "ID",
    "When": "WHEN",
    "CreatedAt": "CREATED AT",
    "Step": "STEP",
    "Command": "COMMAND",
    "Exit": "EXIT",
    "Image": "IMAGE",
    "Context": "CONTEXT",
    "Log": "LOG",
    "Size": "SIZE",
}
_COLUMNS = ("ID", "When", "Step", "Command", "Exit", "Image", "Context")
_STEP_HEADERS = {"Step": "STEP", "State": "STATE", "Command": "INSTRUCTION"}


def register(parser: Parser) -> None:
    parser.behind = "command"
    parser.usage = "wherry debug [OPTIONS] [ID|IMAGE] [-- COMMAND [ARG...]]"
    add = parser.add_argument
    add("--step", metavar="N", default="", help="enter this step of the build, as it was before it ran")
    add("--keep", action="store_true", help="keep what changes, in place of what the step left")
    add("-u", "--user", metavar="NAME|UID[:GROUP]", default="", help="be another user than the step's")
    add("-w", "--workdir", metavar="DIR", default="", help="begin in another folder than the step's")
    add(
        "--secret",
        action="append",
        default=[],
        metavar="id=NAME[,src=FILE|,env=VARIABLE]",
        help="lend a secret once more",
    )
    add("--ssh", action="append", default=[], metavar="default|ID[=SOCKET]", help="lend an ssh agent again")
    add("--ls", action="store_true", help="list the failed steps that are kept; with an ID, all of its steps")
    add("-a", "--all", action="store_true", help="with --ls: list builds that did not fail too")
    add("--format", default="", help="with --ls: table, json, or a Go template")
    add("--no-trunc", action="store_true", help="with --ls: cut nothing off")
    add("-q", "--quiet", action="store_true", help="with --ls: show IDs only")
    add("--rm", action="store_true", help="remove what is kept of this build")
    add("build", metavar="ID|IMAGE", nargs="?", default="")


def run(args: argparse.Namespace) -> int:
    """The exit code of the shell or command; 125 where it did not come to that, as with `wherry run`."""
    _check(args)
    with Store.open() as store:
        if args.ls:
            return _list_steps(store, args) if args.build else _list(store, args)
        if args.rm:
            return _remove(store, args.build)
        with told_apart():
            return _enter(store, args)


def _check(args: argparse.Namespace) -> None:
    if args.ls and args.rm:
        raise UsageError("--ls and --rm ask for different things")
    if args.rm and not args.build:
        raise UsageError("--rm needs the ID of what is to be removed", hint="`wherry debug --ls` shows it")
    if not args.ls and (args.all or args.format or args.no_trunc or args.quiet):
        raise UsageError("--all, --format, --no-trunc and --quiet belong to --ls")
    if args.ls and args.build and (args.all or args.quiet):
        raise UsageError("--all and --quiet are about the list of builds, not about the steps of one")
    entering = (args.step, args.keep, args.user, args.workdir, args.secret, args.ssh, args.command)
    if (args.ls or args.rm) and any(entering):
        raise UsageError("--ls and --rm enter nothing: leave out the options and commands for that")
    if args.keep and args.secret:
        raise UsageError(
            "--keep and --secret do not go together: a secret could be in what is kept",
            hint="leave out --keep: what changes is dropped then",
        )


def _enter(store: Store, args: argparse.Namespace) -> int:
    from wherry.build import debug, lending, picking

    kept = picking.pick(Builds(store), args.build, failed=not args.step)
    number = picking.step(picking.build_of(kept), args.step)
    wanted = debug.Wanted(
        arguments=tuple(args.command),
        terminal=os.isatty(0) and os.isatty(1),
        user=args.user,
        folder=args.workdir,
        keep=args.keep,
        secrets=tuple(lending.secret(text, os.environ) for text in args.secret),
        agents=tuple(lending.agent(text, os.environ) for text in args.ssh),
        proxies=configured(os.environ),
    )
    return debug.enter(store, kept, number, wanted, tell)


def at_once(store: Store, error: WherryError, options: Options) -> None:
    """`build --on-failure=shell`: show the error, and a shell in the step; it is lent what the build was."""
    from wherry.build import debug, picking, scope
    from wherry.ui import errors, terminal

    color = terminal.colors(sys.stderr)
    print(errors.render(error, color), end="\n\n", file=sys.stderr, flush=True)
    kept = Builds(store).find(error.kept)
    given = scope.given(options.arguments, os.environ)
    wanted = debug.Wanted(
        terminal=True,
        secrets=options.secrets,
        agents=options.agents,
        proxies=tuple((name, value) for name, value in given.items() if name in scope.PREDEFINED),
    )
    try:
        debug.enter(store, kept, picking.step(picking.build_of(kept), ""), wanted, tell)
    except WherryError as problem:
        print(errors.render(problem, color), file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """A line for the user, beside the output of what is run."""
    from wherry.base.text import one_line

    print(one_line(line), file=sys.stderr, flush=True)


def _remove(store: Store, text: str) -> int:
    from wherry.runtime import modes

    modes.enter_as_user()
    with store.lease():
        builds = Builds(store)
        kept = builds.find(text)
        builds.delete(kept.id)
    print(kept.id)
    return 0


def _list(store: Store, args: argparse.Namespace) -> int:
    from wherry.ui.format import listing

    found = [kept for kept in Builds(store).all() if kept.failed or args.all]
    if args.quiet:
        for kept in found:
            print(kept.id)
        return 0
    rows = [_row(kept, args.no_trunc) for kept in found]
    sys.stdout.write(listing(args.format, _HEADERS, _COLUMNS, rows))
    return 0


def _row(kept: Kept, whole: bool) -> dict[str, str]:
    from wherry.build import picking
    from wherry.oci import reference as references
    from wherry.ui.units import ago, size

    build = picking.build_of(kept)
    failure = build.failure
    place = build.places[failure.number] if failure else None
    command = picking.instruction(place) if place else ""
    return {
        "ID": kept.id,
        "When": ago(kept.created),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(kept.created)),
        "Step": picking.label(place) if place else "",
        "Command": command if whole else _cut(command),
        "Exit": "" if failure is None or failure.code is None else str(failure.code),
        "Image": ", ".join(references.parse(name).familiar for name in build.names),
        "Context": build.context,
        "Log": failure.log if failure else "",
        "Size": size(kept.size),
    }


def _list_steps(store: Store, args: argparse.Namespace) -> int:
    from wherry.build import picking
    from wherry.ui.format import listing

    build = picking.build_of(picking.pick(Builds(store), args.build, failed=False))
    rows = [
        {
            "Step": picking.label(place),
            "State": place.state or "not run",
            "Command": picking.instruction(place) if args.no_trunc else _cut(picking.instruction(place)),
        }
        for place in build.places
        if picking.label(place)
    ]
    sys.stdout.write(listing(args.format, _STEP_HEADERS, tuple(_STEP_HEADERS), rows))
    return 0


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
