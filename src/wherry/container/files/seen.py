"""The root of a container as its processes see it, with all that is mounted in it, opened from outside.

Of one that runs it is the root of its first process. Of another it is mounted as for a start, volumes too.
This process stays in its own mount namespace: nothing that it executes or imports comes from the container.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from wherry.base.errors import NotFound, WherryError
from wherry.base.paths import Root
from wherry.base.tuples import NamedTuple
from wherry.container.containers import Container
from wherry.container.monitor import failures
from wherry.container.prepare import prepared
from wherry.container.state import Life, State
from wherry.layer.forms import current_form
from wherry.runtime import modes
from wherry.runtime.init import linux
from wherry.runtime.spec import Mount
from wherry.store.store import Store

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Seen(NamedTuple):
    """`has_owners` as in `layer/owners.py`."""

    root: Root
    has_owners: bool


@contextmanager
def seen(store_root: str, container: Container) -> Iterator[Seen]:
    """The container's root; until the block ends nobody starts or removes the container.

    The process, which must have one thread, is root of the container's user namespace from here on, where it
    is not root; its files elsewhere are its own as before.
    """
    with ExitStack() as held:
        try:
            held.enter_context(container.folder.locked())
        except FileNotFoundError:
            raise NotFound(f"no such container: {container.spec.name}") from None
        state = container.folder.state()
        if state.is_running():
            yield held.enter_context(_of_running(state, container.spec.name))
        else:
            yield held.enter_context(_of_stopped(store_root, container))


@contextmanager
def _of_running(state: State, name: str) -> Iterator[Seen]:
    if not state.pid:
        raise failures.restarting(name)
    with ExitStack() as held:

        def opened(path: str, flags: int) -> int:
            descriptor = os.open(path, flags | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            return descriptor

        try:
            process = os.pidfd_open(state.pid)
            held.callback(os.close, process)
            root = opened(f"/proc/{state.pid}/root", _FOLDER)
            namespace = opened(f"/proc/{state.pid}/ns/user", os.O_RDONLY)
            with open(f"/proc/{state.pid}/uid_map", encoding="ascii") as file:
                has_owners = file.read().split()[2:] != ["1"]
            is_its_own = _descends(state.pid, state.monitor)
            signal.pidfd_send_signal(
                process, 0
            )  # all of it is of one process, and not of one with its number
        except (FileNotFoundError, ProcessLookupError):
            is_its_own = False
        except OSError as error:
            raise WherryError(f"cannot look into container {name}: {error.strerror}") from None
        if not is_its_own:
            raise WherryError(f"container {name} is being started or stopped", hint="try again")
        if os.geteuid() != 0:
            linux.join(namespace, linux.CLONE_NEWUSER)
        with Root(f"/proc/self/fd/{root}", follow=True) as opened_root:
            yield Seen(opened_root, has_owners)


def _descends(pid: int, monitor: Life | None) -> bool:
    """Whether a process is a child of the monitor's, or of one of its children, and the monitor lives."""
    while pid > 1 and monitor is not None:
        if pid == monitor.pid:
            return monitor.is_alive()
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
    return False


@contextmanager
def _of_stopped(store_root: str, container: Container) -> Iterator[Seen]:
    spec = container.spec
    with Store.open(store_root) as store:
        modes.enter(spec.isolation)
        with store.lease(), prepared(store, container.folder, spec) as described:
            place = os.open(described.rootfs, _FOLDER)
            try:
                _cover(place, described.rootfs, described.mounts, read_only=described.read_only)
            finally:
                os.close(place)
            try:
                with Root(described.rootfs, follow=True) as root:
                    yield Seen(root, current_form().has_owners)
            finally:
                linux.detach(described.rootfs)


def _cover(place: int, path: str, mounts: tuple[Mount, ...], *, read_only: bool) -> None:
    """Mount the root once more on itself, as its processes would see it, in this namespace alone."""
    tree = linux.open_tree(path, recursive=False)
    try:
        if read_only:
            linux.set_attributes(tree, linux.MOUNT_ATTR_RDONLY, recursive=False)
        linux.attach(tree, place)
        for mount in mounts:
            if mount.kind == "bind":
                _mount(tree, mount)
    finally:
        os.close(tree)


def _mount(root: int, mount: Mount) -> None:
    try:
        target = linux.open_in_root(root, mount.target)
    except FileNotFoundError:
        return  # nothing of it can be seen then
    try:
        source = _tree(mount)
        try:
            if "ro" in mount.options:
                linux.set_attributes(source, linux.MOUNT_ATTR_RDONLY, recursive=True)
            linux.attach(source, target)
        finally:
            os.close(source)
    finally:
        os.close(target)


def _tree(mount: Mount) -> int:
    recursive = "bind" not in mount.options
    if not mount.root:
        return linux.open_tree(mount.source, recursive=recursive)
    with Root(mount.root, follow=True) as root:
        held = root.open(mount.source, os.O_PATH)
        try:
            return linux.open_tree("", recursive=recursive, directory=held)
        finally:
            os.close(held)
