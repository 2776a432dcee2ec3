"""RUN: a process in the snapshot, its output to whoever watches, what it changed as a layer."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from wherry.base.errors import WherryError
from wherry.base.events import Emit, Output
from wherry.base.tuples import NamedTuple
from wherry.build.operations import masking
from wherry.build.operations.mounts import Lent
from wherry.build.step import Run
from wherry.layer.entry import FILE
from wherry.runtime import etcfiles, users
from wherry.runtime.hostca import BUNDLE_MAKERS, HostCA, host_ca
from wherry.runtime.spec import DEFAULT_PATH, Conditions, Container, Mount, Process
from wherry.snapshot.view import View

HOSTNAME = "wherry"
_TAIL = 20
"""Lines of output that the error of a failed step shows."""


class Surroundings(NamedTuple):
    """What a step's process has from this host and is no input: none of it may reach a layer or a digest."""

    host_ca: bool = False
    proxies: tuple[tuple[str, str], ...] = ()
    network: str = "host"
    conditions: Conditions = Conditions()


class Failure(WherryError):
    """A process that did not succeed: `why`, and its exit code, docker's where it could not be executed."""

    def __init__(self, command: str, why: str, code: int, log: Log) -> None:
        self.why = why
        self.code = code
        super().__init__(
            f'process "{command}" did not complete successfully: {why}',
            hint=log.whereabouts(),
            excerpt=log.tail(),
        )


def container(
    operation: Run, rootfs: str, parent: View, scratch: str, surroundings: Surroundings, lent: Lent
) -> Container:
    """The process as docker gives it: the image's variables, HOME of its user, this host's names resolved.

    Files to be mounted are made in `scratch`; `lent` are the mounts that the instruction asks for.
    """
    user = users.find(operation.user, parent.read_if_there("etc/passwd"), parent.read_if_there("etc/group"))
    authorities = _authorities(operation, parent) if surroundings.host_ca else HostCA((), ())
    environment = {"PATH": DEFAULT_PATH, "HOME": user.home} | dict(lent.sockets) | dict(surroundings.proxies)
    environment |= dict(item.partition("=")[::2] for item in authorities.env)
    environment |= dict(operation.environment) | dict(lent.environment)
    network = surroundings.network if operation.network == "default" else operation.network
    conditions = surroundings.conditions
    return Container(
        id=os.path.basename(scratch),
        rootfs=rootfs,
        process=Process(
            args=operation.args,
            env=tuple(f"{key}={value}" for key, value in environment.items()),
            cwd=operation.folder,
            user=user,
            limits=conditions.limits,
        ),
        mounts=(
            *_host_names(scratch, etcfiles.more_hosts(conditions.hosts, network)),
            *_scripts(operation, scratch),
            *authorities.mounts,
            *lent.mounts,
        ),
        hostname=HOSTNAME,
        network=network,
        shm_size=conditions.shm_size,
        caches=tuple(mount.target for mount in operation.mounts if mount.kind == "cache"),
    )


def _authorities(operation: Run, parent: View) -> HostCA:
    """The host's bundle; not over the image's own where that is to be made anew: it could not be replaced."""
    texts = (*operation.args, *(text for _, text in operation.scripts))
    makes_bundles = any(program in text for program in BUNDLE_MAKERS for text in texts)

    def is_covered(path: str) -> bool:
        found = None if makes_bundles else parent.get(path)
        return found is not None and found.entry.kind == FILE

    return host_ca(is_covered)


def _host_names(scratch: str, more_hosts: str) -> tuple[Mount, ...]:
    """/etc/hosts, /etc/resolv.conf and /etc/hostname for the time of the process."""
    texts = {
        "hosts": etcfiles.hosts(HOSTNAME) + more_hosts,
        "hostname": f"{HOSTNAME}\n",
        "resolv.conf": etcfiles.read_own("resolv.conf"),
    }
    return tuple(_file_mount(scratch, f"/etc/{name}", text, 0o644) for name, text in texts.items())


def _scripts(operation: Run, scratch: str) -> tuple[Mount, ...]:
    return tuple(_file_mount(scratch, f"/dev/pipes/{name}", text, 0o755) for name, text in operation.scripts)


def _file_mount(scratch: str, target: str, text: str, mode: int) -> Mount:
    source = f"{scratch}/mount-{target.replace('/', '-')}"
    with open(source, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(source, mode)
    return Mount("bind", source, target, ("ro",), movable=True)


class Log:
    """A step's output: all of it in a file, each piece to the watcher as it comes, secrets in neither."""

    def __init__(self, path: str, vertex: int, emit: Emit) -> None:
        self.path = path
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - lives as long as the step
        self._vertex = vertex
        self._emit = emit
        self._problem = ""
        self._masked: dict[int, masking.Masked] = {}

    def mask(self, secrets: Sequence[bytes]) -> None:
        """From here on, none of these may be in what is shown or kept."""
        words = masking.words(secrets)
        self._masked = {stream: masking.Masked(words) for stream in (1, 2)} if words else {}

    def write(self, stream: int, data: bytes) -> None:
        self._tell(stream, self._masked[stream].take(data) if self._masked else data)

    def end(self, stream: int) -> None:
        """No more comes of this stream."""
        if self._masked:
            self._tell(stream, self._masked[stream].rest())

    def _tell(self, stream: int, data: bytes) -> None:
        """A log that cannot be written does not end the step: what the step itself says matters more."""
        if not data:
            return
        if not self._problem:
            self._keep(data)
        self._emit(Output(self._vertex, stream, data, time.monotonic()))

    def whereabouts(self) -> str:
        if self._problem:
            return f"not all of the output could be kept ({self._problem}); `wherry prune` frees disk space"
        return f"the whole output is in {self.path}"

    def _keep(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self._problem = error.strerror or str(error)

    def close(self, keep: bool) -> None:
        self._file.close()
        if not keep:
            os.unlink(self.path)

    def tail(self) -> str:
        with open(self.path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 64 * 1024))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL:])
