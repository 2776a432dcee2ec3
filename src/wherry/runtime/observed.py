"""The system calls that take a path or list a folder, and what they look at: what an observer hears of.

Of calls that the container's filter refuses (mounts, handles, modules; seccomp.py) none is here. Numbers are
those of x86-64 and aarch64; a call of another architecture cannot be told (`runtime/init/observer.py`).
"""

from __future__ import annotations

from wherry.base.tuples import NamedTuple

FACE, NAMES, CONTENT = 1, 2, 4
"""As in `snapshot/differences.py`, which the helper process cannot import."""

READ = FACE | CONTENT
NO_FOLLOW, FOLLOW = 0x100, 0x400  # AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW
_CWD = -1


class Call(NamedTuple):
    """Where a call's arguments are, by their places, and what it looks at.

    `folder` is the one with the descriptor that paths start from, -1: the working folder. `path` is -1 where
    the descriptor itself is meant. `flags` is the argument that says, by the bit `follow` or `no_follow`,
    whether a link at the end is followed; -1: `follows` says so for good. `effect` is what else the observer
    has to do (`Observer._take_effect`); `second` are folder and path of the call's other name.
    """

    path: int
    looks: int
    folder: int = _CWD
    follows: bool = True
    flags: int = -1
    bit: int = 0
    effect: str = ""
    second: tuple[int, int] = (-1, -1)


CALLS = {
    "open": Call(0, READ, flags=1, effect="open"),
    "openat": Call(1, READ, 0, flags=2, effect="open"),
    "openat2": Call(1, READ, 0, effect="open2"),
    "creat": Call(0, READ),
    "stat": Call(0, READ),
    "lstat": Call(0, READ, follows=False),
    "newfstatat": Call(1, READ, 0, flags=3, bit=NO_FOLLOW),
    "statx": Call(1, READ, 0, flags=2, bit=NO_FOLLOW),
    "access": Call(0, FACE),
    "faccessat": Call(1, FACE, 0),
    "faccessat2": Call(1, FACE, 0, flags=3, bit=NO_FOLLOW),
    "statfs": Call(0, FACE),
    "readlink": Call(0, READ, follows=False),
    "readlinkat": Call(1, READ, 0, follows=False),
    "getdents": Call(-1, FACE | NAMES, 0),
    "getdents64": Call(-1, FACE | NAMES, 0),
    "execve": Call(0, READ, effect="execute"),
    "execveat": Call(1, READ, 0, flags=4, bit=NO_FOLLOW, effect="execute"),
    "chdir": Call(0, FACE),
    "chroot": Call(0, FACE, effect="root"),
    "truncate": Call(0, READ),
    "chmod": Call(0, READ),
    "fchmodat": Call(1, READ, 0),
    "fchmodat2": Call(1, READ, 0, flags=3, bit=NO_FOLLOW),
    "chown": Call(0, READ),
    "lchown": Call(0, READ, follows=False),
    "fchownat": Call(1, READ, 0, flags=4, bit=NO_FOLLOW),
    "utime": Call(0, READ),
    "utimes": Call(0, READ),
    "futimesat": Call(1, READ, 0),
    "utimensat": Call(1, READ, 0, flags=3, bit=NO_FOLLOW),
    "setxattr": Call(0, READ),
    "lsetxattr": Call(0, READ, follows=False),
    "setxattrat": Call(1, READ, 0, flags=2, bit=NO_FOLLOW),
    "getxattr": Call(0, READ),
    "lgetxattr": Call(0, READ, follows=False),
    "getxattrat": Call(1, READ, 0, flags=2, bit=NO_FOLLOW),
    "listxattr": Call(0, READ),
    "llistxattr": Call(0, READ, follows=False),
    "listxattrat": Call(1, READ, 0, flags=2, bit=NO_FOLLOW),
    "removexattr": Call(0, READ),
    "lremovexattr": Call(0, READ, follows=False),
    "removexattrat": Call(1, READ, 0, flags=2, bit=NO_FOLLOW),
    "bind": Call(-1, FACE, effect="address"),
    "connect": Call(-1, FACE, effect="address"),
    "name_to_handle_at": Call(1, FACE, 0),
    "inotify_add_watch": Call(1, READ),
    "mkdir": Call(0, FACE, follows=False, effect="made"),
    "mkdirat": Call(1, FACE, 0, follows=False, effect="made"),
    "mknod": Call(0, FACE, follows=False),
    "mknodat": Call(1, FACE, 0, follows=False),
    "rmdir": Call(0, FACE | NAMES, follows=False),
    "unlink": Call(0, FACE, follows=False, effect="removed"),
    "unlinkat": Call(1, FACE | NAMES, 0, follows=False, effect="removed"),
    "symlink": Call(1, FACE, follows=False, effect="linked", second=(-1, 0)),
    "symlinkat": Call(2, FACE, 1, follows=False, effect="linked", second=(-1, 0)),
    "link": Call(0, READ, follows=False, effect="moved", second=(-1, 1)),
    "linkat": Call(1, READ, 0, effect="moved", second=(2, 3)),
    "rename": Call(0, READ | NAMES, follows=False, effect="moved", second=(-1, 1)),
    "renameat": Call(1, READ | NAMES, 0, follows=False, effect="moved", second=(2, 3)),
    "renameat2": Call(1, READ | NAMES, 0, follows=False, flags=4, effect="moved", second=(2, 3)),
}

