"""`wherry logout`: forget the credentials of a registry."""

from __future__ import annotations

import argparse

from wherry.oci.reference import DEFAULT_REGISTRY


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", nargs="?", default=DEFAULT_REGISTRY)


def run(args: argparse.Namespace) -> int:
    from wherry.registry.credentials import Credentials
    from wherry.registry.hosts import registry_of

    registry = registry_of(args.server)
    known = Credentials().erase(registry)
    print(f"Removing login credentials for {registry}" if known else f"Not logged in to {registry}")
    return 0
