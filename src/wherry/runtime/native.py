"""The built-in runtime: the helper's children set the container up by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from wherry.runtime import bundle, idmap, seccomp
from wherry.runtime.helper import ExecFailed, Helper, Running
from wherry.runtime.init import linux
from wherry.runtime.spec import Container

__all__ = ["ExecFailed", "Native", "Running"]

_CLONE_FLAGS = {
    "pid": linux.CLONE_NEWPID,
    "mount": linux.CLONE_NEWNS,
    "ipc": linux.CLONE_NEWIPC,
    "uts": linux.CLONE_NEWUTS,
    "cgroup": linux.CLONE_NEWCGROUP,
    "network": linux.CLONE_NEWNET,
}


class Native:
    """See `helper.Runtime` for what it does, and `helper.Helper` for when to create it."""

    def __init__(self) -> None:
        self._helper = Helper()
        self._in_user_namespace = idmap.in_user_namespace()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._helper.close()

    def start(
        self,
        container: Container,
        stdin: int,
        stdout: int,
        stderr: int,
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        document = bundle.config(container, in_user_namespace=self._in_user_namespace)
        if container.seccomp:
            document["linux"]["wherry.filter"] = seccomp.program(container.process.capabilities)
        flags = 0
        for namespace in document["linux"]["namespaces"]:
            flags |= _CLONE_FLAGS[namespace["type"]]
        return self._helper.run(document, flags, (stdin, stdout, stderr), ready)
