"""The built-in runtime: the helper's children set the container up by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from wherry.base import settings
from wherry.base.errors import WherryError
from wherry.oci.platform import Platform
from wherry.runtime import bundle, idcalls, idmap, joining, observed, seccomp
from wherry.runtime.helper import ExecFailed, Helper, Hooks, Running, Server
from wherry.runtime.init import linux
from wherry.runtime.runtime import Runtime, Serve, own_filter
from wherry.runtime.sockets import Sockets
from wherry.runtime.spec import Container, Emulator, Process

__all__ = ["UNHEARD", "ExecFailed", "Native", "Running"]

UNHEARD = (
    "this system does not let wherry answer calls of RUN (another program does so already): owners that it "
    "gives with chown are lost"
)


class Native(Runtime):
    def __init__(self, helper: Helper | None = None) -> None:
        super().__init__(helper or Helper())
        self._in_user_namespace = idmap.in_user_namespace()
        self._has_one_id = idmap.has_one_id()

    def start(
        self,
        container: Container,
        stdin: int,
        stdout: int,
        stderr: int,
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        document = bundle.config(container, in_user_namespace=self._in_user_namespace)
        serve = self._confine(document, container)
        if container.emulator:
            document["wherry.emulator"] = container.emulator._asdict()
        if container.first_pid:
            document["linux"]["wherry.first_pid"] = container.first_pid
        # Not that of cgroups: the child makes it when it is in the cgroup that it is to see as the top.
        flags = joining.kinds(document, new=True) & ~linux.CLONE_NEWCGROUP
        try:
            return self._helper.run(document, flags, (stdin, stdout, stderr), Hooks(ready, serve))
        except WherryError as error:
            if container.emulator:
                _hint_at_registration(error)
            raise

    def emulator(self, platform: Platform) -> Emulator | None:
        return self._find_emulator(platform, own=True)

    def _confine(self, document: dict[str, Any], container: Container) -> Serve | None:
        if self._has_one_id:
            _show_ids(document, container.process)
        if self._has_one_id or container.seccomp:
            document["linux"]["wherry.filter"] = self._filters(container)
        is_heard = "heard" in document["linux"].get("wherry.filter", {})
        return partial(self._serve, container) if is_heard else None

    def _filters(self, container: Container) -> dict[str, bytes]:
        """`filter`, and `heard` where calls are to be answered or observed, and may be; `profile` on top of
        them, where it is not docker's default."""
        if not container.profile:
            return self._filter(container)
        others = self._filter(container._replace(seccomp=False, profile="")) if self._has_one_id else {}
        return others | {"profile": own_filter(container)}

    def _filter(self, container: Container) -> dict[str, bytes]:
        capabilities = container.process.capabilities
        plain, heard = (seccomp.PLAIN, seccomp.HEARD) if self._has_one_id else ("", "")
        make = partial(seccomp.program, capabilities, is_confined=container.seccomp)
        filters = {"filter": make(ids=plain)}
        if heard or container.observed:
            what = observed.FILES if container.watched else observed.SOCKETS
            filters["heard"] = make(ids=heard, observed=what if container.observed else "")
        return filters

    def _serve(self, container: Container, listener: int) -> Server:
        """Start what hears the container's calls."""
        if not (self._has_one_id or container.watched):
            return Sockets(listener, container.observed)
        order: dict[str, Any] = {}
        if self._has_one_id:
            user = container.process.user
            order["ids"] = {
                "answers": idcalls.names(),
                "user": (user.uid, user.gid, user.groups),
                "shown": (user.uid, user.gid),
                "root": container.rootfs,
                "upper": container.upper,
                "journal": container.journal,
            }
        if container.observed:
            order["observed"] = {
                "calls": {key: tuple(call) for key, call in observed.calls().items()}
                if container.watched
                else {},
                "sockets": observed.networks(),
                "has_caches": bool(container.caches),
                "result": container.observed,
                "compiled": settings.load().listener != "python",
            }
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            return self._helper.run(order, 0, (listener, nothing, nothing))
        finally:
            os.close(nothing)


def _hint_at_registration(error: WherryError) -> None:
    from wherry.runtime import emulation
    from wherry.runtime.init import emulator

    if error.message.startswith(emulator.CANNOT):
        error.hint = emulation.REGISTER


def _show_ids(document: dict[str, Any], process: Process) -> None:
    """Root of a user namespace with one id; the process's user is how that is shown (`init/process.py`)."""
    document["process"]["wherry.shown"] = (process.user.uid, process.user.gid)
    document["process"]["user"] |= {"uid": 0, "gid": 0, "additionalGids": []}
