"""The helper process, seen from wherry, and the containers that it runs.

One helper serves any number of containers at once, started from any thread. See `init/` for its side.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.runtime.init import linux
from wherry.runtime.init.channel import BORN, FAILED, GO, LISTENING, READY
from wherry.runtime.mounts import Created

_START = "import sys; sys.path.append(sys.argv[1]); from init.zygote import main; main()"
_HELPER_ENDED = "the helper process of the built-in runtime has ended"
JOINING = 10.0
"""Seconds that a process may take to enter a container, whose own processes could stop it on its way."""
_PROCESS_GROUP = 4  # PIDFD_SIGNAL_PROCESS_GROUP of pidfd_send_signal(2)
_FAILED = struct.Struct("=ci")
_PACKET = 64 << 10  # the longest message of a child: the mount points it made


class ExecFailed(WherryError):
    """The command could not be executed: not found (exit code 127) or not executable (126)."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


class Server(Protocol):
    """Answers the system calls that a container waits with."""

    def wait(self) -> int:
        """Until its last process is gone; 0 where all were answered."""

    def ended(self) -> bool:
        """Whether `wait` returns at once."""


class Hooks(NamedTuple):
    """What the caller does for a child: `ready` gets its pid before it goes on; `serve` starts what answers
    on a descriptor, for one whose calls are heard; `clear_up` comes when all of it is gone."""

    ready: Callable[[int], None] | None = None
    serve: Callable[[int], Server] | None = None
    clear_up: Callable[[], None] | None = None


class Start(NamedTuple):
    """How a child came to execute its command."""

    created: tuple[Created, ...] = ()
    console: int = -1
    server: Server | None = None
    is_heard: bool = True


class Running:
    """A container's first process.

    `pid` is its number in wherry's pid namespace, until the end has been waited for. `console` is the
    terminal's master side or -1; the caller closes it. `created` are the mount points that had to be made.
    `is_heard`: its system calls are heard, where they are to be; the kernel may refuse that.
    `clear_up` is called once, by `wait`, when all of its processes are gone.
    """

    def __init__(
        self,
        pid: int,
        pidfd: int,
        status: int,
        start: Start,
        clear_up: Callable[[], None] | None = None,
    ) -> None:
        self.pid = pid
        self.console = start.console
        self.created = start.created
        self.is_heard = start.is_heard
        self._clear_up = clear_up
        self._pidfd = pidfd
        self._status = status
        self._code: int | None = None
        self._server = start.server
        self._waiting = threading.Lock()
        self._signalling = threading.Lock()

    @property
    def pidfd(self) -> int:
        """Of the first process, until its end has been waited for."""
        return self._pidfd

    def fileno(self) -> int:
        """A descriptor that becomes readable when the container has ended; valid until `wait` returns."""
        return self._status

    def ended(self, timeout: float = 0) -> bool:
        """Whether it has ended, or does so within `timeout` seconds."""
        import select

        if self._code is not None:
            return True
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def wait(self) -> int:
        """Its exit code, 128 + n where signal n ended it. All its processes are gone by then."""
        with self._waiting:
            if self._code is None:
                report = os.read(self._status, 4)
                self._close()
                # Without a report the helper has ended first, and the kernel has killed the container.
                self._code = struct.unpack("=i", report)[0] if report else 128 + signal.SIGKILL
                if self._clear_up:
                    self._clear_up()
                if self._server and self._server.wait() and report:
                    raise WherryError("the process that hears the system calls of a container has failed")
            return self._code

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the first process; SIGKILL ends all of the container. Nothing if it has ended.

        As the first process of a pid namespace it ignores all other signals that it has no handler for.
        """
        with self._signalling:
            if self._pidfd >= 0:
                try:
                    signal.pidfd_send_signal(self._pidfd, number)
                except ProcessLookupError:
                    pass

    def kill_group(self) -> None:
        """SIGKILL to a process that has joined a container, and to all that it has started in its group."""
        with self._signalling:
            if self._pidfd >= 0:
                try:
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL, None, _PROCESS_GROUP)
                    return
                except ProcessLookupError:
                    return
                except OSError:
                    pass  # before Linux 6.9 the process alone can be meant
        self.kill()

    def _close(self) -> None:
        with self._signalling:
            os.close(self._pidfd)
            os.close(self._status)
            self._pidfd = self._status = -1


Steps = Generator[int, None, Running]
"""A process that comes to run: it yields the descriptor that has to be readable before it can go on, so that
an event loop need not wait with it; it returns the process, or raises. Closed early, it leaves nothing."""


def complete(steps: Steps) -> Running:
    """Wait until it runs."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        running: Running = end.value
        return running


