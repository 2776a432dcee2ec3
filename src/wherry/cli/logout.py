"""`wherry logout`: forget the credentials of a registry."""

from __future__ import annotations

import argparse
import sys

from wherry.oci.reference import DEFAULT_REGISTRY


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", nargs="?", default=DEFAULT_REGISTRY)


def run(args: argparse.Namespace) -> int:
    from wherry.registry.credentials import Credentials
    from wherry.registry.hosts import registry_of

    registry = registry_of(args.server)
    kept = Credentials()
    known = kept.erase(registry)
    print(f"Removing login credentials for {registry}" if known else f"Not logged in to {registry}")
    if path := kept.elsewhere(registry):
        print(f"warning: {path} has a login too: `podman logout {registry}`", file=sys.stderr)
    return 0
