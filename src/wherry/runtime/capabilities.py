"""Capabilities by name (capabilities(7)): which there are, which wherry has, which a container gets."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wherry.base.errors import Denied, UsageError
from wherry.runtime.init.process import CAPABILITIES

ALL = "ALL"


def named(word: str, flag: str) -> str:
    """`CAP_CHOWN` for that, `chown` and `CHOWN`; ALL. UsageError for what is none."""
    bare = word.upper().removeprefix("CAP_")
    if word.upper() == ALL:
        return ALL
    if bare not in CAPABILITIES:
        raise UsageError(
            f"invalid capability {flag} {word}",
            hint="capabilities(7) has the names, such as NET_ADMIN; or ALL",
        )
    return f"CAP_{bare}"


def available() -> tuple[str, ...]:
    """Those that this process can give to others, in the kernel's order."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        values = {name: value for name, _, value in (line.partition(":") for line in file)}
    held = int(values["CapEff"], 16) & int(values["CapBnd"], 16)
    return tuple(f"CAP_{name}" for number, name in enumerate(CAPABILITIES) if held >> number & 1)


def tweaked(basics: Sequence[str], add: Collection[str], drop: Collection[str]) -> tuple[str, ...]:
    """Docker's rules (moby, oci/caps): what is added counts more than what is dropped, but for ALL."""
    every = tuple(f"CAP_{name}" for name in CAPABILITIES)
    if ALL in add:
        return tuple(name for name in every if name not in drop) if ALL not in drop else every
    if ALL in drop:
        return tuple(name for name in every if name in add)
    kept = {name for name in basics if name not in drop} | set(add)
    return tuple(name for name in every if name in kept)


def granted(wanted: Sequence[str], named_ones: Collection[str]) -> tuple[str, ...]:
    """Those of `wanted` that wherry has. Denied where one of `named_ones`, which a user asked for, is not."""
    here = available()
    for name in wanted:
        if name in named_ones and name not in here:
            raise Denied(
                f"--cap-add {name.removeprefix('CAP_')}: wherry itself does not have this capability"
            )
    return tuple(name for name in wanted if name in here)
