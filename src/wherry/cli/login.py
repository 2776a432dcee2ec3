"""`wherry login`: credentials for a registry, tried and kept where docker keeps them."""

from __future__ import annotations

import argparse
import sys

from wherry.base.errors import UsageError, WherryError
from wherry.cli.parser import add_tls_verify
from wherry.oci.reference import DEFAULT_REGISTRY

_MAX_PASSWORD = 1 << 20


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-u", "--username", default="", help="who to log in as")
    parser.add_argument("-p", "--password", default="", help="seen by all in the list of processes: avoid it")
    parser.add_argument("--password-stdin", action="store_true", help="take the password from standard input")
    add_tls_verify(parser)
    parser.add_argument("server", metavar="SERVER", nargs="?", default=DEFAULT_REGISTRY)


def run(args: argparse.Namespace) -> int:
    from wherry.registry import config
    from wherry.registry.credentials import Credential, Credentials
    from wherry.registry.hosts import registry_of
    from wherry.registry.login import login

    registry = registry_of(args.server)
    user, password = _ask(args, registry)
    keep = Credentials()
    place = login(registry, Credential(user, password), keep, config.load(args.tls_verify))
    if place == keep.path:
        print(f"warning: the password is kept unencrypted in {place}", file=sys.stderr)
    print("Login Succeeded")
    return 0


def _ask(args: argparse.Namespace, registry: str) -> tuple[str, str]:
    """User and password from the flags, from standard input, or from the user."""
    if args.password and args.password_stdin:
        raise UsageError("--password and --password-stdin exclude each other")
    if args.password_stdin:
        if not args.username:
            raise UsageError("--password-stdin needs --username")
        return args.username, sys.stdin.read(_MAX_PASSWORD).removesuffix("\n").removesuffix("\r")
    if args.password:
        print("warning: --password is seen by others on this machine: use --password-stdin", file=sys.stderr)
    if not (args.username and args.password) and not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for a password: standard input is not a terminal",
            hint=f"pipe it in: `wherry login -u USER --password-stdin {registry}`",
        )
    return _typed(args.username, args.password, registry)


def _typed(user: str, password: str, registry: str) -> tuple[str, str]:
    from getpass import getpass

    try:
        user = user or input(f"Username for {registry}: ").strip()
        password = password or (getpass("Password: ") if user else "")
    except EOFError:
        user = ""
    if not user or not password:
        raise WherryError("no user or no password was given")
    return user, password
