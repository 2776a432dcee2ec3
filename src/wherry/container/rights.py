"""What a container's processes may do that others may not, and docker's words for it."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.base.errors import Unsupported
from wherry.base.tuples import NamedTuple


class Rights(NamedTuple):
    """`seccomp` is docker's default profile, on or off."""

    no_new_privileges: bool = False
    seccomp: bool = True


def parse(security: Iterable[str]) -> Rights:
    """What the words of `--security-opt` say. Unsupported for what else docker knows of."""
    rights = Rights()
    for word in security:
        name, _, value = word.replace(":", "=", 1).partition("=")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            rights = rights._replace(no_new_privileges=value != "false")
        elif word == "seccomp=unconfined":
            rights = rights._replace(seccomp=False)
        else:
            raise Unsupported(
                f"--security-opt {word} is not supported", hint="no-new-privileges and seccomp=unconfined are"
            )
    return rights
