"""The networks that a container may be in, and what it has of them."""

from __future__ import annotations

from wherry.base.errors import Unsupported
from wherry.base.tuples import NamedTuple

NETWORKS = ("default", "host", "none")


class Networks(NamedTuple):
    """What is said of networks beyond the name of one; nothing can be yet."""


def check(network: str) -> None:
    if network not in NETWORKS:
        raise Unsupported(
            f"--network {network} is not supported", hint=f"the networks are {', '.join(NETWORKS)}"
        )
