"""What a RUN looks at by each system call there is, and by odd ways to name a file.

Every case is a program with a folder of its own, in one build of them all. An edit of what none of them looks
at runs none again; an edit of what each looks at runs every one.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox
from support.calls import Call, Result, Space, program
from support.cli import Wherry
from support.progress import words
from wherry.runtime.observed import CALLS as HEARD

pytestmark = [
    pytest.mark.needs("root"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the programs are for x86-64"),
]

HERE = -100  # AT_FDCWD
NO_FOLLOW, FOLLOW, REMOVE_FOLDER, EMPTY_PATH = 0x100, 0x400, 0x200, 0x1000
CLONE_VM, CLONE_VFORK, SIGCHLD = 0x100, 0x4000, 17
O_NOFOLLOW, O_CREAT, O_EXCL, O_WRONLY, O_PATH, O_DIRECTORY = 0x20000, 0x40, 0x80, 1, 0x200000, 0x10000
XATTR = (b"user.x", b"1", 1, 0)
BACK = b"../" * 40

Change = Callable[[Path], object]


def write(name: str, text: str = "2") -> Change:
    """Also where nothing is yet."""
    return lambda folder: (folder / name).write_text(text)


def mode(name: str) -> Change:
    return lambda folder: (folder / name).chmod(0o700)


def link(name: str, target: str = "other") -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return change


def folder_of(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


class Case(NamedTuple):
    """`calls` are made in a folder of the context with `FILES`; `change` is an edit that they look at."""

    calls: Sequence[Call]
    change: Change
    files: Mapping[str, bytes] = {}


FILES = {"f": b"1", "d/g": b"1", "other": b"1", "script": b"#!missing x\n", "path": b"f\0"}
"""Besides them `e`, an empty folder, and the links `l` to f and `s` to d."""


def call(number: int, *arguments: int | bytes | Result | Space) -> Call:
    return Call(number, arguments)


def handle(path: bytes) -> Call:
    return call(303, HERE, path, Space(), Space(), 0)


def listed(number: int) -> list[Call]:
    return [call(2, b"d", O_DIRECTORY), call(number, Result(0), Space(), 4096)]


def local(name: bytes) -> bytes:
    """`struct sockaddr_un`"""
    return b"\1\0" + name + b"\0"


READING = write("f")
OPEN_HOW = struct.pack("=QQQ", 0, 0, 0)
ONE_BY_ONE = {
    "open": Case([call(2, b"f")], READING),
    "openat": Case([call(257, HERE, b"f")], READING),
    "openat2": Case([call(437, HERE, b"f", OPEN_HOW, 24)], READING),
    "creat": Case([call(85, b"f", 0o644)], mode("f")),
    "stat": Case([call(4, b"f", Space())], READING),
    "lstat": Case([call(6, b"l", Space())], link("l")),
    "newfstatat": Case([call(262, HERE, b"f", Space(), 0)], READING),
    "statx": Case([call(332, HERE, b"f", 0, 0xFFF, Space())], READING),
    "access": Case([call(21, b"f", 1)], mode("f")),
    "faccessat": Case([call(269, HERE, b"f", 1)], mode("f")),
    "faccessat2": Case([call(439, HERE, b"f", 1, 0)], mode("f")),
    "statfs": Case([call(137, b"n", Space())], write("n")),
    "readlink": Case([call(89, b"l", Space(), 100)], link("l")),
    "readlinkat": Case([call(267, HERE, b"l", Space(), 100)], link("l")),
    "getdents": Case(listed(78), write("d/h")),
    "getdents64": Case(listed(217), write("d/h")),
    "execve": Case([call(59, b"f")], mode("f")),
    "execveat": Case([call(322, HERE, b"f")], mode("f")),
    "chdir": Case([call(80, b"d")], mode("d")),
    "chroot": Case([call(161, b"n")], write("n")),
    "truncate": Case([call(76, b"f", 0)], mode("f")),
    "chmod": Case([call(90, b"f", 0o600)], READING),
    "fchmodat": Case([call(268, HERE, b"f", 0o600)], READING),
    "fchmodat2": Case([call(452, HERE, b"f", 0o600, 0)], READING),
    "chown": Case([call(92, b"f", 7, 7)], READING),
    "lchown": Case([call(94, b"l", 7, 7)], link("l")),
    "fchownat": Case([call(260, HERE, b"f", 7, 7, 0)], READING),
    "utime": Case([call(132, b"f", 0)], READING),
    "utimes": Case([call(235, b"f", 0)], READING),
    "futimesat": Case([call(261, HERE, b"f", 0)], READING),
    "utimensat": Case([call(280, HERE, b"f", 0, 0)], READING),
    "setxattr": Case([call(188, b"f", *XATTR)], READING),
    "lsetxattr": Case([call(189, b"l", *XATTR)], link("l")),
    "setxattrat": Case([call(463, HERE, b"f", 0, b"user.x", Space(), 16)], READING),
    "getxattr": Case([call(191, b"f", b"user.x", Space(), 9)], mode("f")),
    "lgetxattr": Case([call(192, b"f", b"user.x", Space(), 9)], mode("f")),
    "getxattrat": Case([call(464, HERE, b"f", 0, b"user.x", Space(), 16)], mode("f")),
    "listxattr": Case([call(194, b"f", Space(), 99)], mode("f")),
    "llistxattr": Case([call(195, b"f", Space(), 99)], mode("f")),
    "listxattrat": Case([call(465, HERE, b"f", 0, Space(), 99)], mode("f")),
    "removexattr": Case([call(197, b"f", b"user.x")], mode("f")),
    "lremovexattr": Case([call(198, b"f", b"user.x")], mode("f")),
    "removexattrat": Case([call(466, HERE, b"f", 0, b"user.x")], mode("f")),
    "bind": Case([call(41, 1, 1, 0), call(49, Result(0), local(b"n"), 4)], write("n")),
    "connect": Case([call(41, 1, 1, 0), call(42, Result(0), local(b"n"), 4)], write("n")),
    "name_to_handle_at": Case([handle(b"n")], write("n")),
    "inotify_add_watch": Case([call(253), call(254, Result(0), b"n", 1)], write("n")),
    "mkdir": Case([call(83, b"n", 0o755)], write("n")),
    "mkdirat": Case([call(258, HERE, b"n", 0o755)], write("n")),
    "mknod": Case([call(133, b"n", 0o010644, 0)], write("n")),
    "mknodat": Case([call(259, HERE, b"n", 0o010644, 0)], write("n")),
    "rmdir": Case([call(84, b"e")], write("e/h")),
    "unlink": Case([call(87, b"n")], write("n")),
    "unlinkat": Case([call(263, HERE, b"e", REMOVE_FOLDER)], write("e/h")),
    "symlink": Case([call(88, b"f", b"n")], write("n")),
    "symlinkat": Case([call(266, b"f", HERE, b"n")], write("n")),
    "link": Case([call(86, b"f", b"n")], READING),
    "linkat": Case([call(265, HERE, b"f", HERE, b"n", 0)], READING),
    "rename": Case([call(82, b"f", b"n")], READING),
    "renameat": Case([call(264, HERE, b"f", HERE, b"n")], READING),
    "renameat2": Case([call(316, HERE, b"f", HERE, b"n", 0)], READING),
}
"""By the names of the calls."""

OPENED = call(2, b"d", O_DIRECTORY)
LOADED = program([Call(39)], loader=b"missing")
OTHER_WAYS = {
    "open: a mode": Case([call(2, b"f")], mode("f")),
    "open: another kind": Case([call(2, b"f")], folder_of("f")),
    "open: nothing": Case([call(2, b"n")], write("n")),
    "open: not any more": Case([call(2, b"f")], remove("f")),
    "open: a name that must be new": Case([call(2, b"n", O_CREAT | O_EXCL | O_WRONLY, 0o600)], write("n")),
    "open: what a link leads to": Case([call(2, b"l")], READING),
    "open: where a link leads": Case([call(2, b"l")], link("l")),
    "open: where a link on the way leads": Case([call(2, b"s/g")], link("s", "e")),
    "open: a link itself": Case([call(2, b"l", O_NOFOLLOW | O_PATH)], link("l")),
    "open: a link with a slash": Case([call(2, b"s/", O_NOFOLLOW)], link("s", "e")),
    "open: a folder on the way": Case([call(2, b"d/g")], mode("d")),
    "open: no folder on the way": Case([call(2, b"n/g")], write("n")),
    "open: a name with dots": Case([call(2, b"./d/.././d/../f")], READING),
    "openat: from a folder": Case([OPENED, call(257, Result(0), b"g")], write("d/g")),
    "openat: up from a folder": Case([OPENED, call(257, Result(0), b"../f")], READING),
    "openat: after the folder has gone": Case(
        [call(83, b"m", 0o700), call(2, b"m", O_DIRECTORY), call(84, b"m"), call(257, Result(1), b"../f")],
        READING,
    ),
    "openat: after the folder was moved": Case(
        [
            call(83, b"m", 0o700),
            call(88, b"../d", b"m/s"),
            call(2, b"m", O_DIRECTORY),
            call(82, b"m", b"n"),
            call(257, Result(2), b"s/g"),
        ],
        write("d/g"),
    ),
    "openat2: with no links": Case([call(437, HERE, b"l", struct.pack("=QQQ", 0, 0, 4), 24)], link("l")),
    "statx: a descriptor's": Case(
        [call(2, b"f"), call(332, Result(0), b"", EMPTY_PATH, 0xFFF, Space())], READING
    ),
    "openat: from a folder that was opened before an exec": Case(
        [OPENED, call(90, b"y", 0o755), call(59, b"y")], write("d/g"), {"y": program([call(257, 3, b"g")])}
    ),
    "a process in the same memory with a folder of its own": Case(
        [call(56, CLONE_VM | CLONE_VFORK | SIGCHLD), call(80, b"d"), call(2, b"g")], write("d/g")
    ),
    "fchdir": Case([OPENED, call(81, Result(0)), call(2, b"g")], write("d/g")),
    "a folder that it made": Case([call(83, b"m", 0o700), call(80, b"m"), call(2, b"../f")], READING),
    "a folder called as if it had gone": Case(
        [call(80, b"k (deleted)"), call(2, b"g")], write("k (deleted)/g"), {"k (deleted)/g": b"1"}
    ),
    "a name that is no text": Case([call(2, b"\xff\xfe")], write("\udcff\udcfe")),
    "a long name": Case([call(2, b"./" * 2000 + b"f")], READING),
    "a link that it made": Case([call(88, b"d", b"m"), call(2, b"m/g")], write("d/g")),
    "a link with another name": Case([call(82, b"s", b"m"), call(2, b"m/g")], write("d/g")),
    "a link with a second name": Case([call(86, b"s", b"m"), call(2, b"m/g")], write("d/g")),
    "a folder in the place of another": Case(
        [call(83, b"m", 0o700), call(82, b"m", b"e")], write("e/h")
    ),
    "a root of its own": Case([call(161, b"d"), call(80, b"/"), call(2, b"../../g")], write("d/g")),
    "listed: another kind": Case(listed(217), link("d/g")),
    "listed by a descriptor of a descriptor": Case(
        [call(2, b"d", O_PATH), call(2, b"/proc/self/fd/3"), call(217, Result(1), Space(), 4096)],
        write("d/h"),
    ),
    "a script's interpreter": Case([call(90, b"script", 0o755), call(59, b"script")], write("missing")),
    "a script's interpreter, by a descriptor": Case(
        [call(2, b"script"), call(90, b"script", 0o755), call(322, Result(0), b"", 0, 0, EMPTY_PATH)],
        write("missing"),
    ),
    "a script of windows": Case(
        [call(90, b"w", 0o755), call(59, b"w")], write("tool\r"), {"w": b"#! \ttool\r\n"}
    ),
    "a program's loader": Case([call(90, b"x", 0o755), call(59, b"x")], write("missing"), {"x": LOADED}),
}  # fmt: skip

SECRET = [call(447, 0), call(77, Result(0), 4096), call(9, 0, 4096, 3, 1, Result(0), 0)]
"""memfd_secret(2): memory that nobody else can read, also not the listener."""
SMALL = bytearray(LOADED)
SMALL[4], SMALL[18] = 1, 3  # ELFCLASS32, EM_386
NOT_TOLD = {
    "32 bits": Case([Call(5, (b"f",), compatible=True)], READING),
    "a program of 32 bits that cannot be loaded": Case(
        [call(90, b"x", 0o755), call(59, b"x")], write("missing"), {"x": bytes(SMALL)}
    ),
    "what is neither program nor script": Case(
        [call(90, b"x", 0o755), call(59, b"x")], write("missing"), {"x": b"\x7fOTHER\0"}
    ),
    "from outside of its root": Case([call(161, b"d"), call(2, b"f")], READING),
    "a descriptor from outside of its root": Case(
        [call(2, b".", O_DIRECTORY), call(161, b"d"), call(257, Result(0), b"f")], READING
    ),
    "in a root for one call": Case([call(437, HERE, b"/f", struct.pack("=QQQ", 0, 0, 16), 24)], READING),
    "/proc/self/cwd": Case([call(2, b"/proc/self/cwd/f")], READING),
    "/proc/thread-self/..": Case([call(2, b"/proc/thread-self/../../cwd/f")], READING),
    "/proc/net/..": Case([call(2, b"/proc/net/../cwd/f")], READING),
    "/dev/fd/..": Case([call(2, b"/dev/fd/../cwd/f")], READING),
    "/dev/stdin": Case([OPENED, call(33, Result(0), 0), call(2, b"/dev/stdin/g")], write("d/g")),
    "a working folder in /proc": Case([call(80, b"/proc/self/fd"), call(2, b"../cwd/f")], READING),
    "memory that cannot be read": Case(
        [*SECRET, call(2, b"path"), call(0, Result(3), Result(2), 9), call(2, Result(2))], READING
    ),
    "a folder too deep to be named": Case(
        [call(2, b".", O_DIRECTORY)]
        + [one for _ in range(40) for one in (call(83, b"n" * 120, 0o755), call(80, b"n" * 120))]
        + [call(2, BACK + b"f")],
        READING,
    ),
    "a link's second name by way of a descriptor": Case(
        [
            call(2, b"s", O_PATH | O_NOFOLLOW),
            call(265, HERE, b"/proc/self/fd/3", HERE, b"m", FOLLOW),
            call(2, b"m/g"),
        ],
        write("d/g"),
    ),
}
"""What the observer says that it cannot tell: these run again whatever was edited."""


def place(folder: Path, number: int, case: Case) -> None:
    here = folder / "app" / str(number)
    for name, data in {**FILES, **case.files}.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(data)
    (here / "e").mkdir()
    (here / "l").symlink_to("f")
    (here / "s").symlink_to("d")
    path = folder / "calls" / str(number)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(program(case.calls))
    path.chmod(0o755)


def executed(wherry: Wherry, folder: Path, names: Sequence[str]) -> set[str]:
    """The cases that ran again."""
    found = words(wherry, folder)
    return {name for number, name in enumerate(names) if found[f"RUN /calls/{number} # {number}"] == "DONE"}


def test_every_call_that_is_heard_has_a_case() -> None:
    assert ONE_BY_ONE.keys() == HEARD.keys()


def test_what_each_call_looks_at(tmp_path: Path) -> None:
    cases = {**ONE_BY_ONE, **OTHER_WAYS, **NOT_TOLD}
    names = list(cases)
    wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
    busybox.put(wherry.root, "busybox")
    folder = tmp_path / "context"
    lines = ["FROM busybox", "COPY calls /calls", "COPY app /app"]
    for number, case in enumerate(cases.values()):
        place(folder, number, case)
        lines += [f"WORKDIR /app/{number}", f"RUN /calls/{number} # {number}"]
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    assert executed(wherry, folder, names) == set(names)
    for number in range(len(cases)):
        (folder / "app" / str(number) / "other").write_text("2")
    assert executed(wherry, folder, names) == NOT_TOLD.keys()
    for number, case in enumerate(cases.values()):
        case.change(folder / "app" / str(number))
    again = executed(wherry, folder, names)
    assert again == set(names), set(names) - again
    shutil.rmtree(folder)
