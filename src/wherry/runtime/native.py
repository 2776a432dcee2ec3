"""The built-in runtime: the helper's children set the container up by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Self

from wherry.runtime import bundle, idcalls, idmap, seccomp
from wherry.runtime.helper import ExecFailed, Helper, Running
from wherry.runtime.init import linux
from wherry.runtime.spec import Container, Process

__all__ = ["UNHEARD", "ExecFailed", "Native", "Running"]

UNHEARD = (
    "this system does not let wherry answer calls of RUN (another program does so already): owners that it "
    "gives with chown are lost"
)

_CLONE_FLAGS = {
    "pid": linux.CLONE_NEWPID,
    "mount": linux.CLONE_NEWNS,
    "ipc": linux.CLONE_NEWIPC,
    "uts": linux.CLONE_NEWUTS,
    "cgroup": 0,  # the child does this by itself, when it is in the cgroup that it is to see as the top
    "network": linux.CLONE_NEWNET,
}


class Native:
    """See `helper.Runtime` for what it does, and `helper.Helper` for when to create it."""

    def __init__(self) -> None:
        self._helper = Helper()
        self._in_user_namespace = idmap.in_user_namespace()
        self._has_one_id = idmap.has_one_id()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._helper.close()

    def attend(self, arguments: Sequence[str], stdin: int, output: int) -> Running:
        return self._helper.attend(arguments, stdin, output)

    def start(
        self,
        container: Container,
        stdin: int,
        stdout: int,
        stderr: int,
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        document = bundle.config(container, in_user_namespace=self._in_user_namespace)
        if self._has_one_id:
            _fake_ids(document, container.process)
        elif container.seccomp:
            document["linux"]["wherry.filter"] = {"filter": seccomp.program(container.process.capabilities)}
        flags = 0
        for namespace in document["linux"]["namespaces"]:
            flags |= _CLONE_FLAGS[namespace["type"]]
        running = self._helper.run(document, flags, (stdin, stdout, stderr), ready)
        if running.listener >= 0:
            self._answer(running, container)
        return running

    def _answer(self, running: Running, container: Container) -> None:
        """Start what answers the calls about ids of a container that has one."""
        user = container.process.user
        order = {
            "answers": idcalls.names(),
            "user": (user.uid, user.gid, user.groups),
            "shown": (user.uid, user.gid),
            "root": container.rootfs,
            "upper": container.upper,
            "journal": container.journal,
        }
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            running.served_by(self._helper.run(order, 0, (running.listener, nothing, nothing), None))
        except BaseException:
            running.kill()
            running.wait()
            raise
        finally:
            os.close(nothing)
            os.close(running.listener)


def _fake_ids(document: dict[str, Any], process: Process) -> None:
    """Root of a user namespace with one id; the process's user is how that is shown (`init/process.py`)."""
    document["linux"]["wherry.filter"] = {
        "filter": seccomp.program(process.capabilities, ids=seccomp.PLAIN),
        "heard": seccomp.program(process.capabilities, ids=seccomp.HEARD),
    }
    document["process"]["wherry.shown"] = (process.user.uid, process.user.gid)
    document["process"]["user"] |= {"uid": 0, "gid": 0, "additionalGids": []}
