"""Stops all processes of a container where they are, and lets them go on: the kernel's freezer of cgroups.

Version 1 has a controller for it (cgroup-v1/freezer-subsystem.rst), in version 2 every cgroup has it
(cgroup-v2.rst, cgroup.freeze). Where a container has a cgroup of its own already, that is frozen; else one is
made when it is first needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from wherry.base.errors import Unsupported, WherryError
from wherry.runtime.cgroups.group import new_cgroup
from wherry.runtime.cgroups.tree import Hierarchy, here, hierarchies, read

_PATIENCE = 10.0  # seconds that a process may take to come out of a call that cannot be interrupted
_CHASE = 2.0  # seconds in which those that start others are all found; the monitor does nothing else then
_WORDS = {1: ("freezer.state", "FROZEN", "THAWED"), 2: ("cgroup.freeze", "1", "0")}


class Freezer:
    """One cgroup, the absolute path `folder`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._version = 1 if os.path.exists(f"{folder}/freezer.state") else 2

    def freeze(self, members: Callable[[], Iterable[int]]) -> None:
        """Freeze the processes that `members` tells of, with those that they start meanwhile."""
        self._write(frozen=True)
        try:
            self._take_in(members)
            self._await()
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> None:
        """Nothing happens to what is not frozen, or not there any more."""
        with suppress(OSError):
            self._write(frozen=False)

    def _take_in(self, members: Callable[[], Iterable[int]]) -> None:
        """What is taken in is frozen at once. It may have started another one before, which is not in yet."""
        deadline = time.monotonic() + _CHASE
        known = {int(pid) for pid in read(f"{self.folder}/cgroup.procs").split()}
        while more := set(members()) - known:
            if time.monotonic() > deadline:
                raise WherryError(
                    "the container cannot be paused: its processes start others faster than they are found"
                )
            for pid in more:
                self._take(pid)
            known |= more

    def _take(self, pid: int) -> None:
        try:
            with open(f"{self.folder}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(pid))
        except ProcessLookupError:
            pass  # it has ended
        except OSError as error:
            raise WherryError(f"cannot freeze the process {pid}: {error.strerror}") from None

    def _await(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._is_frozen():
            if time.monotonic() > deadline:
                raise WherryError("a process of the container cannot be stopped: it waits for a device")
            time.sleep(0.002)

    def _is_frozen(self) -> bool:
        if self._version == 1:
            return read(f"{self.folder}/freezer.state").strip() == "FROZEN"
        return "frozen 1" in read(f"{self.folder}/cgroup.events").splitlines()

    def _write(self, *, frozen: bool) -> None:
        name, on, off = _WORDS[self._version]
        with open(f"{self.folder}/{name}", "w", encoding="ascii") as file:
            file.write(on if frozen else off)


@contextmanager
def freezer(first: int) -> Iterator[Freezer]:
    """For the container whose first process is `first`; Unsupported where there is none to be had.

    A cgroup that is made is gone when the block ends, at which the container's processes have.
    """
    with _place(first) as folder:
        found = Freezer(folder)
        try:
            yield found
        finally:
            found.thaw()


@contextmanager
def _place(first: int) -> Iterator[str]:
    """Of version 2 where there is one: what is frozen there can be killed, and ends with its monitor."""
    for hierarchy in sorted(filter(_can_freeze, here()), key=lambda one: -one.version):
        own = _folder_of(first, hierarchy)
        if own and own != hierarchy.own:
            yield own
            return
        if os.access(hierarchy.own, os.W_OK):
            with new_cgroup(hierarchy.own) as folder:
                yield folder
            return
    raise Unsupported(
        "a container cannot be paused here: wherry may use no freezer of cgroups",
        hint="root may; others can let systemd give wherry a cgroup of its own when they run the container: "
        "systemd-run --user --scope -p Delegate=yes wherry run ...",
    )


def _can_freeze(hierarchy: Hierarchy) -> bool:
    return hierarchy.version == 2 or "freezer" in hierarchy.controllers


def _folder_of(pid: int, hierarchy: Hierarchy) -> str:
    """That of a process's cgroup; nothing where it cannot be seen or written to."""
    for one in hierarchies(read("/proc/self/mountinfo"), read(f"/proc/{pid}/cgroup")):
        if one.top == hierarchy.top and os.access(f"{one.own}/cgroup.procs", os.W_OK):
            return one.own
    return ""
