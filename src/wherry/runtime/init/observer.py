"""What the processes of a container look at, told by the names in their system calls.

Nothing is looked up here: a name is put down as the process said it, with the folder that it starts from, and
what it meant is found out at the end, from the layers' indexes (wherry/snapshot/tracks.py). So most calls
cost one read of memory and an entry in a dictionary.

The order has `calls`: where the arguments of each call are (wherry/runtime/observed.py), by architecture and
number, none where files are no matter; `sockets`: the calls that make sockets, of which those are heard that
may lead to a network; `has_caches`: whether there are folders whose files are there before and count for
nothing, links excepted.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from . import linux, programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .memory import Memory

_CWD = 0xFFFFFF9C  # AT_FDCWD
_LOW = 0xFFFFFFFF
_O_CREAT_EXCL = 0o300
_O_NOFOLLOW = 0o100000 if os.uname().machine == "aarch64" else 0o400000
_RESOLVE_IN_ROOT = 0x10
_RENAME_EXCHANGE = 2
_FACE, _READ, _ALL = 1, 5, 7
_NOT_FOLLOWED = 3
"""By so many bits what was looked at without following a link is moved to the left."""
_DELETED = b" (deleted)"
_AF_UNIX, _LONGEST_ADDRESS = b"\x01\0", 110
_DEEPEST_SCRIPT = 5
_LOWEST = 4096
"""Nothing can be mapped below this: who gives such an address asks whether there is a call."""


class Observer:
    """`seen`: by root and path, the sum of what was looked at. `changes`: in their order. `problem`: why what
    was looked at cannot be told; empty if it can. `networked`: a socket was made that leads to a network."""

    def __init__(self, memory: Memory, proc: int, order: dict[str, Any]) -> None:
        self.seen: dict[tuple[bytes, bytes], int] = {}
        self.changes: list[tuple[str, bytes, bytes, bytes]] = []
        self.problem = ""
        self.networked = False
        self._memory = memory
        self._proc = proc
        self._calls = order["calls"]
        self._sockets = order["sockets"]
        self._architectures = {architecture for architecture, _ in self._calls}
        self._has_caches = order["has_caches"]
        self.roots_changed = False

    def hear(self, pid: int, architecture: int, number: int, arguments: list[int]) -> None:
        """Put down what a call looks at. The call is waiting, and goes on after this."""
        call = self._calls.get((architecture, number))
        if call is None:
            if (architecture, number) in self._sockets:
                self.networked = True
            if self._calls and architecture not in self._architectures:
                self.problem = programs.OF_32_BITS
            return
        try:
            self._put_down(pid, call, arguments)
        except (ProcessLookupError, FileNotFoundError):
            pass  # the process is gone, or what it says is no name: the call itself fails
        except ValueError as error:
            self.problem = str(error)
        except Exception as error:
            # Whatever happens here: the container goes on, and is not taken for observed.
            self.problem = f"a system call could not be understood ({error!r})"

    def _put_down(self, pid: int, call: tuple[Any, ...], arguments: list[int]) -> None:
        at_path, looks, at_folder, follows, at_flags, bit, effect, second = call
        folder = arguments[at_folder] & _LOW if at_folder >= 0 else _CWD
        name = self._name(pid, arguments[at_path]) if at_path >= 0 else b""
        if effect == "address":
            name = self._socket_name(pid, arguments)
            if not name:
                return
        flags = arguments[at_flags] & _LOW if at_flags >= 0 else 0
        if bit:
            follows = not flags & bit
        if effect == "open":
            looks, follows = _opened(flags)
        elif effect == "open2":
            looks, follows = self._opened_with(pid, arguments[2])
        if not name and at_path >= 0 and not effect:
            return  # fstat(2) and its like: whoever has a descriptor has opened the file
        root = self._root(pid)
        path = self._path(pid, folder, name, root)
        self.see(root, path, looks if follows else looks << _NOT_FOLLOWED)
        if effect in ("made", "linked", "moved", "removed"):
            second_name = self._name(pid, arguments[second[1]]) if second[1] >= 0 else b""
            second_folder = arguments[second[0]] & _LOW if second[0] >= 0 else _CWD
            self._rename(pid, effect, (root, path), (second_folder, second_name))
            if effect == "moved" and flags & _RENAME_EXCHANGE:
                old, new = self.changes[-1][1:3]
                self.changes.append((effect, new, old, root))
        elif effect == "root":
            self.roots_changed = True
        elif effect == "execute":
            self._execute(pid, root, path, b"fd/%d" % folder if not name else b"")

    def _rename(self, pid: int, effect: str, name: tuple[bytes, bytes], second: tuple[int, bytes]) -> None:
        """A change of names: they may lead elsewhere from now on."""
        root, path = name
        if effect == "made":
            self.changes.append((effect, path, b"", root))
        elif effect == "linked":
            self.changes.append((effect, path, second[1], root))
        else:
            self._keep_link(pid, path, root, effect)
        if effect == "moved":
            new = self._path(pid, *second, root)
            self.see(root, new, _ALL << _NOT_FOLLOWED)  # only an empty folder can be replaced
            self.changes.append((effect, path, new, root))

    def see(self, root: bytes, path: bytes, looks: int) -> None:
        key = root, path
        self.seen[key] = self.seen.get(key, 0) | looks

    def _name(self, pid: int, address: int) -> bytes:
        """FileNotFoundError where the kernel takes it for no name either."""
        if address < _LOWEST:
            raise FileNotFoundError
        try:
            return self._memory.read_path(pid, address)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise FileNotFoundError from None
            raise

    def _path(self, pid: int, folder: int, name: bytes, root: bytes) -> bytes:
        """`name` from the folder that it starts from, in the root `root` of the process."""
        if name[:1] == b"/":
            return name
        start = b"%d/cwd" % pid if folder == _CWD else b"%d/fd/%d" % (pid, folder)
        base = os.readlink(start, dir_fd=self._proc)
        if root and base != root and not base.startswith(root + b"/"):
            raise ValueError("a program used a folder outside of its root (chroot)")
        base = base[len(root) :]
        if base.endswith(_DELETED) and not self._is_called(pid, start, base):
            base = base[: -len(_DELETED)]
        return base + b"/" + name if name else base

    def _is_called(self, pid: int, start: bytes, name: bytes) -> bool:
        """Whether `name` is the name of what is open there, and not what the kernel says of a removed one."""
        try:
            file = self._open(pid, name, os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            return os.path.samestat(os.fstat(file), os.stat(start, dir_fd=self._proc))
        finally:
            os.close(file)

    def _root(self, pid: int) -> bytes:
        """The folder that the process takes for its root; empty where it is the container's own."""
        if not self.roots_changed:
            return b""
        root = os.readlink(b"%d/root" % pid, dir_fd=self._proc)
        return b"" if root == b"/" else root

    def _opened_with(self, pid: int, address: int) -> tuple[int, bool]:
        """Of openat2: `struct open_how`."""
        if address < _LOWEST:
            raise FileNotFoundError
        flags, _, resolve = struct.unpack("=QQQ", self._memory.read(pid, address, 24))
        if resolve & _RESOLVE_IN_ROOT:
            raise ValueError("a program opened files in a root of its own (openat2, RESOLVE_IN_ROOT)")
        return _opened(flags)

    def _socket_name(self, pid: int, arguments: list[int]) -> bytes:
        """The name of a socket that is a file; empty for other addresses (unix(7))."""
        if arguments[1] < _LOWEST:
            return b""
        address = self._memory.read(pid, arguments[1], min(arguments[2] & _LOW, _LONGEST_ADDRESS))
        is_file = address[:2] == _AF_UNIX and address[2:3] != b"\0"
        return address[2:].partition(b"\0")[0] if is_file else b""

    def _keep_link(self, pid: int, path: bytes, root: bytes, effect: str) -> None:
        """A link in a cache goes, or gets another name: where it led must be known at the end.

        By which names a process comes to a cache is not known here, so those of other links are kept too. A
        folder may have links in it, and is not gone through for that.
        """
        if not self._has_caches:
            return
        try:
            file = self._open(pid, path, os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            if stat.S_ISLNK(kind := os.fstat(file).st_mode):
                self.changes.append(("linked", path, os.readlink(b"", dir_fd=file), root))
            elif stat.S_ISDIR(kind) and effect == "moved" and self._is_mounted(pid, file):
                raise ValueError("a folder was renamed in a cache")
        finally:
            os.close(file)

    def _is_mounted(self, pid: int, file: int) -> bool:
        """Whether a file is in another mount than the process's root."""
        root = os.open(b"%d/root" % pid, os.O_PATH | os.O_DIRECTORY, dir_fd=self._proc)
        try:
            return self._mount(file) != self._mount(root)
        finally:
            os.close(root)

    def _mount(self, file: int) -> bytes:
        """The number of a file's mount, as proc_pid_fdinfo(5) has it."""
        with open(os.open(b"self/fdinfo/%d" % file, os.O_RDONLY, dir_fd=self._proc), "rb") as lines:
            return next(line for line in lines if line.startswith(b"mnt_id:"))

    # programs

    def _execute(self, pid: int, root: bytes, path: bytes, descriptor: bytes) -> None:
        """The kernel opens the interpreter of a script, and the loader of a program, by itself."""
        for _ in range(_DEEPEST_SCRIPT):
            if path.startswith(b"/proc/") and path.endswith(b"/exe"):
                return  # it is being executed already
            try:
                file = (
                    os.open(b"%d/%s" % (pid, descriptor), os.O_RDONLY | os.O_NONBLOCK, dir_fd=self._proc)
                    if descriptor
                    else self._open(pid, path, os.O_RDONLY | os.O_NONBLOCK)
                )
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError:
                raise ValueError(programs.UNREADABLE) from None
            interpreter = programs.interpreter(file)
            if not interpreter:
                return
            path, descriptor = self._path(pid, _CWD, interpreter, root), b""
            self.see(root, path, _READ)

    def _open(self, pid: int, path: bytes, flags: int) -> int:
        root = os.open(b"%d/root" % pid, os.O_PATH | os.O_DIRECTORY, dir_fd=self._proc)
        try:
            return linux.open_in_root(root, os.fsdecode(path), flags)
        finally:
            os.close(root)


def _opened(flags: int) -> tuple[int, bool]:
    """What open(2) looks at with these flags, and whether it follows a link."""
    if flags & _O_CREAT_EXCL == _O_CREAT_EXCL:
        return _FACE, False
    return _READ, not flags & _O_NOFOLLOW
