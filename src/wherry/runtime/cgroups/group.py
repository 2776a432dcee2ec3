"""The cgroup of a limited container: made, joined, removed.

It is made beneath the one that wherry is in, so that what limits wherry limits the container too. Whoever
makes one holds a lock on its folder; one whose maker was killed is removed by the next who makes one in the
same place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from wherry.base.errors import Denied, Unsupported
from wherry.base.tuples import NamedTuple
from wherry.runtime import idmap
from wherry.runtime.cgroups.tree import CONTROLLERS, SELF, Hierarchy, here, read
from wherry.runtime.cgroups.wanted import OPTIONAL, wanted
from wherry.runtime.spec import Resources

_PREFIX = "wherry-"
LEFTOVER = "wherry."
"""How the cgroups that runc makes for itself begin; the process ID of its wherry follows, and a dot."""

_PATIENCE = 2.0  # seconds that the kernel may take to let go of a cgroup whose processes have ended
_FLAGS = {
    "memory": "--memory and --memory-reservation",
    "cpu": "--cpus, --cpu-quota and --cpu-shares",
    "cpuset": "--cpuset-cpus and --cpuset-mems",
    "pids": "--pids-limit",
}


class Cgroup:
    """The cgroups of one container, one in each hierarchy; none where nothing is limited."""

    def __init__(self, folders: tuple[str, ...] = (), memory: int = 0) -> None:
        self._folders = folders
        self._memory = memory

    def join(self, pid: int) -> None:
        """Put a process into it, with all that it starts from then on."""
        for folder in self._folders:
            _write(folder, "cgroup.procs", str(pid))

    def excess(self) -> str:
        """Why the kernel has killed a process of it, in words; else nothing. To be asked before the end."""
        for folder in self._folders:
            # Version 2 counts in memory.events, version 1 in memory.oom_control; both with this word.
            for name in ("memory.events", "memory.oom_control"):
                for line in read(f"{folder}/{name}").splitlines():
                    word, _, count = line.partition(" ")
                    if word == "oom_kill" and int(count):
                        return f"killed: it used more than --memory {_short(self._memory)}"
        return ""


class _Place(NamedTuple):
    """Where a cgroup is made, and what is written in it; files that are `optional` may be missing."""

    parent: str
    version: int
    files: tuple[tuple[str, str], ...]
    optional: frozenset[str]


@contextmanager
def limited(resources: Resources) -> Iterator[Cgroup]:
    """A cgroup with these limits, as long as the context lasts.

    Unsupported where this machine has no such controller, Denied where wherry may not use it.
    """
    with ExitStack() as stack:
        folders = tuple(stack.enter_context(_made(place)) for place in _places(resources))
        yield Cgroup(folders, resources.memory)


def _places(resources: Resources) -> list[_Place]:
    """One for each hierarchy that has something to limit."""
    files: dict[Hierarchy, list[tuple[str, str]]] = {}
    controllers: dict[Hierarchy, set[str]] = {}
    needed = wanted(resources, 1)
    all_here = here() if needed else []
    for controller in needed:
        hierarchy = next((one for one in all_here if controller in one.controllers), None)
        if hierarchy is None:
            raise Unsupported(
                f"{_FLAGS[controller]}: wherry has no cgroup controller {controller} here",
                hint=_hint(all_here),
            )
        files.setdefault(hierarchy, []).extend(wanted(resources, hierarchy.version)[controller])
        controllers.setdefault(hierarchy, set()).add(controller)
    return [
        _Place(
            _parent(hierarchy, resources.parent, frozenset(controllers[hierarchy])),
            hierarchy.version,
            tuple(some),
            frozenset() if resources.memory_swap else OPTIONAL,
        )
        for hierarchy, some in files.items()
    ]


def _parent(hierarchy: Hierarchy, name: str, controllers: frozenset[str]) -> str:
    """The folder to make cgroups in, with the controllers given on to those beneath it.

    A `name` with a slash in front counts from the top, any other from wherry's own cgroup.
    """
    folder = hierarchy.top if name.startswith("/") else hierarchy.own
    _give_on(hierarchy, folder, controllers)
    for part in filter(None, name.split("/")):
        folder = f"{folder}/{part}"
        try:
            os.mkdir(folder)
        except FileExistsError:
            pass
        except OSError as error:
            raise _denied(folder, error) from None
        _give_on(hierarchy, folder, controllers)
    return folder


def _give_on(hierarchy: Hierarchy, folder: str, controllers: frozenset[str]) -> None:
    if hierarchy.version == 1:
        if "cpuset" in controllers:
            _inherit_cpuset(folder)
        return
    missing = controllers - set(read(f"{folder}/cgroup.subtree_control").split())
    if not missing:
        return
    words = " ".join(f"+{controller}" for controller in sorted(missing))
    try:
        _write(folder, "cgroup.subtree_control", words)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise _denied(folder, error) from None
        _vacate(folder)
        try:
            _write(folder, "cgroup.subtree_control", words)
        except OSError as still:
            raise _denied(folder, still) from None


def _vacate(folder: str) -> None:
    """Move this process, and those that it has started, to a cgroup beneath: version 2 gives controllers on
    only where no process is (cgroup-v2.rst, "No Internal Process Constraint")."""
    inner = f"{folder}/{SELF}"
    try:
        os.makedirs(inner, exist_ok=True)
        for pid in read(f"{folder}/cgroup.procs").split():
            if _is_ours(int(pid)):
                _write(inner, "cgroup.procs", pid)
    except OSError as error:
        raise _denied(folder, error) from None


def _is_ours(pid: int) -> bool:
    """Whether a process is this one or descends from it."""
    while pid > 1 and pid != os.getpid():
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        pid = int(fields[1]) if fields else 0
    return pid == os.getpid()


def _inherit_cpuset(folder: str) -> None:
    """A cpuset of version 1 is empty at first, and takes neither processes nor inner ones then."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not read(f"{folder}/{name}").strip():
            try:
                _write(folder, name, read(f"{os.path.dirname(folder)}/{name}").strip())
            except OSError as error:
                raise _denied(folder, error) from None


