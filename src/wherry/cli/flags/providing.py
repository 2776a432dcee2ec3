"""The flags of `run` and `create` that say where the image comes from, and having it here."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress

from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.cli.parser import Parser, add_tls_verify
from wherry.container.containers import Containers
from wherry.container.options.options import Options
from wherry.oci import reference as references
from wherry.store.store import Store

_POLICIES = ("always", "missing", "never")


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--pull", metavar="POLICY", default="missing", help="pull always, missing or never (default missing)")
    add("-q", "--quiet", action="store_true", help="do not show the progress of a pull")
    add_tls_verify(parser)


def check(args: argparse.Namespace) -> None:
    if args.pull not in _POLICIES:
        raise UsageError(f"invalid policy --pull {args.pull}", hint=f"write {', '.join(_POLICIES)}")


def provide(store: Store, args: argparse.Namespace, wanted: Options) -> None:
    """Pull the image where it is not here, or always; a name that no registry can have is not asked for.

    Where the container will run in this process's own mode, its trees are made on the way.
    """
    name, here = args.image, store.images.resolve(args.image, platform=wanted.platform)
    if args.pull == "never" or (args.pull == "missing" and here):
        return
    try:
        reference = references.parse(name).with_default_tag()
    except WherryError:
        if here:
            return
        raise
    other = None if here else store.images.resolve(name)
    if other and not store.images.is_in(reference.name, other.id):
        store.images.find(
            name, wanted.platform
        )  # tells what it is for: no registry has it for another platform
    from wherry.cli.transfers import PULL, Transfers
    from wherry.registry import access
    from wherry.registry.pull import pull
    from wherry.runtime import modes

    unpack = modes.expected(wanted.isolation).name == "root"
    if not here and not args.quiet:
        print(f"Unable to find image '{reference.familiar}' locally", file=sys.stderr, flush=True)
    with Transfers(PULL, sys.stderr, args.quiet) as transfers:
        try:
            way = access.load(args.tls_verify, name)
            pull(store, reference, wanted.platform, transfers, access=way, unpack=unpack)
        except WherryError as error:
            error.hint = _container_hint(store, name) or error.hint
            if isinstance(error, NotFound):
                error.hint = error.hint or "`wherry images` lists the images that are here"
            raise


def _container_hint(store: Store, name: str) -> str:
    """For those who want a container back that they have: `run` makes a new one, of an image."""
    with suppress(WherryError):
        container = Containers(store.root).find(name)
        return f"{name} is a container: `wherry start {container.spec.name}` starts it again"
    return ""
