"""Another process in a container that runs, whatever runtime made that; `init/joining.py` does it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wherry.base.errors import WherryError
from wherry.runtime import bundle
from wherry.runtime.helper import Running
from wherry.runtime.init import linux
from wherry.runtime.spec import Container

_KINDS = {
    "pid": linux.CLONE_NEWPID,
    "mount": linux.CLONE_NEWNS,
    "ipc": linux.CLONE_NEWIPC,
    "uts": linux.CLONE_NEWUTS,
    "cgroup": linux.CLONE_NEWCGROUP,
    "network": linux.CLONE_NEWNET,
}


def kinds(document: dict[str, Any], *, new: bool = False) -> int:
    """The namespaces of an OCI document, as a mask of CLONE_NEW*; with `new` without those that exist."""
    mask = 0
    for namespace in document["linux"]["namespaces"]:
        if not (new and "path" in namespace):
            mask |= _KINDS[namespace["type"]]
    return mask


def order(container: Container) -> dict[str, Any]:
    """What the helper is to do for `container.process`; a filter is still to be put in."""
    document = bundle.config(container)
    return {"wherry.join": kinds(document), "process": document["process"], "linux": {}}


@contextmanager
def target(container: Container, first: Running) -> Iterator[tuple[int, ...]]:
    """The descriptors that name the container."""
    if first.pidfd < 0:
        raise WherryError("the container has ended")
    if not container.emulator:
        yield (first.pidfd,)
        return
    try:
        # The number is not used again before the end has been waited for.
        namespace = os.open(f"/proc/{first.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise WherryError("the container has ended") from None
    try:
        yield first.pidfd, namespace
    finally:
        os.close(namespace)