@contextmanager
def new_cgroup(parent: str) -> Iterator[str]:
    """A cgroup in the folder `parent`, removed at the end. Others that were left there go too."""
    sweep(parent)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


@contextmanager
def _made(place: _Place) -> Iterator[str]:
    """A cgroup with its limits."""
    with new_cgroup(place.parent) as folder:
        if place.version == 1 and any(name.startswith("cpuset.") for name, _ in place.files):
            _inherit_cpuset(folder)
        for name, content in place.files:
            if name in place.optional and not os.path.exists(f"{folder}/{name}"):
                continue
            try:
                _write(folder, name, content)
            except OSError as error:
                raise _denied(f"{folder}/{name}", error) from None
        yield folder


def sweep(parent: str) -> None:
    """Remove the cgroups in the folder `parent` whose maker is gone."""
    for name in os.listdir(parent):
        if not name.startswith(_PREFIX):
            continue
        try:
            lock = os.open(f"{parent}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rmdir(f"{parent}/{name}")
        except OSError:
            pass  # its maker lives, or its processes do
        finally:
            os.close(lock)


def remove_leftovers() -> None:
    """Remove the cgroups of runc's whose wherry was killed before it could have them removed."""
    for folder in {one.own for one in here()}:
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            pid = name.removeprefix(LEFTOVER).partition(".")[0]
            if name.startswith(LEFTOVER) and not os.path.exists(f"/proc/{pid}"):
                try:
                    os.rmdir(f"{folder}/{name}")
                except OSError:
                    pass  # another user's, or in use: a process of another pid namespace


def _locked_folder(parent: str) -> tuple[str, int]:
    """A new cgroup and the descriptor that locks it."""
    while True:
        folder = f"{parent}/{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
        try:
            os.mkdir(folder)
        except OSError as error:
            raise _denied(folder, error) from None
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(folder):
            return folder, lock
        os.close(lock)  # somebody swept it in the moment between its making and its locking


def _remove(folder: str) -> None:
    """Its processes have ended, but the kernel may still be at their end."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                return  # whoever makes the next one removes it
        time.sleep(0.002)


def _denied(path: str, error: OSError) -> Denied:
    causes = {
        errno.EBUSY: "other processes are in it",
        errno.EINVAL: "the kernel refuses the value",
        errno.ENOENT: "the kernel has no such file",
    }
    cause = causes.get(error.errno or 0, error.strerror)
    return Denied(f"cannot limit the container by the cgroup {path}: {cause}", hint=_hint(here()))


def _hint(all_here: list[Hierarchy]) -> str:
    """What an ordinary user can do."""
    if os.geteuid() == 0 and not idmap.in_user_namespace():
        return ""
    if any(one.version == 1 and one.controllers & CONTROLLERS for one in all_here):
        return "cgroups of version 1 are for root: run wherry as root, or leave the limits out"
    return (
        "let systemd give wherry a cgroup of its own: systemd-run --user --scope -p Delegate=yes wherry ..."
    )


def _write(folder: str, name: str, content: str) -> None:
    """One write(2): the kernel takes each as a whole."""
    descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, content.encode())
    finally:
        os.close(descriptor)


def _short(size: int) -> str:
    """Bytes as a user writes them."""
    for unit, letter in ((1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")):
        if size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)