_COMMON = """
    openat2 437 faccessat2 439 fchmodat2 452 setxattrat 463 getxattrat 464 listxattrat 465 removexattrat 466
"""
_X86_64 = """
    open 2 stat 4 lstat 6 access 21 connect 42 bind 49 execve 59 truncate 76 getdents 78 chdir 80 rename 82
    mkdir 83 rmdir 84 creat 85 link 86 unlink 87 symlink 88 readlink 89 chmod 90 chown 92 lchown 94
    utime 132 mknod 133 statfs 137 chroot 161 setxattr 188 lsetxattr 189 getxattr 191 lgetxattr 192
    listxattr 194 llistxattr 195 removexattr 197 lremovexattr 198 getdents64 217 utimes 235
    inotify_add_watch 254 openat 257 mkdirat 258 mknodat 259 fchownat 260 futimesat 261 newfstatat 262
    unlinkat 263 renameat 264 linkat 265 symlinkat 266 readlinkat 267 fchmodat 268 faccessat 269
    utimensat 280 name_to_handle_at 303 renameat2 316 execveat 322 statx 332
"""
_AARCH64 = """
    setxattr 5 lsetxattr 6 getxattr 8 lgetxattr 9 listxattr 11 llistxattr 12 removexattr 14 lremovexattr 15
    inotify_add_watch 27 mknodat 33 mkdirat 34 unlinkat 35 symlinkat 36 linkat 37 renameat 38 statfs 43
    truncate 45 faccessat 48 chdir 49 chroot 51 fchmodat 53 fchownat 54 openat 56 getdents64 61
    readlinkat 78 newfstatat 79 utimensat 88 bind 200 connect 203 execve 221 name_to_handle_at 264
    renameat2 276 execveat 281 statx 291
"""
_TABLES = {0xC000003E: _X86_64, 0xC00000B7: _AARCH64}

FILES, SOCKETS = "files", "sockets"
"""What is heard of: calls that look at files and those that make sockets, or the latter alone."""

LOCAL_FAMILIES = 1, 16, 38
"""AF_UNIX, AF_NETLINK (asks the kernel) and AF_ALG (has it compute): sockets that lead to no network."""

_SOCKETS = {
    0xC000003E: {"socket": 41},
    0xC00000B7: {"socket": 198},
    0x40000003: {"socket": 359, "socketcall": 102},
}


def calls() -> dict[tuple[int, int], Call]:
    """By architecture (its number for the kernel) and number."""
    found = {}
    for architecture, text in _TABLES.items():
        words = iter((text + _COMMON).split())
        for name, number in zip(words, words, strict=True):
            found[architecture, int(number)] = CALLS[name]
    return found


def numbers(architecture: int) -> frozenset[int]:
    """The calls of an architecture that are heard of; none where they cannot be told."""
    return frozenset(number for known, number in calls() if known == architecture)


def makers(architecture: int) -> dict[str, int]:
    """The calls that make sockets, also of programs of 32 bits; socketcall(2) has its arguments in memory."""
    return _SOCKETS[architecture]


def networks() -> set[tuple[int, int]]:
    """Those calls by architecture and number: whoever makes one that is heard may use the network."""
    return {(architecture, number) for architecture, calls in _SOCKETS.items() for number in calls.values()}
