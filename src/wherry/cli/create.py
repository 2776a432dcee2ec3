"""`wherry create`: a new container, for `start` to run."""

from __future__ import annotations

import argparse

from wherry.cli.flags import creating
from wherry.cli.parser import Parser
from wherry.cli.refusals import told_apart
from wherry.store.store import default_root

_ATTACH = "nothing runs yet that one could attach to; `wherry start -a` does that"


def register(parser: Parser) -> None:
    creating.register(parser)
    parser.refused = {**parser.refused, **dict.fromkeys(("-a", "--attach"), _ATTACH)}


def run(args: argparse.Namespace) -> int:
    """Words that cannot be are refused with 125, as docker does; what fails then has the exit code 1."""
    from wherry.container.run import fill_volumes
    from wherry.container.stop import remove

    with told_apart():
        wanted = creating.read(args)
    container_id, root = creating.create(args, wanted), default_root()
    try:
        fill_volumes(root, container_id)
    except BaseException:
        remove(root, container_id, force=True, with_volumes=True)
        raise
    print(container_id)
    return 0
