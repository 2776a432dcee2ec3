"""The Linux system calls that Python's os module lacks, as thin functions that raise OSError.

The mount functions are the file descriptor API (Linux 5.2; mount_setattr 5.12): a mount is made detached,
given its attributes, and only then attached at an open descriptor, so no path is resolved twice.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_TIME = 0x70
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20

_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_MOST_TRIES = 10_000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MS_PRIVATE, _MS_SLAVE = 1 << 18, 1 << 19
_MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_SECCOMP_SET_MODE_FILTER, _SECCOMP_NEW_LISTENER = 1, 8
_STATX_INO, _STATX_BTIME = 0x100, 0x800
_AT_SYMLINK_NOFOLLOW = 0x100
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_KEYCTL_JOIN_SESSION_KEYRING = 1

# System calls younger than Linux 5.1 have one number on every architecture; these older ones do not.
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 436, 437, 442
_OLD_NAMES = ("clone", "pivot_root", "keyctl", "rt_sigaction", "rt_sigprocmask", "seccomp", "statx")
_OLD_NUMBERS = {
    "x86_64": (56, 155, 250, 13, 14, 317, 332),
    "aarch64": (220, 41, 219, 134, 135, 277, 291),
    "riscv64": (220, 41, 219, 134, 135, 277, 291),
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 6
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def release() -> tuple[int, int]:
    """The kernel's version: its first two numbers."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor[: len(minor) - len(minor.lstrip("0123456789"))])


def clone(flags: int) -> int:
    """fork() into new namespaces. Only for a process with a single thread: no fork handler runs."""
    return call(_old_number("clone"), flags | 17)  # 17: SIGCHLD


def unshare(flags: int) -> None:
    if _libc.unshare(flags) < 0:
        _fail()


def join(namespace: int, kind: int) -> None:
    """Enter a namespace, `kind` being one of CLONE_NEW*; or those kinds of a process's, given its pidfd."""
    if _libc.setns(namespace, kind) < 0:
        _fail()


def open_in_root(root: int, path: str, flags: int = os.O_PATH) -> int:
    """Open `path` as if `root` were "/": neither `..` nor a symbolic link leads out."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_MOST_TRIES):
        try:
            return call(_OPENAT2, root, os.fsencode(path.lstrip("/") or "."), how, len(how))
        except BlockingIOError as error:
            # EAGAIN: somebody on this machine renamed or mounted meanwhile, so `..` might have left the root
            refused = error
    raise refused


def open_tree(path: str, *, recursive: bool, directory: int = AT_FDCWD) -> int:
    """A detached copy of the mount at `path`; an empty path means the descriptor itself."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0) | AT_EMPTY_PATH
    return call(_OPEN_TREE, directory, os.fsencode(path), flags)


def new_mount(kind: str, options: list[tuple[str, str | None]], attributes: int, source: str = "") -> int:
    """A new, detached mount of the filesystem type `kind`."""
    context = call(_FSOPEN, kind.encode(), 1)  # 1: FSOPEN_CLOEXEC
    try:
        call(_FSCONFIG, context, _FSCONFIG_SET_STRING, b"source", os.fsencode(source or kind))
        for name, value in options:
            if value is None:
                call(_FSCONFIG, context, _FSCONFIG_SET_FLAG, name.encode())
            else:
                call(_FSCONFIG, context, _FSCONFIG_SET_STRING, name.encode(), os.fsencode(value))
        call(_FSCONFIG, context, _FSCONFIG_CMD_CREATE)
        return call(_FSMOUNT, context, 1, attributes)  # 1: FSMOUNT_CLOEXEC
    except OSError as error:
        reason = _last_message(context)
        raise OSError(error.errno, reason or error.strerror) from None
    finally:
        os.close(context)


def attach(tree: int, place: int) -> None:
    """Attach the detached mount `tree` on top of what the descriptor `place` names."""
    call(_MOVE_MOUNT, tree, b"", place, b"", _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH)


def detach(path: str) -> None:
    """Unmount what is mounted at `path`, at once; it is gone when its last user is."""
    if _libc.umount2(os.fsencode(path), _MNT_DETACH) < 0:
        _fail()


def set_attributes(tree: int, attributes: int, *, recursive: bool) -> None:
    """Add mount attributes; those that are set already stay, but for the access time, which is replaced."""
    clear = MOUNT_ATTR_TIME if attributes & MOUNT_ATTR_TIME else 0
    value = struct.pack("=QQQQ", attributes, clear, 0, 0)
    call(_MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0), value, len(value))


def make_private() -> None:
    """No mount made here reaches another namespace, nor the other way round."""
    _set_propagation(_MS_PRIVATE)


def make_slave() -> None:
    """No mount made here reaches another namespace; what comes and goes in the parent's does so here."""
    _set_propagation(_MS_SLAVE)


def change_root(root: int) -> None:
    """Make the mount at `root` the root of this mount namespace and drop the old one.

    Both arguments of pivot_root(2) may be the same folder: the old root then lies on top of the new one.
    """
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(root)
    call(_old_number("pivot_root"), b".", b".")
    os.fchdir(old)
    if _libc.umount2(b".", _MNT_DETACH) < 0:
        _fail()
    os.close(old)
    os.chdir("/")


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    call(_CLOSE_RANGE, first, 2**32 - 1, 0)