def held_up() -> WherryError:
    """Why a process has not come to run within JOINING."""
    return WherryError("the process did not come to run in the container: something holds it up")


class Helper:
    """The helper process, which starts at once in the background. Close it to end all of its containers.

    It shares the caller's mount namespace: `modes.enter` comes first. It ends with the process that made it.
    """

    def __init__(self, *, jails: bool = False) -> None:
        """With `jails` its containers have no namespaces: `init/jail.py`."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._has_worked = False
        with theirs:
            self._pid = _spawn(theirs.fileno(), jails)

    def end(self) -> None:
        """Have the helper end, and every container that still runs; nobody waits until they have."""
        if self._control.fileno() >= 0:
            if not self._has_worked:
                # It may not even have started yet, and has nothing to end.
                os.kill(self._pid, signal.SIGKILL)
            self._control.shutdown(socket.SHUT_RDWR)  # seen by the helper though a fork may have copies
            self._control.close()

    def close(self) -> None:
        """End the helper and every container that still runs."""
        self.end()
        if self._pid:
            os.waitpid(self._pid, 0)
            self._pid = 0

    def run(
        self,
        order: dict[str, Any],
        flags: int,
        stdio: tuple[int, int, int],
        hooks: Hooks = Hooks(),  # noqa: B008 - a frozen value
    ) -> Running:
        """Have a child forked into the namespaces of `flags`, and `order` carried out there."""
        return complete(self.steps(order, flags, stdio, hooks))

    def steps(
        self,
        order: dict[str, Any],
        flags: int,
        stdio: tuple[int, int, int],
        hooks: Hooks,
        target: Sequence[int] = (),
    ) -> Steps:
        """As `run`; `target` are the descriptors of a container to be entered (`init/joining.py`)."""
        self._has_worked = True
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        if target:
            ours.settimeout(JOINING)
        status, their_status = os.pipe()
        pid, pidfd, start = 0, -1, Start()
        with ours:
            try:
                try:
                    self._request(order, flags, (*stdio, theirs.fileno(), their_status, *target))
                finally:
                    theirs.close()
                    os.close(their_status)
                yield ours.fileno()
                pid, pidfd = _expect_birth(ours)
                if hooks.ready:
                    _call(hooks.ready, pid, ours)
                _release(ours)
                yield ours.fileno()
                start = _expect_ready(ours)
                expected = {LISTENING, BORN} if target else {LISTENING}
                yield ours.fileno()
                data, ancillary = _receive(ours)
                while data in expected:
                    expected.remove(data)
                    if data == LISTENING:
                        # Before the next message: its own calls wait for answers from now on.
                        server = _served(_descriptor(ancillary), hooks.serve)
                        start = start._replace(server=server, is_heard=server is not None)
                    else:
                        maker = pidfd
                        pid, pidfd = _born(data, ancillary)
                        os.close(maker)
                    yield ours.fileno()
                    data, ancillary = _receive(ours)
                if data or BORN in expected:
                    raise _failure(data)
            except BaseException:
                _abandon(ours, pidfd, status)
                if start.console >= 0:
                    os.close(start.console)
                if start.server:
                    start.server.wait()
                raise
        return Running(pid, pidfd, status, start, hooks.clear_up)

    def attend(self, arguments: Sequence[str], stdin: int, output: int) -> Running:
        """See `runtime.Runtime.attend`."""
        return self.run({"attendant": list(arguments)}, 0, (stdin, output, output))

    def _request(self, order: dict[str, Any], flags: int, descriptors: tuple[int, ...]) -> None:
        written = os.memfd_create("wherry-order")
        try:
            os.write(written, marshal.dumps(order))
            socket.send_fds(self._control, [struct.pack("=Q", flags)], [written, *descriptors])
        except BrokenPipeError:
            raise WherryError(_HELPER_ENDED) from None
        finally:
            os.close(written)


def _abandon(channel: socket.socket, pidfd: int, status: int) -> None:
    """Leave nothing of a container that did not come to run. Who waits for a go learns that there is none."""
    channel.shutdown(socket.SHUT_RDWR)
    if pidfd >= 0:
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended by itself
        os.read(status, 4)
        os.close(pidfd)
    os.close(status)


def _spawn(control: int, jails: bool) -> int:
    folder = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, "-I", "-S", "-E", "-X", "utf8", "-c", _START, folder]
    # A session of its own from the first instruction on: a terminal's Ctrl-C is wherry's to handle.
    actions = [(os.POSIX_SPAWN_DUP2, control, 0)]
    if jails:
        # Nothing can be mounted; nor does a container without /proc come by the helper's program.
        return os.posix_spawn(sys.executable, [*command, "jail"], {}, file_actions=actions, setsid=True)
    python = _sealed(sys.executable)
    try:
        return os.posix_spawn(f"/proc/self/fd/{python}", command, {}, file_actions=actions, setsid=True)
    finally:
        os.close(python)


def _sealed(program: str) -> int:
    """A descriptor of `program` by which nobody can write to it: in a read-only mount without a place.

    An image may ask for /proc/self/exe as its command, or as the interpreter of its command: that is the
    helper's own program then, with the image's libraries, which could open it for writing (CVE-2019-5736).
    """
    tree = linux.open_tree(program, recursive=False)
    linux.set_attributes(tree, linux.MOUNT_ATTR_RDONLY, recursive=False)
    return tree


def _expect_birth(channel: socket.socket) -> tuple[int, int]:
    data, ancillary = _receive(channel)
    if not data:
        raise WherryError(_HELPER_ENDED)
    return _born(data, ancillary)


def _born(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    """The child's pid, from the credentials that the kernel puts on a message, and its pidfd."""
    if data != BORN:
        raise _failure(data)
    messages = {kind: value for _, kind, value in ancillary}
    pid: int = struct.unpack("=3i", messages[socket.SCM_CREDENTIALS])[0]
    pidfd: int = struct.unpack("=i", messages[socket.SCM_RIGHTS])[0]
    return pid, pidfd


