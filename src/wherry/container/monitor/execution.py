"""Another process in a running container: what `exec` asks a monitor for, and the process that it means."""

from __future__ import annotations

import json
import os
import stat

from wherry.base.errors import WherryError
from wherry.base.paths import Root
from wherry.base.tuples import NamedTuple
from wherry.container.options import environment
from wherry.container.state import Spec
from wherry.runtime import spec as runtime
from wherry.runtime import users

_LARGEST = 8 << 20
"""Bytes that are read of a container's /etc/passwd."""


class Order(NamedTuple):
    """`user` and `working_dir` are the container's where they are empty."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    terminal: bool = False
    interactive: bool = False
    privileged: bool = False

    def encode(self) -> bytes:
        return json.dumps(self).encode("ascii")


def decode(raw: bytes) -> Order:
    """WherryError for what no `encode` has made."""
    try:
        args, env, *others = json.loads(raw)
        return Order(tuple(args), tuple(env), *others)
    except (ValueError, TypeError):
        raise WherryError("the container's monitor does not understand what it is to execute") from None


def process(order: Order, spec: Spec, container: runtime.Container) -> runtime.Process:
    """What the container's runtime is to execute; the variables are the container's with the order's."""
    passwd, group = _read(container.rootfs, "etc/passwd"), _read(container.rootfs, "etc/group")
    user = users.find(order.user or spec.user, passwd, group, spec.rights.groups)
    asked = {item.partition("=")[0] for item in spec.env}
    of_the_first = {"HOME", "TERM"} - asked
    kept = [item for item in container.process.env if item.partition("=")[0] not in of_the_first]
    return container.process._replace(
        args=order.args,
        env=environment.complete(
            environment.merge(kept, order.env),
            hostname=spec.hostname,
            home=user.home,
            terminal=order.terminal,
        ),
        cwd=order.working_dir or spec.working_dir,
        user=user,
        terminal=order.terminal,
        capabilities=_all() if order.privileged else container.process.capabilities,
    )


def _all() -> tuple[str, ...]:
    from wherry.runtime import capabilities

    return capabilities.available()


def _read(rootfs: str, path: str) -> bytes:
    """A file of the container's, empty where there is none.

    Its processes may have put anything there: what is no file is not opened.
    """
    try:
        with Root(rootfs, follow=True) as root:
            held = root.open(path, os.O_PATH)
            try:
                if not stat.S_ISREG(os.fstat(held).st_mode):
                    raise WherryError(f"/{path} of the container is not a file")
                # O_NONBLOCK: one that a process has a lease of would keep the monitor waiting (fcntl(2)).
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
                with open(os.open(f"/proc/self/fd/{held}", flags), "rb") as file:
                    return file.read(_LARGEST)
            finally:
                os.close(held)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise WherryError(f"cannot read /{path} of the container: {error.strerror}") from None
