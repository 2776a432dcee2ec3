"""Where this machine has cgroups, and which of them wherry is in (cgroups(7)).

Version 1 has a hierarchy of folders for each controller, version 2 one for all; a machine may have both.
"""

from __future__ import annotations

import os

from wherry.base.tuples import NamedTuple

CONTROLLERS = frozenset({"memory", "cpu", "cpuset", "pids"})

SELF = "wherry-self"
"""The cgroup that wherry moves to, to be out of the way of those that it makes."""


class Hierarchy(NamedTuple):
    """Where controllers are: `top` is the mount point, `own` the folder of the cgroup that wherry is in."""

    version: int
    top: str
    own: str
    controllers: frozenset[str]


def here() -> list[Hierarchy]:
    return hierarchies(read("/proc/self/mountinfo"), read("/proc/self/cgroup"))


def hierarchies(mounts: str, memberships: str) -> list[Hierarchy]:
    """What is mounted, from the texts of /proc/self/mountinfo and /proc/self/cgroup."""
    paths: dict[frozenset[str], str] = {}
    for line in memberships.splitlines():
        _, names, path = line.split(":", 2)
        paths[frozenset(filter(None, names.split(",")))] = path
    found = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        _, _, _, root, top, *_ = before.split()
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" and frozenset() in paths:
            own = top + _beneath(paths[frozenset()], root)
            controllers = frozenset(read(f"{own}/cgroup.controllers").split())
            found.append(Hierarchy(2, top, own, controllers))
        elif kind == "cgroup":
            mounted = set(options.split(","))
            for controllers, path in paths.items():
                if controllers and controllers <= mounted:
                    found.append(Hierarchy(1, top, top + _beneath(path, root), controllers))
    return found


def own_of(pid: int, maker: int) -> dict[str, str]:
    """The folders of the cgroups that a process is in and its maker is not, by what they count.

    Those of version 2 count without a controller, some of it.
    """
    mounts = read("/proc/self/mountinfo")
    makers = {one.top: one.own for one in hierarchies(mounts, read(f"/proc/{maker}/cgroup"))}
    found: dict[str, str] = {}
    for one in hierarchies(mounts, read(f"/proc/{pid}/cgroup")):
        if makers.get(one.top) != one.own:
            names = one.controllers if one.version == 1 else {"cpu", "memory"}
            found |= {name: one.own for name in names if name not in found}
    return found


def usable() -> dict[str, int]:
    """The controllers that wherry may use here, with their cgroups' version."""
    found: dict[str, int] = {}
    for one in here():
        if os.access(one.own, os.W_OK):
            found |= dict.fromkeys(sorted(one.controllers & CONTROLLERS), one.version)
    return found


def _beneath(path: str, root: str) -> str:
    """A cgroup's path, seen from a mount of the cgroup `root`; nothing for the top."""
    return path.removeprefix(root.rstrip("/")).rstrip("/").removesuffix(f"/{SELF}")


def read(path: str) -> str:
    """What a file says; nothing where it is not there."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
