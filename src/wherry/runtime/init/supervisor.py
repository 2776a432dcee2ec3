"""The first process of a pid namespace in which crun or runc makes a container and this waits for its end.

Those two leave a container to whoever is there, and let it outlive wherry. Here it is the supervisor's
child, and dies with it. The order names the `program` with its global options, the `bundle` folder and the
container's `id`. The `rootfs` is mounted on a folder of the bundle, and the container's `mounts` on folders
beside it, by the code of the built-in runtime: so the program is given paths that nobody else can change.
The places for them in the root are made by that code too, where links cannot lead out, and are reported.
`hide_cgroups` is for crun, which stops where it finds both kinds of cgroups.
"""

from __future__ import annotations

import _socket
import os
import stat
import struct

from . import channel, linux, rootfs
from .process import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .channel import Created


def run(order: dict[str, Any], wherry: _socket.socket) -> NoReturn:
    os.chdir(order["bundle"])  # sockets have short names there, however long its own is
    _hide(order)
    created = _mount(order)
    listener = _listen() if order["terminal"] else None
    pid = _create(order)
    if not order["opens_devices"]:
        _close_devices(pid)
    channel.announce_birth(wherry, pid)
    if not channel.await_go(wherry):
        _spawn(order, ["delete", "--force", order["id"]])
        os._exit(1)
    console = _receive(listener) if listener else None
    _call(order, ["start", order["id"]])
    channel.announce_start(wherry, created, console)
    if console is not None:
        os.close(console)
    wherry.close()
    code = _await(pid)
    _spawn(order, ["delete", "--force", order["id"]])
    os._exit(code)


def _hide(order: dict[str, Any]) -> None:
    """Mounts that only this namespace sees: its own /proc, and no cgroups."""
    linux.make_private()
    _cover("/proc", linux.new_mount("proc", [], 0))
    if order["hide_cgroups"]:
        _cover("/sys/fs/cgroup", linux.new_mount("tmpfs", [], 0))


def _mount(order: dict[str, Any]) -> Created:
    """The root and the container's mounts, in the bundle; the mount points that had to be made."""
    tree = linux.open_tree(order["rootfs"], recursive=True)
    if not order["opens_devices"]:
        linux.set_attributes(tree, linux.MOUNT_ATTR_NODEV, recursive=True)
    _cover("rootfs", tree)
    root = os.open("rootfs", os.O_PATH | os.O_DIRECTORY)
    created: Created = []
    for entry, place in order["mounts"]:
        mount = rootfs.detached(entry)
        if mount is None:
            continue
        is_folder = stat.S_ISDIR(os.fstat(mount).st_mode)
        if not is_folder:
            os.rmdir(place)
            os.mknod(place)
        _cover(place, mount)
        target = entry["destination"]
        if target.startswith(("/dev/", "/proc/", "/sys/")):
            continue  # the program mounts what it is in
        try:
            os.close(rootfs.make_place(root, target, is_folder, created))
        except OSError as error:
            raise rootfs.refused(entry, error) from None
    for target in ("/proc", "/dev", "/sys"):
        os.close(rootfs.make_place(root, target, True, created))
    os.close(root)
    return created


def _cover(path: str, tree: int) -> None:
    place = os.open(path, os.O_PATH)
    linux.attach(tree, place)
    os.close(place)
    os.close(tree)


def _create(order: dict[str, Any]) -> int:
    """The container, waiting to be started; its pid here."""
    words = ["create", "--bundle", order["bundle"], "--pid-file", "pid"]
    if order["terminal"]:
        words += ["--console-socket", "console"]
    _call(order, [*words, order["id"]], keep_output=True)
    with open("pid", "rb") as file:
        return int(file.read())


def _close_devices(pid: int) -> None:
    """Have the container's root keep device nodes of the image closed, whatever the program made of the mount
    that it was given: crun takes `nodev` back where it binds it. Nothing of the container runs yet."""
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    child = linux.clone(0)
    if not child:
        try:
            linux.join(namespace, linux.CLONE_NEWNS)
            root = os.open("/", os.O_PATH | os.O_DIRECTORY)
            linux.set_attributes(root, linux.MOUNT_ATTR_NODEV, recursive=False)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(namespace)
    if _await(child):
        raise Failed("cannot keep device nodes of the container closed")


def _call(order: dict[str, Any], words: list[str], *, keep_output: bool = False) -> None:
    if _spawn(order, words, keep_output=keep_output):
        with open("log", "rb") as log:
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
    return channel.exit_code(state)


def _listen() -> _socket.socket:
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind("console")
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
