"""The first process of a pid namespace in which crun or runc makes a container and this waits for its end.

Those two leave a container to whoever is there, and let it outlive wherry. Here it is the supervisor's
child, and dies with it. The order names the `program` with its global options, the `bundle` folder and the
container's `id`; `binds` are (root, source, attributes, place): mounts made here first, so that the program
is given paths that nobody else can change; `hide_cgroups` is for crun, which stops where it finds both kinds
of cgroups.
"""

from __future__ import annotations

import _socket
import os
import struct

from . import channel, linux
from .process import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def run(order: dict[str, Any], wherry: _socket.socket) -> NoReturn:
    _prepare(order)
    listener = _listen(order["bundle"]) if order["terminal"] else None
    pid = _create(order)
    channel.announce_birth(wherry, pid)
    channel.await_go(wherry)
    console = _receive(listener) if listener else None
    _call(order, ["start", order["id"]])
    channel.announce_start(wherry, [], console)
    if console is not None:
        os.close(console)
    wherry.close()
    code = _await(pid)
    _spawn(order, ["delete", "--force", order["id"]])
    os._exit(code)


def _prepare(order: dict[str, Any]) -> None:
    """Mounts that only this namespace sees: its own /proc, and what the bundle refers to."""
    linux.make_private()
    _cover("/proc", linux.new_mount("proc", [], 0))
    if order["hide_cgroups"]:
        _cover("/sys/fs/cgroup", linux.new_mount("tmpfs", [], 0))
    for root, source, attributes, place in order["binds"]:
        outer = os.open(root, os.O_PATH | os.O_DIRECTORY)
        try:
            inner = linux.open_in_root(outer, source)
            tree = linux.open_tree("", recursive=True, directory=inner)
            linux.set_attributes(tree, attributes, recursive=True)
            if not os.path.isdir(f"/proc/self/fd/{tree}"):
                os.rmdir(place)
                os.mknod(place)
            _cover(place, tree)
        except OSError as error:
            raise Failed(f"cannot mount {source}: {error.strerror}") from None
        os.close(inner)
        os.close(outer)


def _cover(path: str, tree: int) -> None:
    place = os.open(path, os.O_PATH)
    linux.attach(tree, place)
    os.close(place)
    os.close(tree)


def _create(order: dict[str, Any]) -> int:
    """The container, waiting to be started; its pid here."""
    bundle = order["bundle"]
    words = ["create", "--bundle", bundle, "--pid-file", f"{bundle}/pid"]
    if order["terminal"]:
        words += ["--console-socket", f"{bundle}/console"]
    _call(order, [*words, order["id"]], keep_output=True)
    with open(f"{bundle}/pid", "rb") as file:
        return int(file.read())


def _call(order: dict[str, Any], words: list[str], *, keep_output: bool = False) -> None:
    if _spawn(order, words, keep_output=keep_output):
        with open(f"{order['bundle']}/log", "rb") as log:
            raise Failed(log.read(8192).decode(errors="replace"))


def _spawn(order: dict[str, Any], words: list[str], *, keep_output: bool = False) -> int:
    """Run the program with these words; its exit code. A container is given the output it is created with."""
    command = [*order["program"], *words]
    null = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in range(3)]
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    child = os.posix_spawn(command[0], command, environment, file_actions=[] if keep_output else null)
    return _await(child)


def _await(pid: int) -> int:
    """The exit code of a child, 128 + n for signal n."""
    _, state = os.waitpid(pid, 0)
    return 128 + os.WTERMSIG(state) if os.WIFSIGNALED(state) else os.WEXITSTATUS(state)


def _listen(bundle: str) -> _socket.socket:
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(f"{bundle}/console")
    listener.listen(1)
    return listener


def _receive(listener: _socket.socket) -> int:
    """The terminal's master side, which the program has sent."""
    descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # accept() is in the socket module
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
    _, ancillary, _, _ = connection.recvmsg(4096, _socket.CMSG_SPACE(4))
    connection.close()
    listener.close()
    console: int = struct.unpack("=i", ancillary[0][2])[0]
    return console
