"""crun and runc, through the same `config.json` as the built-in runtime.

What differs: mount points that they make are not reported (`Running.created` is empty), and where no cgroup
guards the devices, in crun without cgroups, CAP_MKNOD is withheld from a container of the machine's root.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any, Self

from wherry.base.errors import NotFound, WherryError
from wherry.runtime import bundle, idmap, seccomp
from wherry.runtime.helper import ExecFailed, Helper, Running
from wherry.runtime.init import linux
from wherry.runtime.spec import Container

_CGROUPS = "/sys/fs/cgroup"


class Oci:
    """A runtime installed on this machine, by name ("crun", "runc") or path. See `helper.Runtime`."""

    def __init__(self, program: str) -> None:
        found = shutil.which(program)
        if not found:
            raise NotFound(f"the runtime {program} is not installed", hint=f"sudo apt-get install {program}")
        self._in_user_namespace = idmap.in_user_namespace()
        self._scratch = tempfile.mkdtemp(prefix="wherry-")
        self._numbers = itertools.count()
        self._program = [found, "--root", f"{self._scratch}/state"]
        self._crun_without_cgroups = "crun" in os.path.basename(found) and not _own_cgroups()
        if self._crun_without_cgroups:
            self._program.append("--cgroup-manager=disabled")
        self._helper = Helper()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._helper.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def start(
        self,
        container: Container,
        stdin: int,
        stdout: int,
        stderr: int,
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        name = f"wherry-{os.getpid()}-{next(self._numbers)}"
        folder = f"{self._scratch}/{name}"
        os.mkdir(folder)
        document = bundle.config(container, in_user_namespace=self._in_user_namespace)
        if container.seccomp:
            document["linux"]["seccomp"] = seccomp.profile(container.process.capabilities)
        binds = _take_binds(document, folder)
        if self._crun_without_cgroups and not self._in_user_namespace:
            _withhold(document, "CAP_MKNOD")
        if self._in_user_namespace and container.network == "host":
            _share_sys(document)
        with open(f"{folder}/config.json", "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(document, file, ensure_ascii=False)
        order = {
            "program": [*self._program, "--log", f"{folder}/log", "--log-format", "json"],
            "bundle": folder,
            "id": name,
            "terminal": container.process.terminal,
            "binds": binds,
            "hide_cgroups": self._crun_without_cgroups and os.path.isdir(f"{_CGROUPS}/unified"),
        }
        try:
            return self._helper.run(
                order, linux.CLONE_NEWPID | linux.CLONE_NEWNS, (stdin, stdout, stderr), ready
            )
        except WherryError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _explained(error) from None


def _own_cgroups() -> bool:
    """Whether crun may make cgroups here: version 2 alone, and writable."""
    return os.path.exists(f"{_CGROUPS}/cgroup.controllers") and os.access(_CGROUPS, os.W_OK)


def _take_binds(document: dict[str, Any], folder: str) -> list[tuple[str, str, int, str]]:
    """The root, without devices, and sources inside other roots: what the supervisor mounts first."""
    binds = [(document["root"]["path"], "/", linux.MOUNT_ATTR_NODEV, f"{folder}/rootfs")]
    document["root"]["path"] = f"{folder}/rootfs"
    for entry in document["mounts"]:
        root = entry.pop(bundle.ROOT_KEY, None)
        if root:
            place = f"{folder}/source-{len(binds)}"
            binds.append((root, entry["source"], linux.MOUNT_ATTR_NODEV, place))
            entry["source"] = place
    for *_, place in binds:
        os.mkdir(place)
    return binds


def _withhold(document: dict[str, Any], capability: str) -> None:
    for names in document["process"]["capabilities"].values():
        if capability in names:
            names.remove(capability)


def _share_sys(document: dict[str, Any]) -> None:
    """Who does not own the network namespace cannot mount a sysfs: show the host's, read-only."""
    for entry in document["mounts"]:
        if entry["type"] == "sysfs":
            entry |= {
                "type": "bind",
                "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
            }


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
        text in words for text in ("permission denied", "not permitted", "is a directory", "format error")
    ):
        return ExecFailed(message, 126)
    return WherryError(message)