def die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, 9)


def hide() -> None:
    """Keep others of the same user from looking into this process (ptrace(2), proc(5)) until it executes
    something else."""
    _prctl(_PR_SET_DUMPABLE, 0)


def outlive_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, 0)


def take_in_orphans() -> None:
    """Processes below this one that lose their parent become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reset_signals() -> None:
    """Default actions and an empty mask; also for the C library's own signals, which its functions refuse."""
    action, mask = bytes(32), bytes(8)
    for number in range(1, 65):
        if number not in (9, 19):  # SIGKILL and SIGSTOP have no other action
            call(_old_number("rt_sigaction"), number, action, None, len(mask))
    call(_old_number("rt_sigprocmask"), 2, mask, None, len(mask))  # 2: SIG_SETMASK


def set_limit(number: int, soft: int, hard: int) -> None:
    """setrlimit(2) for this process."""
    if _libc.prlimit(0, number, struct.pack("=QQ", soft, hard), None) < 0:
        _fail()


def no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def make_files_of(uid: int, gid: int) -> None:
    """Files that this process makes belong to these ids from now on; it keeps its capabilities."""
    _libc.setfsgid(ctypes.c_uint(gid))
    _libc.setfsuid(ctypes.c_uint(uid))
    set_capabilities(-1)  # those about files have just gone
    _prctl(_PR_SET_DUMPABLE, 1)  # a change of ids has hidden it from its user


def filter_calls(program: bytes) -> None:
    """Put a seccomp filter, an array of struct sock_filter, on this process for good."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    place = ctypes.create_string_buffer(header, len(header))
    if _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(place), 0, 0) < 0:
        _fail()


def filter_and_listen(program: bytes) -> int:
    """As `filter_calls`; a descriptor on which calls are to be answered that the filter passes on."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return call(_old_number("seccomp"), _SECCOMP_SET_MODE_FILTER, _SECCOMP_NEW_LISTENER, header)


def control(descriptor: int, request: int, value: int) -> None:
    """ioctl(2) whose argument is a number: fcntl.ioctl passes no more than 31 bits."""
    if _libc.ioctl(descriptor, ctypes.c_ulong(request), ctypes.c_ulong(value)) < 0:
        _fail()


def change_owner(file: int, uid: int, gid: int) -> None:
    """chown(2) of what a descriptor, also one of O_PATH, stands for; -1 leaves an id as it is."""
    if _libc.fchownat(file, b"", ctypes.c_int(uid), ctypes.c_int(gid), AT_EMPTY_PATH) < 0:
        _fail()


def identity(folder: int, path: bytes) -> tuple[int, int]:
    """A file's inode and the time of its birth (ns): an inode's number may pass to another file, later.

    statx(2). No link is followed at the end of `path`.
    """
    data = ctypes.create_string_buffer(256)
    mask = _STATX_INO | _STATX_BTIME
    call(_old_number("statx"), folder, path, _AT_SYMLINK_NOFOLLOW, mask, ctypes.addressof(data))
    (inode,) = struct.unpack_from("=Q", data, 0x20)
    seconds, nanoseconds = struct.unpack_from("=qI", data, 0x50)
    return inode, seconds * 1_000_000_000 + nanoseconds


def new_session_keyring() -> None:
    call(_old_number("keyctl"), _KEYCTL_JOIN_SESSION_KEYRING, 0)


def bound_capabilities(keep: int) -> None:
    """Drop all capabilities but the bits of `keep` from the bounding set, and all ambient ones."""
    for number in range(64):
        try:
            if _prctl(_PR_CAPBSET_READ, number) and not keep >> number & 1:
                _prctl(_PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            break  # past the last capability that this kernel knows
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def set_capabilities(wanted: int) -> None:
    """Permitted and effective become what of `wanted` this process has; inheritable becomes empty."""
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    if _libc.capget(header, data) < 0:
        _fail()
    _, low, _, _, high, _ = struct.unpack("=6I", data.raw)
    keep = wanted & (low | high << 32)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    if _libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)) < 0:
        _fail()


def call(number: int, *arguments: int | bytes | None) -> int:
    """syscall(2)."""
    result: int = _libc.syscall(number, *arguments, *(0,) * (6 - len(arguments)))
    if result < 0:
        _fail()
    return result


def _set_propagation(kind: int) -> None:
    value = struct.pack("=QQQQ", 0, 0, kind, 0)
    call(_MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, value, len(value))


def _prctl(option: int, first: int = 0) -> int:
    result: int = _libc.prctl(option, first, 0, 0, 0)
    if result < 0:
        _fail()
    return result


def _fail() -> NoReturn:
    number = ctypes.get_errno()
    more = " (Linux 5.12 or newer is needed)" if number == errno.ENOSYS else ""
    raise OSError(number, os.strerror(number) + more)


def _old_number(name: str) -> int:
    machine = os.uname().machine
    if machine not in _OLD_NUMBERS:
        raise OSError(errno.ENOSYS, f"the built-in runtime does not know the machine {machine}")
    return _OLD_NUMBERS[machine][_OLD_NAMES.index(name)]


def _last_message(context: int) -> str:
    """What the kernel wrote about a refused mount option, without its "e " level mark."""
    try:
        return os.read(context, 4096).decode(errors="replace").strip()[2:]
    except OSError:
        return ""
