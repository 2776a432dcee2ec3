"""`wherry cp`: files into a container, and out of one."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.cli.parser import Parser
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.container.files.copying import Copied
    from wherry.container.files.places import Place

_STREAM = "-"


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-a", "--archive", action="store_true", help="keep owners, set-user-ID bits and capabilities")
    add("-L", "--follow-link", action="store_true", help="copy what a link at SOURCE leads to")
    add("-q", "--quiet", action="store_true", help="do not say what was copied")
    add("source", metavar="[CONTAINER:]SOURCE|-")
    add("target", metavar="[CONTAINER:]TARGET|-")


def run(args: argparse.Namespace) -> int:
    from wherry.container.files.places import parse

    source = None if args.source == _STREAM else parse(args.source)
    target = None if args.target == _STREAM else parse(args.target)
    copied = _copy(args, source, target)
    if copied.is_link and not args.quiet:
        print(f"{args.source} is a link, and copied as one; -L copies what it leads to", file=sys.stderr)
    if copied.left_out:
        print(f"warning: {copied.left_out} devices and sockets were not copied", file=sys.stderr)
    if target and not args.quiet:
        from wherry.ui.units import size

        print(f"Successfully copied {size(copied.size)} to {args.target}", file=sys.stderr)
    return 0


def _copy(args: argparse.Namespace, source: Place | None, target: Place | None) -> Copied:
    from wherry.container import events
    from wherry.container.containers import Containers
    from wherry.container.files import copying
    from wherry.container.files.seen import seen
    from wherry.output import target as output

    name = _container(source, target)
    is_root = os.geteuid() == 0
    keep, follow = args.archive, args.follow_link
    root = default_root()
    container = Containers(root).find(name)
    with seen(root, container) as inside:
        if source is None:
            assert target
            copied = copying.unpack(sys.stdin.buffer, inside, target)
        elif target is None:
            with output.target(_STREAM) as sink:
                copied = copying.pack(inside, source, sink, follow=follow)
        elif source.container:
            copied = copying.copy_out(inside, source, target, keep=keep, follow=follow, is_root=is_root)
        else:
            copied = copying.copy_in(source, inside, target, keep=keep, follow=follow)
    action = "archive-path" if source and source.container else "extract-to-dir"
    events.record(container.folder, container.spec, action)
    return copied


def _container(source: Place | None, target: Place | None) -> str:
    """The one that is copied from or to."""
    inside = [place.container for place in (source, target) if place and place.container]
    if len(inside) == 2:
        raise Unsupported(
            "copying between containers is not supported",
            hint="`wherry cp ONE:PATH - | wherry cp - OTHER:PATH` does it",
        )
    if not inside:
        raise UsageError("cp needs a container", hint="write its path as CONTAINER:PATH")
    if target is None and sys.stdout.isatty():
        raise WherryError("refusing to write an archive to a terminal", hint="redirect it, or pipe it to tar")
    return inside[0]
