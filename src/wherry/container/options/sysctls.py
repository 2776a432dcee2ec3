"""`--sysctl`: settings of the kernel that belong to a container's own namespaces."""

from __future__ import annotations

import re

from wherry.base.errors import Unsupported, UsageError

_IPC = frozenset({
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
})  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")


def parse(word: str) -> tuple[str, str]:
    """`name=value`, the name with dots. Unsupported for one of the whole machine's."""
    name, equals, value = word.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not _NAME.fullmatch(name) or not value.isprintable():
        raise UsageError(f"invalid --sysctl {word}", hint="write NAME=VALUE, such as net.core.somaxconn=1024")
    if name not in _IPC and not name.startswith(("net.", "fs.mqueue.")):
        raise Unsupported(
            f"--sysctl {name}: this setting is the whole machine's, not a container's",
            hint="a container has its own net.*, fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm*",
        )
    return name, value


def check(name: str, network: str) -> None:
    if name.startswith("net.") and network == "host":
        raise UsageError(f"--sysctl {name}: with --network host this is the host's own setting")
