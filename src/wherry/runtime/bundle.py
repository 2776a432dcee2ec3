"""A container as an OCI runtime-spec `config.json` (version 1.0.2), the words that every runtime takes.

The surroundings are Docker's: moby, oci/defaults.go. Two fields are ours: a mount's `wherry.root`
(`Mount.root`), which the built-in runtime understands and `oci.py` resolves for the others; and
`wherry.devices`, where device nodes that the container makes can be opened.
"""

from __future__ import annotations

import posixpath
from typing import Any

from wherry.base.errors import WherryError
from wherry.runtime.spec import Container, Device, Mount, Process, User

ROOT_KEY = "wherry.root"
DEVICES_KEY = "wherry.devices"


def config(container: Container, *, in_user_namespace: bool = False) -> dict[str, Any]:
    """The document for `container`; `in_user_namespace` leaves out what its root may not set."""
    linux: dict[str, Any] = {
        "namespaces": _namespaces(container.network),
        "maskedPaths": list(container.masked_paths),
        "readonlyPaths": list(container.read_only_paths),
    }
    if container.network in ("none", "private"):
        linux["sysctl"] = _sysctl(in_user_namespace)
    if container.sysctls:
        linux["sysctl"] = linux.get("sysctl", {}) | dict(container.sysctls)
    opens_devices = container.privileged and not in_user_namespace
    if opens_devices:
        linux[DEVICES_KEY] = True
    document: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": _process(container.process),
        "root": {"path": container.rootfs, "readonly": container.read_only},
        "mounts": _standard_mounts(container.shm_size, container.privileged)
        + [_mount(mount, opens_devices) for mount in container.mounts]
        + [_device(device) for device in container.devices],
        "linux": linux,
    }
    if container.annotations:
        document["annotations"] = dict(container.annotations)
    if container.hostname:
        document["hostname"] = container.hostname
    return document


def _namespaces(network: str) -> list[dict[str, str]]:
    own = [{"type": name} for name in ("pid", "mount", "ipc", "uts", "cgroup")]
    if network == "host":
        return own
    if network.startswith("/"):
        return [*own, {"type": "network", "path": network}]
    if network not in ("none", "private"):
        raise WherryError(f"unknown network {network!r}: it is host, none, private or a path")
    return [*own, {"type": "network"}]


def _sysctl(in_user_namespace: bool) -> dict[str, str]:
    """In a network of its own any user of a container may use low ports and send pings, as docker has it."""
    low_ports = {"net.ipv4.ip_unprivileged_port_start": "0"}
    return low_ports if in_user_namespace else low_ports | {"net.ipv4.ping_group_range": "0 2147483647"}


def _process(process: Process) -> dict[str, Any]:
    if not process.args:
        raise WherryError("there is no command to run")
    score = {} if process.oom_score_adj is None else {"oomScoreAdj": process.oom_score_adj}
    return {
        "terminal": process.terminal,
        "user": _user(process.user),
        "args": list(process.args),
        "env": [item for item in process.env if "=" in item],
        "cwd": process.cwd,
        "capabilities": _capabilities(process),
        "noNewPrivileges": process.no_new_privileges,
        "rlimits": [
            {"type": limit.name, "soft": limit.soft % 2**64, "hard": limit.hard % 2**64}
            for limit in process.limits
        ],
        **score,
    }


def _user(user: User) -> dict[str, Any]:
    return {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups), "umask": 0o022}


def _capabilities(process: Process) -> dict[str, list[str]]:
    """Nothing is inheritable (CVE-2022-24769) or ambient; a user other than root has a bounding set alone."""
    names = list(process.capabilities)
    held = names if process.user.uid == 0 else []
    return {"bounding": names, "effective": held, "permitted": held, "inheritable": [], "ambient": []}


def _standard_mounts(shm_size: int, privileged: bool) -> list[dict[str, Any]]:
    careful = ["nosuid", "noexec", "nodev"]
    sys = careful if privileged else [*careful, "ro"]
    return [
        _entry("proc", "proc", "/proc", careful),
        _entry("tmpfs", "tmpfs", "/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _entry("devpts", "devpts", "/dev/pts", [
            "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
        ]),
        _entry("sysfs", "sysfs", "/sys", sys),
        _entry("mqueue", "mqueue", "/dev/mqueue", careful),
        _entry("tmpfs", "shm", "/dev/shm", [*careful, "mode=1777", f"size={shm_size}"]),
    ]  # fmt: skip


def _mount(mount: Mount, opens_devices: bool) -> dict[str, Any]:
    """A mount of the caller's. The target is cleaned by its letters first, as docker does."""
    target = posixpath.normpath("/" + mount.target.lstrip("/"))
    if not mount.target.startswith("/"):
        raise WherryError(f"mount target {mount.target} is not an absolute path")
    if target == "/":
        raise WherryError("a mount's target cannot be /")
    options = list(mount.options)
    if mount.kind == "tmpfs":
        return _entry("tmpfs", "tmpfs", target, ["nosuid", "nodev", *options])
    if mount.kind != "bind":
        raise WherryError(f"unknown kind of mount {mount.kind!r} for {target}: it is bind or tmpfs")
    if not mount.root and not mount.source.startswith("/"):
        raise WherryError(f"mount source {mount.source} is not an absolute path")
    if "bind" not in options and "rbind" not in options:
        options.insert(0, "rbind")
    if "dev" not in options and not opens_devices:
        options.append("nodev")
    entry = _entry("bind", mount.source, target, options)
    return entry | {ROOT_KEY: mount.root} if mount.root else entry


def _device(device: Device) -> dict[str, Any]:
    """Read-only is the file, not the device: its mode and owner are the host's to change."""
    return _entry("bind", device.source, device.target, ["bind", "nosuid", "noexec", "ro"])


def _entry(kind: str, source: str, target: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": options}
