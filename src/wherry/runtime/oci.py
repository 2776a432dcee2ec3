"""crun and runc, through the same `config.json` as the built-in runtime.

What differs: where no cgroup guards the devices, in crun without cgroups, CAP_MKNOD is withheld from a
container of the machine's root.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
from collections.abc import Callable
from typing import Any

from wherry.base.errors import Unsupported, WherryError
from wherry.runtime import bundle, idmap, profiles, seccomp
from wherry.runtime.cgroups.group import LEFTOVER, remove_leftovers
from wherry.runtime.helper import ExecFailed, Helper, Hooks, Running
from wherry.runtime.init import linux
from wherry.runtime.runtime import Runtime, Serve
from wherry.runtime.spec import Container

_CGROUPS = "/sys/fs/cgroup"
_KEPT = ("ro", "nosuid", "nodev", "noexec")
"""Options of a mount that a program must not take back when it binds the mount to its place."""


class Oci(Runtime):
    """A runtime installed on this machine, the absolute path `program`.

    Its bundles and states are in `folder`, which goes with the caller.
    """

    def __init__(self, program: str, folder: str, helper: Helper | None = None) -> None:
        self._in_user_namespace = idmap.in_user_namespace()
        self._folder = folder
        self._numbers = itertools.count()
        self._program = [program, "--root", f"{folder}/state"]
        self._crun_without_cgroups = "crun" in os.path.basename(program) and not _own_cgroups()
        if self._crun_without_cgroups:
            self._program.append("--cgroup-manager=disabled")
        remove_leftovers()
        super().__init__(helper or Helper())

    def start(
        self,
        container: Container,
        stdin: int,
        stdout: int,
        stderr: int,
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        _refuse_mounts_in_caches(container)
        name = f"{LEFTOVER}{os.getpid()}.{next(self._numbers)}"
        folder = f"{self._folder}/{name}"
        os.mkdir(folder)
        _check_text(container)
        document = bundle.config(container, in_user_namespace=self._in_user_namespace)
        if container.profile:
            own = profiles.parse(container.profile, container.process.capabilities)
            document["linux"]["seccomp"] = profiles.as_oci(own)
        elif container.seccomp:
            document["linux"]["seccomp"] = seccomp.profile(container.process.capabilities)
        count = len(document["mounts"])
        own_mounts = len(container.mounts) + len(container.devices)
        mounts = _take_mounts(document, range(count - own_mounts, count), folder)
        document["root"]["path"] = f"{folder}/rootfs"
        os.mkdir(f"{folder}/rootfs")
        if self._crun_without_cgroups and not self._in_user_namespace and not container.privileged:
            _withhold(document, "CAP_MKNOD")
        if not self._crun_without_cgroups and not self._in_user_namespace:
            document["linux"]["resources"] = {"devices": _allowed(container)}
        if self._in_user_namespace and container.network == "host":
            number = _show_sys(document)
            mounts += _take_mounts(document, range(number, number + 1), folder)
        with open(f"{folder}/config.json", "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(document, file, ensure_ascii=False)
        order = {
            "program": [*self._program, "--log", f"{folder}/log", "--log-format", "json"],
            "bundle": folder,
            "id": name,
            "terminal": container.process.terminal,
            "rootfs": container.rootfs,
            "mounts": mounts,
            "opens_devices": bundle.DEVICES_KEY in document["linux"],
            "hide_cgroups": self._crun_without_cgroups and os.path.isdir(f"{_CGROUPS}/unified"),
        }
        try:
            return self._helper.run(
                order, linux.CLONE_NEWPID | linux.CLONE_NEWNS, (stdin, stdout, stderr), Hooks(ready)
            )
        except WherryError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _explained(error) from None

    def _confine(self, document: dict[str, Any], container: Container) -> Serve | None:
        if self._crun_without_cgroups and not self._in_user_namespace and not container.privileged:
            _withhold(document, "CAP_MKNOD")
        return super()._confine(document, container)


def _allowed(container: Container) -> list[dict[str, Any]]:
    """What the cgroup that guards the devices is to let through, besides what it always does."""
    if container.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = []
    for device in container.devices:
        node = os.stat(device.source)
        kind = "b" if stat.S_ISBLK(node.st_mode) else "c"
        numbers = {"major": os.major(node.st_rdev), "minor": os.minor(node.st_rdev)}
        rules.append({"allow": True, "type": kind, **numbers, "access": "rwm"})
    return rules


def _own_cgroups() -> bool:
    """Whether crun may make cgroups here: version 2 alone, and writable."""
    return os.path.exists(f"{_CGROUPS}/cgroup.controllers") and os.access(_CGROUPS, os.W_OK)


def _check_text(container: Container) -> None:
    """JSON has no bytes that are not UTF-8: crun stops at them, runc changes them."""
    for item in (*container.process.args, *container.process.env):
        if not item.isascii() and any("\udc80" <= letter <= "\udcff" for letter in item):
            name = item.partition("=")[0] if item in container.process.env else item
            shown = name.encode(errors="surrogateescape").decode(errors="replace")
            raise Unsupported(
                f"{shown!r} is not UTF-8, which this runtime cannot give to a process",
                hint="--runtime native can",
            )


def _take_mounts(document: dict[str, Any], which: range, folder: str) -> list[tuple[dict[str, Any], str]]:
    """Mounts of the document, with the bundle's folders that the supervisor is to mount them on.

    The document shows those folders in their stead.
    """
    taken = []
    for number in which:
        entry, place = document["mounts"][number], f"{folder}/mount-{number}"
        os.mkdir(place)
        taken.append((entry, place))
        kept = [option for option in entry["options"] if option in _KEPT]
        document["mounts"][number] = {
            "destination": entry["destination"],
            "type": "bind",
            "source": place,
            "options": ["rbind", *kept],
        }
    return taken


def _refuse_mounts_in_caches(container: Container) -> None:
    """Who writes to the cache at the same time could put a link in the place of the mount point, and these
    runtimes follow it out of the root filesystem where they make one (runc until 1.1.14, CVE-2024-45310)."""
    for mount in container.mounts:
        for cache in container.caches:
            if mount.target.startswith(cache.rstrip("/") + "/"):
                raise Unsupported(
                    f"a mount inside of the cache on {cache} ({mount.target}) needs the built-in runtime",
                    hint="--runtime native, or mount it elsewhere",
                )


def _withhold(document: dict[str, Any], capability: str) -> None:
    for names in document["process"]["capabilities"].values():
        if capability in names:
            names.remove(capability)


def _show_sys(document: dict[str, Any]) -> int:
    """Who does not own the network namespace cannot mount a sysfs: show the host's. The mount's number."""
    for number, entry in enumerate(document["mounts"]):
        if entry["type"] == "sysfs":
            entry |= {"type": "bind", "source": "/sys"}
            return number
    raise AssertionError("every container has a /sys")


def _explained(error: WherryError) -> WherryError:
    """The runtime's own words, out of its log, and docker's exit codes found in them as docker does."""
    message = error.message
    for line in message.splitlines():
        try:
            message = str(json.loads(line)["msg"])
        except (ValueError, KeyError, TypeError):
            continue
    words = message.lower()
    if "exec" not in words:
        return WherryError(message)
    _, found, rest = message.partition("unable to start container process: ")
    message = rest if found else message
    if "not found" in words or "no such file" in words:
        return ExecFailed(message, 127)
    if any(
        text in words
        for text in (
            "permission denied",
            "not permitted",
            "is a directory",
            "not a directory",
            "format error",
        )
    ):
        return ExecFailed(message, 126)
    return WherryError(message)
