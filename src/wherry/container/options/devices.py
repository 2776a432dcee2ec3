"""`--device`: nodes of the host's that a container may open, as far as the user may."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence

from wherry.base.errors import Denied, NotFound, Unsupported, UsageError
from wherry.runtime.spec import Device

_MODE = re.compile(r"[rwm]{1,3}")
_STANDARD = frozenset(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
_OWN = _STANDARD | {f"/dev/{name}" for name in ("console", "ptmx", "fd", "stdin", "stdout", "stderr", "core")}
"""What every container has of its own."""
_OTHER_FOLDERS = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
"""Folders of /dev that hold none of the machine's devices (moby, pkg/devices)."""


def parse(word: str) -> Device:
    """`source[:target][:rwm]`; `source` is a node, or a folder with nodes below it."""
    parts = word.split(":")
    if "=" in parts[0] and not parts[0].startswith("/"):
        raise Unsupported(
            f"--device {word}: devices of CDI are not supported", hint="write a path, /dev/fuse"
        )
    mode = parts.pop() if len(parts) > 1 and (len(parts) == 3 or _MODE.fullmatch(parts[-1])) else "rwm"
    source, target = parts[0], parts[-1]
    if (
        len(parts) > 2
        or not _MODE.fullmatch(mode)
        or not source.startswith("/")
        or not target.startswith("/")
    ):
        raise UsageError(f"invalid --device {word}", hint="write PATH[:PATH IN THE CONTAINER][:rwm]")
    if not {"r", "w"} <= set(mode):
        raise Unsupported(
            f"--device {word}: a device is given for reading and writing together",
            hint="leave the last part out; the device's own mode says what its user may do",
        )
    target = posixpath.normpath("/" + target.lstrip("/"))
    if target in _OWN and target != source:
        raise UsageError(f"--device {word}: every container has a {target} of its own")
    return Device(source, target)


def check(devices: Sequence[Device]) -> None:
    """NotFound, UsageError or Denied for one that cannot be given."""
    for device in devices:
        found = list(_nodes(device))
        if not found:
            raise UsageError(f"--device {device.source}: there is no device node in this folder")


def given(devices: Sequence[Device], *, every: bool) -> tuple[Device, ...]:
    """The nodes to mount; with `every`, all of the host's that this process may open."""
    found = {node.target: node for node in _openable("/dev")} if every else {}
    for device in devices:
        found |= {node.target: node for node in _nodes(device)}
    return tuple(node for target, node in found.items() if target not in _OWN)


def _nodes(device: Device) -> Iterator[Device]:
    """What a user has named: a node that he may not open is an error."""
    try:
        mode = os.stat(device.source).st_mode
    except OSError as error:
        raise NotFound(f"--device {device.source}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        for inner in _openable(device.source):
            yield Device(inner.source, device.target + inner.source.removeprefix(device.source))
        return
    if not _is_node(mode):
        raise UsageError(f"--device {device.source}: this is not a device node")
    if not _may_open(device.source):
        raise Denied(
            f"--device {device.source}: you may not open it, and what runs in a container has your rights"
        )
    yield device


def _openable(folder: str) -> Iterator[Device]:
    for name in sorted(os.listdir(folder)):
        path = f"{folder.rstrip('/')}/{name}"
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and not (folder == "/dev" and name in _OTHER_FOLDERS):
            yield from _openable(path)
        elif _is_node(mode) and _may_open(path):
            yield Device(path, path)


def _is_node(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _may_open(path: str) -> bool:
    return os.access(path, os.R_OK, effective_ids=True) or os.access(path, os.W_OK, effective_ids=True)
