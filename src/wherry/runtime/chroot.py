"""The runtime of the mode `chroot`: processes without any namespace, in a root filesystem that was copied.

For root of a container who may neither mount nor make namespaces. What the other runtimes mount is moved into
the root filesystem for the time of the process (`placing.py`). There is no /proc and no /sys: nothing but the
kernel can make them. `init/jail.py` has what keeps the process in, and what ends all that it started.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from wherry.base.errors import Denied, Unsupported
from wherry.runtime import bundle, observed, seccomp
from wherry.runtime.helper import Helper, Hooks, Running
from wherry.runtime.placing import Places
from wherry.runtime.runtime import Runtime
from wherry.runtime.sockets import Sockets
from wherry.runtime.spec import SHM_SIZE, Container, Mount

_OUT_OF_REACH = {"CAP_SYS_CHROOT", "CAP_MKNOD"}
"""Capabilities that lead out: to another root, and to the machine's disks."""

_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}


class Chroot(Runtime):
    def __init__(self) -> None:
        super().__init__(Helper(jails=True))

    def start(
        self,
        container: Container,
        stdin: int,
        stdout: int,
        stderr: int,
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        _refuse(container)
        order = _order(container)
        places = Places(container.rootfs, os.path.dirname(container.rootfs))
        try:
            _furnish(places, container)
            return self._helper.run(
                order,
                0,
                (stdin, stdout, stderr),
                Hooks(ready, lambda listener: Sockets(listener, container.observed), places.take_out),
            )
        except BaseException:
            places.take_out()
            raise


def _refuse(container: Container) -> None:
    """What cannot be had is named, and not passed over."""
    if container.network != "host":
        raise Unsupported(
            f"a RUN without the machine's network (--network={container.network}) needs a network namespace, "
            "which the mode chroot has not"
        )
    if container.shm_size != SHM_SIZE:
        raise Unsupported("--shm-size is about a mount, which the mode chroot has not")
    if container.read_only:
        raise Unsupported("a read-only root filesystem needs a mount, which the mode chroot has not")
    for mount in container.mounts:
        for option in mount.options:
            if option.startswith(("size=", "nr_inodes=")):
                raise Unsupported(f"the mode chroot cannot limit the tmpfs on {mount.target} ({option})")


def _order(container: Container) -> dict[str, Any]:
    """The OCI document, as far as it is about the process."""
    process = container.process
    kept = tuple(name for name in process.capabilities if name not in _OUT_OF_REACH)
    confined = container._replace(process=process._replace(capabilities=kept, no_new_privileges=True))
    document = bundle.config(confined)
    order = {"wherry.jail": True, "root": document["root"], "process": document["process"], "linux": {}}
    if container.seccomp:
        filters = {"filter": seccomp.program(kept)}
        if container.observed:
            filters["heard"] = seccomp.program(kept, observed=observed.SOCKETS)
        order["linux"] = {"wherry.filter": filters}
    return order


def _furnish(places: Places, container: Container) -> None:
    """What every container has mounts on, and the mounts of this one."""
    scratch = os.path.dirname(container.rootfs)
    for name in ("proc", "sys"):
        places.put(_folder(f"{scratch}/{name}", 0o555), f"/{name}")
    places.put(_devices(scratch), "/dev")
    for number, mount in enumerate(container.mounts):
        if mount.kind == "tmpfs":
            places.put(_empty(f"{scratch}/tmpfs-{number}", mount), mount.target)
        elif mount.movable:
            source = f"{mount.root}{mount.source}".rstrip("/")
            places.put(source, mount.target, returns=not source.startswith(f"{scratch}/"))
        else:
            places.put_copy(mount.source, mount.target, mount.root)


def _folder(path: str, mode: int) -> str:
    os.mkdir(path)
    os.chmod(path, mode)
    return path


def _empty(path: str, mount: Mount) -> str:
    options = dict(option.split("=", 1) for option in mount.options if "=" in option)
    _folder(path, int(options.get("mode", "1777"), 8))
    os.chown(path, int(options.get("uid", -1)), int(options.get("gid", -1)))
    return path


def _devices(scratch: str) -> str:
    """A /dev of nodes of our own, as the container's device rules allow them."""
    path = _folder(f"{scratch}/dev", 0o755)
    _folder(f"{path}/shm", 0o1777)
    for name, numbers in _DEVICES.items():
        _make_device(f"{path}/{name}", os.makedev(*numbers))
    return path


def _make_device(path: str, device: int) -> None:
    """Opened once too: a node that cannot be is worse than none. (/dev/tty is one's own terminal's.)"""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, device)
        os.chmod(path, 0o666)
        if not path.endswith("/tty"):
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        name = f"/dev/{os.path.basename(path)}"
        hint = "start the container with --cap-add MKNOD"
        if os.path.lexists(path):
            hint = "set WHERRY_ROOT to a folder that is not mounted with nodev"
        raise Denied(f"cannot make {name} for a RUN in chroot mode: {error.strerror}", hint=hint) from None
