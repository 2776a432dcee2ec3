"""How processes and their files are kept apart from the machine: the modes, and the choice of one.

    root       a mount namespace; for root
    userns     a user namespace with a range of ids, that of /etc/subuid for an ordinary user
    single-id  a user namespace with one id, the user's own, shown as root
    chroot     no namespace at all: for a container's root who may neither mount nor make namespaces

A mode is entered for the whole life of a process. Which one is possible is found out by doing.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from typing import NamedTuple

from wherry.base.errors import Denied, Unsupported, UsageError
from wherry.runtime import idmap
from wherry.runtime.init import linux

AUTO = "auto"

_CAP_SYS_ADMIN = 21
_LOSS = (
    "RUN has a single id here: owners that it sets are kept in the image, but it sees one owner for all "
    "files, and what it makes as another user (su, gosu) is root's"
)


class Mode(NamedTuple):
    """`name` is one of `NAMES`."""

    name: str

    @property
    def may_mount(self) -> bool:
        return self.name != "chroot"

    @property
    def is_exact(self) -> bool:
        """Whether what a process leaves is what root would leave: else it is no result for other modes."""
        return not self.loss

    @property
    def loss(self) -> str:
        """What a process cannot do here and does elsewhere, for people; empty where that is nothing."""
        return _LOSS if self.name == "single-id" else ""


@functools.cache
def enter(isolation: str = AUTO) -> Mode:
    """Enter the mode `isolation`, or the best one that works here; nothing mounted in it is seen elsewhere.

    A second call does nothing. As root it is the calling thread, with those that it starts later, that moves;
    an ordinary user's process must not have another thread yet. Afterwards the process is root
    (os.geteuid() is 0): what depends on who the user is must be decided before. UsageError for a name that no
    mode has; Denied, with the command that mends it, where the machine does not let us.
    """
    if isolation in _WAYS:
        _WAYS[isolation]()
        return Mode(isolation)
    if isolation != AUTO:
        raise UsageError(f"there is no isolation {isolation!r}", hint=f"write {AUTO}, {', '.join(NAMES)}")
    return _enter_best()


def expected(isolation: str = AUTO) -> Mode:
    """What `enter` will most likely give; nothing is tried, which takes a fraction of a millisecond."""
    if isolation != AUTO:
        return Mode(isolation)
    if os.geteuid() == 0:
        return Mode("root")
    return Mode("userns" if idmap.has_ranges() else "single-id")


def enter_as_user() -> None:
    """As `enter`, for an ordinary user who is to read or delete what containers' users own; else nothing.

    The best mode, whatever was chosen for processes: it has the most rights. A user without subordinate ids
    has no such files, so what `enter` would refuse is passed over.
    """
    if os.geteuid() != 0:
        with contextlib.suppress(Denied):
            enter()


def _enter_best() -> Mode:
    was_root = os.geteuid() == 0
    problems = []
    for name, way in _WAYS.items():
        if name == "root" and not was_root:
            continue
        try:
            way()
            return Mode(name)
        except Unsupported:
            continue
        except Denied as error:
            problems.append(error)
    # What root is told first: the right to mount is easier to have than user namespaces.
    raise problems[0 if was_root else -1]


def _enter_root() -> None:
    if os.geteuid() != 0:
        raise Denied("the mode root is root's alone", hint="sudo wherry ..., or another --isolation")
    if not has_capability(_CAP_SYS_ADMIN):
        raise Denied(
            "root without the right to mount: this process lacks CAP_SYS_ADMIN",
            hint="in a container, start it with --cap-add SYS_ADMIN, or run wherry as an ordinary user",
        )
    if idmap.has_one_id():
        raise Denied("this process is root of a user namespace that has one id alone")
    try:
        linux.unshare(linux.CLONE_NEWNS)
        linux.make_slave()  # a disk that is unmounted while we run is not kept busy
    except OSError as error:
        raise Denied(f"cannot create a mount namespace: {error.strerror}") from None


def _enter_chroot() -> None:
    raise Unsupported("--isolation=chroot is not there yet")


_WAYS: dict[str, Callable[[], None]] = {  # best first
    "root": _enter_root,
    "userns": idmap.enter_with_ranges,
    "single-id": idmap.enter_with_one,
    "chroot": _enter_chroot,
}
NAMES = tuple(_WAYS)


def has_capability(number: int) -> bool:
    """Whether this process has the capability of that number, in its user namespace."""
    with open("/proc/self/status", encoding="ascii") as file:
        effective = next(line for line in file if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> number & 1)
