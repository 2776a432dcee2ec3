"""`wherry volume create`."""

from __future__ import annotations

import argparse

from wherry.base.errors import Unsupported, UsageError
from wherry.cli.parser import Parser
from wherry.container.names import NAME
from wherry.container.options import options
from wherry.store.store import Store

_CLUSTER = "there are no clusters of machines here"
_OPTIONS = "a volume is a folder of the store; what is mounted already can be a bind mount of a container"


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-d", "--driver", metavar="NAME", default="local", help="the driver: local, the only one")
    add("--label", metavar="KEY[=VALUE]", action="append", default=[], help="set a label")
    add("--name", default="", help=argparse.SUPPRESS)
    add("name_here", metavar="VOLUME", nargs="?", default="")
    cluster = (
        *("group", "scope", "sharing", "availability", "type", "secret", "limit-bytes", "required-bytes"),
        *("topology-required", "topology-preferred"),
    )
    parser.refused = {
        **dict.fromkeys((f"--{name}" for name in cluster), _CLUSTER),
        **dict.fromkeys(("-o", "--opt"), _OPTIONS),
    }


def run(args: argparse.Namespace) -> int:
    from wherry.container import volumes

    if args.driver != "local":
        raise Unsupported(f"--driver {args.driver} is not supported: the only driver of volumes is local")
    if args.name and args.name_here:
        raise UsageError("the name of a volume is given once: by --name, or as an argument")
    name = args.name or args.name_here
    if name and not NAME.fullmatch(name):
        raise UsageError(
            f"invalid volume name: {name!r}", hint="a name has two or more letters, digits, _ . -"
        )
    labels = dict(options.parse_pair(word, "--label") for word in args.label)
    with Store.open() as store:
        print(volumes.create(store.root, name, labels.items()))
    return 0
