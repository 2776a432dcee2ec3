"""Programs of another machine: an emulator of the host's, in a user namespace of the container's own.

Since Linux 6.7 a user namespace may have registrations of binfmt_misc of its own (kernel documentation,
binfmt-misc.rst); they hold for its processes and for nobody else's, so the host's stay as they are. The
namespace has the same ids as the one around it: files keep their owners. A process made here registers the
emulator and is gone; the mount that keeps the registration lies where nobody comes, below the container's
/proc (`rootfs.build`), and the command enters the namespace last of all (`process.execute`).
"""

from __future__ import annotations

import _socket
import errno
import os
import struct

from . import linux
from .process import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

CANNOT = "cannot emulate another machine's programs"
_TOO_OLD = (errno.EPERM, errno.ENODEV)
_MOST_BYTES = 4096


def prepare(order: dict[str, Any]) -> tuple[int, int]:
    """Descriptors of the user namespace and of the mount of its binfmt_misc, which is not attached yet.

    The order has the emulator's `path` and its `registration`, which names it by that path.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    proc = linux.new_mount("proc", [], 0)  # the one at /proc has other numbers
    pid = linux.clone(0)
    if not pid:
        ours.close()
        _register(order, theirs)
    theirs.close()
    try:
        _expect(ours)
        namespace = os.open(f"{pid}/ns/user", os.O_RDONLY, dir_fd=proc)
        _keep_ids(proc, pid)
        ours.send(b"go")
        return namespace, _expect(ours)
    finally:
        ours.close()
        os.close(proc)
        os.waitpid(pid, 0)


def _register(order: dict[str, Any], container: _socket.socket) -> NoReturn:
    """In a process of its own, which ends with this."""
    what = "make a user namespace"
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        container.send(b"ready")
        if not container.recv(1):
            os._exit(1)
        what = "have binfmt_misc in a user namespace"
        mount = linux.new_mount("binfmt_misc", [], 0)
        what = f"register {order['path']}"
        _seal(order["path"])
        file = os.open("register", os.O_WRONLY, dir_fd=mount)
        os.write(file, order["registration"])
        os.close(file)
        linux.set_attributes(mount, linux.MOUNT_ATTR_RDONLY, recursive=False)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("=i", mount))]
        container.sendmsg([b"ready"], rights)
    except OSError as error:
        more = " (Linux has it since 6.7)" if "binfmt_misc" in what and error.errno in _TOO_OLD else ""
        container.send(f"{CANNOT}: cannot {what}: {error.strerror}{more}".encode(errors="replace"))
    finally:
        os._exit(0)


def _seal(path: str) -> None:
    """Have the emulator, as it is opened for the registration, be one that nobody can write to.

    The container's root comes by it as /proc/1/exe (CVE-2019-5736).
    """
    tree = linux.open_tree(path, recursive=False)
    linux.set_attributes(tree, linux.MOUNT_ATTR_RDONLY, recursive=False)
    place = os.open(path, os.O_PATH)
    linux.attach(tree, place)


def _keep_ids(proc: int, pid: int) -> None:
    for name in ("uid_map", "gid_map"):
        with open(os.open(f"self/{name}", os.O_RDONLY, dir_fd=proc), "rb") as own:
            lines = [line.split() for line in own]
        text = b"".join(b"%b %b %b\n" % (first, first, size) for first, _, size in lines)
        file = os.open(f"{pid}/{name}", os.O_WRONLY, dir_fd=proc)
        try:
            os.write(file, text)
        except OSError as error:
            raise Failed(f"{CANNOT}: cannot map ids: {error.strerror}") from None
        finally:
            os.close(file)


def _expect(process: _socket.socket) -> int:
    """The descriptor that came with a message of the process, or -1; Failed with what it says went wrong."""
    data, ancillary, _, _ = process.recvmsg(_MOST_BYTES, _socket.CMSG_SPACE(4))
    if data != b"ready":
        raise Failed(data.decode() or f"{CANNOT}: what registers an emulator was killed")
    for _, _, value in ancillary:
        descriptor: int = struct.unpack("=i", value)[0]
        return descriptor
    return -1
