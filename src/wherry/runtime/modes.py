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

from wherry.base.errors import Denied, Unsupported, UsageError
from wherry.base.rights import CAP_SYS_ADMIN, has_capability
from wherry.base.tuples import NamedTuple
from wherry.runtime import idmap
from wherry.runtime.init import linux

AUTO = "auto"
KEEP_ID = "userns:keep-id"
"""The mode userns with another map of ids: the user has the number inside that he has outside."""

_FOR_CHROOT = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
}
_LOSSES = {
    "single-id": "RUN has a single id here: the owners that it gives to files are kept in the image, but it "
    "sees one owner for all of them, and no user is kept from writing to another's",
    "chroot": "RUN has no namespaces here: no /proc and no /sys, this machine's network and processes",
}


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
    def answers(self) -> bool:
        """Whether a process's calls about owners are answered by wherry, and lost where nobody hears them."""
        return self.name == "single-id"

    @property
    def loss(self) -> str:
        """What a process cannot do here and does elsewhere, for people; empty where that is nothing."""
        return _LOSSES.get(self.name, "")


@functools.cache
def enter(isolation: str = AUTO) -> Mode:
    """Enter the mode `isolation`, or the best one that works here; nothing mounted in it is seen elsewhere.

    A second call does nothing. As root it is the calling thread, with those that it starts later, that moves;
    an ordinary user's process must not have another thread yet. Afterwards the process is root
    (os.geteuid() is 0): what depends on who the user is must be decided before. UsageError for a name that no
    mode has; Denied, with the command that mends it, where the machine does not let us.
    """
    if isolation == KEEP_ID:
        idmap.enter_keeping()
        return Mode("userns")
    if isolation in _WAYS:
        _WAYS[isolation]()
        return Mode(isolation)
    if isolation != AUTO:
        raise UsageError(f"there is no isolation {isolation!r}", hint=f"write {AUTO}, {', '.join(NAMES)}")
    return _enter_best()


def join(namespace: int) -> Mode:
    """Enter the mode of another process of this user, with mounts of this one's own.

    `namespace` is a descriptor of its user namespace. As `enter`, to be called once, in its stead. Denied
    where the machine does not let us.
    """
    if os.path.samestat(os.fstat(namespace), os.stat("/proc/self/ns/user")):
        return enter("root")
    idmap.join(namespace)
    return Mode("single-id" if idmap.has_one_id() else "userns")


def expected(isolation: str = AUTO) -> Mode:
    """What `enter` will most likely give; nothing is tried, which takes a fraction of a millisecond."""
    if isolation != AUTO:
        return Mode(isolation)
    if os.geteuid() == 0:
        return Mode("root" if has_capability(CAP_SYS_ADMIN) else "chroot")
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
        if name in ("root", "chroot") and not was_root:
            continue
        try:
            way()
            return Mode(name)
        except Unsupported:
            continue
        except Denied as error:
            problems.append(error)
    # The last mode asks for least.
    raise problems[-1]


def _enter_root() -> None:
    if os.geteuid() != 0:
        raise Denied("the mode root is root's alone", hint="sudo wherry ..., or another --isolation")
    if not has_capability(CAP_SYS_ADMIN):
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
    if os.geteuid() != 0:
        raise Denied("the mode chroot is for root of a container", hint="try --isolation=userns")
    if idmap.in_user_namespace():
        raise Denied(
            "the mode chroot needs a /dev/null of its own, and a user namespace lets nobody make one",
            hint="let this container make user namespaces: --security-opt seccomp=unconfined",
        )
    lacking = [name for name, number in _FOR_CHROOT.items() if not has_capability(number)]
    if lacking:
        raise Denied(
            f"the mode chroot needs rights that this process lacks: {', '.join(lacking)}",
            hint=" ".join(["start the container with", *(f"--cap-add {name[4:]}" for name in lacking)]),
        )


_WAYS: dict[str, Callable[[], None]] = {  # best first
    "root": _enter_root,
    "userns": idmap.enter_with_ranges,
    "single-id": idmap.enter_with_one,
    "chroot": _enter_chroot,
}
NAMES = tuple(_WAYS)
