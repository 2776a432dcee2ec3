"""What a step may do to a root filesystem, as values that hypothesis draws."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from hypothesis import strategies as st

from support.realtrees import SECOND


class Change(NamedTuple):
    """`function(root, *arguments)`"""

    function: Callable[..., object]
    arguments: tuple[object, ...]

    def __repr__(self) -> str:
        return f"{self.function.__name__}{self.arguments}"


FOLDERS = ["a", "a/a", "a/b", "a/a/a", "b", "b/a", os.fsdecode(b"b/\xe9")]
FILES = ["c", "a/c", "a/a/b", "a/a/a/a", "a/b/c", "b/b", "b/a/a", os.fsdecode(b"b/\xe9/\xff")]
NEW = ["d", "a/d", "a/a/c", "b/c", "b/a/.w", os.fsdecode(b"\xff"), "b/:,\\\n%", "a/" + "n" * 255]
paths = st.sampled_from(FOLDERS + FILES + NEW)
modes = st.sampled_from([0o600, 0o755, 0o4755, 0o1777, 0o000, 0o2711, 0o7777])
owners = st.sampled_from([0, 1000, 65000])
times = st.sampled_from([-(10**9), 0, 1, 10**9, 4 * 10**9, 2**33 + 1]).map(
    lambda seconds: seconds * SECOND + 7
)


def opened(root: str, path: str, flags: int = 0) -> BinaryIO:
    """For reading and writing, without waiting where it is a pipe."""
    descriptor = os.open(f"{root}/{path}", os.O_RDWR | os.O_NONBLOCK | flags, 0o644)
    return open(descriptor, "r+b", buffering=0)


def write(root: str, path: str, content: bytes) -> None:
    with opened(root, path, os.O_CREAT | os.O_TRUNC) as file:
        file.write(content)


def append(root: str, path: str) -> None:
    with opened(root, path, os.O_CREAT | os.O_APPEND) as file:
        file.write(b"more")


def open_only(root: str, path: str) -> None:
    """Copies the file up, and changes nothing."""
    opened(root, path).close()


def sparse(root: str, path: str) -> None:
    with opened(root, path, os.O_CREAT | os.O_TRUNC) as file:
        file.seek(300_000)
        file.write(b"end")


def grow(root: str, path: str) -> None:
    """A hole at the end."""
    os.truncate(f"{root}/{path}", 400_000)


def delete(root: str, path: str) -> None:
    full = f"{root}/{path}"
    if os.path.isdir(full) and not os.path.islink(full):
        shutil.rmtree(full)
    else:
        os.unlink(full)


def mkdir(root: str, path: str, mode: int) -> None:
    os.mkdir(f"{root}/{path}", mode)


def renew(root: str, path: str) -> None:
    """Replaces a folder by a new one of its name: overlay marks it opaque."""
    delete(root, path)
    os.mkdir(f"{root}/{path}")


def make_file_of(root: str, path: str) -> None:
    delete(root, path)
    write(root, path, b"was something else")


def make_folder_with_one(root: str, path: str) -> None:
    delete(root, path)
    os.mkdir(f"{root}/{path}")
    write(root, f"{path}/c", b"new in a new folder")


def make_and_remove(root: str, path: str) -> None:
    os.mkdir(f"{root}/{path}")
    os.rmdir(f"{root}/{path}")


def listen(root: str, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{root}/{path}")


def set_xattr(root: str, path: str, name: str) -> None:
    capability = b"\1\0\0\2" + b"\1\0\0\0" + bytes(12)  # cap_chown+ep, revision 2
    value = capability if name == "security.capability" else b"value\0\xff"
    os.setxattr(f"{root}/{path}", name, value, follow_symlinks=False)


def set_acl(root: str, path: str, name: str) -> None:
    """user::rw-, user:1000:rwx, group::r--, mask::rwx, other::--- (Linux: posix_acl_xattr.h)."""
    nobody = 2**32 - 1
    entries = [(1, 6, nobody), (2, 7, 1000), (4, 4, nobody), (16, 7, nobody), (32, 0, nobody)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(f"{root}/{path}", f"system.posix_acl_{name}", value, follow_symlinks=False)


def remove_xattr(root: str, path: str) -> None:
    os.removexattr(f"{root}/{path}", "user.one", follow_symlinks=False)


def chmod(root: str, path: str, mode: int) -> None:
    os.chmod(f"{root}/{path}", mode)


def chown(root: str, path: str, owner: int) -> None:
    os.chown(f"{root}/{path}", owner, owner, follow_symlinks=False)


def touch(root: str, path: str, time: int) -> None:
    os.utime(f"{root}/{path}", ns=(time, time), follow_symlinks=False)


def symlink(root: str, path: str, target: str) -> None:
    os.symlink(target, f"{root}/{path}")


def mkfifo(root: str, path: str) -> None:
    os.mkfifo(f"{root}/{path}")


def mknod(root: str, path: str, kind: int) -> None:
    os.mknod(f"{root}/{path}", 0o640 | kind, os.makedev(1, 3))


def rename(root: str, path: str, target: str) -> None:
    os.rename(f"{root}/{path}", f"{root}/{target}")


def move(root: str, path: str, target: str) -> None:
    """As mv does it: a folder of lower layers cannot be renamed, and is copied."""
    if f"{target}/".startswith(f"{path}/"):
        return
    shutil.move(f"{root}/{path}", f"{root}/{target}")


def link(root: str, path: str, target: str) -> None:
    os.link(f"{root}/{path}", f"{root}/{target}", follow_symlinks=False)


def of(function: Callable[..., object], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Change]:
    return st.tuples(paths, *arguments).map(lambda drawn: Change(function, drawn))


def of_root(
    function: Callable[..., object], argument: st.SearchStrategy[object]
) -> st.SearchStrategy[Change]:
    return argument.map(lambda drawn: Change(function, ("", drawn)))


change: st.SearchStrategy[Change] = st.one_of(
    of(write, st.sampled_from([b"", b"one", b"two", bytes(5000)])),
    of(mkdir, modes),
    of(mkdir, modes),
    of(append),
    of(open_only),
    of(sparse),
    of(grow),
    of(delete),
    of(renew),
    of(make_file_of),
    of(make_folder_with_one),
    of(make_and_remove),
    of(listen),
    of(set_xattr, st.sampled_from(["user.one", "user.two", "security.capability"])),
    of(remove_xattr),
    of(set_acl, st.sampled_from(["access", "default"])),
    of(chmod, modes),
    of(chown, owners),
    of(touch, times),
    of(symlink, st.sampled_from(["a", "/b/c", "../..", "nowhere", "long" * 100])),
    of(mkfifo),
    of(mknod, st.sampled_from([stat.S_IFCHR, stat.S_IFBLK])),
    of(rename, paths),
    of(rename, paths),
    of(move, paths),
    of(link, paths),
    of_root(chmod, modes),
    of_root(chown, owners),
    of_root(set_xattr, st.just("user.one")),
    of_root(touch, times),
)
FIRST = [
    *(Change(mkdir, (path, 0o755)) for path in FOLDERS),
    *(Change(write, (path, path.encode(errors="replace"))) for path in FILES),
    Change(symlink, ("s", "a")),
    Change(link, ("c", "b/linked")),
]
steps = st.lists(st.lists(change, max_size=10), min_size=1, max_size=3).map(lambda drawn: [FIRST, *drawn])


def apply(root: str, step: list[Change]) -> None:
    for one in step:
        try:
            one.function(root, *one.arguments)
        except OSError:
            pass  # no such file, or one too many: a change that cannot be made
