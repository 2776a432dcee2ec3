"""A container's part in networks, held by its monitor: a connection to the keeper, who is started on need."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from wherry.base import locks, unixsockets, values
from wherry.base.errors import Unsupported, WherryError
from wherry.networks import packets
from wherry.networks.definition import Networks
from wherry.networks.links import new_namespace
from wherry.networks.packets import Joined, Wanted
from wherry.networks.roster import spoken
from wherry.runtime import modes
from wherry.runtime.init import linux
from wherry.runtime.modes import Mode
from wherry.runtime.standing import stand_alone

_SOCKET = "control"
_MENDING = 10.0
"""Seconds in which another container's monitor replaces a keeper that was killed."""

_GONE = "the keeper of the networks was killed"


class Membership:
    """Begins with `join`. The process must have one thread, as long as it lasts."""

    def __init__(self, root: str, container: str, servers: Sequence[str]) -> None:
        self._root = root
        self._folder = f"{root}/networks/keeper"
        self._container = container
        self._servers = tuple(servers)
        self._joined: dict[str, Joined] = {}
        self._connection: socket.socket | None = None
        self._spaces: list[int] = []
        """Descriptors of the keeper's namespaces: that of its bridges, for users, for mounts."""
        self._present = -1
        self._mode = ""

    def join(self, isolation: str, *, is_late: bool = False) -> None:
        """Find the keeper or start one, in the mode `isolation`. WherryError where neither can be.

        This process must be in no mode yet; `enter` is next. With `is_late` it is in one already, and the
        keeper must be there: Unsupported where that has not the same user namespace.
        """
        end = time.monotonic() + _MENDING
        _make(self._folder)
        while not self._try(isolation, is_late):
            if time.monotonic() > end:
                raise WherryError(
                    f"{_GONE}, and no monitor of its containers has started another",
                    hint="stop the containers that are on networks, and start them again",
                )
            time.sleep(0.05)
        if is_late and not os.path.samestat(os.fstat(self._spaces[1]), os.stat("/proc/self/ns/user")):
            self.close()
            raise Unsupported(
                "a container that runs in a user namespace of its own cannot come to a network",
                hint="stop it, connect it, and start it again",
            )

    def enter(self, isolation: str) -> Mode:
        """Enter the keeper's mode, where devices of its networks can be put into a container's name space."""
        if isolation not in (modes.AUTO, self._mode):
            raise Unsupported(
                f"--isolation {isolation}: the containers on networks here run in the mode {self._mode}",
                hint=f"--isolation {self._mode}, or stop those containers first",
            )
        return modes.join(self._spaces[1])

    def attach(self, wanted: Wanted, netns: int) -> Joined:
        """Connect the container's network name space (a descriptor) to a network."""
        # So that nobody deletes it meanwhile. The keeper itself never waits: those who delete wait for it.
        with Networks(self._root).locked(shared=True):
            answer = self._ask({"do": "attach", "wanted": wanted}, [netns])
        joined = values.decode(Joined, answer["endpoint"])
        self._joined[joined.network.id] = joined
        return joined

    def rename(self, names: Callable[[Joined], Sequence[str]]) -> None:
        """Give the container other names on all of its networks."""
        for network, joined in self._joined.items():
            called = spoken(names(joined))
            if called != joined.names:
                self._joined[network] = joined._replace(names=called)
                self._ask({"do": "rename", "network": network, "names": called})

    def detach(self, network: str) -> None:
        """Leave the network with that ID."""
        self._joined.pop(network, None)
        self._ask({"do": "detach", "network": network})

    def fileno(self) -> int:
        """A descriptor that becomes readable when the keeper is gone: `mend` is next."""
        assert self._connection
        return self._connection.fileno()

    def mend(self) -> None:
        """Find the keeper that another monitor has started, or start one, and tell it of this container."""
        with locks.locked(self._folder):
            if not self._meet():
                _start(self._root, self._folder, self._resume, self._spaces)
                if not self._meet():
                    raise WherryError(_GONE)
            for joined in self._joined.values():
                self._exchange({"do": "adopt", "endpoint": joined})

    def close(self) -> None:
        """Leave all networks; the keeper ends with the last that does."""
        if self._connection:
            self._connection.close()
        packets.close([*self._spaces, *([self._present] if self._present >= 0 else [])])
        self._connection, self._spaces, self._present = None, [], -1

    def _resume(self) -> tuple[str, int]:
        """In a process that is to be the next keeper: away from the container's mounts, which would last as
        long as it otherwise."""
        linux.join(self._spaces[2], linux.CLONE_NEWNS)
        return self._mode, self._spaces[0]

    def _try(self, isolation: str, is_late: bool) -> bool:
        """Whether there is a keeper now; not yet where one was killed that others are about to replace."""
        with locks.locked(self._folder):
            if not self._meet():
                if is_late or _has_members(self._folder):
                    return False
                _start(self._root, self._folder, lambda: (modes.enter(isolation).name, new_namespace()), [])
                if not self._meet():
                    raise WherryError(_GONE)
            self._present = os.open(f"{self._folder}/members", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._present, fcntl.LOCK_SH)
            return True

    def _meet(self) -> bool:
        """Have a connection to the keeper, where there is one."""
        if self._connection:
            self._connection.close()
        while connection := _connect(self._folder):
            self._connection = connection
            request = {"do": "join", "container": self._container, "servers": self._servers}
            try:
                answer, spaces = self._exchange(request)
            except BrokenPipeError:
                connection.close()
                time.sleep(0.01)  # it is being killed, and its socket is closed in a moment
                continue
            packets.close(self._spaces)
            self._spaces, self._mode = spaces, answer["mode"]
            return True
        self._connection = None
        return False

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """An answer, of another keeper where this one is killed meanwhile."""
        try:
            return self._exchange(request, descriptors)[0]
        except BrokenPipeError:
            self.mend()
            return self._exchange(request, descriptors)[0]

    def _exchange(
        self, request: dict[str, Any], descriptors: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """BrokenPipeError where the keeper is gone."""
        assert self._connection
        return _exchange(self._connection, request, descriptors)


def users(root: str, network: str) -> int:
    """How many running containers are on the network with that ID."""
    folder = f"{root}/networks/keeper"
    _make(folder)
    with locks.locked(folder):
        connection = _connect(folder)
        if connection is None:
            # Killed: it is not known who is on what until another one is told.
            return 1 if _has_members(folder) else 0
        with connection:
            try:
                count: int = _exchange(connection, {"do": "users", "network": network})[0]["count"]
            except BrokenPipeError:
                return 1  # it is being killed
            return count


def _exchange(
    connection: socket.socket, request: dict[str, Any], descriptors: Sequence[int] = ()
) -> tuple[dict[str, Any], list[int]]:
    try:
        packets.send(connection, request, descriptors)
        packet = packets.receive(connection)
    except ConnectionResetError:
        raise BrokenPipeError from None
    if packet is None:
        raise BrokenPipeError
    packets.check(packet[0])
    return packet


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise WherryError(f"cannot write to {folder}: {error.strerror}") from None


def _connect(folder: str) -> socket.socket | None:
    try:
        return unixsockets.connect(folder, _SOCKET)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def _has_members(folder: str) -> bool:
    descriptor = os.open(f"{folder}/members", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _start(root: str, folder: str, prepare: Callable[[], tuple[str, int]], keep: Sequence[int]) -> None:
    """Fork a keeper and wait until it listens. `prepare`, which it calls, gives its mode and the name space
    of its networks; `keep` are descriptors that this needs. It is nobody's to wait for."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            if os.fork() == 0:
                _become_keeper(root, folder, prepare, {writer, *keep}, writer)
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    if not told:
        raise WherryError("the keeper of the networks could not start", hint=f"{folder}/log has more")
    packets.check(json.loads(told))


def _become_keeper(
    root: str, folder: str, prepare: Callable[[], tuple[str, int]], keep: set[int], writer: int
) -> NoReturn:
    def ready() -> None:
        os.write(writer, b"{}")
        os.close(writer)

    try:
        stand_alone(f"{folder}/log", keep, "wherry: networks")
        from wherry.networks.keeper import keep as run

        mode, netns = prepare()
        if mode == "chroot":
            raise Unsupported("networks cannot be made in the mode chroot: they need namespaces of their own")
        run(root, unixsockets.listen(folder, _SOCKET), mode, netns, ready)
    except WherryError as error:
        os.write(writer, json.dumps(packets.failure(error)).encode())
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        what = WherryError(f"cannot make networks: {place}{error.strerror}")
        os.write(writer, json.dumps(packets.failure(what)).encode())
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)
