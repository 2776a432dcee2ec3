"""The mode of a container, entered by its monitor: its own, that of the networks, or another container's.

Most containers are on no network: what is about those is imported where one is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wherry.base.errors import Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.container.options import networking
from wherry.container.state import Folder, Spec
from wherry.runtime import modes
from wherry.runtime.net import namespace

if TYPE_CHECKING:
    from wherry.container.containers import Container
    from wherry.networks.membership import Membership

_WORDS = {"default": "private", "none": "none", "host": "host"}
"""What the runtime calls the kinds of networks."""


class Entry(NamedTuple):
    """`network` is for the runtime (`runtime.spec.Container`); `etc` has the files that are mounted over
    those of /etc; `membership` is there where the container is on networks."""

    network: str
    etc: Folder
    membership: Membership | None = None


def enter(root: str, folder: Folder, spec: Spec) -> Entry:
    """Enter the mode in which the container is to run; the process must have one thread."""
    if spec.network.startswith(networking.CONTAINER):
        return _enter_other(root, folder, spec)
    network = _WORDS[spec.network]
    if not spec.networks.attachments:
        _check(modes.enter(spec.isolation))
        return Entry(network, folder)
    from wherry.networks.membership import Membership

    membership = Membership(root, spec.id, spec.networks.servers)
    membership.join(spec.isolation)
    _check(membership.enter(spec.isolation))
    return Entry(network, folder, membership)


def _check(mode: modes.Mode) -> None:
    if not mode.may_mount:
        raise Unsupported(
            "containers cannot be run in the mode chroot: they need namespaces of their own",
            hint="`wherry build` works there; run the image where `wherry info` names another mode",
        )


def _enter_other(root: str, folder: Folder, spec: Spec) -> Entry:
    """The mode of the container whose network this one is to have."""
    other = _running(root, spec.network.removeprefix(networking.CONTAINER))
    if other.spec.network == "host":
        _check(modes.enter(spec.isolation))
        return Entry("host", other.folder)
    assert other.state.monitor
    try:
        users = os.open(f"/proc/{other.state.monitor.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WherryError(
            f"cannot join the network of container {other.spec.name}: {error.strerror}"
        ) from None
    try:
        mode = modes.join(users)
    finally:
        os.close(users)
    if spec.isolation not in (modes.AUTO, mode.name):
        raise Unsupported(
            f"--isolation {spec.isolation}: the network of {other.spec.name} is in the mode {mode.name}",
            hint=f"--isolation {mode.name}",
        )
    network = folder.file("netns")
    namespace.mount_at(other.state.pid, network)
    return Entry(network, other.folder)


def _running(root: str, container_id: str) -> Container:
    from wherry.container.containers import Containers

    other = Containers(root).get(container_id)
    if other is None or other.state.monitor is None or not other.is_running:
        name = other.spec.name if other else container_id[:12]
        raise WherryError(
            f"cannot join the network of container {name}: it is not running",
            hint=f"`wherry start {name}` starts it" if other else "",
        )
    return other