def _call(ready: Callable[[int], None], pid: int, channel: socket.socket) -> None:
    """Where the set-up has failed meanwhile, that is the error to tell, and not what came of it here."""
    try:
        ready(pid)
    except Exception:
        try:
            data, _ = _receive(channel, socket.MSG_DONTWAIT)
        except BlockingIOError:
            data = b""
        if data[:1] == FAILED:
            raise _failure(data) from None
        raise


def _receive(channel: socket.socket, flags: int = 0) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    """One message with what comes beside it; no bytes at the end.

    A child that ends with a message of ours unread resets the channel: that is told once, and before what the
    child itself has said, which is there to be read all the same.
    """
    space = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4)
    try:
        data, ancillary, _, _ = channel.recvmsg(_PACKET, space, flags)
    except TimeoutError:
        raise held_up() from None
    except ConnectionResetError:
        data, ancillary, _, _ = channel.recvmsg(_PACKET, space, flags)
    return data, ancillary


def _release(channel: socket.socket) -> None:
    try:
        channel.send(GO)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has failed already, and has said why


def _expect_ready(channel: socket.socket) -> Start:
    """Mount points made, and the terminal."""
    data, ancillary = _receive(channel)
    if data[:1] != READY:
        raise _failure(data)
    return Start(tuple(Created(*item) for item in marshal.loads(data[1:])), _descriptor(ancillary))


def _served(listener: int, serve: Callable[[int], Server] | None) -> Server | None:
    """What answers on `listener`, which is closed here; None where the kernel gave none."""
    if listener < 0 or serve is None:
        return None
    try:
        return serve(listener)
    finally:
        os.close(listener)


def _descriptor(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The one that came with a message, or -1."""
    for _, kind, value in ancillary:
        if kind == socket.SCM_RIGHTS:
            return int.from_bytes(value, sys.byteorder)
    return -1


def _failure(data: bytes) -> WherryError:
    if data[:1] != FAILED:
        return WherryError("the container's process ended while it was being set up")
    # It may come from a process that the container's own have got hold of: numbers and text, nothing else.
    if len(data) < _FAILED.size:
        return WherryError("the container's process ended while it was being set up")
    _, code = _FAILED.unpack_from(data)
    message = data[_FAILED.size :].decode(errors="replace")
    return ExecFailed(message, code) if code else WherryError(message)
