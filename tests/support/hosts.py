"""Every way in which a process can be run here: each runtime, as root and for an ordinary user.

What a user namespace changes shows only in a process that is in one, for good: there the runtimes run in a
process of their own, which is sent containers and sends back their first processes.
"""

from __future__ import annotations

import itertools
import os
import pickle
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from support import ordinary, programs
from wherry.base.errors import WherryError
from wherry.runtime.helper import ExecFailed, Running, Start
from wherry.runtime.runtime import Runtime
from wherry.runtime.runtimes import open_runtime
from wherry.runtime.spec import Container

FIRST_SUBID = 200_000
PROGRAMS = ("native", "crun", "runc")
_REFUSED = "the test's ready has failed"
HOSTS = [f"{mode}-{program}" for mode in ("root", "userns") for program in PROGRAMS]


class Host(NamedTuple):
    """`home` is a folder that the runtime reaches; None as root, who reaches all."""

    runtime: Runtime
    program: str
    home: Path | None = None

    @property
    def is_root(self) -> bool:
        return self.home is None

    @property
    def is_native(self) -> bool:
        return self.program == "native"


@contextmanager
def host(name: str, folder: Path) -> Iterator[Host]:
    """One of `HOSTS`; skips where the program is missing."""
    mode, program = name.split("-")
    if program != "native":
        programs.require(program)
    if mode == "root":
        with open_runtime(program, str(folder)) as runtime:
            yield Host(runtime, program)
        return
    programs.require("root", "newuidmap", "setpriv")
    with ordinary.user() as someone, _Elsewhere(someone, program) as elsewhere:
        yield Host(elsewhere, program, someone.home)


class _Elsewhere(Runtime):
    """A runtime in a process of an ordinary user."""

    def __init__(self, someone: ordinary.User, program: str) -> None:
        self._home = someone.home
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [*someone.prefix, sys.executable, __file__, program, str(someone.home)]
        self._lock = threading.Lock()
        paths = os.pathsep.join(sys.path)
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), env=os.environ | {"PYTHONPATH": paths}
            )
        assert self._control.recv(16) == b"ready"

    def close(self) -> None:
        self._control.close()
        self._process.wait(30)

    def attend(self, arguments: Sequence[str], stdin: int, output: int) -> Running:
        raise NotImplementedError

    def start(
        self,
        container: Container,
        stdin: int,
        stdout: int,
        stderr: int,
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        hand_over(self._home)
        for descriptor in (stdin, stdout, stderr):
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.fchown(descriptor, ordinary.UID, ordinary.UID)
        with self._lock:
            return self._start(container, (stdin, stdout, stderr), ready)

    def _start(
        self, container: Container, stdio: tuple[int, int, int], ready: Callable[[int], None] | None
    ) -> Running:
        order = os.memfd_create("order")
        os.write(order, pickle.dumps((container, ready is not None)))
        socket.send_fds(self._control, [b"start"], [order, *stdio])
        os.close(order)
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 3)
            kind, *values = pickle.loads(data)
            if kind == "running":
                pid, created = values
                console = descriptors[2] if len(descriptors) > 2 else -1
                return Running(pid, descriptors[0], descriptors[1], Start(created, console))
            if kind == "failed":
                message, code = values
                raise ExecFailed(message, code) if code else WherryError(message)
            assert ready is not None
            try:
                ready(values[0])
            except BaseException:
                self._control.send(b"no")
                _, message, _ = pickle.loads(self._control.recv(1 << 16))
                if message != _REFUSED:
                    raise WherryError(message) from None
                raise
            self._control.send(b"yes")


def hand_over(folder: Path) -> None:
    """Give root's files to the user, and those of others to the ids that they have in his namespace."""
    for path in itertools.chain([folder], folder.rglob("*")):
        state = path.lstat()
        if state.st_uid < ordinary.UID or state.st_gid < ordinary.UID:
            mode = state.st_mode & 0o7777
            os.chown(path, inside(state.st_uid), inside(state.st_gid), follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(mode)  # chown takes the setuid bit away


def inside(number: int) -> int:
    """The id of this machine that `number` stands for in the user's namespace."""
    if number >= ordinary.UID:
        return number
    return FIRST_SUBID + number - 1 if number else ordinary.UID


def _serve(program: str, folder: str) -> None:
    from wherry.runtime import modes

    modes.enter("userns")
    control = socket.socket(fileno=os.dup(0))
    with open_runtime(program, folder) as runtime:
        control.send(b"ready")
        while True:
            data, descriptors, _, _ = socket.recv_fds(control, 16, 4)
            if not data:
                return
            _answer(control, runtime, descriptors)


def _answer(control: socket.socket, runtime: Runtime, descriptors: list[int]) -> None:
    order, stdin, stdout, stderr = descriptors
    container, has_ready = pickle.loads(os.pread(order, 1 << 24, 0))

    def ready(pid: int) -> None:
        control.send(pickle.dumps(("ready", pid)))
        if control.recv(16) != b"yes":
            raise WherryError(_REFUSED)

    try:
        running: Any = runtime.start(container, stdin, stdout, stderr, ready if has_ready else None)
    except WherryError as error:
        code = error.exit_code if isinstance(error, ExecFailed) else 0
        control.send(pickle.dumps(("failed", error.message, code)))
    else:
        sent = [running._pidfd, running._status] + ([running.console] if running.console >= 0 else [])
        socket.send_fds(control, [pickle.dumps(("running", running.pid, running.created))], sent)
        for descriptor in sent:
            os.close(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
